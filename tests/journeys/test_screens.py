"""Do the finance screens work in a browser: by eye, keyboard, phone, dark, without script?

Needs Chromium and playwright; skips with the command to install them.
"""

import pytest

from o10.access.roles import Role
from tests.journeys.conftest import axe_findings
from tests.waiting import wait_until

pytestmark = pytest.mark.browser

SCREENS = ["/", "/use-cases/", "/use-cases/support-assistant/", "/envelopes/", "/plan/"]


def path_of(site, screen):
    return screen.replace("ENV", site.company.envelopes["support-assistant"])


WITH_ENVELOPE = [*SCREENS, "/envelopes/ENV/?amount=21000", "/?as_of=9", "/?p=2026-01"]


@pytest.mark.parametrize("screen", WITH_ENVELOPE)
def test_a_screen_is_accessible_narrow_and_alone(site, visit, screen):
    page = visit(path_of(site, screen), color_scheme="light")
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


def test_the_cfo_reads_sentence_chart_and_drills_into_a_month(site, visit):
    page = visit("/", role=Role.CFO)
    assert "plan" in page.locator("h1").inner_text()
    page.wait_for_selector("[data-chart=months] .bars path", state="attached")
    page.locator(".chart-table summary").first.click()
    table = page.locator(".chart-table table")
    assert table.locator("tbody tr").count() == 12
    page.locator("header.bar details.menu summary").first.click()
    page.get_by_role("link", name="Oct 2026").click()
    page.wait_for_url("**/?p=2026-10")
    assert page.locator("h1").inner_text().startswith("October ended")


def test_sorting_swaps_rows_keeps_the_address_and_back_restores(site, visit):
    page = visit("/use-cases/")
    page.locator("#use-cases thead a", has_text="Spent").click()
    page.wait_for_url("**/use-cases/?sort=-spent")
    first = page.locator("#use-cases tbody th").first.inner_text()
    assert first.startswith("Support assistant")
    page.locator("#use-cases thead a", has_text="Spent").click()
    page.wait_for_url("**/use-cases/?sort=spent")
    page.go_back()
    page.wait_for_url("**/use-cases/?sort=-spent")
    wait_until(
        page,
        "() => document.querySelector('#use-cases tbody th').innerText.startsWith('Support')",
    )
    page.reload()
    assert page.locator("#use-cases tbody th").first.inner_text() == first


def test_a_filter_chosen_by_form_works_without_script(site, visit):
    page = visit("/use-cases/", java_script_enabled=False)
    page.locator("details.menu summary", has_text="Filter").click()
    page.locator('select[name="f"]').first.select_option("use_case:sandbox")
    page.get_by_role("button", name="Apply").click()
    assert "f=use_case:sandbox" in page.url or "f=use_case%3Asandbox" in page.url
    assert page.locator("#use-cases tbody tr").count() == 1


def test_the_keyboard_reaches_skip_link_navigation_and_rows(site, visit):
    page = visit("/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.keyboard.press("g")
    page.keyboard.press("e")
    page.wait_for_url("**/envelopes/")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url("**/envelopes/env_*/")


def test_the_burn_chart_arrives_and_is_drawn(site, visit):
    page = visit(path_of(site, "/envelopes/ENV/"))
    page.wait_for_selector("[data-chart=burn-figure] .bars path", state="attached")
    assert page.locator("#burn-chart .chart-table summary").count() == 1


def test_finance_lowers_a_cap_seeing_the_effect_first(site, visit):
    page = visit(path_of(site, "/envelopes/ENV/"))
    page.fill("#amount", "19000")
    page.get_by_role("button", name="Show effect").click()
    page.wait_for_url("**amount=19000**")
    assert "Binds first then" in page.locator("#change").inner_text()
    page.fill("#reason", "fewer tickets in December")
    page.get_by_role("button", name="Set cap to $19,000").dblclick()
    page.wait_for_selector("text=The new cap holds from the next call on.")
    assert "$19,000" in page.locator("h1").inner_text()
    assert page.locator("text=fewer tickets in December").count() == 1


def test_finance_changes_an_envelope_without_script(site, visit):
    page = visit(path_of(site, "/envelopes/ENV/?amount=18000"), java_script_enabled=False)
    page.fill("#reason", "without script")
    page.get_by_role("button", name="Set cap to $18,000").click()
    assert "$18,000" in page.locator("h1").inner_text()


def test_a_new_hold_is_seen_within_seconds_without_a_reload(site, visit):
    from o10.wire.requests import Authorize
    from policies import facade as policies
    from tests.company import MODEL, caller
    from tests.web.reports.pages_company import NOW

    page = visit("/envelopes/")
    held = page.locator("#tree-figures .kpi", has_text="Held").locator(".kpi-value")
    before = held.inner_text()
    request = Authorize(
        request_id="seen-live",
        use_case="support-assistant",
        model=MODEL,
        input_tokens=9_000,
        max_output_tokens=9_000,
    )
    policies.authorize(request=request, caller=caller(Role.ROUTER, "key_router"), now=NOW)
    wait_until(
        page,
        "before => document.querySelector('#tree-figures').innerText.includes('Held')"
        " && [...document.querySelectorAll('#tree-figures .kpi')]"
        ".find(e => e.innerText.startsWith('Held')).querySelector('.kpi-value').innerText"
        " !== before",
        arg=before,
        timeout=4_000,
    )
    assert held.inner_text() != before


def test_a_plan_is_pasted_checked_and_entered(site, visit):
    page = visit("/plan/")
    page.fill("#lines", "support-assistant\t2026-12\tnonsense")
    page.get_by_role("button", name="Check").click()
    assert "Nothing was entered." in page.locator("#plan").inner_text()
    page.fill("#lines", "support-assistant\t2026-12\t4200")
    page.get_by_role("button", name="Check").click()
    assert "1 line, $4,200 in all." in page.locator("#plan").inner_text()
    page.get_by_role("button", name="Ask for this plan").click()
    page.wait_for_selector("text=The plan has not changed yet.")


def test_a_frozen_link_gives_the_same_figures_in_a_fresh_browser(site, visit):
    first = visit("/?as_of=9").locator("#overview-figures").inner_text()
    second = visit("/?as_of=9", role=Role.VIEWER)
    assert second.locator("#overview-figures").inner_text() == first
    assert second.locator("text=Back to live").count() == 1


def test_the_buttons_of_a_live_page_stay_ready_while_it_asks(site, visit):
    page = visit(path_of(site, "/envelopes/ENV/?amount=21000"))
    look = """live => {
        const button = document.querySelector("#envelope button[type=submit]");
        const asking = live ? document.querySelector("#envelope") : button.form;
        asking.classList.add("htmx-request");
        const style = getComputedStyle(button);
        const seen = [style.opacity, style.pointerEvents];
        asking.classList.remove("htmx-request");
        return seen;
    }"""
    assert page.evaluate(look, True) == ["1", "auto"]
    assert page.evaluate(look, False) == ["0.65", "none"]
