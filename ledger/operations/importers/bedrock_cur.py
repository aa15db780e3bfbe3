"""What does an AWS cost and usage report (CUR 2.0 CSV) say of Bedrock? One line a token type.

Amounts are US dollars: net of discounts where the report has them. Quantities are in
thousands or millions of tokens, as `pricing_unit` says, and input excludes the cache: all
four token types are needed. Lines of other products are left out. The model stands in the
resource, else in the usage type. Dedupe key: the report's line item id, else all that tells
the line apart.
Source: conventions.md section 5.
"""

import re
from collections.abc import Iterator
from typing import Final, TextIO

from ledger.operations.importers.reading import csv_rows
from ledger.operations.importers.rows import (
    BillRow,
    Row,
    RowRefused,
    Terms,
    decimal_of,
    instant_of,
    last_day_of,
    nanos_of,
    refused,
    text_of,
)

NEEDS: Final = (
    "line_item_usage_start_date", "line_item_usage_end_date", "line_item_product_code",
    "line_item_usage_type", "line_item_usage_amount", "line_item_unblended_cost",
)  # fmt: skip
_METERS: Final = (
    ("cache_read", "-cache-read-input-token"),
    ("cache_write", "-cache-write-input-token"),
    ("input", "-input-tokens"),
    ("output", "-output-tokens"),
)
_REGION: Final = re.compile(r"^[A-Z]{2,4}\d?-")
_MODEL: Final = re.compile(r"(?:foundation-model|inference-profile)/(.+)$")


def read(stream: TextIO, terms: Terms) -> Iterator[Row]:
    """Which Bedrock lines are on this bill?"""
    for number, cells in csv_rows(stream, source=terms.source, needs=NEEDS):
        if "bad_row" not in cells and "bedrock" not in cells["line_item_product_code"].lower():
            continue
        try:
            yield _line(number, cells, terms)
        except RowRefused as failure:
            yield refused(number, failure, ",".join(cells.values()))


def _line(number: int, cells: dict[str, str], terms: Terms) -> BillRow:
    if "bad_row" in cells:
        raise RowRefused("bad_row", cells["bad_row"])
    kind = text_of(cells["line_item_usage_type"], "line_item_usage_type")
    start = instant_of(cells["line_item_usage_start_date"], "line_item_usage_start_date")
    end = instant_of(cells["line_item_usage_end_date"], "line_item_usage_end_date")
    meter = next((name for name, part in _METERS if part in kind), "")
    net = cells.get("line_item_net_unblended_cost", "")
    own = cells.get("identity_line_item_id", "")
    return BillRow(
        row=number,
        key=f"{start.isoformat()}/{own}" if own else terms.hashed(*cells.values()),
        venue="aws",
        currency=(cells.get("line_item_currency_code") or "USD").upper()[:3],
        day=start.date(),
        last_day=max(start.date(), last_day_of(end)),
        amount_nanos=nanos_of(net or cells["line_item_unblended_cost"], "cost"),
        account=text_of(cells.get("line_item_usage_account_id"), "line_item_usage_account_id"),
        model=_model(cells, kind),
        tier="batch" if "-batch" in kind.lower() else "",
        meter=meter or kind[:64],
        quantity=_tokens(cells) if meter else None,
        unit="tokens" if meter else "",
    )


def _model(cells: dict[str, str], kind: str) -> str:
    found = _MODEL.search(cells.get("line_item_resource_id", ""))
    if found:
        return text_of(found[1], "line_item_resource_id")
    for _, part in _METERS:
        kind = kind.partition(part)[0]
    return text_of(_REGION.sub("", kind), "line_item_usage_type").lower()


def _tokens(cells: dict[str, str]) -> int:
    unit = cells.get("pricing_unit", "").strip().upper()
    factor = {"1K TOKENS": 1_000, "1M TOKENS": 1_000_000, "TOKENS": 1, "1K": 1_000}.get(unit)
    factor = factor or {"1M": 1_000_000, "": 1_000}.get(unit)
    if factor is None:
        raise RowRefused("unit_unknown", f"pricing_unit {unit[:40]} is not 1K or 1M tokens.")
    return int(
        (
            decimal_of(cells["line_item_usage_amount"], "usage_amount") * factor
        ).to_integral_value()
    )
