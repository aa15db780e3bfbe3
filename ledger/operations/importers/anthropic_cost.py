"""What does Anthropic's cost export say? A bill by day, model, tier and token type, in CENTS.

`amount` is a decimal text in the lowest unit of the currency: "123.45" USD is 1.2345 dollars.
Read as dollars it would be a hundred times too much. Dedupe key: day and all attributes.
Source: conventions.md section 5.
"""

from collections.abc import Iterator
from typing import Any, Final, TextIO

from ledger.operations.importers.reading import bucket_results
from ledger.operations.importers.rows import (
    BillRow,
    Row,
    RowRefused,
    Terms,
    currency_of,
    instant_of,
    last_day_of,
    nanos_of,
    over,
    refused,
    text_of,
)

CENTS: Final = 100
_ATTRIBUTES: Final = (
    "workspace_id", "cost_type", "token_type", "model", "service_tier", "context_window",
    "description",
)  # fmt: skip


def read(stream: TextIO, terms: Terms) -> Iterator[Row]:
    """Which lines are on this bill?"""
    pages = bucket_results(stream, source=terms.source, start="starting_at", end="ending_at")
    for number, bucket, result in pages:
        try:
            yield _line(number, bucket, result, terms)
        except RowRefused as failure:
            yield refused(number, failure, result)


def _line(number: int, bucket: dict[str, Any], result: dict[str, Any], terms: Terms) -> BillRow:
    if "bad_row" in result:
        raise RowRefused("bad_row", str(result["bad_row"]))
    if not isinstance(result.get("amount"), str):
        raise RowRefused("amount_missing", "The amount is a text in cents, such as 123.45.")
    start = instant_of(bucket["starting_at"], "starting_at")
    end = instant_of(bucket["ending_at"], "ending_at")
    over(end, terms)
    told = [text_of(result.get(name), name) for name in _ATTRIBUTES]
    return BillRow(
        row=number,
        key="/".join((str(start.date()), *told)),
        venue="anthropic",
        currency=currency_of(result.get("currency")),
        day=start.date(),
        last_day=last_day_of(end),
        amount_nanos=nanos_of(result["amount"], "amount", parts_of_unit=CENTS),
        account=told[0],
        model=told[3],
        tier=told[4],
        meter=(told[2] or told[1])[:64],
    )
