"""Does spend that nobody asked about land once, priced, and all or nothing?"""

import json
import uuid

import pytest

from o10.access.roles import Role
from tests.company import MODEL, count_rows

from .conftest import problem

EVENT = "io.o10.usage.recorded.v1"


@pytest.fixture
def router(company, script):
    return script(Role.ROUTER)


def record(**changes):
    return {
        "id": uuid.uuid4().hex,
        "source": "tests",
        "at": "2026-11-20T08:00:00Z",
        "use_case": "support-assistant",
        "model": MODEL,
        "usage": {"input_tokens": 1000, "output_tokens": 100},
    } | changes


def test_one_record_becomes_one_priced_entry(router, script):
    answer = router.post("usage", record())
    assert answer.status_code == 200, answer.content
    told = answer.json()
    assert (told["recorded"], told["replayed"], told["unpriced"]) == (1, 0, 0)
    item = told["items"][0]
    assert int(item["amount_nanos"]) > 0
    assert item["currency"] == "USD"
    entry = script(Role.AUDITOR).get(f"ledger/entries/{item['entry_id']}").json()
    assert entry["kind"] == "usage"
    assert entry["entry"]["amount_nanos"] == int(item["amount_nanos"])
    assert entry["names"]["use_case"]["slug"] == "support-assistant"


def test_a_repeat_is_the_same_entry_and_other_content_a_mismatch(router, database_urls):
    body = record()
    first = router.post("usage", body).json()["items"][0]
    before = count_rows(database_urls)
    again = router.post("usage", body).json()
    assert (again["recorded"], again["replayed"]) == (0, 1)
    assert again["items"][0]["entry_id"] == first["entry_id"]
    changed = body | {"usage": {"input_tokens": 1, "output_tokens": 1}}
    told = problem(router.post("usage", [record(), changed]))
    assert (told["status"], told["code"]) == (409, "idempotency_mismatch")
    assert count_rows(database_urls) == before


def test_many_records_come_back_in_their_order(router):
    records = [record() for _ in range(50)]
    told = router.post("usage", records).json()
    assert [item["id"] for item in told["items"]] == [each["id"] for each in records]
    assert told["recorded"] == 50


def test_one_bad_record_among_many_writes_none(router, database_urls):
    records = [record() for _ in range(5)]
    records[3]["usage"]["input_tokens"] = -1
    before = count_rows(database_urls)
    told = problem(router.post("usage", records))
    assert (told["status"], told["code"]) == (422, "validation_failed")
    assert told["errors"][0]["field"] == "/3/usage/input_tokens"
    assert count_rows(database_urls) == before


def test_ten_thousand_and_one_are_too_many(router, database_urls):
    before = count_rows(database_urls)
    told = problem(router.post("usage", [record(id=str(i)) for i in range(10_001)]))
    assert told["code"] == "validation_failed"
    assert count_rows(database_urls) == before


def event(**changes):
    body = record()
    return {
        "specversion": "1.0",
        "id": body.pop("id"),
        "source": "urn:tests",
        "type": EVENT,
        "time": body.pop("at"),
        "subject": body.pop("use_case"),
        "data": {name: body[name] for name in ("model", "usage")},
    } | changes


def test_cloud_events_structured_and_in_batches(router):
    one = router.send("POST", "usage", event(), content_type="application/cloudevents+json")
    assert one.json()["recorded"] == 1, one.content
    batch = router.send(
        "POST",
        "usage",
        [event(), event()],
        content_type="application/cloudevents-batch+json",
    )
    assert batch.json()["recorded"] == 2, batch.content


def test_a_cloud_event_in_binary_mode(router):
    sent = event()
    answer = router.send(
        "POST",
        "usage",
        sent["data"],
        ce_specversion="1.0",
        ce_id=sent["id"],
        ce_source=sent["source"],
        ce_type=sent["type"],
        ce_time=sent["time"],
        ce_subject=sent["subject"],
    )
    assert answer.status_code == 200, answer.content
    assert answer.json()["items"][0]["id"] == sent["id"]


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"specversion": "0.3"}, "/specversion"),
        ({"type": "com.example.other"}, "/type"),
        ({"data": []}, "/data"),
        ({"id": ""}, "/id"),
    ],
)
def test_a_wrong_event_is_named(router, change, pointer):
    answer = router.send(
        "POST", "usage", event(**change), content_type="application/cloudevents+json"
    )
    assert problem(answer)["errors"][0]["field"] == pointer


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"at": "yesterday"}, "/at"),
        ({"at": "2026-11-20T08:00:00"}, "/at"),
        ({"at": "9999-01-01T00:00:00Z"}, ""),
        ({"model": None}, "/model"),
        ({"usage": {}}, "/usage/input_tokens"),
        ({"usage": {"input_tokens": "1", "output_tokens": 1}}, "/usage/input_tokens"),
        ({"surprise": 1}, "/surprise"),
        ({"tags": {"a": 5}}, "/tags"),
    ],
)
def test_a_wrong_record_is_named(router, database_urls, change, pointer):
    before = count_rows(database_urls)
    told = problem(router.post("usage", record(**change)))
    assert (told["status"], told["code"]) == (422, "validation_failed")
    assert told["errors"][0]["field"].startswith(pointer)
    assert count_rows(database_urls) == before


def test_nan_is_named(router):
    raw = json.dumps(record()).replace("1000", "NaN").encode()
    told = problem(router.post("usage", raw))
    assert (told["code"], told["errors"][0]["field"]) == (
        "validation_failed",
        "/usage/input_tokens",
    )


def test_a_key_reports_for_its_own_use_cases_alone(company, script, database_urls):
    foreign = script(Role.ROUTER, use_cases=["contract-review"])
    before = count_rows(database_urls)
    told = problem(foreign.post("usage", [record(use_case="contract-review"), record()]))
    assert (told["status"], told["code"]) == (403, "forbidden")
    assert [error["field"] for error in told["errors"]] == ["/1/use_case"]
    assert count_rows(database_urls) == before


@pytest.mark.parametrize("role", [Role.VIEWER, Role.AUDITOR, Role.CONTROLLER])
def test_a_role_that_only_reads_reports_nothing(company, script, role):
    assert problem(script(role).post("usage", record()))["code"] == "forbidden"
