"""Does a person write a rule, have it armed, read why it stopped, and lift it with another?

Needs Chromium and playwright; skips with the command to install them.
"""

from datetime import timedelta

import msgspec
import pytest

from o10.access.keys import Caller
from o10.access.roles import ROLE_ACTIONS, Role
from o10.wire.requests import Authorize
from policies import facade
from policies.queries.kill_rows import get_criterion
from tests.journeys.conftest import axe_findings
from tests.waiting import wait_until
from tests.web.reports.pages_company import LONG, NOW

pytestmark = pytest.mark.browser

SCREENS = [
    "/policies/kill-criteria/",
    "/policies/kill-criteria/KIL/?drill=30",
    "/policies/kill-criteria/KIL/edit/",
]
ROUTER = Caller(
    "key_router", "key_router", "key_router", Role.ROUTER, None, ROLE_ACTIONS[Role.ROUTER]
)


def ask(slug="support-assistant", at=NOW):
    request = Authorize(
        use_case=slug,
        model="openai/gpt-4o",
        input_tokens=100,
        max_output_tokens=10,
        step_fingerprint="parse",
    )
    return msgspec.json.decode(facade.authorize(request=request, caller=ROUTER, now=at))


def made(company, name, **fields):
    spec = {
        "metric": "repeat_loop",
        "threshold": "20",
        "window_s": 600,
        "min_sample": 5,
        "consecutive": 1,
        "lever": "freeze",
        "board_review": True,
        "review_cap": 10**9,
    } | fields
    public = facade.create_criterion(
        draft=facade.CriterionDraft(
            name=name,
            scope_kind="use_case",
            scope_slug="support-assistant",
            spec=facade.KillSpec(**spec),
        ),
        actor=FINANCE,
        now=NOW,
    )
    facade.apply_arm(criterion=public, actor="usr_b", now=NOW, version=1, reason="agreed")
    return public


FINANCE = Caller("usr_f", "usr_f", "usr_f", Role.FINOPS, None, ROLE_ACTIONS[Role.FINOPS])


def test_a_loop_trips_is_explained_and_lifted_by_two_people(site, visit):
    """A client that retries for ever: rule, trip, denial, page, two people, the drill's day."""
    page = visit("/policies/kill-criteria/new/?offered=retry-loop&use_case=support-assistant")
    page.get_by_label("Name").fill("Runaway loop")
    page.get_by_label("Lever", exact=True).select_option("freeze")
    page.get_by_label("Acts").select_option("auto")
    page.get_by_role("button", name="Make a draft").click()
    page.wait_for_url("**/policies/kill-criteria/kil_*/")
    public = page.url.rstrip("/").rsplit("/", 1)[-1]
    page.get_by_label("Reason").fill("a loop cost us a night")
    page.get_by_role("button", name="Ask to arm").click()
    page.get_by_text("Waits for").first.wait_for()
    agree(visit, public)
    assert get_criterion(public).state == "armed"

    for _ in range(25):
        ask()
    facade.look_at_criterion(get_criterion(public), at=NOW + timedelta(milliseconds=1))
    denied = ask(at=NOW + timedelta(milliseconds=2))
    assert (denied["decision"], denied["reasons"][0]["code"]) == (
        "deny",
        "KILL_CRITERION_ACTIVE",
    )

    page = visit(f"/policies/kill-criteria/{public}/?drill=2")
    page.get_by_role("heading", name="What the last trip rests on").wait_for()
    tripped_at = get_criterion(public).tripped_at
    # The drill walks whole hours and whatever happened: it trips within the same day.
    found = facade.drill_criterion(criterion=public, now=NOW + timedelta(hours=1), days=2)
    assert tripped_at.date() in found.days
    page.get_by_label("Reason").fill("the client is fixed")
    page.get_by_role("button", name="Ask to lift the lever").click()
    page.get_by_text("Waits for").first.wait_for()
    assert ask(at=NOW + timedelta(milliseconds=3))["decision"] == "deny"
    agree(visit, public)
    assert get_criterion(public).state == "armed"
    assert ask(at=NOW + timedelta(milliseconds=4))["decision"] != "deny"
    facade.apply_retire(criterion=public, actor="usr_b", now=NOW, reason="over")


def agree(visit, criterion):
    """The controller opens the request of this criterion and agrees."""
    [request] = facade.find_open(subject=criterion, now=NOW)
    page = visit(f"/approvals/{request.id}/", role=Role.CONTROLLER)
    page.keyboard.press("a")
    page.wait_for_selector("dialog[open]")
    page.locator("dialog[open] input[name=reason]").fill("agreed")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=Approved and carried out")


@pytest.fixture(scope="module")
def tripped(site):
    """A criterion with a long name that a loop has tripped, its board review open."""
    public = made(site.company, LONG[:110], threshold="5")
    for _ in range(6):
        ask()
    facade.look_at_criterion(get_criterion(public), at=NOW + timedelta(milliseconds=1))
    assert get_criterion(public).state == "tripped"
    yield public
    facade.apply_retire(criterion=public, actor="usr_b", now=NOW, reason="over")
    facade.decide_review(
        criterion=public, decision="over", at=NOW, actor="usr_b", reason="over"
    )


@pytest.mark.parametrize("screen", SCREENS)
def test_a_screen_is_accessible_narrow_and_alone(site, visit, tripped, screen):
    page = visit(screen.replace("KIL", tripped), color_scheme="light", reduced_motion="reduce")
    assert axe_findings(page) == []
    page.emulate_media(color_scheme="dark")
    assert axe_findings(page) == []
    for width in (768, 390, 320):
        page.set_viewport_size({"width": width, "height": 900})
        wait_until(
            page,
            "width => document.documentElement.scrollWidth <= width",
            arg=width,
            timeout=5_000,
        )
    assert page.errors == []
    assert page.origins == {site.url.split("/")[2]}
