"""What does OpenAI's usage export (completions) say? Buckets of tokens, no money.

`input_tokens` includes `input_cached_tokens`; audio tokens stand beside the text tokens. Fields
are null unless the export was grouped by them: rows without `model` can't be priced and are
refused. `batch` selects the batch tier. Dedupe key: bucket start, project, user, key, model,
batch, tier; a bucket that is not over is refused, since it would be counted short for good.
Source: conventions.md section 5.
"""

from collections.abc import Iterator
from hashlib import sha256
from typing import Any, TextIO

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


def read(stream: TextIO, terms: Terms) -> Iterator[Row]:
    """Which usage is in these pages?"""
    pages = bucket_results(stream, source=terms.source, start="start_time", end="end_time")
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
    over(instant_of(bucket["end_time"], "end_time"), terms)
    start = instant_of(bucket["start_time"], "start_time")
    audio_in = whole_of(result.get("input_audio_tokens"), "input_audio_tokens")
    audio_out = whole_of(result.get("output_audio_tokens"), "output_audio_tokens")
    parts = [result.get(name) for name in ("project_id", "user_id", "api_key_id", "model")]
    parts += [result.get("batch"), result.get("service_tier")]
    tier = "batch" if result.get("batch") is True else result.get("service_tier")
    values: dict[str, Any] = {
        "id": f"{start:%Y-%m-%dT%H:%M}/{terms_key(parts)}",
        "source": terms.source,
        "at": start.isoformat(),
        "usage": {
            "input_tokens": whole_of(result.get("input_tokens"), "input_tokens") + audio_in,
            "cached_input_tokens": whole_of(
                result.get("input_cached_tokens"), "input_cached_tokens"
            ),
            "output_tokens": whole_of(result.get("output_tokens"), "output_tokens") + audio_out,
            "audio_input_tokens": audio_in,
            "audio_output_tokens": audio_out,
        },
        "calls": max(1, whole_of(result.get("num_model_requests"), "num_model_requests")),
        "model": str(result["model"]),
        "venue": "openai",
        "service_tier": tier,
        "use_case": slug_of(result.get("project_name"), result.get("project_id"))
        or terms.use_case,
        "tags": {"account": str(result["project_id"])[:64]} if result.get("project_id") else {},
    }
    return usage_row(number, {name: value for name, value in values.items() if value != {}})


def terms_key(parts: list[Any]) -> str:
    """Which text stands for these attributes in a key? Their hash: they may name people."""
    return sha256("\n".join(str(part) for part in parts).encode()).hexdigest()[:32]
