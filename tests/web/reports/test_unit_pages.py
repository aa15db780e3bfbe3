"""Do pages take volumes and machines, and does what fails stand with its target and levers?"""

import csv
import io
import re
from datetime import UTC, datetime
from html import unescape

import pytest

from o10.access.roles import ROLE_ACTIONS, Action, Role
from reports import facade
from tests.company import caller
from tests.web.reports.pages_company import NOW, pages_company, seal_all

PEOPLE = [role for role in Role if role is not Role.ROUTER]
MAKER, CHECKER = "usr_maker", "usr_checker"
MACHINE = {
    "month": "2026-10",
    "use_case": "",
    "name": "rig <b>one</b>",
    "purchase": "90,000",
    "residual": "10,000",
    "life_hours": "40,000",
    "planned_utilisation": "80",
    "power": "0.70",
    "hosting": "",
    "staff": "",
    "hours": "730",
    "used_hours": "438",
    "source": "asset 12",
    "key": "m1",
}


@pytest.fixture(scope="module")
def company(database_urls, django_db_setup, django_db_blocker, tmp_path_factory):
    """Three months of tickets that are worth nearly nothing: support fails."""
    home = tmp_path_factory.mktemp("units")
    made = pages_company(database_urls, django_db_blocker, home)
    company = next(made)
    with django_db_blocker.unblock():
        facade.record_outcomes(
            drafts=[
                facade.OutcomeDraft(
                    kind="resolved_ticket",
                    name=f"{month}-{number}",
                    success=number % 4 != 0,
                    use_case="support-assistant",
                    at=datetime(2026, month, 3, 15, tzinfo=UTC),
                )
                for month in (8, 9, 10)
                for number in range(60)
            ],
            actor=caller(Role.ROUTER, "key_router"),
            now=NOW,
        )
        drafts = [
            facade.ComponentDraft(
                component="human_review",
                month=datetime(2026, month, 1, tzinfo=UTC).date(),
                amount_nanos=900 * 10**9,
                use_case="support-assistant",
                source="time sheets",
            )
            for month in (8, 9, 10)
        ]
        facade.set_component_amounts(drafts=drafts, actor=caller(Role.FINOPS), now=NOW)
        people = {"requested_by": MAKER, "approved_by": CHECKER, "actor": CHECKER, "now": NOW}
        facade.apply_outcome_value(
            change={
                "use_case": "support-assistant",
                "type": "resolved_ticket",
                "value": "0.50",
                "hurdle": "0.10",
                "from": "2026-01-01",
                "reason": "six minutes",
            },
            **people,
        )
        for draft in drafts:
            facade.run_allocation(month=draft.month, **people)
        seal_all(database_urls, home)
        facade.count_costs(now=NOW)
        facade.assess_units(now=NOW)
    yield company
    next(made, None)


@pytest.fixture
def browser(company):
    return company.client(Role.FINOPS)


def text_of(answer):
    return unescape(answer.content.decode())


def rows_of(answer):
    return list(csv.DictReader(io.StringIO(answer.content.decode())))


@pytest.mark.parametrize("path", ["/", "/cost/outcomes/", "/use-cases/support-assistant/"])
def test_what_fails_stands_with_its_target_and_its_levers(browser, path):
    shown = text_of(browser.get(path))
    assert "may cost $0.40: $0.50 of value less a hurdle of $0.10" in shown
    assert "3 months in a row" in shown
    links = re.findall(r'href="([^"]*)"[^>]*>(Cap[^<]*|Rightsize|Sunset)<', shown)
    assert [label.split()[0] for _, label in links[:3]] == ["Cap", "Rightsize", "Sunset"]
    for url, label in links[1:3]:
        form = text_of(browser.get(url))
        assert '<option value="support-assistant" selected>' in form
        assert '<option value="margin_per_outcome" selected>' in form
        lever = "rightsizing" if label == "Rightsize" else "sunset"
        assert f'<option value="{lever}" selected>' in form
    assert browser.get(links[0][0].split("#")[0]).status_code == 200


def test_one_sentence_answers_who_fails(browser):
    wanted = "1 use case fails unit economics: Support"
    assert wanted in text_of(browser.get("/cost/outcomes/"))
    assert wanted in text_of(browser.get("/"))


def test_who_only_reads_sees_no_lever_but_who_may_pull_it(company):
    shown = text_of(company.client(Role.VIEWER).get("/cost/outcomes/"))
    assert "pull its levers" in shown
    assert "kill-criteria/new" not in shown
    frozen = text_of(company.client(Role.FINOPS).get("/?as_of=3"))
    assert "kill-criteria/new" not in frozen


def test_the_tile_tells_the_last_whole_month_and_how_far_it_moved(browser):
    for path in ("/", "/use-cases/support-assistant/"):
        shown = text_of(browser.get(path))
        assert "Cost per resolved ticket, Oct" in shown
        assert "ΔSep" in shown


@pytest.mark.parametrize("role", PEOPLE)
def test_each_role_opens_the_page_of_drivers_as_its_rights_say(company, role):
    answer = company.client(role).get("/cost/drivers/")
    may_read = Action.READ_SPEND in ROLE_ACTIONS[role]
    assert answer.status_code == (200 if may_read else 403)
    if may_read:
        may_tell = Action.RECORD_USAGE in ROLE_ACTIONS[role]
        assert ("Enter volumes" in text_of(answer)) is may_tell


def test_volumes_are_pasted_or_sent_as_a_file_whole_or_not_at_all(company, browser):
    empty = text_of(browser.get("/cost/drivers/?p=2026-10"))
    assert "No volume of a driver was told for October 2026." in empty
    wrong = browser.post(
        "/cost/drivers/",
        {"lines": "support-assistant,tickets,2026-10,900\nnobody,tickets,2026-10,3"},
    )
    assert wrong.status_code == 422
    shown = text_of(wrong)
    assert "Row 2" in shown
    assert "There is no use case 'nobody'." in shown
    assert "support-assistant,tickets,2026-10,900" in shown  # what was typed is kept
    assert browser.post("/cost/drivers/", {"lines": " "}).status_code == 422
    file = io.BytesIO(b"use case,driver,period,volume\nsupport-assistant,tickets,2026-10,900\n")
    file.name = "volumes.csv"
    sent = browser.post("/cost/drivers/", {"lines": "", "file": file})
    assert sent.status_code == 302
    again = browser.post(
        "/cost/drivers/", {"lines": "support-assistant,tickets,2026-10,900"}, follow=True
    )
    assert "1 stood so already" in text_of(again)
    other = browser.post("/cost/drivers/", {"lines": "support-assistant,tickets,2026-10,901"})
    assert other.status_code == 409
    assert "send it as revision 2" in text_of(other)
    told = rows_of(browser.get("/cost/drivers.csv?p=2026-10"))
    assert [(row["slug"], row["driver"], row["volume"]) for row in told] == [
        ("support-assistant", "tickets", "900")
    ]
    page = text_of(browser.get("/cost/drivers/?p=2026-10"))
    assert "for one of tickets" in page
    link = re.search(r'href="(/ledger/ent_[^"]*)"', page)
    entry = browser.get(link[1], follow=True)
    assert "driver" in text_of(entry)
    volumes = rows_of(browser.get("/cost/drivers/volumes.csv?p=2026-10"))
    assert [(row["period"], row["volume"]) for row in volumes] == [("2026-10", "900")]
    for path in ("drivers.xlsx", "drivers.json", "hardware.csv", "drivers/volumes.xlsx"):
        answer = browser.get(f"/cost/{path}?p=2026-10")
        assert answer.status_code == 200
        assert answer.headers["X-O10-Ledger-Position"].isdigit()
    viewer = company.client(Role.VIEWER)
    lines = {"lines": "support-assistant,seats,2026-10,9"}
    assert viewer.post("/cost/drivers/", lines).status_code == 403


def test_a_rule_by_driver_is_asked_for_by_the_form(browser):
    browser.post("/cost/drivers/", {"lines": "sandbox,chats,2026-10,50"})
    rule = {
        "component": "tools",
        "method": "by_driver",
        "driver": "chats",
        "from": "2026-10",
        "reason": "chats cause it",
        "key": "d1",
    }
    assert ">chats</option>" in text_of(browser.get("/cost/"))
    asked = browser.post("/cost/rules/", rule, follow=True)
    assert "Tools and APIs: shared out by driver: chats" in text_of(asked)
    wrong = browser.post("/cost/rules/", rule | {"driver": "nothing", "key": "d2"})
    assert wrong.status_code == 422
    assert "No volume of this driver was ever told." in text_of(wrong)


def test_a_machine_is_entered_shown_and_taken_out(company, browser):
    assert "No machine is stated" in text_of(browser.get("/cost/?p=2026-10"))
    entered = browser.post("/cost/hardware/", MACHINE, follow=True)
    assert "$1,402 used, $467 waste" in text_of(entered)
    raw = browser.get("/cost/?p=2026-10").content.decode()
    assert "rig &lt;b&gt;one&lt;/b&gt;" in raw
    assert "$3.20" in raw
    wrong = browser.post("/cost/hardware/", MACHINE | {"used_hours": "9,999", "key": "m2"})
    assert wrong.status_code == 422
    assert "Used hours are among the hours it stood ready." in text_of(wrong)
    bad = browser.post("/cost/hardware/", MACHINE | {"life_hours": "long", "key": "m3"})
    assert "Life hours is a whole number." in text_of(bad)
    viewer = company.client(Role.VIEWER)
    assert viewer.post("/cost/hardware/", MACHINE).status_code == 403
    out = {"month": "2026-10", "use_case": "", "name": MACHINE["name"], "key": "m4"}
    assert browser.post("/cost/hardware/remove/", out).status_code == 302
    assert "No machine is stated" in text_of(browser.get("/cost/?p=2026-10"))


def test_a_number_of_the_cost_page_leads_to_its_entries(browser):
    page = text_of(browser.get("/cost/?p=2026-10"))
    link = re.search(r'href="(/ledger/\?f=component:human_review[^"]*)"', page)
    entries = text_of(browser.get(link[1]))
    assert "$900" in entries
    assert "Component" in entries
