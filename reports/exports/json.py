"""How does a table leave as JSON? The contract's shape: items, as_of, money as text."""

from datetime import date, datetime
from typing import Any

from o10.kernel.money import amount_text
from reports.core.table import Kind, Table, Value


def to_json(table: Table) -> dict[str, Any]:
    """Which document is this table? A money column gives `key` and `key_nanos`, both text."""
    return {
        "items": [_item(table, row) for row in table.rows],
        "totals": {
            name: {"amount": amount_text(nanos), "amount_nanos": str(nanos)}
            for name, nanos in table.totals.items()
        },
        "currency": table.currency,
        "view": table.view,
        "more": table.more,
        "as_of": {
            "ledger_seq": table.position,
            "at": None if table.position_at is None else _instant(table.position_at),
        },
    }


def _item(table: Table, row: tuple[Value, ...]) -> dict[str, Any]:
    item: dict[str, Any] = {}
    for column, value in zip(table.columns, row, strict=True):
        if column.kind is Kind.MONEY and isinstance(value, int):
            item[column.key] = amount_text(value)
            item[f"{column.key}_nanos"] = str(value)
        elif column.kind is Kind.MONEY:
            item[column.key] = item[f"{column.key}_nanos"] = None
        elif isinstance(value, datetime):
            item[column.key] = _instant(value)
        else:
            item[column.key] = value.isoformat() if isinstance(value, date) else value
    return item


def _instant(value: datetime) -> str:
    return value.isoformat().replace("+00:00", "Z")
