import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from o10.kernel.errors import MalformedBody, TooLarge, ValidationFailed
from o10.kernel.usage import Usage
from o10.wire.requests import (
    MAX_AUTHORIZE_BYTES,
    Authorize,
    Extend,
    Finish,
    Preference,
    Purpose,
    Release,
    ServiceClass,
    Settle,
    UsageCounts,
    decode,
)

CONTRACT = {
    "request_id": "c0ffee-1",
    "use_case": "support-assistant",
    "model": "openai/gpt-5.4",
    "venue": None,
    "input_tokens": 1200,
    "cached_input_tokens": 0,
    "max_output_tokens": 800,
    "n": 1,
    "task_type": "simple",
    "structured_output": True,
    "reasoning_depth": 1,
    "latency_slo_ms": 1500,
    "mode": "balanced",
    "service_class": "silver",
    "data_class": "internal",
    "region": "eu",
    "zero_retention": True,
    "run_id": "run-7",
    "step": 3,
    "step_kind": "tool",
    "step_fingerprint": None,
    "prompt_version": None,
    "attempt": 1,
    "customer": "acme",
    "tags": {"feature": "triage"},
    "driver_units": 1,
    "prompt": None,
}
SETTLE = {
    "reservation": "rsv_01h455vb4pex5vsknk084sn02q",
    "request_id": "s-1",
    "usage": {
        "input_tokens": 1200,
        "cached_input_tokens": 240,
        "cache_write_tokens": 10,
        "cache_write_1h_tokens": 5,
        "output_tokens": 310,
        "reasoning_tokens": 100,
        "audio_input_tokens": 1,
        "audio_output_tokens": 2,
        "image_input_tokens": 3,
        "image_output_tokens": 4,
    },
    "model": "openai/gpt-5.4-20260615",
    "venue": "azure",
    "service_tier": "default",
    "status": "ok",
    "latency_ms": 812,
    "attempt": 2,
    "final": False,
    "prompt_version": "v7",
    "provider_cost": {"amount": "0.0077", "currency": "USD"},
    "outcome": {"type": "ticket_resolved", "id": "t-1", "success": True},
}


def failures(kind, body, **limits):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(ValidationFailed) as caught:
        decode(kind, raw, **limits)
    return [(error.pointer, error.code) for error in caught.value.errors]


def authorize(**fields):
    return {"use_case": "support", **fields}


def test_the_request_of_the_contract_is_read_in_full():
    request = decode(Authorize, json.dumps(CONTRACT).encode(), max_bytes=MAX_AUTHORIZE_BYTES)
    assert msgspec.to_builtins(request) | {"environment": None, "ttl_s": None} == {
        **CONTRACT,
        "environment": None,
        "ttl_s": None,
    }
    assert (request.mode, request.service_class) == (Preference.BALANCED, ServiceClass.SILVER)


def test_only_the_use_case_is_required_since_a_missing_estimate_is_an_answer():
    request = decode(Authorize, b'{"use_case":"support"}')
    assert (request.input_tokens, request.prompt, request.n) == (None, None, 1)
    assert failures(Authorize, {}) == [("/use_case", "required")]


def test_the_settle_of_the_contract_is_read_in_full():
    request = decode(Settle, json.dumps(SETTLE).encode())
    assert msgspec.to_builtins(request) == {
        **SETTLE,
        "usage": {**SETTLE["usage"], "requests": 1},
        "purpose": "serve",
        "cache": None,
        "provider_request_id": None,
    }
    assert (request.status, request.purpose) == (Finish.OK, Purpose.SERVE)


def test_absent_usage_is_not_zero_usage():
    absent = decode(Settle, b'{"reservation":"r"}')
    zero = decode(
        Settle, b'{"reservation":"r","usage":{"input_tokens":0,"output_tokens":0,"requests":0}}'
    )
    assert absent.usage is None
    assert zero.usage.disjoint().usage == Usage()
    assert (absent.final, absent.attempt) == (True, 1)


def test_inclusive_counts_become_classes():
    counts = msgspec.convert(SETTLE["usage"], UsageCounts).disjoint()
    assert counts.consistent
    assert counts.usage == Usage(
        input=1200 - 240 - 10 - 5 - 1 - 3,
        cache_read=240,
        cache_write_5m=10,
        cache_write_1h=5,
        output=310 - 100 - 2 - 4,
        reasoning=100,
        audio_input=1,
        audio_output=2,
        image_input=3,
        image_output=4,
        request=1,
    )


@pytest.mark.parametrize(
    ("amount", "nanos"),
    [
        ("0.0077", 7_700_000),
        ("-1", -1_000_000_000),
        ("0.0000000005", 0),
        ("0.0000000015", 2),
        ("-0.0000000015", -2),
        ("1.123456789123456789", 1_123_456_789),
    ],
)
def test_the_providers_cost_is_read_to_the_nano(amount, nanos):
    body = {"reservation": "r", "provider_cost": {"amount": amount, "currency": "USD"}}
    assert decode(Settle, json.dumps(body).encode()).provider_cost.nanos == nanos


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"input_tokens": -1}, [("/input_tokens", "out_of_range")]),
        ({"input_tokens": 10**9 + 1}, [("/input_tokens", "out_of_range")]),
        ({"input_tokens": 10**30}, [("/input_tokens", "out_of_range")]),
        ({"input_tokens": True}, [("/input_tokens", "wrong_type")]),
        ({"input_tokens": 1.0}, [("/input_tokens", "wrong_type")]),
        ({"input_tokens": "5"}, [("/input_tokens", "wrong_type")]),
        ({"n": 0}, [("/n", "out_of_range")]),
        ({"n": 129}, [("/n", "out_of_range")]),
        ({"n": None}, [("/n", "wrong_type")]),
        ({"reasoning_depth": 6}, [("/reasoning_depth", "out_of_range")]),
        ({"ttl_s": 86_401}, [("/ttl_s", "out_of_range")]),
        ({"ttl_s": 0}, [("/ttl_s", "out_of_range")]),
        ({"attempt": 0}, [("/attempt", "out_of_range")]),
        ({"zero_retention": "yes"}, [("/zero_retention", "wrong_type")]),
        ({"zero_retention": 1}, [("/zero_retention", "wrong_type")]),
        ({"mode": "turbo"}, [("/mode", "not_a_choice")]),
        ({"service_class": "platinum"}, [("/service_class", "not_a_choice")]),
        ({"use_case": ""}, [("/use_case", "too_short")]),
        ({"use_case": "x" * 129}, [("/use_case", "too_long")]),
        ({"use_case": "a\x00b"}, [("/use_case", "bad_format")]),
        ({"use_case": "a\n"}, [("/use_case", "bad_format")]),
        ({"customer": "a\x7f"}, [("/customer", "bad_format")]),
        ({"use_case": None}, [("/use_case", "wrong_type")]),
        ({"tags": {"a": "x" * 65}}, [("/tags/a", "too_long")]),
        (
            {"tags": {"a": 5, "b": "ok", "c/d": None}},
            [("/tags/a", "wrong_type"), ("/tags/c~1d", "wrong_type")],
        ),
        ({"tags": {"": "x"}}, [("/tags/", "too_short")]),
        ({"tags": {f"k{i}": "" for i in range(17)}}, [("/tags", "too_long")]),
        ({"tags": []}, [("/tags", "wrong_type")]),
        ({"max_output_token": 5}, [("/max_output_token", "unknown_field")]),
        ({"prompt": ["hello"]}, [("/prompt", "wrong_type")]),
        (
            {"n": 0, "step": -1, "colour": 1, "region": 5},
            [
                ("/n", "out_of_range"),
                ("/region", "wrong_type"),
                ("/step", "out_of_range"),
                ("/colour", "unknown_field"),
            ],
        ),
    ],
    ids=lambda value: str(value)[:50],
)
def test_every_mistake_is_named_by_its_field(fields, expected):
    assert failures(Authorize, authorize(**fields)) == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"usage": {"input_tokens": 1}}, [("/usage/output_tokens", "required")]),
        (
            {"usage": {"input_tokens": -1, "output_tokens": "x", "tokens": 1}},
            [
                ("/usage/input_tokens", "out_of_range"),
                ("/usage/output_tokens", "wrong_type"),
                ("/usage/tokens", "unknown_field"),
            ],
        ),
        ({"usage": []}, [("/usage", "wrong_type")]),
        ({"status": "done"}, [("/status", "not_a_choice")]),
        ({"final": 1}, [("/final", "wrong_type")]),
        (
            {"provider_cost": {"amount": "1e5", "currency": "usd"}},
            [
                ("/provider_cost/amount", "bad_format"),
                ("/provider_cost/currency", "bad_format"),
            ],
        ),
        (
            {"provider_cost": {"amount": 0.5, "currency": "USD"}},
            [("/provider_cost/amount", "wrong_type")],
        ),
        (
            {"provider_cost": {"amount": "NaN", "currency": "USD"}},
            [("/provider_cost/amount", "bad_format")],
        ),
        ({"outcome": {"type": "t", "id": "i"}}, [("/outcome/success", "required")]),
    ],
    ids=lambda value: str(value)[:50],
)
def test_nested_mistakes_carry_their_whole_path(fields, expected):
    assert failures(Settle, {"reservation": "r", **fields}) == expected


def test_release_and_extend_are_limited_too():
    assert failures(Release, {"reservation": "r", "reason": "x" * 501}) == [
        ("/reason", "too_long")
    ]
    assert failures(Extend, {"ttl_s": 0}) == [
        ("/reservation", "required"),
        ("/ttl_s", "out_of_range"),
    ]


def test_choices_are_listed_in_the_message():
    with pytest.raises(ValidationFailed) as caught:
        decode(Authorize, b'{"use_case":"s","mode":"turbo"}')
    assert caught.value.errors[0].message == "One of eco, balanced, sport."


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"[{}]",
        b'"text"',
        b"null",
        b"5",
        b"{'use_case': 's'}",
        b'{"use_case":"s"} trailing',
        b'{"use_case":"\xff"}',
        b'{"use_case":"\\ud800"}',
        b"[" * 60_000,
        b'{"a":' * 10_000,
    ],
    ids=lambda body: repr(body[:24]),
)
def test_what_is_no_json_object_is_malformed(body):
    with pytest.raises(MalformedBody) as caught:
        decode(Authorize, body)
    assert caught.value.code == "malformed_body"


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity"])
def test_numbers_that_are_none_are_named_by_field(literal):
    body = f'{{"use_case":"s","input_tokens":{literal},"tags":{{"a":{literal}}}}}'.encode()
    assert failures(Authorize, body) == [
        ("/input_tokens", "not_a_number"),
        ("/tags/a", "not_a_number"),
    ]


def test_a_body_above_the_limit_is_not_even_parsed():
    with pytest.raises(TooLarge) as caught:
        decode(Authorize, b"{" * 101, max_bytes=100)
    assert caught.value.fields == {"limit_bytes": 100}


def test_a_body_full_of_mistakes_names_a_hundred_and_stops():
    found = failures(Authorize, authorize(**{f"x{i}": 1 for i in range(500)}))
    assert len(found) == 100


def test_the_limits_reach_the_openapi_schema():
    schema = msgspec.json.schema(Authorize)["$defs"]["Authorize"]
    assert schema["additionalProperties"] is False
    tokens = schema["properties"]["input_tokens"]["anyOf"][0]
    assert (tokens["minimum"], tokens["maximum"]) == (0, 1_000_000_000)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(Authorize.__struct_fields__), JSON, max_size=6))
def test_whatever_is_sent_is_read_or_refused_with_named_fields(body):
    raw = json.dumps(body).encode()
    try:
        decode(Authorize, raw)
    except (ValidationFailed, MalformedBody) as error:
        assert error.code == "malformed_body" or error.errors
        for problem in error.errors:
            assert problem.pointer.startswith("/")
            assert problem.code != "invalid"


@given(st.binary(max_size=200))
def test_whatever_bytes_are_sent_the_answer_is_ours(raw):
    with pytest.raises((ValidationFailed, MalformedBody)):
        decode(Settle, raw)
