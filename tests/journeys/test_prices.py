"""Do the screens of prices and commitments work in a browser: by eye, keyboard, phone, dark?

Needs Chromium and playwright; skips with the command to install them.
"""

import gc

import pytest

from o10.access.roles import Role
from policies import facade as policies
from tests.journeys.conftest import axe_findings
from tests.newer_prices import newer_edition
from tests.waiting import wait_until
from tests.web.reports.pages_company import MODEL, NOW

pytestmark = pytest.mark.browser

SCREENS = (
    "/prices/",
    f"/prices/offers/{MODEL}/",
    "/prices/new/",
    "/prices/quarantine/",
    "/prices/proposals/",
    "/prices/revaluations/",
    "/fx-rates/",
    "/commitments/",
    "/commitments/new/",
)


@pytest.mark.parametrize("screen", SCREENS)
def test_a_screen_of_prices_is_accessible_narrow_and_alone(site, visit, screen):
    page = visit(screen, color_scheme="light")
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


def test_finance_asks_for_a_contract_without_script_and_a_controller_agrees(site, visit):
    page = visit(f"/prices/new/?offer={MODEL}", java_script_enabled=False)
    assert page.input_value("#model") == MODEL.split("/")[1]
    page.fill("#meter_input", "1.5")
    page.fill("#meter_output", "6")
    page.fill("#evidence", "Order form 21")
    page.get_by_role("button", name="Ask for approval").click()
    page.wait_for_url("**/prices/")
    assert page.locator("text=It waits for controller").count() == 1
    other = visit(f"/prices/offers/{MODEL}/", role=Role.CONTROLLER)
    other.get_by_role("link", name="Open the request").click()
    other.wait_for_url("**/approvals/apr_*/")
    assert "Contract price for" in other.locator("main").inner_text()
    asked = policies.find_open(subject=MODEL, now=NOW)[0]
    policies.approve(
        approval=asked.id, actor=_controller(), now=NOW, key="a journey of the tests"
    )
    after = visit(f"/prices/offers/{MODEL}/")
    assert "by contract" in after.locator("h1").inner_text()


def test_a_commitment_shows_its_waste_day_by_day(site, visit):
    page = visit("/commitments/new/")
    page.fill("#name", "PTU Frankfurt")
    page.fill("#venue", "ptu")
    page.fill("#model", MODEL.split("/")[1])
    page.fill("#units", "2")
    page.fill("#hourly_rate", "3.25")
    page.fill("#unit_tokens", "1000000")
    page.fill("#start", "2026-11-01")
    page.fill("#end", "2027-11-01")
    page.fill("#notice_date", "2026-12-15")
    page.fill("#evidence", "Order form 22")
    page.get_by_role("button", name="Ask for approval").dblclick()
    page.wait_for_selector("text=It waits for controller")
    waiting = policies.list_approvals(now=NOW, state="open", kind="commitment.set").items
    assert len(waiting) == 1
    policies.approve(approval=waiting[0].id, actor=_controller(), now=NOW, key="j-2")
    # An answer of the server that is collected here would close this thread's connection.
    gc.collect()
    gc.disable()
    try:
        policies.book_commitments(now=NOW)
    finally:
        gc.enable()
    page = visit("/commitments/")
    page.get_by_role("link", name="PTU Frankfurt").click()
    page.wait_for_url("**/commitments/cmt_*/")
    page.wait_for_selector("[data-chart=waste] .bars path", state="attached")
    assert axe_findings(page) == []
    page.locator(".chart-table summary").first.click()
    assert page.locator(".chart-table tbody tr").count() >= 10


def test_a_refresh_is_read_line_by_line_with_its_effect(site, visit):
    catalogue = newer_edition(factors={MODEL: (11, 10), "openai/gpt-4o-mini": (2, 1)})
    policies.propose_price_refresh(catalogue=catalogue, actor=None, now=NOW)
    page = visit("/prices/proposals/")
    page.get_by_role("link", name="genai-prices newer").click()
    page.wait_for_url("**/prices/proposals/ppr_*/")
    assert axe_findings(page) == []
    assert "Listed apart: not part of this" in page.locator("main").inner_text()
    page.set_viewport_size({"width": 390, "height": 900})
    wait_until(page, "document.documentElement.scrollWidth <= 390", timeout=5_000)
    assert page.errors == []


def _controller():
    from tests.company import caller

    return caller(Role.CONTROLLER, "usr_second")
