"""Do scripts make, arm, drill, set aside and lift kill criteria as the contract says?"""

import uuid
from datetime import timedelta

import pytest

from o10.access.roles import Role
from tests.conftest import NOW

from .conftest import problem


@pytest.fixture
def finops(company, script):
    return script(Role.FINOPS)


@pytest.fixture
def use_case(finops):
    slug = f"case-{uuid.uuid4().hex[:8]}"
    body = {"slug": slug, "name": "Triage", "department": "service", "owner": "usr_owner"}
    assert finops.post("use-cases", body).status_code == 201
    return slug


def refused(answer):
    told = problem(answer)
    return answer.status_code, told["code"]


def criterion(slug, **spec):
    return {
        "name": "Runaway loop",
        "scope": {"kind": "use_case", "slug": slug},
        "spec": {
            "metric": "repeat_loop",
            "threshold": "20",
            "consecutive": 1,
            "lever": "freeze",
            **spec,
        },
    }


def made(finops, slug, **spec):
    answer = finops.post("kill-criteria", criterion(slug, **spec))
    assert answer.status_code == 201, answer.content
    return answer.json()


def test_a_draft_is_made_read_and_listed(finops, use_case):
    view = made(finops, use_case)
    assert (view["state"], view["acts"], view["version"]) == ("draft", False, 1)
    assert view["spec"]["window_s"] == 600, "as the metric has it"
    assert view["signal"] == "The same call again and again at or above 20 over 10 minutes"
    again = finops.get(f"kill-criteria/{view['id']}")
    assert again.json() == view
    assert again.headers["ETag"] == '"v1"'
    page = finops.get("kill-criteria", {"use_case": use_case}).json()
    assert [each["id"] for each in page["items"]] == [view["id"]]


def test_one_key_makes_one_criterion(finops, use_case):
    body = criterion(use_case) | {"request_id": f"r-{use_case}"}
    first, second = (finops.post("kill-criteria", body) for _ in range(2))
    assert first.json()["id"] == second.json()["id"]
    other = finops.post("kill-criteria", body | {"name": "Another"})
    assert refused(other) == (409, "idempotency_mismatch")


def test_what_is_offered_needs_no_spec(finops, use_case):
    body = {"scope": {"kind": "use_case", "slug": use_case}, "offered": "retry-waste"}
    view = finops.post("kill-criteria", body).json()
    assert view["name"] == "Money wasted on retries"
    assert (view["spec"]["lever"], view["spec"]["execution"]) == ("cap_steps", "propose")


def test_arming_waits_for_a_second_person(finops, use_case, script):
    view = made(finops, use_case)
    answer = finops.post(f"kill-criteria/{view['id']}:arm", {"reason": "loops cost us"})
    assert answer.status_code == 202
    assert answer.json()["approval"]["needs"] == ["controller"]
    assert finops.get(f"kill-criteria/{view['id']}").json()["state"] == "draft"


def test_a_draft_changes_at_once_and_goes_at_once(finops, use_case):
    view = made(finops, use_case)
    spec = criterion(use_case, threshold="50")["spec"]
    changed = finops.patch(f"kill-criteria/{view['id']}", {"spec": spec}, If_Match='"v1"')
    assert (changed.status_code, changed.json()["version"]) == (200, 2)
    gone = finops.post(f"kill-criteria/{view['id']}:retire", {})
    assert gone.json()["state"] == "retired"


def test_a_drill_of_nothing_finds_nothing(finops, use_case):
    view = made(finops, use_case)
    found = finops.post(f"kill-criteria/{view['id']}:drill", {"days": 7}).json()
    assert (found["days"], found["trips"], found["avoided"]) == ([], [], "0.00")
    assert found["looks"] == 7 * 24 == found["blind"]


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"metric": "vibes"}, "/metric"),
        ({"threshold": "1.2.3"}, "/threshold"),
        ({"comparator": "=="}, "/comparator"),
        ({"lever": "explode"}, "/lever"),
        ({"lever": "cap_output"}, "/amount"),
        ({"lever": "throttle"}, "/amount"),
        ({"lever": "throttle", "amount_an_hour": "-1"}, "/amount"),
        ({"lever": "notify", "amount": 5}, "/amount"),
        ({"lever": "freeze", "model": "gpt"}, "/model"),
        ({"lever": "notify", "board_review": True}, "/board_review"),
        ({"lever": "freeze", "review_cap_an_hour": "5"}, "/review_cap"),
        ({"restore_threshold": "30"}, "/restore_threshold"),
        ({"window_s": 5}, "/window_s"),
        ({"severity": "loud"}, "/severity"),
        ({"metric": "unattributed_share"}, "/metric"),
    ],
)
def test_what_cannot_hold_is_refused_with_its_field(finops, use_case, spec, field):
    answer = finops.post("kill-criteria", criterion(use_case, **spec))
    assert refused(answer) == (422, "validation_failed")
    assert f"/spec{field}" in [error["field"] for error in answer.json()["errors"]]


def test_an_override_ends_within_fourteen_days(finops, use_case):
    view = made(finops, use_case)
    path = f"kill-criteria/{view['id']}:override"
    late = (NOW + timedelta(days=15)).isoformat()
    answer = finops.post(path, {"until": late, "reason": "launch"})
    assert refused(answer) == (422, "validation_failed")
    soon = (NOW + timedelta(days=2)).isoformat()
    assert finops.post(path, {"until": soon, "reason": "launch"}).status_code == 202


def test_a_viewer_reads_and_changes_nothing(finops, use_case, script):
    view = made(finops, use_case)
    viewer = script(Role.VIEWER)
    assert viewer.get(f"kill-criteria/{view['id']}").status_code == 200
    for path, body in (
        ("kill-criteria", criterion(use_case)),
        (f"kill-criteria/{view['id']}:arm", {}),
        (f"kill-criteria/{view['id']}:restore", {}),
        (f"kill-criteria/{view['id']}:retire", {}),
    ):
        assert refused(viewer.post(path, body)) == (403, "forbidden"), path


def test_a_criterion_that_is_not_there_is_not_found(finops, use_case):
    unknown = "kil_00000000000000000000000000"
    assert refused(finops.get(f"kill-criteria/{unknown}")) == (404, "not_found")
    assert refused(finops.post(f"kill-criteria/{unknown}:drill", {})) == (404, "not_found")
    body = criterion("no-such-case")
    assert refused(finops.post("kill-criteria", body)) == (404, "not_found")
