"""What does OpenAI's costs export say? A bill by day and line item, in dollars.

`amount.value` is in `amount.currency` ("usd" = dollars, not cents). Buckets are single days,
180 at most. There is no model dimension: the line item reads "model, meter" and is taken
apart where it does. Dedupe key: day, project, line item.
Source: conventions.md section 5.
"""

from collections.abc import Iterator
from typing import Any, TextIO

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


def read(stream: TextIO, terms: Terms) -> Iterator[Row]:
    """Which lines are on this bill?"""
    pages = bucket_results(stream, source=terms.source, start="start_time", end="end_time")
    for number, bucket, result in pages:
        try:
            yield _line(number, bucket, result, terms)
        except RowRefused as failure:
            yield refused(number, failure, result)


def _line(number: int, bucket: dict[str, Any], result: dict[str, Any], terms: Terms) -> BillRow:
    if "bad_row" in result:
        raise RowRefused("bad_row", str(result["bad_row"]))
    amount = result.get("amount")
    if not isinstance(amount, dict) or "value" not in amount:
        raise RowRefused("amount_missing", "There is no amount with value and currency.")
    start = instant_of(bucket["start_time"], "start_time")
    end = instant_of(bucket["end_time"], "end_time")
    over(end, terms)
    item = text_of(result.get("line_item"), "line_item")
    model, _, meter = item.partition(",")
    project = text_of(result.get("project_id"), "project_id")
    return BillRow(
        row=number,
        key=f"{start.date()}/{project}/{item}",
        venue="openai",
        currency=currency_of(amount.get("currency")),
        day=start.date(),
        last_day=last_day_of(end),
        amount_nanos=nanos_of(amount["value"], "amount"),
        account=project,
        model=model.strip().lower().replace(" ", "-") if meter else "",
        meter=(meter.strip() or item)[:64],
    )
