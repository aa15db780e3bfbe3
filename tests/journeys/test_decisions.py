"""Do the decision screens work in a browser: live, by keyboard, phone, dark, without script?

Needs Chromium and playwright; skips with the command to install them.
"""

import itertools
import json

import pytest

from o10.access.roles import Role
from o10.wire.requests import Authorize
from policies import facade
from tests.company import MODEL, caller
from tests.journeys.conftest import axe_findings
from tests.waiting import wait_until
from tests.web.reports.pages_company import NOW

pytestmark = pytest.mark.browser

LOG = "/policies/decisions/"
SCREENS = [LOG, f"{LOG}?f=decision:deny", f"{LOG}?p=2026-02", f"{LOG}DENIED/", f"{LOG}dec_x/"]
_names = itertools.count(1)


def ask(slug):
    request = Authorize(
        request_id=f"journey-{next(_names)}", use_case=slug, model=MODEL, input_tokens=1_200
    )
    router = caller(Role.ROUTER, "key_router")
    return json.loads(facade.authorize(request=request, caller=router, now=NOW))


@pytest.mark.parametrize("screen", SCREENS)
def test_a_screen_is_accessible_narrow_and_alone(site, visit, screen):
    page = visit(
        screen.replace("DENIED", site.company.decision),
        color_scheme="light",
        reduced_motion="reduce",
    )
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
    told = [each for each in page.errors if "404 (Not Found)" not in each]
    assert told == []
    assert page.origins == {site.url.split("/")[2]}


def test_a_new_denial_appears_by_itself_in_sentence_figures_and_rows(site, visit):
    page = visit(LOG)
    before = page.locator("h1").inner_text()
    rows = page.locator("#decisions tbody tr").count()
    ask("sandbox")
    wait_until(
        page,
        "before => document.querySelector('h1').innerText !== before",
        arg=before,
        timeout=10_000,
    )
    assert page.locator("#decisions tbody tr").count() == rows + 1
    denied = page.locator("#decisions-denied tfoot .num").inner_text()
    assert f"{denied} w" in page.locator("h1").inner_text()
    assert page.errors == []


def test_a_reason_leads_to_its_decisions_and_one_of_them_to_its_entry(site, visit):
    ask("sandbox")
    page = visit(LOG, java_script_enabled=False)
    page.locator("#decisions-denied tbody th a").first.click()
    assert "f=reason:" in page.url
    page.locator("#decisions tbody th a").first.click()
    assert page.locator("h1").inner_text().startswith("Denied: ")
    page.locator("section[aria-labelledby=entries-t] tbody th a").first.click()
    assert "/ledger/" in page.url


def test_the_keyboard_opens_a_decision_from_anywhere(site, visit):
    page = visit("/")
    page.keyboard.press("g")
    page.keyboard.press("d")
    page.wait_for_url(f"**{LOG}")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{LOG}dec_*/")
