"""Does the API of alerts keep to its shapes, roles, keys and versions, and to its silence?"""

import pytest

from o10.access.roles import Role
from policies import facade as policies
from policies.models import Alert, AlertChannel, AlertRule
from tests.conftest import NOW
from tests.web.api.conftest import problem

RULE = {
    "name": "Day",
    "kind": "spend_over",
    "threshold": "250.00",
    "window": "day",
    "scope": {"kind": "use_case", "slug": "support-assistant"},
}
CHANNEL = {"name": "Pager", "kind": "webhook", "target": "https://hooks.example.com/SECRETPATH"}


@pytest.fixture(autouse=True)
def kept(company, db):
    """Whatever a test writes is taken back."""


def raise_one(subject="env_1", **fields):
    told = {
        "kind": "envelope_threshold",
        "window": "w",
        "title": "Half is used.",
        "detail": "",
        "severity": "warning",
        **fields,
    }
    return policies.raise_alert(subject=subject, now=NOW, **told).alert


def test_alerts_are_listed_by_pages_read_and_handled(script):
    ids = [raise_one(f"env_{number}") for number in range(3)]
    owner = script(Role.FINOPS)
    first = owner.get("alerts", {"limit": 2}).json()
    second = owner.get("alerts", {"limit": 2, "cursor": first["next"]}).json()
    assert [each["id"] for each in first["items"] + second["items"]] == ids[::-1]
    assert second["next"] is None and "ledger_seq" in first["as_of"]
    assert owner.get("alerts", {"mood": "x"}).status_code == 422
    told = owner.post(f"alerts/{ids[0]}:acknowledge", {"reason": "mine"}).json()
    assert (told["state"], told["state_reason"]) == ("acknowledged", "mine")
    snoozed = owner.post(
        f"alerts/{ids[0]}:snooze", {"until": "2026-11-21T00:00:00Z", "reason": "known"}
    ).json()
    assert snoozed["snoozed_until"] == "2026-11-21T00:00:00Z"
    assert (
        problem(owner.post(f"alerts/{ids[0]}:resolve", {}))["errors"][0]["field"] == "/reason"
    )
    assert (
        owner.post(f"alerts/{ids[0]}:resolve", {"reason": "done"}).json()["state"] == "resolved"
    )
    assert problem(owner.post(f"alerts/{ids[0]}:acknowledge", {}))["code"] == "conflict"
    assert [
        each["id"] for each in owner.get("alerts", {"state": "unresolved"}).json()["items"]
    ] == (ids[:0:-1])
    assert owner.get("alerts/alt_nothing").status_code == 404


def test_a_key_of_one_use_case_sees_its_alerts_alone(script):
    from policies.models import UseCase

    raise_one()
    mine = raise_one(use_case=UseCase.objects.get(slug="support-assistant").id, subject="mine")
    scoped = script(Role.FINOPS, use_cases=["support-assistant"])
    assert [each["id"] for each in scoped.get("alerts").json()["items"]] == [mine]
    other = Alert.objects.exclude(public=mine).get().public
    assert scoped.post(f"alerts/{other}:resolve", {"reason": "x"}).status_code == 404
    assert scoped.post("channels", CHANNEL).status_code == 403
    assert scoped.post("alert-rules", RULE).status_code == 201
    wide = (
        script(Role.FINOPS).post("alert-rules", {**RULE, "scope": {"kind": "company"}}).json()
    )
    assert scoped.patch(f"alert-rules/{wide['id']}", {"state": "paused"}).status_code == 403


def test_rules_are_made_once_changed_by_version_and_tried(script):
    writer = script(Role.FINOPS)
    made = [writer.post("alert-rules", RULE, Idempotency_Key="k") for _ in range(2)]
    assert [each.status_code for each in made] == [201, 201]
    assert made[0].json()["id"] == made[1].json()["id"]
    assert AlertRule.objects.filter(built_in=False).count() == 1
    mismatch = writer.post("alert-rules", {**RULE, "name": "Other"}, Idempotency_Key="k")
    assert problem(mismatch)["code"] == "idempotency_mismatch"
    path = f"alert-rules/{made[0].json()['id']}"
    changed = writer.patch(path, {"threshold": "99.5", "state": "paused"}, If_Match='"v1"')
    assert (changed.json()["threshold"], changed.headers["ETag"]) == ("99.50", '"v2"')
    assert writer.patch(path, {"name": "x"}, If_Match='"v1"').status_code == 412
    assert writer.post(f"{path}:test", {}).status_code == 202
    assert script(Role.VIEWER).post("alert-rules", RULE).status_code == 403
    assert script(Role.VIEWER).get("alert-rules").status_code == 200


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"kind": "weather"}, "/kind"),
        ({"threshold": "-1"}, "/threshold"),
        ({"threshold": None}, "/threshold"),
        ({"scope": {"kind": "company", "slug": "x"}}, "/scope/slug"),
        ({"scope": {"kind": "use_case", "slug": "nothing"}}, "/scope/slug"),
        ({"window": "century"}, "/window"),
        ({"severity": "loud"}, "/severity"),
        ({"channels": ["chn_nothing"]}, "/channels"),
        ({"name": ""}, "/name"),
    ],
)
def test_a_rule_that_can_not_be_is_refused_by_its_field(script, change, field):
    answer = script(Role.FINOPS).post("alert-rules", {**RULE, **change})
    assert answer.status_code == 422
    assert field in [each["field"] for each in problem(answer)["errors"]]


def test_a_channel_tells_its_secret_once_and_its_address_never(script):
    writer = script(Role.FINOPS)
    made = writer.post("channels", CHANNEL, Idempotency_Key="c")
    assert made.json()["secret"].startswith("whsec_")
    again = writer.post("channels", CHANNEL, Idempotency_Key="c")
    assert (again.status_code, again.json()["secret"]) == (201, None)
    path = f"channels/{made.json()['channel']['id']}"
    rotated = writer.post(f"{path}:rotate", {"grace_s": 60})
    assert rotated.json()["secret"] not in (None, made.json()["secret"])
    assert rotated.json()["channel"]["previous_secret_ends_at"] == "2026-11-20T09:31:00Z"
    for answer in (made, again, rotated, writer.get("channels"), writer.get(path)):
        assert "SECRETPATH" not in answer.content.decode()
    assert writer.post(f"{path}:test", {}).status_code == 202
    retired = writer.patch(path, {"state": "retired"})
    assert retired.json()["state"] == "retired"
    assert problem(writer.patch(path, {"name": "x"}))["code"] == "conflict"
    assert problem(writer.post(f"{path}:test", {}))["code"] == "conflict"
    assert AlertChannel.objects.count() == 1


@pytest.mark.parametrize(
    "target", ["http://example.com", "https://10.0.0.1", "nothing", "https://"]
)
def test_a_channel_that_leads_nowhere_good_is_refused(script, target):
    answer = script(Role.FINOPS).post("channels", {**CHANNEL, "target": target})
    assert [each["field"] for each in problem(answer)["errors"]] == ["/target"]


def test_a_change_is_signed_by_two(script):
    asked = script(Role.FINOPS).post(
        "changes:sign",
        {"use_case": "support-assistant", "dimension": "prompt_version", "value": "v2"},
    )
    assert asked.status_code == 202
    assert asked.json()["approval"]["needs"]
    text = {"use_case": "support-assistant", "dimension": "prompt_version", "value": "be nice"}
    assert (
        problem(script(Role.FINOPS).post("changes:sign", text))["code"] == "validation_failed"
    )
    assert script(Role.FINOPS).get("changes").json() == {"items": [], "next": None}
