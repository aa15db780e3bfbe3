"""What did the provider say the call used? One reader for the answers of many SDKs.

Takes objects and dicts, a whole response or its usage alone: OpenAI Chat and Responses (also
as LiteLLM and most hosts print it), Anthropic, Gemini, Bedrock, DeepSeek. Counts become those
of our API: inclusive. What is not there stays unknown; an explicit zero is a zero.
Source: provider field lists in docs/algorithms/rounding.md; golden in tests/client.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from o10.kernel.usage import Nesting, reasoning_nesting
from o10.wire.fields import MAX_TOKENS

_LONGEST: Final = 64
_MODEL_LONGEST: Final = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderUsage:
    """What does one response (or one piece of a stream) tell?

    Shape: `counts` are fields of `UsageCounts`, None when no usage was told; `final` False for
    the first piece of a stream, whose output count only begins.
    """

    counts: dict[str, int] | None = None
    final: bool = True
    model: str | None = None
    service_tier: str | None = None
    provider_request_id: str | None = None


def usage_in(response: Any) -> ProviderUsage:
    """What does this response tell of its usage? Nothing known is an answer too."""
    usage, final = _usage_of(response)
    counts = None if usage is None else _counts(usage)
    inner = _get(response, "message") or _get(response, "response") or response
    return ProviderUsage(
        counts=counts,
        final=final,
        model=_text(_get(inner, "model") or _get(inner, "modelVersion"), _MODEL_LONGEST),
        service_tier=_text(_get(inner, "service_tier"), _LONGEST),
        provider_request_id=_text(_get(inner, "id") or _get(inner, "responseId"), _LONGEST),
    )


def _usage_of(response: Any) -> tuple[Any, bool]:
    """Where is the usage, and does it count the whole call?"""
    for name in ("usage", "usage_metadata", "usageMetadata"):
        found = _get(response, name)
        if found is not None:
            return found, True
    message = _get(response, "message")
    if message is not None and _get(message, "usage") is not None:
        # Anthropic's message_start: the input is right, the output has only begun.
        return _get(message, "usage"), False
    inner = _get(response, "response")
    if inner is not None and _get(inner, "usage") is not None:
        # OpenAI Responses: the event response.completed.
        return _get(inner, "usage"), True
    if _is_usage(response):
        return response, True
    return None, True


def _is_usage(value: Any) -> bool:
    names = ("prompt_tokens", "input_tokens", "promptTokenCount", "inputTokens")
    return any(_get(value, name) is not None for name in names)


def _counts(usage: Any) -> dict[str, int] | None:
    for read in (_openai_chat, _gemini, _bedrock, _anthropic_or_responses):
        counts = read(usage)
        if counts is not None:
            return {
                name: min(value, MAX_TOKENS) for name, value in counts.items() if value >= 0
            }
    return None


def _openai_chat(usage: Any) -> dict[str, int] | None:
    total_in, total_out = _number(usage, "prompt_tokens"), _number(usage, "completion_tokens")
    if total_in is None and total_out is None:
        return None
    before = _get(usage, "prompt_tokens_details")
    after = _get(usage, "completion_tokens_details")
    hits = _number(usage, "prompt_cache_hit_tokens") or 0
    counts = {
        "input_tokens": total_in or 0,
        "output_tokens": total_out or 0,
        # Some hosts print DeepSeek's own field, some OpenAI's detail: the larger, not the sum.
        "cached_input_tokens": max(_number(before, "cached_tokens") or 0, hits),
        "cache_write_tokens": _writes(usage, before),
        "audio_input_tokens": _number(before, "audio_tokens") or 0,
        "image_input_tokens": _number(before, "image_tokens") or 0,
        "reasoning_tokens": _number(after, "reasoning_tokens") or 0,
        "audio_output_tokens": _number(after, "audio_tokens") or 0,
        "image_output_tokens": _number(after, "image_tokens") or 0,
    }
    return _with_reasoning_inside(counts, _number(usage, "total_tokens"))


def _writes(usage: Any, before: Any) -> int:
    named = _number(before, "cache_write_tokens")
    if named is None:
        named = _number(before, "cache_creation_tokens")
    if named is None:
        named = _number(usage, "cache_creation_input_tokens")
    return named or 0


def _anthropic_or_responses(usage: Any) -> dict[str, int] | None:
    total_in, total_out = _number(usage, "input_tokens"), _number(usage, "output_tokens")
    if total_in is None and total_out is None:
        return None
    before = _get(usage, "input_tokens_details")
    after = _get(usage, "output_tokens_details")
    read = _number(usage, "cache_read_input_tokens")
    written = _number(usage, "cache_creation_input_tokens")
    if before is None and (read is not None or written is not None):
        return _anthropic(usage, total_in or 0, total_out or 0, read or 0, written or 0)
    counts = {
        "input_tokens": total_in or 0,
        "output_tokens": total_out or 0,
        "cached_input_tokens": _number(before, "cached_tokens")
        or _number(usage, "cached_input_tokens")
        or 0,
        "cache_write_tokens": _number(before, "cache_write_tokens")
        or _number(usage, "cache_write_tokens")
        or 0,
        "cache_write_1h_tokens": _number(usage, "cache_write_1h_tokens") or 0,
        "audio_input_tokens": _number(before, "audio_tokens") or 0,
        "image_input_tokens": _number(before, "image_tokens") or 0,
        "reasoning_tokens": _number(after, "reasoning_tokens")
        or _number(usage, "reasoning_tokens")
        or 0,
        "audio_output_tokens": _number(after, "audio_tokens") or 0,
        "image_output_tokens": _number(after, "image_tokens") or 0,
    }
    return _with_reasoning_inside(counts, _number(usage, "total_tokens"))


def _anthropic(
    usage: Any, total_in: int, total_out: int, read: int, written: int
) -> dict[str, int]:
    split = _get(usage, "cache_creation")
    hour = _number(split, "ephemeral_1h_input_tokens") or 0
    short = _number(split, "ephemeral_5m_input_tokens")
    return {
        # Anthropic counts the cache beside the input.
        "input_tokens": total_in + read + written,
        "output_tokens": total_out,
        "cached_input_tokens": read,
        "cache_write_tokens": max(written - hour, 0) if short is None else short,
        "cache_write_1h_tokens": hour,
    }


def _gemini(usage: Any) -> dict[str, int] | None:
    def number(camel: str, snake: str) -> int | None:
        found = _number(usage, camel)
        return _number(usage, snake) if found is None else found

    total_in = number("promptTokenCount", "prompt_token_count")
    if total_in is None:
        return None
    thoughts = number("thoughtsTokenCount", "thoughts_token_count") or 0
    return {
        "input_tokens": total_in
        + (number("toolUsePromptTokenCount", "tool_use_prompt_token_count") or 0),
        # Thoughts stand beside the candidates and are billed as output.
        "output_tokens": (number("candidatesTokenCount", "candidates_token_count") or 0)
        + thoughts,
        "cached_input_tokens": number("cachedContentTokenCount", "cached_content_token_count")
        or 0,
        "reasoning_tokens": thoughts,
        "audio_input_tokens": _modality(usage, "promptTokensDetails", "AUDIO"),
        "image_input_tokens": _modality(usage, "promptTokensDetails", "IMAGE"),
        "audio_output_tokens": _modality(usage, "candidatesTokensDetails", "AUDIO"),
        "image_output_tokens": _modality(usage, "candidatesTokensDetails", "IMAGE"),
    }


def _modality(usage: Any, name: str, modality: str) -> int:
    details = _get(usage, name)
    if details is None:
        snake = "".join(f"_{c.lower()}" if c.isupper() else c for c in name)
        details = _get(usage, snake)
    if not isinstance(details, list | tuple):
        return 0
    return sum(
        _number(each, "tokenCount") or _number(each, "token_count") or 0
        for each in details
        if str(getattr(_get(each, "modality"), "value", _get(each, "modality"))) == modality
    )


def _bedrock(usage: Any) -> dict[str, int] | None:
    total_in, total_out = _number(usage, "inputTokens"), _number(usage, "outputTokens")
    if total_in is None and total_out is None:
        return None
    read = _number(usage, "cacheReadInputTokens") or 0
    written = _number(usage, "cacheWriteInputTokens") or 0
    return {
        "input_tokens": (total_in or 0) + read + written,
        "output_tokens": total_out or 0,
        "cached_input_tokens": read,
        "cache_write_tokens": written,
    }


def _with_reasoning_inside(counts: dict[str, int], total: int | None) -> dict[str, int]:
    """Some hosts count reasoning beside the output; their own total tells."""
    nesting = reasoning_nesting(
        input_tokens=counts["input_tokens"],
        output_tokens=counts["output_tokens"],
        reasoning_tokens=counts["reasoning_tokens"],
        total_tokens=-1 if total is None else total,
    )
    if nesting is Nesting.OUTSIDE:
        counts["output_tokens"] += counts["reasoning_tokens"]
    return counts


def _get(value: Any, name: str) -> Any:
    if isinstance(value, Mapping):
        return value.get(name)
    if value is None or isinstance(value, str | bytes | int | float):
        return None
    return getattr(value, name, None)


def _number(value: Any, name: str) -> int | None:
    found = _get(value, name)
    # True is an int in Python and no count; a Mock of a test is neither.
    if isinstance(found, int) and not isinstance(found, bool):
        return found
    return None


def _text(value: Any, longest: int) -> str | None:
    if not isinstance(value, str) or not value or not value.isprintable():
        return None
    return value[:longest]
