"""Does finance state, share out and book a cost, and see what an outcome costs, in a browser?

Needs Chromium and playwright; skips with the command to install them.
"""

from datetime import UTC, datetime

import pytest

from o10.access.roles import Role
from policies import facade as policies
from reports import facade as reports
from tests.company import caller
from tests.journeys.conftest import axe_findings
from tests.waiting import wait_until
from tests.web.reports.pages_company import NOW, seal_all

pytestmark = pytest.mark.browser

SCREENS = [
    "/cost/?p=2026-10",
    "/cost/outcomes/?p=2026-10",
    "/cost/drivers/?p=2026-10",
    "/cost/drivers/?p=2025-01",
]
LONG = "a source whose name is very long because nobody ever stops typing " * 3


@pytest.fixture(scope="module")
def counted(site, django_db_blocker):
    """Outcomes are told and costs are counted; again whenever it is called."""

    def count():
        with django_db_blocker.unblock():
            seal_all(site.urls, site.home)
            reports.count_costs(now=NOW)
            reports.assess_units(now=NOW)

    with django_db_blocker.unblock():
        reports.record_outcomes(
            drafts=[
                reports.OutcomeDraft(
                    kind="ticket",
                    name=f"{month}-{number}",
                    success=number % 5 != 0,
                    use_case="support-assistant",
                    at=datetime(2026, month, 3, 15, tzinfo=UTC),
                )
                for month in (9, 10, 11)
                for number in range(50)
            ],
            actor=caller(Role.ROUTER, "key_router"),
            now=NOW,
        )
    count()
    return count


@pytest.mark.parametrize("screen", SCREENS)
def test_a_screen_is_accessible_narrow_and_alone(site, counted, visit, screen):
    """With every form open: what is folded away is judged too."""
    page = visit(screen, color_scheme="light")
    for summary in page.locator("main details > summary.btn").all():
        summary.click()
    assert axe_findings(page) == []
    page.emulate_media(color_scheme="dark")
    assert axe_findings(page) == []
    for width in (390, 320):
        page.set_viewport_size({"width": width, "height": 900})
        wait_until(
            page,
            "width => document.documentElement.scrollWidth <= width",
            arg=width,
            timeout=5_000,
        )
    assert page.errors == []
    assert page.origins == {site.url.split("/")[2]}


def approve_all(blocker):
    with blocker.unblock():
        for each in policies.list_approvals(now=NOW, state="open", limit=50).items:
            policies.approve(
                approval=each.id, actor=caller(Role.CONTROLLER, "usr_second"), now=NOW
            )


def test_a_cost_is_stated_shared_out_by_two_people_and_booked(
    site, counted, visit, django_db_blocker
):
    page = visit("/cost/?p=2026-10")
    page.wait_for_selector("[data-chart=waterfall] .bars path", state="attached")
    page.get_by_text("Enter an amount…").click()
    page.select_option("#a-component", "observability")
    page.fill("#a-amount", "1200")
    page.fill("#a-source", "bill 7 of the log service")
    page.get_by_role("button", name="Enter amount").dblclick()
    page.wait_for_selector("text=Entered; an allocation books it.")
    assert page.locator("#amounts tbody tr").count() == 1
    page.get_by_text("Ask for a rule…").click()
    page.select_option("#r-component", "observability")
    page.select_option("#r-method", "by_calls")
    page.fill("#r-from", "2026-10")
    page.fill("#r-reason", "logs grow with calls")
    page.get_by_role("button", name="Ask for this rule").click()
    page.wait_for_selector("text=It waits for controller.")
    assert page.locator("text=No rule is in force").count() == 1
    approve_all(django_db_blocker)
    page.goto(f"{site.url}/cost/?p=2026-10")
    assert page.locator("#rules tbody tr").count() == 1
    page.fill("#run-reason", "end of October")
    page.get_by_role("button", name="Ask to book $1,200").click()
    page.wait_for_selector("text=It waits for controller.")
    approve_all(django_db_blocker)
    counted()
    page.goto(f"{site.url}/cost/?p=2026-10")
    assert "The month is booked" in page.locator("#allocation").inner_text()
    row = page.locator("#components tbody tr", has_text="Observability").inner_text()
    assert "$1,200" in row
    assert "bill 7 of the log service" in row


def test_a_value_is_asked_for_and_the_use_case_shows_its_margin(
    site, counted, visit, django_db_blocker
):
    page = visit("/cost/outcomes/?p=2026-10")
    page.get_by_text("Ask for a value…").click()
    page.select_option("#v-use-case", "support-assistant")
    page.fill("#v-type", "ticket")
    page.fill("#v-value", "2.00")
    page.fill("#v-from", "2026-01-01")
    page.fill("#v-reason", "six minutes of an agent")
    page.get_by_role("button", name="Ask for this value").click()
    page.wait_for_selector("text=It waits for controller.")
    approve_all(django_db_blocker)
    counted()
    page.goto(f"{site.url}/use-cases/support-assistant/?p=2026-10")
    block = page.locator("#use-case-outcomes").inner_text()
    assert "per ticket" in block
    assert "Margin" in block
    page.goto(f"{site.url}/cost/outcomes/?p=2026-10")
    assert page.locator("#units tbody tr").count() == 1


def test_forms_work_without_script_and_keep_what_was_typed(site, counted, visit):
    page = visit("/cost/?p=2026-10", java_script_enabled=False)
    page.get_by_text("Enter an amount…").click()
    page.fill("#a-amount", "12,5x")
    page.fill("#a-source", "typed without script")
    page.get_by_role("button", name="Enter amount").click()
    page.locator("main").get_by_text("Nothing was entered.").wait_for()
    assert page.input_value("#a-source") == "typed without script"
    assert page.input_value("#a-amount") == "12,5x"


def test_volumes_and_a_machine_share_out_a_cost_and_the_number_leads_to_entries(
    site, counted, visit, django_db_blocker
):
    page = visit("/cost/drivers/?p=2026-10")
    page.fill("#d-lines", "support-assistant,tickets,2026-10,300\nsandbox,tickets,2026-10,x")
    page.get_by_role("button", name="Enter volumes").click()
    page.locator("main").get_by_text("Nothing was entered.").wait_for()
    assert axe_findings(page) == []
    rows = "support-assistant,tickets,2026-10,300\nsandbox,tickets,2026-10,100"
    page.fill("#d-lines", rows)
    page.get_by_role("button", name="Enter volumes").dblclick()
    page.wait_for_selector("text=2 volumes entered.")
    page.goto(f"{site.url}/cost/?p=2026-10")
    page.get_by_text("Enter a machine…").click()
    for field, value in {
        "name": "rig",
        "purchase": "90000",
        "residual": "10000",
        "life": "40000",
        "planned": "80",
        "power": "0.70",
        "hours": "730",
        "used": "438",
        "source": LONG[:200],
    }.items():
        page.fill(f"#m-{field}", value)
    page.get_by_role("button", name="Enter machine").click()
    page.wait_for_selector("text=$1,402 used, $467 waste")
    page.get_by_text("Ask for a rule…").click()
    page.select_option("#r-component", "hardware")
    page.select_option("#r-method", "by_driver")
    page.select_option("#r-driver", "tickets")
    page.fill("#r-from", "2026-10")
    page.fill("#r-reason", "tickets keep it busy")
    page.get_by_role("button", name="Ask for this rule").click()
    page.wait_for_selector("text=It waits for controller.")
    approve_all(django_db_blocker)
    page.goto(f"{site.url}/cost/?p=2026-10")
    page.fill("#run-reason", "end of October")
    page.locator("#allocation").get_by_role("button").click()
    page.wait_for_selector("text=It waits for controller.")
    approve_all(django_db_blocker)
    counted()
    page.goto(f"{site.url}/cost/?p=2026-10")
    page.set_viewport_size({"width": 390, "height": 900})
    wait_until(page, "() => document.documentElement.scrollWidth <= 390", timeout=5_000)
    page.set_viewport_size({"width": 1280, "height": 900})
    row = page.locator("#components tbody tr", has_text="Owned hardware").first
    row.get_by_role("link").click()
    page.wait_for_selector("text=2 entries match and add up to $1,401.6")
    page.goto(f"{site.url}/cost/drivers/?p=2026-10")
    assert page.locator("#units tbody tr").count() == 2
    assert [each for each in page.errors if "422" not in each] == []
