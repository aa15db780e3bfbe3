"""Do scripts register use cases and set envelopes as the contract says?"""

import uuid

import pytest

from o10.access import queries
from o10.access.roles import Role
from tests.company import count_rows

from .conftest import agreed, problem


@pytest.fixture
def finops(company, script):
    return script(Role.FINOPS)


def slug():
    return f"case-{uuid.uuid4().hex[:8]}"


def use_case(**changes):
    return {
        "slug": slug(),
        "name": "Claims triage",
        "department": "service",
        "owner": "usr_owner",
        "floor_class": "balanced",
    } | changes


def envelope(name, **changes):
    return {
        "scope": {"kind": "use_case", "slug": name},
        "period": {
            "kind": "month",
            "start": "2026-11-01",
            "end": None,
            "time_zone": "Europe/Berlin",
        },
        "amount": "1.00",
        "currency": "USD",
        "hard": True,
        "soft_thresholds": ["0.5", "0.8"],
        "per_call": None,
        "per_run": None,
    } | changes


def created(finops, **changes):
    body = use_case()
    made = finops.post("use-cases", body)
    assert made.status_code == 201, made.content
    made = agreed(finops.post("envelopes", envelope(body["slug"], **changes)))
    return body["slug"], finops.get(f"envelopes/{made['envelope']}").json()


def test_a_use_case_is_registered_and_read_back(finops):
    body = use_case()
    made = finops.post("use-cases", body)
    assert made.status_code == 201, made.content
    read = finops.get(f"use-cases/{body['slug']}").json()
    for name, value in body.items():
        assert read[name] == value
    listed = finops.get("use-cases", {"limit": 200}).json()
    assert body["slug"] in [item["slug"] for item in listed["items"]]
    assert set(listed) == {"items", "next", "as_of"}
    assert isinstance(listed["as_of"]["ledger_seq"], int)


def test_pages_of_use_cases_hold_each_once(finops):
    for _ in range(3):
        finops.post("use-cases", use_case())
    seen, cursor = [], None
    while True:
        page = finops.get(
            "use-cases", {"limit": 2} | ({"cursor": cursor} if cursor else {})
        ).json()
        seen += [item["slug"] for item in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert seen == sorted(set(seen))
    assert len(seen) >= 5


def test_the_owner_named_by_address_becomes_an_id(finops, clock):
    from o10.access import operations

    person = operations.create_person(
        email=f"{uuid.uuid4().hex}@example.com",
        display_name="Olga",
        role=Role.OWNER,
        password=None,
        actor=operations.COMMAND_LINE,
        now=clock.at,
    )
    made = finops.post("use-cases", use_case(owner=person.email.upper())).json()
    assert made["owner"] == person.id
    assert queries.find_person(person.id).display_name == "Olga"


def test_a_new_department_is_made_with_its_first_use_case(finops):
    made = finops.post("use-cases", use_case(department="field-work"))
    assert made.status_code == 201, made.content
    assert made.json()["department"] == "field-work"


def test_a_use_case_without_department_envelope_stands_below_the_company(company, finops):
    body = use_case(department="elsewhere")
    finops.post("use-cases", body)
    made = agreed(finops.post("envelopes", envelope(body["slug"])))
    read = finops.get(f"envelopes/{made['envelope']}").json()
    assert read["parent"] == company.envelopes["company"]


def test_a_conflict_says_what_stands_in_the_way(finops):
    name, made = created(finops)
    told = problem(finops.post("envelopes", envelope(name)))
    assert told["code"] == "conflict"
    assert f"{made['id']} covers this scope" in told["detail"]

    def below(kind):
        scope = {"kind": kind, "slug": "eu"}
        wanted = envelope(name, scope=scope, parent=made["id"], amount="0.10")
        return finops.post("envelopes", wanted)

    agreed(below("environment"))
    told = problem(below("customer"))
    assert told["code"] == "conflict"
    assert "has children of kind environment" in told["detail"]


def test_children_may_not_promise_more_than_the_parent_has(finops):
    body = use_case()
    finops.post("use-cases", body)
    told = problem(finops.post("envelopes", envelope(body["slug"], amount="1000")))
    assert told["code"] == "conflict"
    assert "left to promise" in told["detail"]


def test_a_slug_is_taken_once(finops):
    body = use_case()
    finops.post("use-cases", body)
    again = finops.post("use-cases", body | {"name": "Another"})
    assert (again.status_code, problem(again)["code"]) == (409, "conflict")


def test_a_repeat_under_the_same_key_is_the_first_answer(finops):
    body, key = use_case(), uuid.uuid4().hex
    first = finops.post("use-cases", body, Idempotency_Key=key)
    again = finops.post("use-cases", body, Idempotency_Key=key)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json()["id"] == first.json()["id"]
    other = finops.post("use-cases", body | {"name": "Other"}, Idempotency_Key=key)
    assert problem(other)["code"] == "idempotency_mismatch"


def test_a_use_case_changes_by_patch(finops):
    body = use_case()
    finops.post("use-cases", body)
    changed = finops.patch(f"use-cases/{body['slug']}", {"mode": "shadow"})
    assert changed.status_code == 200, changed.content
    assert changed.json()["mode"] == "shadow"
    assert changed.json()["name"] == body["name"]


def test_an_envelope_shows_every_figure_with_its_nanos(finops):
    name, made = created(finops)
    read = finops.get(f"envelopes/{made['id']}")
    told = read.json()
    for figure in ("cap", "settled", "held", "leased", "unsettled", "available"):
        assert isinstance(told[figure], str)
        assert isinstance(told[f"{figure}_nanos"], str)
    assert (told["cap"], told["cap_nanos"]) == ("1.00", "1000000000")
    assert told["available"] == "1.00"
    assert told["scope"] == {"kind": "use_case", "slug": name}
    # November in Berlin begins at 23:00 UTC of the last of October.
    assert told["period"]["start"] == "2026-10-31T23:00:00Z"
    assert told["period"]["end"] == "2026-11-30T23:00:00Z"
    assert told["soft_thresholds"] == ["0.5", "0.8"]
    assert read.headers["ETag"] == '"v1"'


def test_an_edit_needs_the_version_it_was_made_on(finops):
    _, made = created(finops)
    path = f"envelopes/{made['id']}"
    change = {"amount": "0.90", "reason": "less traffic"}
    lowered = finops.patch(path, change, If_Match='"v1"')
    assert lowered.status_code == 200, lowered.content
    assert (lowered.json()["cap"], lowered.headers["ETag"]) == ("0.90", '"v2"')
    stale = finops.patch(path, {"amount": "0.80", "reason": "again"}, If_Match='"v1"')
    assert (stale.status_code, problem(stale)["code"]) == (412, "precondition_failed")
    odd = finops.patch(path, change, If_Match="yesterday")
    assert (odd.status_code, problem(odd)["code"]) == (422, "validation_failed")
    assert finops.get(path).json()["cap"] == "0.90"


def test_zero_is_a_hard_stop_and_null_has_no_cap_of_its_own(finops):
    _, stopped = created(finops, amount="0")
    assert (stopped["cap"], stopped["available"]) == ("0.00", "0.00")
    _, unlimited = created(finops, amount=None)
    assert unlimited["amount"] is None


def test_freezing_is_open_to_the_cfo_role_and_money_is_not(company, script, finops, clock):
    _, made = created(finops)
    owner = script(Role.VIEWER)
    refused = owner.patch(f"envelopes/{made['id']}", {"state": "frozen", "reason": "stop"})
    assert problem(refused)["code"] == "forbidden"
    frozen = finops.patch(f"envelopes/{made['id']}", {"state": "frozen", "reason": "stop"})
    assert frozen.json()["state"] == "frozen"


@pytest.fixture
def refused(finops, database_urls):
    """Sends and checks: a problem, nothing written."""

    def send(method, path, body, way=finops, **changes):
        before = count_rows(database_urls)
        answer = way.send(method, path, body, **changes)
        assert count_rows(database_urls) == before
        return problem(answer)

    return send


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"slug": "Has Blanks"}, "/slug"),
        ({"slug": ""}, "/slug"),
        ({"slug": "x" * 65}, "/slug"),
        ({"slug": 5}, "/slug"),
        ({"name": ""}, "/name"),
        ({"name": "a\x00b"}, "/name"),
        ({"name": "x" * 121}, "/name"),
        ({"department": None}, "/department"),
        ({"department": "../etc"}, "/department"),
        ({"floor_class": "golden"}, "/floor_class"),
        ({"mode": "maybe"}, "/mode"),
        ({"max_input_tokens": -1}, "/max_input_tokens"),
        ({"fit_output": "yes"}, "/fit_output"),
        ({"surprise": 1}, "/surprise"),
    ],
)
def test_a_wrong_use_case_is_named(refused, change, pointer):
    told = refused("POST", "use-cases", use_case(**change))
    assert (told["status"], told["code"]) == (422, "validation_failed")
    assert [error["field"] for error in told["errors"]] == [pointer]


@pytest.mark.parametrize(
    ("change", "pointer", "code"),
    [
        ({"amount": "-1"}, "/amount", "validation_failed"),
        ({"amount": 1}, "/amount", "validation_failed"),
        ({"amount": "1e9"}, "/amount", "validation_failed"),
        ({"amount": "NaN"}, "/amount", "validation_failed"),
        ({"amount": "1.0000000001"}, "/amount", "validation_failed"),
        ({"amount": "9999999999999"}, "/amount", "validation_failed"),
        ({"currency": "EUR"}, "/currency", "unit_mismatch"),
        ({"currency": "usd"}, "/currency", "validation_failed"),
        ({"per_call": "-0.01"}, "/per_call", "validation_failed"),
        ({"hard": "yes"}, "/hard", "validation_failed"),
        ({"soft_thresholds": ["-0.5"]}, "/soft_thresholds/0", "validation_failed"),
        ({"soft_thresholds": [0.5]}, "/soft_thresholds/0", "validation_failed"),
        ({"soft_thresholds": ["0.5"] * 11}, "/soft_thresholds", "validation_failed"),
        ({"scope": {"kind": "planet", "slug": "x"}}, "/scope/kind", "validation_failed"),
        ({"scope": {"kind": "use_case"}}, "/scope/slug", "validation_failed"),
        ({"scope": "use_case"}, "/scope", "validation_failed"),
        ({"period": {"kind": "fortnight"}}, "/period/kind", "validation_failed"),
        ({"period": {"kind": "month", "start": "soon"}}, "/period/start", "validation_failed"),
        (
            {"period": {"kind": "month", "start": "2026-13-01"}},
            "/period/start",
            "validation_failed",
        ),
        (
            {"period": {"kind": "month", "start": "2026-11-01", "time_zone": "Mars/Olympus"}},
            "/period/time_zone",
            "validation_failed",
        ),
        (
            {"period": {"kind": "fixed", "start": "2026-12-01", "end": "2026-11-01"}},
            "/period/end",
            "validation_failed",
        ),
    ],
)
def test_a_wrong_envelope_is_named(refused, finops, change, pointer, code):
    body = use_case()
    finops.post("use-cases", body)
    told = refused("POST", "envelopes", envelope(body["slug"], **change))
    assert (told["status"], told["code"]) == (422, code)
    assert [error["field"] for error in told["errors"]] == [pointer]


def test_an_envelope_for_nobody_is_refused(refused):
    told = refused("POST", "envelopes", envelope("never-registered"))
    assert told["status"] in {404, 422}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "use-cases/never-registered"),
        ("PATCH", "use-cases/never-registered"),
        ("GET", "envelopes/env_01h455vb4pex5vsknk084sn02q"),
        ("GET", "envelopes/nonsense"),
        ("PATCH", "envelopes/env_01h455vb4pex5vsknk084sn02q"),
        ("GET", "decisions/dec_01h455vb4pex5vsknk084sn02q"),
        ("GET", "decisions/nonsense"),
        ("GET", "decisions/env_01h455vb4pex5vsknk084sn02q"),
    ],
)
def test_what_nobody_made_is_not_found(refused, method, path):
    body = {"reason": "because"} if method == "PATCH" else b""
    told = refused(method, path, body)
    assert (told["status"], told["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "use-cases"), ("POST", "envelopes"), ("POST", "usage")],
)
@pytest.mark.parametrize(
    ("raw", "content_type", "status", "code"),
    [
        (b"{", "application/json", 400, "malformed_body"),
        (b"12", "application/json", 400, "malformed_body"),
        (b"<x/>", "application/xml", 415, "unsupported_media_type"),
        (b"a=1", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
    ],
)
def test_a_body_that_cannot_be_read(refused, method, path, raw, content_type, status, code):
    told = refused(method, path, raw, content_type=content_type)
    assert (told["status"], told["code"]) == (status, code)


@pytest.mark.parametrize(
    ("path", "size"), [("use-cases", 70_000), ("envelopes", 10 * 2**20), ("usage", 17 * 2**20)]
)
def test_a_body_above_the_limit_is_too_large(refused, path, size):
    told = refused("POST", path, b" " * size)
    assert (told["status"], told["code"]) == (413, "too_large")


@pytest.mark.parametrize(
    ("path", "query", "pointer"),
    [
        ("use-cases", {"limit": "0"}, "/limit"),
        ("use-cases", {"page": "2"}, "/page"),
        ("envelopes", {"limit": "many"}, "/limit"),
        ("decisions", {"cursor": "nonsense"}, "/cursor"),
        ("decisions", {"decision": "perhaps"}, "/decision"),
        ("decisions", {"reason": "BECAUSE"}, "/reason"),
        ("decisions", {"from": "monday"}, "/from"),
    ],
)
def test_a_wrong_filter_is_named(finops, path, query, pointer):
    told = problem(finops.get(path, query))
    assert (told["status"], told["code"]) == (422, "validation_failed")
    assert [error["field"] for error in told["errors"]] == [pointer]


def test_a_decision_is_read_without_the_token_that_settles(finops, script):
    from tests.company import MODEL

    router = script(Role.ROUTER)
    sent = router.post(
        "authorize",
        {
            "request_id": uuid.uuid4().hex,
            "use_case": "support-assistant",
            "model": MODEL,
            "input_tokens": 10,
            "max_output_tokens": 10,
        },
    ).json()
    token = sent["reservation"]["token"]
    one = finops.get(f"decisions/{sent['decision_id']}")
    assert one.status_code == 200, one.content
    told = one.json()
    assert told["answer"]["reservation"]["id"] == sent["reservation"]["id"]
    assert told["hold"]["state"] == "open"
    assert token not in one.content.decode()
    listed = finops.get("decisions", {"use_case": "support-assistant"})
    assert sent["decision_id"] in [item["id"] for item in listed.json()["items"]]
    assert token not in listed.content.decode()
    other = script(Role.ROUTER, use_cases=["contract-review"])
    assert problem(other.get(f"decisions/{sent['decision_id']}"))["code"] == "not_found"
    assert other.get("decisions").json()["items"] == []
