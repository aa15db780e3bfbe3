"""Do the screens of prices and commitments work in a browser: by eye, keyboard, phone, dark?

Needs Chromium and playwright; skips with the command to install them. One page walks through
all screens: what is asked of each costs a moment, a browser context of its own a second.
"""

import gc
from typing import Any

import pytest

from o10.access.roles import Role
from policies import facade as policies
from tests.journeys.conftest import axe_findings
from tests.newer_prices import newer_edition
from tests.waiting import wait_until
from tests.web.reports.pages_company import MODEL, NOW

pytestmark = pytest.mark.browser

SCREENS = {
    # The whole table is fifty rows of the same; some of them say as much.
    "/prices/?f=venue:mistral": "dark",
    f"/prices/offers/{MODEL}/": "light",
    "/prices/new/": "dark",
    "/prices/quarantine/": "light",
    "/prices/proposals/": "light",
    "/prices/revaluations/": "dark",
    "/fx-rates/": "light",
    "/commitments/": "dark",
    "/commitments/new/": "light",
}
"""Each screen and the colours axe judges it in; the tokens of both are proven by themselves."""
LONG = "Provisioned throughput of the Frankfurt region for customer care " + "x" * 90


@pytest.fixture(scope="module")
def desk(site, browser, signed_in) -> Any:
    """The page of somebody in finance, signed in, for the whole module."""
    context = browser.new_context(
        viewport={"width": 1280, "height": 900},
        storage_state=signed_in(Role.FINOPS),
        reduced_motion="reduce",
    )
    page = context.new_page()
    page.errors, page.origins = [], set()
    page.on("console", lambda m: page.errors.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.on("request", lambda request: page.origins.add(request.url.split("/")[2]))
    yield page
    context.close()


@pytest.fixture
def at_desk(site, desk):
    """at_desk(path): the same page, wide and light, somewhere else."""

    def go(path: str) -> Any:
        desk.set_viewport_size({"width": 1280, "height": 900})
        desk.emulate_media(color_scheme="light")
        desk.errors.clear()
        desk.goto(site.url + path, wait_until="load")
        return desk

    return go


def is_narrow(page: Any, *widths: int) -> None:
    for width in widths:
        page.set_viewport_size({"width": width, "height": 900})
        wait_until(
            page,
            "width => document.documentElement.scrollWidth <= width",
            arg=width,
            timeout=5_000,
        )


@pytest.mark.parametrize("screen", SCREENS)
def test_a_screen_of_prices_is_accessible_narrow_and_alone(site, at_desk, screen):
    page = at_desk(screen)
    page.emulate_media(color_scheme=SCREENS[screen])
    assert axe_findings(page) == []
    is_narrow(page, 768, 390, 320)
    assert page.errors == []
    assert page.origins == {site.url.split("/")[2]}


def test_finance_asks_for_a_contract_without_script_and_a_controller_agrees(visit, at_desk):
    page = visit(f"/prices/new/?offer={MODEL}", java_script_enabled=False)
    assert page.input_value("#model") == MODEL.split("/")[1]
    page.fill("#meter_input", "1.5")
    page.fill("#meter_output", "6")
    page.fill("#evidence", "Order form 21")
    page.get_by_role("button", name="Ask for approval").click()
    page.wait_for_url("**/prices/")
    assert page.locator("text=It waits for controller").count() == 1
    offer = at_desk(f"/prices/offers/{MODEL}/")
    offer.get_by_role("link", name="Open the request").click()
    offer.wait_for_url("**/approvals/apr_*/")
    assert "Contract price for" in offer.locator("main").inner_text()
    asked = policies.find_open(subject=MODEL, now=NOW)[0]
    policies.approve(
        approval=asked.id, actor=_controller(), now=NOW, key="a journey of the tests"
    )
    after = at_desk(f"/prices/offers/{MODEL}/")
    assert "by contract" in after.locator("h1").inner_text()


def test_a_commitment_shows_its_drawdown_and_its_waste_day_by_day(at_desk):
    page = at_desk("/commitments/new/")
    for field, text in {
        "name": LONG,
        "venue": "ptu",
        "model": MODEL.split("/")[1],
        "units": "2",
        "hourly_rate": "3.25",
        "unit_tokens": "1000000",
        "start": "2026-11-01",
        "end": "2027-11-01",
        "notice_date": "2026-12-15",
        "evidence": "Order form 22",
    }.items():
        page.fill(f"#{field}", text)
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
    page = at_desk("/commitments/")
    is_narrow(page, 390)
    page.get_by_role("link", name=LONG).click()
    page.wait_for_url("**/commitments/cmt_*/")
    page.wait_for_selector("[data-chart=waste] .bars path", state="attached")
    assert axe_findings(page) == []
    is_narrow(page, 390)
    drawn = page.locator("section", has=page.locator("#drawdown-t")).inner_text()
    # 365 days x 24 hours x 2 units at 3.25 = 56,940; of it 455 hours charged, 2,957.50.
    assert "$56,940" in drawn and "$2,958" in drawn and "$53,983" in drawn
    page.locator(".chart-table summary").first.click()
    assert page.locator(".chart-table tbody tr").count() >= 10
    assert page.errors == []


def test_a_refresh_is_read_line_by_line_and_a_doubted_row_dismissed(at_desk):
    other = "openai/gpt-4o-mini"
    catalogue = newer_edition(factors={MODEL: (11, 10), other: (2, 1)})
    policies.propose_price_refresh(catalogue=catalogue, actor=None, now=NOW)
    page = at_desk("/prices/proposals/")
    page.get_by_role("link", name="genai-prices newer").click()
    page.wait_for_url("**/prices/proposals/ppr_*/")
    assert axe_findings(page) == []
    assert "Listed apart: not part of this" in page.locator("main").inner_text()
    is_narrow(page, 390)
    page = at_desk("/prices/quarantine/")
    row = page.locator("tr", has_text=other).first
    # By keyboard alone: open, say why, send.
    row.locator("summary", has_text="Dismiss").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.type("A typo of the vendor")
    page.keyboard.press("Enter")
    page.wait_for_selector(f"text=Dismissed: {other}")
    decided = page.locator("section", has=page.locator("#decided-t"))
    assert "A typo of the vendor" in decided.inner_text()
    is_narrow(page, 390)
    assert page.errors == []


def _controller():
    from tests.company import caller

    return caller(Role.CONTROLLER, "usr_second")
