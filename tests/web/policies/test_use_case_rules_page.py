"""Can people change mode and models on the page, each with the second person it needs?"""

from typing import Any

import pytest

from o10.access.roles import Role
from policies import facade
from tests.web.reports.pages_company import NOW, PagesCompany

pytestmark = pytest.mark.usefixtures("company")
SLUG = "support-assistant"
PAGE = f"/use-cases/{SLUG}/policy/"


def post(company: PagesCompany, role: Role, **fields: str) -> Any:
    sent = {"reason": "because", "key": f"{role}-{sorted(fields.items())}"[:64], **fields}
    return company.client(role).post(PAGE, sent)


def waiting() -> list[facade.ApprovalView]:
    return list(facade.find_open(subject=f"use_case/{SLUG}", now=NOW))


def decide(company: PagesCompany, role: Role, approval: str, **fields: str) -> Any:
    view = facade.get_approval(approval=approval, now=NOW)
    sent = {"do": "approve", "key": f"{role}{approval}", "version": str(view.version), **fields}
    return company.client(role).post(f"/approvals/{approval}/act/", sent)


def test_the_page_says_how_it_stands_and_is_reached_from_the_use_case(
    company: PagesCompany,
) -> None:
    browser = company.client(Role.FINOPS)
    assert PAGE in browser.get(f"/use-cases/{SLUG}/").content.decode()
    page = browser.get(PAGE)
    assert page.context["head"]["headline"].endswith("on every model that has a price.")
    assert b"Change the mode" in page.content


def test_stepping_back_holds_at_once_and_enforcing_waits_for_two(company: PagesCompany) -> None:
    assert post(company, Role.FINOPS, do="mode", mode="shadow").status_code == 302
    assert facade.get_use_case(slug=SLUG).mode == "shadow"
    [confirm] = waiting()
    assert b"It holds already" in company.client(Role.VIEWER).get(PAGE).content
    decide(company, Role.CONTROLLER, confirm.id)
    assert post(company, Role.FINOPS, do="mode", mode="enforce").status_code == 302
    [asked] = waiting()
    assert asked.kind == "rollout.enforce"
    page = company.client(Role.FINOPS).get(PAGE)
    assert b"Waits for owner and controller" in page.content
    decide(company, Role.CONTROLLER, asked.id)
    assert facade.get_use_case(slug=SLUG).mode == "shadow"
    decide(company, Role.OWNER, asked.id)
    assert facade.get_use_case(slug=SLUG).mode == "enforce" and not waiting()


def test_models_are_taken_out_at_once_and_added_by_request(company: PagesCompany) -> None:
    post(company, Role.FINOPS, do="add", model="openai/gpt-4o", evidence="eval of March")
    [kept] = facade.get_use_case(slug=SLUG).approved_models or ()
    assert (kept.name, kept.evidence) == ("openai/gpt-4o", "eval of March")
    post(company, Role.FINOPS, do="add", model="openai/gpt-4.1", until="2027-01-31")
    [asked] = waiting()
    assert asked.needs == ("controller", "compliance")
    assert "Approve openai/gpt-4.1" in asked.text.title
    page = company.client(Role.FINOPS).get(PAGE).content
    assert b"Approved models" in page and b"eval of March" in page
    company.client(Role.FINOPS).post(
        f"/approvals/{asked.id}/act/", {"do": "withdraw", "key": "w", "version": "1"}
    )
    post(company, Role.FINOPS, do="remove", model="openai/gpt-4o")
    assert facade.get_use_case(slug=SLUG).approved_models == ()
    page = company.client(Role.FINOPS).get(PAGE)
    assert b"No model is approved." in page.content


@pytest.mark.parametrize(
    ("fields", "status", "said"),
    [
        ({"do": "mode", "mode": "enforce", "reason": ""}, 422, "Say why"),
        ({"do": "mode", "mode": "canary"}, 422, "One of observe, shadow, enforce"),
        ({"do": "add", "model": ""}, 422, "The name of a model or offer"),
        ({"do": "dance"}, 422, "One of mode"),
        ({"do": "add", "model": "a", "until": "tomorrow"}, 422, "Nothing was changed."),
    ],
)
def test_what_cannot_be_is_told_and_changes_nothing(
    company: PagesCompany, fields: dict[str, str], status: int, said: str
) -> None:
    before = facade.get_use_case(slug=SLUG)
    answer = post(company, Role.FINOPS, **fields)
    assert (answer.status_code, said in answer.content.decode()) == (status, True)
    assert facade.get_use_case(slug=SLUG) == before


@pytest.mark.parametrize("role", [Role.VIEWER, Role.AUDITOR, Role.ADMIN])
def test_who_only_reads_sees_no_form_and_is_refused(company: PagesCompany, role: Role) -> None:
    page = company.client(role).get(PAGE)
    assert b'name="do"' not in page.content and b"second owner" in page.content
    assert post(company, role, do="mode", mode="observe").status_code == 403


def test_the_cfo_may_stop_and_nothing_else(company: PagesCompany) -> None:
    assert b'value="stop"' in company.client(Role.CFO).get(PAGE).content
    assert post(company, Role.CFO, do="mode", mode="observe").status_code == 403
    post(company, Role.CFO, do="stop")
    assert facade.get_use_case(slug=SLUG).state == "stopped"
    post(company, Role.OWNER, do="restore")
    restore = next(each for each in waiting() if each.kind == "use_case.restore")
    decide(company, Role.CFO, restore.id)
    assert facade.get_use_case(slug=SLUG).state == "active"
