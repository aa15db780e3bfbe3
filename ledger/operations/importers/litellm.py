"""What does LiteLLM's log say? One standard logging payload an object, JSON or one a line.

Token counts include cached and reasoning tokens. `response_cost` is what the proxy computed in
USD: evidence only. A cache hit of the proxy costs nothing and is kept as such. Dedupe key:
`litellm_call_id`; the provider's response id finds a call that was settled here before.
Source: conventions.md section 4.
"""

from collections.abc import Iterator
from typing import Any, Final, TextIO

from ledger.operations.importers.reading import json_documents, rows_in
from ledger.operations.importers.rows import (
    Row,
    RowRefused,
    Terms,
    UsageRow,
    instant_of,
    plain_amount,
    refused,
    slug_of,
    usage_row,
    whole_of,
)

_NAMES: Final = ("user_api_key_alias", "user_api_key_team_alias", "user_api_key_project_alias")


def read(stream: TextIO, terms: Terms) -> Iterator[Row]:
    """Which calls are in this log?"""
    number = 0
    for document in json_documents(stream, source=terms.source):
        for payload in rows_in(document):
            number += 1
            try:
                yield _usage(number, payload, terms)
            except RowRefused as failure:
                # What was logged may hold prompts: only its names are told.
                yield refused(number, failure, sorted(payload))


def _usage(number: int, payload: dict[str, Any], terms: Terms) -> UsageRow:
    if "bad_row" in payload:
        raise RowRefused("bad_row", str(payload["bad_row"]))
    call = payload.get("litellm_call_id") or payload.get("id")
    if not call:
        raise RowRefused("id_missing", "There is no litellm_call_id.")
    metadata = _object(payload.get("metadata"))
    usage = _object(metadata.get("usage_object") or payload.get("usage_object"))
    details = _object(usage.get("prompt_tokens_details"))
    reasoned = _object(usage.get("completion_tokens_details"))
    cost = payload.get("response_cost")
    values: dict[str, Any] = {
        "id": str(call)[:128],
        "source": terms.source,
        "at": instant_of(payload.get("startTime"), "startTime").isoformat(),
        "usage": {
            "input_tokens": whole_of(payload.get("prompt_tokens"), "prompt_tokens"),
            "cached_input_tokens": whole_of(details.get("cached_tokens"), "cached_tokens"),
            "cache_write_tokens": whole_of(
                usage.get("cache_creation_input_tokens"), "cache_creation_input_tokens"
            ),
            "output_tokens": whole_of(payload.get("completion_tokens"), "completion_tokens"),
            "reasoning_tokens": whole_of(reasoned.get("reasoning_tokens"), "reasoning_tokens"),
        },
        "model": payload.get("model"),
        "venue": payload.get("custom_llm_provider"),
        "use_case": slug_of(metadata.get("use_case"), *(metadata.get(n) for n in _NAMES))
        or terms.use_case,
        "status": "error" if payload.get("status") == "failure" else "ok",
        "cache": "edge" if payload.get("cache_hit") is True else None,
        "provider_request_id": str(payload.get("id") or "")[:64],
    }
    if cost is not None:
        values["provider_cost"] = {
            "amount": plain_amount(cost, "response_cost"),
            "currency": "USD",
        }
    return usage_row(number, values)


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
