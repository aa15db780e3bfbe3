"""Do the spend verbs answer as the contract says, through both doors?"""

import uuid

import pytest

from o10.access.roles import Action, Role
from tests.company import MODEL

from .conftest import Way


def call(**changes):
    return {
        "request_id": uuid.uuid4().hex,
        "use_case": "support-assistant",
        "model": MODEL,
        "input_tokens": 100,
        "max_output_tokens": 50,
    } | changes


def usage(**changes):
    return {"input_tokens": 100, "output_tokens": 40} | changes


def test_an_allowed_call_is_held_settled_and_refunded(router):
    allowed = router.post("authorize", call())
    assert allowed.status == 200, allowed.body
    told = allowed.told
    assert told["decision"] in {"allow", "allow_with_caps"}
    assert told["caps"]["max_output_tokens"] == 50
    held = int(told["reservation"]["amount_nanos"])
    settled = router.post(
        "settle", {"reservation": told["reservation"]["id"], "usage": usage()}
    )
    assert settled.status == 200, settled.body
    cost = int(settled.told["cost"]["amount_nanos"])
    refunded = int(settled.told["refunded"]["amount_nanos"])
    assert 0 < cost < held
    assert cost + refunded == held
    assert settled.told["entry_id"].startswith("ent_")
    assert settled.told["late"] is False


def test_the_token_settles_as_the_id_does(router):
    told = router.post("authorize", call()).told
    settled = router.post(
        "settle", {"reservation": told["reservation"]["token"], "usage": usage()}
    )
    assert settled.status == 200, settled.body


def test_release_gives_everything_back(router):
    told = router.post("authorize", call()).told
    released = router.post("release", {"reservation": told["reservation"]["id"]})
    assert released.status == 200, released.body
    assert released.told["refunded"]["amount_nanos"] == told["reservation"]["amount_nanos"]


def test_extend_lengthens_the_hold(router):
    told = router.post("authorize", call(ttl_s=60)).told
    extended = router.post("extend", {"reservation": told["reservation"]["id"], "ttl_s": 3600})
    assert extended.status == 200, extended.body
    assert extended.told["reservation"]["expires_at"] > told["reservation"]["expires_at"]


def test_a_dry_run_answers_and_holds_nothing(router):
    told = router.post("authorize:dry-run", call())
    assert told.status == 200, told.body
    assert told.told["decision"] in {"allow", "allow_with_caps"}
    assert told.told["reservation"] is None


def test_without_max_tokens_the_answer_sets_one(router):
    told = router.post("authorize", call(max_output_tokens=None)).told
    assert told["decision"] == "allow_with_caps"
    assert told["caps"]["max_output_tokens"] > 0


def test_a_deny_is_an_answer(router):
    answer = router.post("authorize", call(input_tokens=100_000, max_output_tokens=16_000))
    many = router.post("authorize", call(input_tokens=120_000, max_output_tokens=16_000, n=100))
    assert answer.status == 200
    assert many.status == 200
    assert many.told["decision"] == "deny"
    assert many.told["reservation"] is None
    assert many.told["reasons"][0]["code"].isupper()


def test_an_unknown_use_case_is_a_decision_with_code_101(router):
    answer = router.post("authorize", call(use_case="nobody-registered-this"))
    assert answer.status == 200
    assert answer.told["decision"] == "deny"
    assert answer.told["reasons"][0]["code"] == "USE_CASE_UNKNOWN"


def test_a_key_of_another_use_case_is_a_decision_with_code_100(app, secret):
    foreign = Way(app, secret(use_cases=["contract-review"]))
    answer = foreign.post("authorize", call())
    assert answer.status == 200
    assert answer.told["decision"] == "deny"
    assert answer.told["reasons"][0]["code"] == "KEY_NOT_SCOPED"


def test_a_key_without_the_verb_is_a_decision_with_code_100(app, secret):
    settles_only = Way(app, secret(verbs=[Action.SETTLE]))
    answer = settles_only.post("authorize", call())
    assert answer.told["reasons"][0]["code"] == "KEY_NOT_SCOPED"


@pytest.mark.parametrize("role", [Role.VIEWER, Role.AUDITOR, Role.FINOPS, Role.CONTROLLER])
def test_a_role_that_never_spends_is_forbidden(app, secret, role):
    script = Way(app, secret(role))
    for verb, body in (
        ("authorize", call()),
        ("settle", {"reservation": "rsv_x"}),
        ("release", {"reservation": "rsv_x"}),
        ("extend", {"reservation": "rsv_x"}),
    ):
        answer = script.post(verb, body)
        assert (answer.status, answer.told["code"]) == (403, "forbidden"), verb
    assert script.post("authorize:dry-run", call()).status == 200


def test_a_repeat_gets_the_same_bytes_and_another_body_a_409(router):
    body = call()
    first = router.post("authorize", body)
    assert router.post("authorize", body).body == first.body
    other = router.post("authorize", body | {"input_tokens": 101})
    assert (other.status, other.told["code"]) == (409, "idempotency_mismatch")


def test_the_idempotency_key_header_is_the_request_id(router):
    body = call(request_id=None)
    name = uuid.uuid4().hex
    first = router.post("authorize", body, idempotency_key=name)
    assert router.post("authorize", body, idempotency_key=name).body == first.body
    assert router.post("authorize", call(request_id=name, input_tokens=7)).status == 409


def test_settling_twice_is_once(router):
    told = router.post("authorize", call()).told
    body = {"reservation": told["reservation"]["id"], "usage": usage()}
    first = router.post("settle", body)
    assert router.post("settle", body).body == first.body
    other = router.post("settle", body | {"usage": usage(output_tokens=41)})
    assert (other.status, other.told["code"]) == (409, "idempotency_mismatch")
    ended = router.post("release", {"reservation": told["reservation"]["id"]})
    assert (ended.status, ended.told["code"]) == (409, "reservation_finalized")


def test_answers_are_never_kept_by_a_cache(router):
    answer = router.post("authorize:dry-run", call())
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
