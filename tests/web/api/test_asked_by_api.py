"""Do scripts ask for enforcing, models, corrections and people by API, and never go around?"""

import json
import uuid
from typing import Any

import pytest
from django.test import Client

from ledger import facade as ledger
from o10.access import operations as access
from o10.access.roles import Role
from o10.kernel import ids
from tests.company import MODEL

from .conftest import agreed, problem

pytestmark = pytest.mark.django_db
CASE = "use-cases/support-assistant"


@pytest.fixture
def finops(company: Any, script: Any) -> Any:
    return script(Role.FINOPS)


@pytest.fixture
def admin(company: Any, clock: Any) -> Any:
    """A person's session: no key may carry the role admin."""
    made = access.create_person(
        email=f"{uuid.uuid4().hex[:10]}@example.com",
        display_name="An administrator",
        role=Role.ADMIN,
        password="a password of the tests",
        actor=access.COMMAND_LINE,
        now=clock.at,
    )
    client = Client(raise_request_exception=False)
    client.force_login(made)
    return client


def authorize(router: Any) -> dict[str, Any]:
    body = {
        "request_id": uuid.uuid4().hex,
        "use_case": "support-assistant",
        "model": MODEL,
        "input_tokens": 100,
        "max_output_tokens": 150_000,
    }
    return dict(router.post("authorize", body).json())


def test_enforcing_waits_and_the_next_call_obeys(script: Any, finops: Any) -> None:
    router = script(Role.ROUTER)
    back = finops.patch(CASE, {"mode": "shadow", "reason": "trial"})
    assert (back.status_code, back.json()["mode"]) == (200, "shadow")
    assert authorize(router)["decision"] == "allow"
    asked = finops.patch(CASE, {"mode": "enforce", "reason": "trial over"}, Idempotency_Key="e")
    again = finops.patch(CASE, {"mode": "enforce", "reason": "trial over"}, Idempotency_Key="e")
    assert asked.json() == again.json()
    assert asked.json()["approval"]["needs"] == ["owner", "controller"]
    path = f"approvals/{asked.json()['approval']['id']}:approve"
    assert problem(finops.post(path, {}))["code"] == "self_approval"
    assert authorize(router)["decision"] == "allow"
    agreed(asked)
    assert authorize(router)["decision"] == "deny"


def test_models_are_approved_by_name(script: Any, finops: Any) -> None:
    router = script(Role.ROUTER)
    only = finops.patch(CASE, {"approved_models": [{"name": "openai/gpt-4.1"}]})
    assert only.json()["approved_models"][0]["name"] == "openai/gpt-4.1"
    assert authorize(router)["reasons"][0]["code"] == "MODEL_NOT_APPROVED"
    more = {"approved_models": [{"name": "openai/gpt-4.1"}, {"name": MODEL}]}
    asked = finops.patch(CASE, more)
    assert asked.json()["approval"]["needs"] == ["controller", "compliance"]
    wrong = problem(finops.patch(CASE, {"approved_models": [{"name": "a"}, {"name": "a"}]}))
    assert (wrong["status"], wrong["code"]) == (422, "validation_failed")
    mixed = problem(finops.patch(CASE, {"mode": "observe", "approved_models": None}))
    assert mixed["status"] == 422


def test_an_entry_is_taken_back_by_request(script: Any, finops: Any, clock: Any) -> None:
    used = {
        "id": uuid.uuid4().hex,
        "at": clock.at.isoformat(),
        "use_case": "support-assistant",
        "model": MODEL,
        "usage": {"input_tokens": 1_000, "output_tokens": 1_000},
    }
    answer = finops.post("usage", [used])
    assert answer.status_code in (200, 201, 202), answer.content
    stored = next(
        each
        for each in ledger.list_entries(
            ledger_id=ledger.COMPANY_LEDGER,
            where=ledger.EntryFilter(kinds=(ledger.Kind.USAGE.value,)),
            limit=1,
        ).items
    )
    path = f"ledger/entries/{ids.id_of('ent', stored.uid)}:reverse"
    asked = finops.post(path, {"reason": "a test of ours"}, Idempotency_Key="r")
    assert asked.status_code == 202
    assert finops.post(path, {"reason": "a test of ours"}, Idempotency_Key="r").json() == (
        asked.json()
    )
    assert ledger.reversed_by(uid=stored.uid) is None
    made = agreed(asked)
    assert ids.id_of("ent", ledger.reversed_by(uid=stored.uid)) == made["entry"]
    told = problem(finops.post(path, {"reason": "again"}))
    assert (told["status"], told["code"]) == (409, "already_reversed")
    told = problem(script(Role.CONTROLLER).post(path, {"reason": "by a checker"}))
    assert told["code"] == "forbidden"
    none = ids.id_of("ent", uuid.UUID("01a1f84a-96ba-8b5f-a944-e044bf6327fc"))
    assert (
        problem(finops.post(f"ledger/entries/{none}:reverse", {"reason": "x"}))["status"] == 404
    )
    assert (
        problem(finops.post("ledger/entries/nonsense:reverse", {"reason": "x"}))["status"]
        == 404
    )
    assert problem(finops.post(path, {"reason": "x", "amount": "1,5"}))["status"] == 422
    assert problem(finops.post(path, {}))["status"] == 422


def send(admin: Any, path: str, body: dict[str, Any]) -> Any:
    return admin.post(f"/api/v1/{path}", json.dumps(body), content_type="application/json")


def test_people_and_keys_are_kept_by_an_administrator(admin: Any, finops: Any) -> None:
    assert problem(finops.get("people"))["code"] == "forbidden"
    assert problem(finops.get("keys"))["code"] == "forbidden"
    email = f"{uuid.uuid4().hex[:10]}@example.com"
    made = send(admin, "people", {"email": email, "name": "New", "role": "finops"})
    assert made.status_code == 201 and made.json()["password"]
    row = next(
        each for each in admin.get("/api/v1/people").json()["items"] if each["email"] == email
    )
    assert (row["role"], row["is_active"]) == ("finops", True)
    twice = problem(send(admin, "people", {"email": email, "name": "New", "role": "finops"}))
    assert twice["status"] == 409
    guarded = send(
        admin,
        "people",
        {"email": f"{uuid.uuid4().hex[:10]}@example.com", "name": "Chief", "role": "cfo"},
    ).json()
    assert guarded["approval"]["needs"] == ["admin|controller"]
    gone = send(admin, f"people/{row['id']}:deactivate", {"reason": "left"})
    assert gone.status_code == 200
    bad = problem(send(admin, "people", {"email": "none", "name": "N", "role": "finops"}))
    assert bad["status"] == 422
    key = send(
        admin, "keys", {"name": "k", "role": "router", "use_cases": ["support-assistant"]}
    ).json()
    ended = send(admin, f"keys/{key['id']}:revoke", {"reason": "a test is over"})
    assert ended.status_code == 200 and ended.json()["revoked_at"]
    listed = admin.get("/api/v1/keys").json()["items"]
    assert key["secret"] not in repr(listed)
    assert next(each for each in listed if each["id"] == key["id"])["revoked_at"]
    assert problem(send(admin, "keys/key_none:revoke", {}))["status"] == 404
