"""What did a proxied call use? Read from the logging object of the proxy.

LiteLLM writes every provider's usage in one shape, fills in what a provider did not tell
(zeros, or its own count of a stream's text) and computes a cost from its own price list. Zeros
where an answer was given and own counts of complete streams are not what a provider billed:
they are settled as not known. Its cost is evidence beside our own price.
"""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

from o10.client.litellm.attempts import ProxyCall
from o10.client.provider_usage import usage_in
from o10.wire.fields import MAX_TOKENS

_LONGEST_MS: Final = 86_400_000
_LONGEST_WORD: Final = 64
_USUAL_DETAILS: Final = {
    "prompt_tokens_details": ("cached_tokens", "cached_input_tokens"),
    "completion_tokens_details": ("reasoning_tokens", "reasoning_tokens"),
}
_MAPPINGS: Final = (dict, Mapping)
_NO_MODEL: Final = object()
_OTHER_COUNTS: Final = ("prompt_cache_hit_tokens", "cache_creation_input_tokens")


class Left(StrEnum):
    """What is booked for a stream whose client left, when the provider told no usage?"""

    AS_COUNTED = "as_counted"
    """What had come, counted by the proxy. What the provider made meanwhile is missing."""
    AS_HELD = "as_held"
    """The worst case, as estimated: never too little."""


def settle_fields(
    *,
    call: ProxyCall,
    kwargs: Mapping[str, Any],
    response: Any,
    began: Any,
    ended: Any,
    left: Left = Left.AS_COUNTED,
) -> dict[str, Any]:
    """Which fields of `Settle` does this success event fill?"""
    log = _mapping(kwargs.get("standard_logging_object"))
    gone = is_disconnected(kwargs)
    fields: dict[str, Any] = {
        "reservation": call.reservation,
        "attempt": call.attempt,
        "status": _status(response, gone=gone),
        "latency_ms": _milliseconds(began, ended),
    }
    if log.get("cache_hit") is True or kwargs.get("cache_hit") is True:
        return fields | {"cache": "edge"}
    fields |= {
        "usage": usage_of(call=call, log=log, response=response, left=left if gone else None),
        "service_tier": _word(_get(response, "service_tier")),
        "provider_request_id": _word(log.get("id")),
        "model": call.served if call.served and call.served != call.name else None,
    }
    if fields["usage"] is not None:
        fields["provider_cost"] = cost_of(log.get("response_cost"))
    return fields


def usage_of(
    *, call: ProxyCall, log: Mapping[str, Any], response: Any, left: Left | None
) -> dict[str, int] | None:
    """How many tokens of which class? None when the provider did not say.

    A stream the client left is settled by what had come: LiteLLM's count of the pieces, and
    the input as it was counted before the call, if that is more. Nothing had come: not known.
    `left` None = the client stayed.
    """
    told = _mapping(log.get("metadata")).get("usage_object") or _get(response, "usage")
    counts = _usual(told)
    if counts is None and told is not None:
        counts = usage_in(told).counts
    if counts is None or not counts.get("input_tokens", 0) + counts.get("output_tokens", 0):
        return None
    counts = with_hour_writes(counts, told)
    if call.stream is None or not counted_by_proxy(call.stream):
        return counts
    if left is not Left.AS_COUNTED or not counts.get("output_tokens"):
        return None
    known = int(call.asked.get("input_tokens") or 0)
    return counts | {"input_tokens": max(counts["input_tokens"], known)}


def _usual(told: Any) -> dict[str, int] | None:
    """The shape that nearly every call has, read at once: text, cached input, reasoning.

    Sums that agree and no other class; all else is read with care by `usage_in`.
    """
    if type(told) is not dict:
        return None
    put_in, put_out = told.get("prompt_tokens"), told.get("completion_tokens")
    if type(put_in) is not int or type(put_out) is not int:
        return None
    if put_in + put_out != told.get("total_tokens") or any(map(told.get, _OTHER_COUNTS)):
        return None
    found: dict[str, int] = {}
    for where, (name, ours) in _USUAL_DETAILS.items():
        details = told.get(where) or {}
        if type(details) is not dict or any(
            count for other, count in details.items() if other not in (name, "text_tokens")
        ):
            return None
        found[ours] = details.get(name) or 0
    if found["reasoning_tokens"] > put_out:
        return None
    return {"input_tokens": put_in, "output_tokens": put_out, **found}


def counted_by_proxy(stream: Any) -> bool:
    """Did LiteLLM count the text of this stream, for want of the provider's usage?

    Its stream keeps the pieces as they came; the usage of the provider is in one of the last.
    """
    pieces = _get(stream, "chunks")
    if not isinstance(pieces, list):
        return False
    return all(_get(piece, "usage") is None for piece in reversed(pieces))


def with_hour_writes(counts: dict[str, int], told: Any) -> dict[str, int]:
    """Cache writes that live an hour cost more; LiteLLM keeps them in a detail of their own."""
    details = _get(told, "prompt_tokens_details")
    split = _get(details, "cache_creation_token_details")
    hour = _get(split, "ephemeral_1h_input_tokens")
    if not isinstance(hour, int) or not 0 < hour <= MAX_TOKENS:
        return counts
    short = _get(split, "ephemeral_5m_input_tokens")
    written = counts.get("cache_write_tokens", 0)
    rest = short if isinstance(short, int) and short >= 0 else max(written - hour, 0)
    return counts | {"cache_write_tokens": rest, "cache_write_1h_tokens": hour}


def cost_of(cost: Any) -> dict[str, str] | None:
    """What does the proxy think it cost? Zero is what it says of a model without a price."""
    if isinstance(cost, bool) or not isinstance(cost, int | float) or not 0 < cost < 1e9:
        return None
    amount = f"{Decimal(repr(cost)):.18f}".rstrip("0").rstrip(".")
    return {"amount": amount, "currency": "USD"} if amount else None


def is_disconnected(kwargs: Mapping[str, Any]) -> bool:
    """Did the client leave before the end?"""
    params = _mapping(kwargs.get("litellm_params"))
    return any(
        _mapping(params.get(name)).get("client_disconnected") is True
        for name in ("metadata", "litellm_metadata")
    )


def _status(response: Any, *, gone: object) -> str:
    if gone:
        return "cancelled"
    choices = _get(response, "choices")
    reasons = (
        [_get(each, "finish_reason") for each in choices if each is not None]
        if isinstance(choices, list)
        else [_get(response, "stop_reason")]
    )
    return "length" if any(each in ("length", "max_tokens") for each in reasons) else "ok"


def _milliseconds(began: Any, ended: Any) -> int | None:
    if not isinstance(began, datetime) or not isinstance(ended, datetime):
        return None
    try:
        spent = (ended - began).total_seconds()
    except TypeError:
        return None
    return min(max(int(spent * 1_000), 0), _LONGEST_MS)


def _word(value: Any) -> str | None:
    if isinstance(value, str) and value and value.isprintable():
        return value[:_LONGEST_WORD]
    return None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, _MAPPINGS) else {}


def _get(value: Any, name: str) -> Any:
    """What stands under this name? None when nothing does."""
    if value is None:
        return None
    fields = value if type(value) is dict else getattr(value, "__dict__", None)
    if fields is not None and name in fields:
        return fields[name]
    if isinstance(value, _MAPPINGS):
        return value.get(name)
    extra: Any = getattr(value, "__pydantic_extra__", _NO_MODEL)
    if extra is _NO_MODEL or hasattr(type(value), name):
        return getattr(value, name, None)
    # Asking a model of pydantic for what it has not is slow.
    return None if extra is None else extra.get(name)
