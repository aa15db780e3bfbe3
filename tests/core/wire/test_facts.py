import json

import msgspec
import pytest

from o10.kernel.errors import (
    MalformedBody,
    TooLarge,
    UnsupportedMediaType,
    ValidationFailed,
)
from o10.kernel.usage import Usage
from o10.wire.facts import (
    BATCH,
    MAX_USAGE_BYTES,
    NATIVE,
    STRUCTURED,
    USAGE_EVENT,
    decode_usage,
)

RECORD = {
    "id": "r-1",
    "source": "nightly",
    "at": "2026-11-20T09:30:00+01:00",
    "usage": {"input_tokens": 1200, "cached_input_tokens": 200, "output_tokens": 310},
    "model": "gpt-5.4",
    "venue": "azure",
    "use_case": "support",
}
EVENT = {
    "specversion": "1.0",
    "id": "e-1",
    "source": "/gateway/eu",
    "type": USAGE_EVENT,
    "time": "2026-11-20T08:30:00Z",
    "subject": "support",
    "vendorextension": "kept out",
    "data": {"usage": {"input_tokens": 5, "output_tokens": 6}, "model": "gpt-5.4"},
}


def read(value, media=NATIVE, **more):
    return decode_usage(json.dumps(value).encode(), content_type=media, **more)


def failures(value, media=NATIVE, **more):
    with pytest.raises(ValidationFailed) as caught:
        read(value, media, **more)
    return [(error.pointer, error.code) for error in caught.value.errors]


def test_one_record_and_an_array_of_it_are_the_same():
    assert read(RECORD) == read([RECORD])
    (record,) = read(RECORD, "application/json; charset=utf-8")
    assert record.key == "nightly\nr-1"
    assert record.disjoint().usage == Usage(input=1000, cache_read=200, output=310, request=1)


def test_an_aggregate_bills_as_many_requests_as_it_has_calls():
    big = {"input_tokens": 5 * 10**11, "output_tokens": 0}
    (record,) = read({**RECORD, "calls": 70_000, "usage": big})
    assert record.disjoint().usage == Usage(input=5 * 10**11, request=70_000)


def test_one_call_has_no_tokens_of_many():
    big = {"input_tokens": 10**9 + 1, "output_tokens": 0}
    assert failures({**RECORD, "usage": big}) == [("", "invalid")]


def test_a_structured_event_carries_its_attributes_into_the_record():
    (record,) = read(EVENT, STRUCTURED)
    assert (record.id, record.source, record.use_case) == ("e-1", "/gateway/eu", "support")
    assert record.at.isoformat() == "2026-11-20T08:30:00+00:00"
    assert read(EVENT, NATIVE) == (record,)


def test_a_batch_of_events_is_read_in_order():
    events = [{**EVENT, "id": f"e-{index}"} for index in range(3)]
    assert [record.id for record in read(events, BATCH)] == ["e-0", "e-1", "e-2"]


def test_a_binary_event_comes_with_its_headers():
    attributes = {key: EVENT[key] for key in ("specversion", "id", "type", "time")}
    (record,) = read(
        EVENT["data"], event_attributes={**attributes, "source": "/gateway/e%C3%BC"}
    )
    assert (record.source, record.usage.output_tokens) == ("/gateway/eü", 6)


def test_an_envelope_subject_is_no_use_case():
    (record,) = read({**EVENT, "subject": "env_01h455vb4pex5vsknk084sn02q"}, STRUCTURED)
    assert record.use_case is None


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("input", Usage(input=42, request=1)), ("output", Usage(output=42, request=1))],
)
@pytest.mark.parametrize("tokens", [42, "42"])
def test_the_meter_shape_of_metering_peers_is_understood(kind, expected, tokens):
    event = {
        **EVENT,
        "type": "prompt",
        "subject": "customer-1",
        "data": {"tokens": tokens, "type": kind, "model": "gpt-5.4"},
    }
    (record,) = read(event, STRUCTURED)
    assert record.customer == "customer-1"
    assert record.use_case is None
    assert record.disjoint().usage == expected


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"specversion": "0.3"}, [("/specversion", "not_a_choice")]),
        ({"type": "com.example.other"}, [("/type", "not_a_choice")]),
        ({"id": ""}, [("/id", "too_short")]),
        ({"time": "yesterday"}, [("/time", "bad_time")]),
        ({"data": None}, [("/data", "wrong_type")]),
        ({"data": {"model": "m"}}, [("/data/usage", "required")]),
        (
            {"type": "x", "data": {"tokens": "4x", "type": "input", "model": "m"}},
            [("/data/usage/input_tokens", "wrong_type")],
        ),
    ],
    ids=str,
)
def test_events_are_checked_field_by_field(change, expected):
    assert failures({**EVENT, **change}, STRUCTURED) == expected


def test_a_missing_event_attribute_is_named():
    without = {key: value for key, value in EVENT.items() if key not in ("source", "time")}
    assert failures(without, STRUCTURED) == [("/source", "required")]
    event = {key: value for key, value in EVENT.items() if key != "time"}
    assert failures(event, STRUCTURED) == [("/data/at", "required")]


def test_every_bad_row_is_reported_with_its_number():
    rows = [
        RECORD,
        {**RECORD, "id": "r-2", "usage": {"input_tokens": -1, "output_tokens": 1}},
        "text",
        {**RECORD, "id": "r-4", "colour": "red", "at": "2026-11-20T09:30:00"},
    ]
    assert failures(rows) == [
        ("/1/usage/input_tokens", "out_of_range"),
        ("/2", "wrong_type"),
        ("/3/at", "bad_time"),
        ("/3/colour", "unknown_field"),
    ]


@pytest.mark.parametrize(
    "at", ["0001-01-01T00:00:00Z", "1969-12-31T00:00:00Z", "2201-01-01T00:00:00Z"]
)
def test_an_instant_of_another_age_is_refused(at):
    assert [code for _, code in failures({**RECORD, "at": at})] == ["invalid"]


def test_the_same_record_twice_is_one_and_another_under_its_key_is_a_mistake():
    assert len(read([RECORD, RECORD])) == 1
    other = {**RECORD, "model": "gpt-5.5"}
    assert failures([RECORD, other]) == [("/1/id", "duplicate_key")]
    assert len(read([RECORD, {**other, "source": "hourly"}])) == 2


def test_too_many_and_no_records_are_refused():
    assert failures([]) == [("", "too_many")]
    rows = [{**RECORD, "id": f"r-{index}"} for index in range(10_001)]
    assert failures(rows) == [("", "too_many")]
    assert len(read(rows[:10_000])) == 10_000


def test_other_media_types_and_shapes_are_refused():
    with pytest.raises(UnsupportedMediaType) as caught:
        read(RECORD, "text/csv")
    assert caught.value.got == "text/csv"
    for value, media in ((EVENT, BATCH), ([EVENT], STRUCTURED), (5, NATIVE), (None, NATIVE)):
        with pytest.raises(MalformedBody):
            read(value, media)
    with pytest.raises(MalformedBody):
        decode_usage(b"{", content_type=NATIVE)


def test_a_body_above_the_limit_is_not_parsed():
    with pytest.raises(TooLarge):
        decode_usage(b"[" * (MAX_USAGE_BYTES + 1), content_type=NATIVE)


def test_a_call_that_failed_open_names_its_outage():
    outage = {"since": "2026-11-20T09:00:00Z", "until": "2026-11-20T09:07:00Z"}
    opened = {**RECORD, "code": "FAIL_OPEN", "fail_open": outage}
    (record,) = read(opened)
    assert record.fail_open.until > record.fail_open.since
    assert not record.fail_open.estimated
    for broken in (
        {**opened, "fail_open": {**outage, "until": "2026-11-20T08:59:59Z"}},
        {**opened, "code": "OK_APPROVED"},
        {**RECORD, "code": "FAIL_OPEN"},
        {**RECORD, "fail_open": outage},
    ):
        assert failures(broken)


def test_what_is_left_out_leaves_the_bytes_of_older_records_as_they_were():
    (record,) = read(RECORD)
    told = msgspec.json.decode(msgspec.json.encode(record))
    assert {"code", "fail_open"}.isdisjoint(told)
