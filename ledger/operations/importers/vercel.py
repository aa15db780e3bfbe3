"""What does Vercel's AI gateway report say? Sums by day, in USD, with two costs.

`total_cost` is what was paid, `market_cost` what list prices would have been: the first is
the evidence, the second is left out. Rows without `model` can't be priced and are refused:
group the report by day, model and provider. Input includes cached and written tokens. Dedupe
key: day, model, provider, tag, user.
Source: conventions.md section 5.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, TextIO

from ledger.operations.importers.openai_usage import terms_key
from ledger.operations.importers.reading import json_documents, rows_in
from ledger.operations.importers.rows import (
    Row,
    RowRefused,
    Terms,
    UsageRow,
    instant_of,
    over,
    plain_amount,
    refused,
    slug_of,
    usage_row,
    whole_of,
)


def read(stream: TextIO, terms: Terms) -> Iterator[Row]:
    """Which days are in this report?"""
    number = 0
    for document in json_documents(stream, source=terms.source):
        for each in rows_in(document):
            for row in each["results"] if isinstance(each.get("results"), list) else [each]:
                number += 1
                try:
                    yield _usage(number, row, terms)
                except RowRefused as failure:
                    yield refused(number, failure, row)


def _usage(number: int, row: Any, terms: Terms) -> UsageRow:
    if not isinstance(row, dict) or "bad_row" in row:
        raise RowRefused("bad_row", "Expected an object.")
    if not row.get("model"):
        raise RowRefused("model_missing", "The report was not grouped by model.")
    day = instant_of(row.get("day"), "day")
    over(day + timedelta(days=1), terms)
    parts = [row.get(name) for name in ("model", "provider", "tag", "user")]
    values: dict[str, Any] = {
        "id": f"{day:%Y-%m-%d}/{terms_key(parts)}",
        "source": terms.source,
        "at": day.isoformat(),
        "usage": {
            "input_tokens": whole_of(row.get("input_tokens"), "input_tokens"),
            "cached_input_tokens": whole_of(
                row.get("cached_input_tokens"), "cached_input_tokens"
            ),
            "cache_write_tokens": whole_of(
                row.get("cache_creation_input_tokens"), "cache_creation_input_tokens"
            ),
            "output_tokens": whole_of(row.get("output_tokens"), "output_tokens"),
            "reasoning_tokens": whole_of(row.get("reasoning_tokens"), "reasoning_tokens"),
        },
        "calls": max(1, whole_of(row.get("request_count"), "request_count")),
        "model": str(row["model"]),
        "venue": row.get("provider") or "vercel",
        "use_case": slug_of(row.get("tag")) or terms.use_case,
    }
    if row.get("total_cost") is not None:
        values["provider_cost"] = {
            "amount": plain_amount(row["total_cost"], "total_cost"),
            "currency": "USD",
        }
    return usage_row(number, values)
