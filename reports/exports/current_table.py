"""How does a table of what stands now name the ledger position it was read at?"""

from collections.abc import Sequence

from ledger import facade as ledger
from reports.core.table import Table, TableColumn, Value


def current_table(
    name: str,
    title: str,
    columns: Sequence[TableColumn],
    rows: Sequence[tuple[Value, ...]],
    *,
    view: str = "",
    more: bool = False,
) -> Table:
    """Which table is it, in the ledger's currency, at its newest position?

    `view` is the query that made the rows; `more` = there are further ones.
    """
    company = ledger.ledger_of_company()
    position = ledger.position_of(ledger_id=company.id)
    return Table(
        name=name,
        title=title,
        currency=company.currency,
        columns=tuple(columns),
        rows=tuple(rows),
        position=position.seq,
        position_at=position.at,
        view=view,
        more=more,
    )
