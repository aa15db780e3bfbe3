"""What does OpenRouter's activity CSV say? One generation a row, amounts in USD.

`tokens_prompt` includes `tokens_cached`, `tokens_completion` includes `tokens_reasoning`.
With an own provider key the cost of inference stands in `byok_usage_inference`, beside
`cost_total`. The cost is evidence; the price book prices. Dedupe key: `generation_id`, which
is also the id that a settle of the same call names.
Source: conventions.md section 5; shape of November 2026 in tests/payloads.
"""

from collections.abc import Iterator
from typing import Any, Final, TextIO

from ledger.operations.importers.reading import csv_rows
from ledger.operations.importers.rows import (
    Row,
    RowRefused,
    Terms,
    UsageRow,
    decimal_of,
    instant_of,
    plain_amount,
    refused,
    slug_of,
    usage_row,
    whole_of,
)

NEEDS: Final = (
    "generation_id", "created_at", "cost_total", "tokens_prompt", "tokens_completion",
    "model_permaslug",
)  # fmt: skip
_FINISH: Final = {"length": "length", "error": "error"}


def read(stream: TextIO, terms: Terms) -> Iterator[Row]:
    """Which generations are in this file?"""
    for number, cells in csv_rows(stream, source=terms.source, needs=NEEDS):
        try:
            yield _usage(number, cells, terms)
        except RowRefused as failure:
            yield refused(number, failure, ",".join(cells.values()))


def _usage(number: int, cells: dict[str, str], terms: Terms) -> UsageRow:
    if "bad_row" in cells:
        raise RowRefused("bad_row", cells["bad_row"])
    own_key = cells.get("byok_usage_inference") or "0"
    cost = decimal_of(cells["cost_total"], "cost_total") + decimal_of(
        own_key, "byok_usage_inference"
    )
    cancelled = cells.get("cancelled", "").lower() == "true"
    values: dict[str, Any] = {
        "id": cells["generation_id"],
        "source": terms.source,
        "at": instant_of(cells["created_at"], "created_at").isoformat(),
        "usage": {
            "input_tokens": whole_of(cells["tokens_prompt"], "tokens_prompt"),
            "cached_input_tokens": whole_of(cells.get("tokens_cached"), "tokens_cached"),
            "output_tokens": whole_of(cells["tokens_completion"], "tokens_completion"),
            "reasoning_tokens": whole_of(cells.get("tokens_reasoning"), "tokens_reasoning"),
        },
        "model": cells["model_permaslug"],
        "venue": "openrouter",
        "use_case": slug_of(cells.get("api_key_name"), cells.get("app_name")) or terms.use_case,
        "status": "cancelled"
        if cancelled
        else _FINISH.get(cells.get("finish_reason_normalized", ""), "ok"),
        "latency_ms": whole_of(cells.get("generation_time_ms"), "generation_time_ms"),
        "provider_request_id": cells["generation_id"][:64],
        "provider_cost": {"amount": plain_amount(cost, "cost_total"), "currency": "USD"},
    }
    return usage_row(number, values)
