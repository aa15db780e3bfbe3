"""Are the counts of each provider's answer those of our API: inclusive, nothing twice?"""

from types import SimpleNamespace
from typing import Any

import pytest

from o10.client import usage_in
from o10.wire.requests import UsageCounts

SHAPES: dict[str, tuple[Any, dict[str, int]]] = {
    "OpenAI Chat": (
        {
            "usage": {
                "prompt_tokens": 2006,
                "completion_tokens": 300,
                "total_tokens": 2306,
                "prompt_tokens_details": {"cached_tokens": 1920, "audio_tokens": 6},
                "completion_tokens_details": {"reasoning_tokens": 192, "audio_tokens": 10},
            }
        },
        {
            "input_tokens": 2006,
            "output_tokens": 300,
            "cached_input_tokens": 1920,
            "audio_input_tokens": 6,
            "reasoning_tokens": 192,
            "audio_output_tokens": 10,
        },
    ),
    "a host that counts reasoning beside the output": (
        {
            "prompt_tokens": 100,
            "completion_tokens": 20,
            "total_tokens": 170,
            "completion_tokens_details": {"reasoning_tokens": 50},
        },
        {"input_tokens": 100, "output_tokens": 70, "reasoning_tokens": 50},
    ),
    "OpenAI Responses": (
        {
            "usage": {
                "input_tokens": 36,
                "output_tokens": 87,
                "input_tokens_details": {"cached_tokens": 30},
                "output_tokens_details": {"reasoning_tokens": 64},
            }
        },
        {
            "input_tokens": 36,
            "output_tokens": 87,
            "cached_input_tokens": 30,
            "reasoning_tokens": 64,
        },
    ),
    "OpenAI Responses, the last event of a stream": (
        {
            "type": "response.completed",
            "response": {"usage": {"input_tokens": 3, "output_tokens": 4}},
        },
        {"input_tokens": 3, "output_tokens": 4},
    ),
    "Anthropic": (
        {
            "usage": {
                "input_tokens": 6,
                "cache_read_input_tokens": 10,
                "cache_creation_input_tokens": 159_217,
                "cache_creation": {
                    "ephemeral_5m_input_tokens": 9_217,
                    "ephemeral_1h_input_tokens": 150_000,
                },
                "output_tokens": 2_745,
            }
        },
        {
            "input_tokens": 159_233,
            "output_tokens": 2_745,
            "cached_input_tokens": 10,
            "cache_write_tokens": 9_217,
            "cache_write_1h_tokens": 150_000,
        },
    ),
    "LiteLLM for Anthropic": (
        {
            "prompt_tokens": 116,
            "completion_tokens": 5,
            "total_tokens": 121,
            "prompt_tokens_details": {"cached_tokens": 10},
            "cache_creation_input_tokens": 100,
            "cache_read_input_tokens": 10,
        },
        {
            "input_tokens": 116,
            "output_tokens": 5,
            "cached_input_tokens": 10,
            "cache_write_tokens": 100,
        },
    ),
    "Gemini": (
        {
            "usageMetadata": {
                "promptTokenCount": 326,
                "cachedContentTokenCount": 26,
                "candidatesTokenCount": 2_340,
                "thoughtsTokenCount": 337,
                "totalTokenCount": 3_003,
                "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 2_000}],
            }
        },
        {
            "input_tokens": 326,
            "output_tokens": 2_677,
            "cached_input_tokens": 26,
            "reasoning_tokens": 337,
            "image_output_tokens": 2_000,
        },
    ),
    "Bedrock": (
        {
            "usage": {
                "inputTokens": 5,
                "outputTokens": 7,
                "cacheReadInputTokens": 11,
                "cacheWriteInputTokens": 13,
            }
        },
        {
            "input_tokens": 29,
            "output_tokens": 7,
            "cached_input_tokens": 11,
            "cache_write_tokens": 13,
        },
    ),
    "DeepSeek": (
        {"prompt_tokens": 50, "completion_tokens": 9, "prompt_cache_hit_tokens": 32},
        {"input_tokens": 50, "output_tokens": 9, "cached_input_tokens": 32},
    ),
    "our own": (
        {
            "input_tokens": 8,
            "output_tokens": 9,
            "cached_input_tokens": 7,
            "reasoning_tokens": 2,
        },
        {
            "input_tokens": 8,
            "output_tokens": 9,
            "cached_input_tokens": 7,
            "reasoning_tokens": 2,
        },
    ),
    "an explicit zero": (
        {"prompt_tokens": 0, "completion_tokens": 0},
        {"input_tokens": 0, "output_tokens": 0},
    ),
}


def as_object(value: Any) -> Any:
    if isinstance(value, dict):
        return SimpleNamespace(**{name: as_object(each) for name, each in value.items()})
    return [as_object(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("made", [dict, as_object])
def test_counts_are_inclusive_and_their_classes_add_up(shape: str, made: Any) -> None:
    response, wanted = SHAPES[shape]
    found = usage_in(made(response)).counts
    assert found is not None
    assert {name: value for name, value in found.items() if value} == {
        name: value for name, value in wanted.items() if value
    }
    counted = UsageCounts(**found).disjoint()
    assert counted.consistent
    assert counted.usage.total_input == wanted["input_tokens"]
    assert counted.usage.total_output == wanted["output_tokens"]


@pytest.mark.parametrize(
    "nothing",
    [
        None,
        "text",
        5,
        b"x",
        {},
        [],
        {"usage": None},
        {"usage": {}},
        {"usage": {"input_tokens": True}},
    ],
)
def test_what_tells_no_usage_is_not_known(nothing: Any) -> None:
    assert usage_in(nothing).counts is None


def test_names_of_the_response_are_read_and_limited() -> None:
    told = usage_in({"id": "r" * 500, "model": "m\n", "service_tier": "flex", "usage": None})
    assert told.provider_request_id == "r" * 64
    assert told.model is None
    assert told.service_tier == "flex"
