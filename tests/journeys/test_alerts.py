"""Does a person find an alert, its channel and its change in a browser, by keyboard and phone?

Needs Chromium and playwright; skips with the command to install them.
"""

import pytest

from policies import facade
from tests.journeys.conftest import axe_findings
from tests.waiting import wait_until
from tests.web.reports.pages_company import HOSTILE, LONG, NOW

pytestmark = pytest.mark.browser

SCREENS = [
    "/alerts/",
    "/alerts/?state=resolved",
    "/alerts/ALERT/",
    "/alerts/rules/",
    "/alerts/rules/new/",
    "/alerts/channels/",
    "/alerts/changes/",
    "/alerts/alt_nothing/",
]


@pytest.fixture(scope="module")
def alert(site):
    facade.evaluate_alerts(now=NOW)
    raised = facade.raise_alert(
        kind="envelope_threshold",
        subject="env_journey",
        window="2026-11",
        title=f"{HOSTILE} has used 80.0% of $1,000.",
        detail=f"{LONG}. " * 5,
        severity="critical",
        now=NOW,
        evidence={"cap_nanos": "1000000000000", "threshold_ppm": 800_000},
    )
    return raised.alert


@pytest.mark.parametrize("screen", SCREENS)
def test_a_screen_is_accessible_narrow_and_alone(site, visit, alert, screen):
    page = visit(screen.replace("ALERT", alert), color_scheme="light", reduced_motion="reduce")
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
    assert [each for each in page.errors if "404 (Not Found)" not in each] == []
    assert page.origins == {site.url.split("/")[2]}


def test_an_alert_is_acknowledged_by_keyboard(site, visit, alert):
    page = visit("/alerts/")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url("**/alerts/alt_*/")
    page.get_by_label("Reason").focus()
    page.keyboard.type("on it")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.get_by_role("status").filter(has_text="Acknowledged").first.wait_for()


def test_the_secret_of_a_channel_is_on_the_page_once(site, visit, alert):
    page = visit("/alerts/channels/")
    page.get_by_label("Name").fill("Pager")
    page.get_by_label("Kind").select_option("webhook")
    page.get_by_label("E-mail addresses, or URL").fill("https://hooks.example.com/x")
    page.get_by_role("button", name="Make the channel").click()
    page.wait_for_selector("text=whsec_")
    page.goto(f"{site.url}/alerts/channels/")
    assert "whsec_" not in page.content()
    assert "hooks.example.com" in page.content()
