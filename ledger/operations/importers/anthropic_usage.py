"""What does Anthropic's usage export (messages) say? Buckets of tokens, no money.

`uncached_input_tokens` excludes the cache, the opposite of OpenAI; writes for 5 minutes and
one hour stand apart. Rows without `model` are refused. As the export counts no calls, each
row stands for the fewest calls that its context window allows, so that long-context prices
are met exactly where `context_window` says so. Dedupe key: bucket start and all attributes.
Source: conventions.md section 5.
"""

from collections.abc import Iterator
from typing import Any, Final, TextIO

from ledger.operations.importers.openai_usage import terms_key
from ledger.operations.importers.reading import bucket_results
from ledger.operations.importers.rows import (
    Row,
    RowRefused,
    Terms,
    UsageRow,
    instant_of,
    over,
    refused,
    slug_of,
    usage_row,
    whole_of,
)
from o10.kernel.money import ceil_div

SHORT_WINDOW: Final = 200_000
"""Tokens up to which a call has the short-context price."""
LONG_CALL: Final = 400_000
_ATTRIBUTES: Final = ("workspace_id", "api_key_id", "model", "service_tier", "context_window")


def read(stream: TextIO, terms: Terms) -> Iterator[Row]:
    """Which usage is in these pages?"""
    pages = bucket_results(stream, source=terms.source, start="starting_at", end="ending_at")
    for number, bucket, result in pages:
        try:
            yield _usage(number, bucket, result, terms)
        except RowRefused as failure:
            yield refused(number, failure, result)


def _usage(
    number: int, bucket: dict[str, Any], result: dict[str, Any], terms: Terms
) -> UsageRow:
    if "bad_row" in result:
        raise RowRefused("bad_row", str(result["bad_row"]))
    if not result.get("model"):
        raise RowRefused("model_missing", "The export was not grouped by model.")
    over(instant_of(bucket["ending_at"], "ending_at"), terms)
    start = instant_of(bucket["starting_at"], "starting_at")
    written = result.get("cache_creation") or {}
    read_tokens = whole_of(result.get("cache_read_input_tokens"), "cache_read_input_tokens")
    short = whole_of(written.get("ephemeral_5m_input_tokens"), "ephemeral_5m_input_tokens")
    hour = whole_of(written.get("ephemeral_1h_input_tokens"), "ephemeral_1h_input_tokens")
    fresh = whole_of(result.get("uncached_input_tokens"), "uncached_input_tokens")
    total = fresh + read_tokens + short + hour
    output = whole_of(result.get("output_tokens"), "output_tokens")
    workspace = result.get("workspace_id")
    values: dict[str, Any] = {
        "id": f"{start:%Y-%m-%dT%H:%M}/{terms_key([result.get(n) for n in _ATTRIBUTES])}",
        "source": terms.source,
        "at": start.isoformat(),
        "usage": {
            "input_tokens": total,
            "cached_input_tokens": read_tokens,
            "cache_write_tokens": short,
            "cache_write_1h_tokens": hour,
            "output_tokens": output,
        },
        "calls": _fewest_calls(total, output, str(result.get("context_window") or "")),
        "model": str(result["model"]),
        "venue": "anthropic",
        "service_tier": result.get("service_tier"),
        "use_case": slug_of(result.get("workspace_name"), workspace) or terms.use_case,
        "tags": {"calls": "unknown"} | ({"account": str(workspace)[:64]} if workspace else {}),
    }
    return usage_row(number, values)


def _fewest_calls(total: int, output: int, window: str) -> int:
    if window and not window.startswith("0-"):
        return max(1, total // LONG_CALL)
    return max(1, ceil_div(total, SHORT_WINDOW), ceil_div(output, SHORT_WINDOW))
