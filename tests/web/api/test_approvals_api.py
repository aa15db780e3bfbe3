"""Is a raise over the API two people's work, and does the very next authorize use it?"""

import json
import uuid
from typing import Any

import pytest
from django.db import connection

from ledger import facade as ledger
from o10.access import operations as access
from o10.access.roles import Role
from policies import facade as policies
from tests.company import MODEL, caller

from .conftest import problem

pytestmark = pytest.mark.django_db


@pytest.fixture
def envelope(company: Any) -> str:
    return str(company.envelopes["use_case"])


@pytest.fixture
def finops(company: Any, script: Any) -> Any:
    return script(Role.FINOPS)


@pytest.fixture
def controller(company: Any, script: Any) -> Any:
    return script(Role.CONTROLLER)


def person_of(role: Role, clock: Any) -> str:
    made = access.create_person(
        email=f"{uuid.uuid4().hex[:10]}@example.com",
        display_name="A person",
        role=role,
        password=None,
        actor=access.COMMAND_LINE,
        now=clock.at,
    )
    return str(made.id)


def asked(answer: Any) -> dict[str, Any]:
    assert answer.status_code == 202, answer.content
    assert answer.headers["Location"] == f"/api/v1/approvals/{answer.json()['approval']['id']}"
    return dict(answer.json()["approval"])


def kinds_about(words: str) -> list[str]:
    """Kinds of the entries whose document names this id, in the order they were written."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT e.kind, convert_from(d.body, 'UTF8') FROM ledger_entry e"
            " JOIN ledger_document d ON d.hash = e.doc"
            " WHERE convert_from(d.body, 'UTF8') LIKE %s ORDER BY e.id",
            [f"%{words}%"],
        )
        rows = cursor.fetchall()
    return [
        f"{ledger.Kind(kind).name.lower()} {json.loads(body).get('act', '')}".strip()
        for kind, body in rows
    ]


def authorize(router: Any, tokens: int) -> dict[str, Any]:
    answer = router.post(
        "authorize",
        {
            "request_id": uuid.uuid4().hex,
            "use_case": "support-assistant",
            "model": MODEL,
            "input_tokens": 100,
            "max_output_tokens": tokens,
        },
    )
    assert answer.status_code == 200, answer.content
    return dict(answer.json())


def test_a_raise_is_two_peoples_work_and_the_next_call_uses_it(
    company: Any, script: Any, finops: Any, controller: Any, envelope: str, clock: Any
) -> None:
    router = script(Role.ROUTER)
    dear = 150_000  # more than the dollar of the cap, less than two
    refused = authorize(router, dear)
    assert refused["decision"] == "deny"
    change = {"amount": "2.00", "reason": "more tickets"}
    wanted = asked(finops.patch(f"envelopes/{envelope}", change, Idempotency_Key="raise-1"))
    assert wanted["needs"] == ["controller"]
    again = asked(finops.patch(f"envelopes/{envelope}", change, Idempotency_Key="raise-1"))
    assert again["id"] == wanted["id"]
    path = f"approvals/{wanted['id']}"

    own = problem(finops.post(f"{path}:approve", {}))
    assert (own["status"], own["code"]) == (403, "self_approval")
    assert authorize(router, dear)["decision"] == "deny", "asking changes nothing"

    done = controller.post(f"{path}:approve", {"reason": "fine"}, Idempotency_Key="yes")
    assert done.status_code == 200 and done.json()["state"] == "approved"
    twice = controller.post(f"{path}:approve", {"reason": "fine"}, Idempotency_Key="yes")
    assert twice.json()["version"] == done.json()["version"]
    assert authorize(router, dear)["decision"] == "allow", "the very next call uses it"
    assert finops.get(f"envelopes/{envelope}").json()["amount"] == "2.00"

    assert kinds_about(wanted["id"])[:3] == [
        "approval raised",
        "approval approved",
        "envelope_change",
    ]
    assert "policy_change" in kinds_about(f"envelope {envelope} changed")


def test_whoever_stands_behind_a_key_is_one_person(
    company: Any, script: Any, envelope: str, clock: Any
) -> None:
    maker = person_of(Role.FINOPS, clock)
    own_finops = script(Role.FINOPS, created_by=maker)
    own_controller = script(Role.CONTROLLER, created_by=maker)
    change = {"hard": False, "reason": "warn only"}
    wanted = asked(own_finops.patch(f"envelopes/{envelope}", change))
    told = problem(own_controller.post(f"approvals/{wanted['id']}:approve", {}))
    assert told["code"] == "self_approval"
    admins = script(Role.CONTROLLER, created_by=person_of(Role.ADMIN, clock))
    told = problem(admins.post(f"approvals/{wanted['id']}:approve", {}))
    assert told["code"] == "forbidden", "an administrator's key has no authority over money"
    for role in (Role.FINOPS, Role.AUDITOR, Role.VIEWER, Role.ROUTER):
        told = problem(script(role).post(f"approvals/{wanted['id']}:approve", {}))
        assert (told["status"], told["code"]) == (403, "forbidden")
    taken = own_finops.post(f"approvals/{wanted['id']}:withdraw", {"reason": "not needed"})
    assert taken.json()["state"] == "withdrawn"


def test_decline_ask_and_a_stale_answer(
    company: Any, finops: Any, controller: Any, envelope: str
) -> None:
    wanted = asked(finops.patch(f"envelopes/{envelope}", {"hard": False, "reason": "soft"}))
    path = f"approvals/{wanted['id']}"
    before = controller.get(path)
    assert before.headers["ETag"] == '"v1"' and before.json()["state"] == "open"
    assert controller.post(f"{path}:ask", {"reason": "For how long?"}).status_code == 200
    assert finops.post(f"{path}:ask", {"reason": "A week."}).status_code == 200
    stale = problem(controller.post(f"{path}:approve", {}, If_Match='"v1"'))
    assert (stale["status"], stale["code"]) == (412, "precondition_failed")
    bare = problem(controller.post(f"{path}:decline", {}))
    assert (bare["status"], bare["code"]) == (422, "validation_failed")
    told = problem(controller.post(f"{path}:delegate", {"to": "usr_nobody"}))
    assert told["code"] == "forbidden", "a key has no vote to hand over"
    done = controller.post(f"{path}:decline", {"reason": "not this month"}, If_Match='"v3"')
    assert done.json()["state"] == "declined"
    assert [step["act"] for step in done.json()["steps"]] == [
        "raised",
        "asked",
        "answered",
        "declined",
    ]
    closed = problem(controller.post(f"{path}:approve", {}))
    assert (closed["status"], closed["code"]) == (409, "approval_closed")
    listed = controller.get("approvals", {"subject": envelope, "state": "declined"}).json()
    assert set(listed) == {"items", "next", "as_of"}
    assert wanted["id"] in [item["id"] for item in listed["items"]]


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("approvals/apr_nothing:approve", {}, 404, "not_found"),
        ("approvals/apr_nothing:approve", {"until": "soon"}, 422, "validation_failed"),
        ("approvals/apr_nothing:approve", {"surprise": 1}, 422, "validation_failed"),
        ("approvals/apr_nothing:decline", {"reason": ""}, 422, "validation_failed"),
        ("approvals/apr_nothing:ask", {"reason": 5}, 422, "validation_failed"),
        ("approvals/apr_nothing:approve", [], 400, "malformed_body"),
    ],
)
def test_wrong_answers_are_problems(
    controller: Any, path: str, body: Any, status: int, code: str
) -> None:
    told = problem(controller.post(path, body))
    assert (told["status"], told["code"]) == (status, code)


def test_keys_approve_only_where_it_was_switched_on(
    company: Any, finops: Any, controller: Any, envelope: str, clock: Any
) -> None:
    policy = controller.get("approval-policy").json()
    assert policy["keys_may_approve"] is True and policy["materiality"] == "10000.00"
    body = {
        "materiality": "10000",
        "materiality_share": "0.1",
        "expiry_days": 7,
        "keys_may_approve": False,
        "reason": "people only",
    }
    assert problem(finops.send("PUT", "approval-policy", body))["code"] == "forbidden"
    change = asked(controller.send("PUT", "approval-policy", body))
    assert change["needs"] == ["cfo"]
    policies.approve(approval=change["id"], actor=caller(Role.CFO, "usr_cfo"), now=clock.at)
    wanted = asked(finops.patch(f"envelopes/{envelope}", {"hard": False, "reason": "soft"}))
    told = problem(controller.post(f"approvals/{wanted['id']}:approve", {}))
    assert (told["status"], told["code"]) == (403, "forbidden")


def test_a_key_of_some_use_cases_stays_with_them(
    company: Any, script: Any, envelope: str
) -> None:
    narrow = script(Role.FINOPS, use_cases=["contract-review"])
    change = {"amount": "1.50", "reason": "mine"}
    assert problem(narrow.patch(f"envelopes/{envelope}", change))["code"] == "forbidden"
    assert problem(narrow.get("approvals"))["code"] == "forbidden"
