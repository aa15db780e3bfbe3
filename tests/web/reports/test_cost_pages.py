"""Do the pages of full cost and outcomes say what is booked, and offer what may be done?"""

import csv
import io
import re
from datetime import UTC, datetime

import pytest

from o10.access.roles import ROLE_ACTIONS, Action, Role
from policies import facade as policies
from reports import facade
from tests.company import caller
from tests.web.reports.pages_company import HOSTILE, NOW, pages_company, seal_all

PAGES = ("/cost/", "/cost/outcomes/", "/cost.csv", "/cost/use-cases.json", "/cost/outcomes.csv")
PEOPLE = [role for role in Role if role is not Role.ROUTER]
MAKER, CHECKER = "usr_maker", "usr_checker"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("cost")


@pytest.fixture(scope="module")
def company(database_urls, django_db_setup, django_db_blocker, home):
    yield from pages_company(database_urls, django_db_blocker, home)


@pytest.fixture(scope="module")
def costed(company, database_urls, django_db_blocker, home):
    """October's costs are counted, stated and booked; thirty tickets were told for it."""
    with django_db_blocker.unblock():
        router = caller(Role.ROUTER, "key_router")
        facade.record_outcomes(
            drafts=[
                facade.OutcomeDraft(
                    kind="ticket",
                    name=f"t-{number}",
                    success=number % 4 != 0,
                    use_case="support-assistant",
                    at=datetime(2026, 10, 3, 15, tzinfo=UTC),
                )
                for number in range(60)
            ],
            actor=router,
            now=NOW,
        )
        seal_all(database_urls, home)
        facade.count_costs(now=NOW)
        facade.assess_units(now=NOW)
        yield lambda: (seal_all(database_urls, home), facade.count_costs(now=NOW))


@pytest.fixture
def browser(company, costed):
    return company.client(Role.FINOPS)


def text_of(answer):
    return answer.content.decode()


@pytest.mark.parametrize("path", PAGES)
def test_a_stranger_signs_in_first(company, costed, client, path):
    assert client.get(path).status_code == 302


@pytest.mark.parametrize("role", PEOPLE)
@pytest.mark.parametrize("path", ["/cost/", "/cost/outcomes/", "/cost/rules.xlsx"])
def test_each_role_opens_what_its_rights_say(company, costed, role, path):
    answer = company.client(role).get(path)
    wanted = 200 if Action.READ_SPEND in ROLE_ACTIONS[role] else 403
    assert answer.status_code == wanted
    if path.endswith("/") and wanted == 200:
        shown = text_of(answer)
        may = role in {Role.OWNER, Role.FINOPS, Role.CONTROLLER}
        assert ("Ask for this" in shown) is may


def test_page_files_and_sum_of_entries_agree(browser):
    page = browser.get("/cost/?p=2026-10")
    assert page.status_code == 200
    rows = list(csv.DictReader(io.StringIO(text_of(browser.get("/cost.csv?p=2026-10")))))
    cases = browser.get("/cost/use-cases.json?p=2026-10").json()["items"]
    assert len(rows) == len(facade.Component)
    found = facade.get_cost_page(query=_query("2026-10"), now=NOW)
    assert sum(case.total for case in found.cases) == found.full.total
    assert sum(int(row["fully_loaded_nanos"]) for row in cases) == found.full.total
    from o10.kernel.figures import money

    assert money(found.full.total).text in text_of(page)
    assert f"{found.position.seq:,}" in text_of(page)


def _query(month):
    from o10.kernel.viewquery import parse

    return parse([("p", month)], page=facade.COST_GRAMMAR).query


def test_an_amount_a_rule_and_a_booking_by_forms(company, costed, browser):
    amount = {
        "component": "human_review",
        "month": "2026-10",
        "amount": "1,234.56",
        "source": "time sheets",
        "grade": "attested",
        "coverage": "90",
        "key": "f1",
    }
    assert browser.post("/cost/amounts/", amount).status_code == 302
    rule = {
        "component": "human_review",
        "method": "fixed",
        "from": "2026-10",
        "weights": "support-assistant 50%\nsandbox 12.5%",
        "reason": "who reviews",
        "key": "f2",
    }
    assert browser.post("/cost/rules/", rule).status_code == 302
    shown = text_of(browser.get("/cost/?p=2026-10"))
    assert "Waits for a second person" in shown
    assert "No rule is in force" in shown
    _approve_all()
    shown = text_of(browser.get("/cost/?p=2026-10"))
    assert "Ask to book" in shown
    booking = {"month": "2026-10", "reason": "month end", "key": "f3"}
    assert browser.post("/cost/allocations/", booking).status_code == 302
    _approve_all()
    costed()
    shown = text_of(browser.get("/cost/?p=2026-10"))
    assert "The month is booked as its amounts and rules stand" in shown
    found = facade.get_cost_page(query=_query("2026-10"), now=NOW)
    review = next(
        line for line in found.full.lines if line.component is facade.Component.HUMAN_REVIEW
    )
    assert (review.nanos, review.waiting, review.coverage_ppm) == (
        1_234_560_000_000,
        0,
        900_000,
    )
    assert found.full.unallocated == 1_234_560_000_000 * 3 // 8
    # The overview's Spent is inference alone.
    assert "1,234.56" not in text_of(browser.get("/use-cases/?p=2026-10"))


def _approve_all():
    for each in policies.list_approvals(now=NOW, state="open", limit=50).items:
        policies.approve(
            approval=each.id, actor=caller(Role.CONTROLLER, "usr_controller"), now=NOW
        )


@pytest.mark.parametrize(
    ("path", "body", "word"),
    [
        ("/cost/amounts/", {"month": "2026-13"}, "A month such as"),
        ("/cost/amounts/", {"amount": "1.2.3"}, "plain decimal"),
        ("/cost/amounts/", {"source": ""}, "where the amount comes from"),
        ("/cost/amounts/", {"coverage": "140"}, "A share from 0 to 1"),
        ("/cost/rules/", {"method": "fixed", "weights": "nobody 10%"}, "no use case"),
        ("/cost/rules/", {"method": "fixed", "weights": "sandbox 200%"}, "A share from 0"),
        ("/cost/rules/", {"reason": ""}, "Say why"),
        ("/cost/allocations/", {"month": "2026-08", "reason": "x"}, "Nothing is waiting"),
        ("/cost/outcomes/values/", {"value": "-1"}, "0 or more"),
        ("/cost/outcomes/values/", {"window_days": "a week"}, "90 days"),
    ],
)
def test_a_wrong_form_keeps_what_was_typed_and_enters_nothing(browser, path, body, word):
    wanted = {
        "component": "tools",
        "month": "2026-10",
        "amount": "12.00",
        "source": "typed by hand",
        "grade": "attested",
        "coverage": "100",
        "method": "by_calls",
        "from": "2026-10-01" if "values" in path else "2026-10",
        "weights": "",
        "reason": "typed reason",
        "use_case": "" if "amounts" in path else "support-assistant",
        "type": "ticket",
        "value": "2",
        "hurdle": "",
        "window_days": "7",
    }
    answer = browser.post(path, wanted | body)
    shown = text_of(answer)
    assert answer.status_code == 422, shown[:400]
    assert "Nothing was entered." in shown
    assert word in shown
    if "reason" not in body and "source" not in body:
        assert "typed by hand" in shown or "typed reason" in shown


def test_a_viewer_is_told_who_may_and_posts_in_vain(company, costed):
    viewer = company.client(Role.VIEWER)
    assert "Finance (finops or controller) states amounts." in text_of(viewer.get("/cost/"))
    body = {"component": "tools", "month": "2026-10", "amount": "1", "source": "x"}
    assert viewer.post("/cost/amounts/", body).status_code == 403
    rule = {"component": "tools", "method": "by_calls", "from": "2026-10", "reason": "x"}
    assert viewer.post("/cost/rules/", rule).status_code == 403


def test_outcomes_show_cost_interval_n_and_who_has_none(browser):
    shown = text_of(browser.get("/cost/outcomes/?p=2026-10"))
    assert "no approved value" in shown.lower()
    assert "closed" in shown
    rows = list(
        csv.DictReader(io.StringIO(text_of(browser.get("/cost/outcomes.csv?p=2026-10"))))
    )
    assert [(row["slug"], row["outcomes"], row["successes"]) for row in rows] == [
        ("support-assistant", "60", "45")
    ]
    on_page = text_of(browser.get("/use-cases/support-assistant/?p=2026-10"))
    assert "per ticket" in on_page
    other = text_of(browser.get("/use-cases/contract-review/"))
    assert "No outcome was told for this use case" in other
    listed = text_of(browser.get("/use-cases/?p=2026-10"))
    assert "Per outcome" in listed


def test_a_frozen_page_has_no_forms_and_the_figures_of_then(browser):
    live = text_of(browser.get("/cost/?p=2026-10"))
    seq = re.search(r"as_of=(\d+)", live)
    shown = text_of(browser.get("/cost/?p=2026-10&as_of=3"))
    assert "Ask for this rule" not in shown
    assert seq is not None
    assert browser.get("/cost/?as_of=999999999").status_code == 422


def test_an_empty_month_says_so_and_names_stay_text(browser):
    shown = text_of(browser.get("/cost/?p=2025-01"))
    assert "Nothing was booked for" in shown
    assert "<script>alert" not in text_of(browser.get("/cost/?p=2026-10"))
    assert HOSTILE not in text_of(browser.get("/cost/outcomes/"))
