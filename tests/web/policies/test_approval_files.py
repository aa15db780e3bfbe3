"""Do the rows of each box leave as files, and who sees on the overview what to decide?"""

import csv
import io
from typing import Any

import pytest

from o10.access.roles import Role
from policies import facade
from tests.company import caller
from tests.web.reports.pages_company import NOW, PagesCompany

pytestmark = pytest.mark.usefixtures("company")


@pytest.fixture
def asked(company: PagesCompany) -> Any:
    maker = facade.UseCaseChange(mode="shadow", reason="=cmd()")
    finops = caller(Role.FINOPS, company.people[Role.FINOPS])
    facade.change_use_case(slug="support-assistant", change=maker, actor=finops, now=NOW)
    view = facade.ask_use_case_change(
        slug="support-assistant",
        change=facade.UseCaseChange(mode="enforce", reason="=cmd()"),
        actor=finops,
        now=NOW,
    )
    yield view
    facade.withdraw(approval=view.id, actor=finops, now=NOW)


def rows(company: PagesCompany, role: Role, path: str) -> list[dict[str, str]]:
    answer = company.client(role).get(path)
    assert answer.status_code == 200, path
    return list(csv.DictReader(io.StringIO(answer.content.decode())))


def test_each_box_leaves_as_its_page_shows_it(company: PagesCompany, asked: Any) -> None:
    [mine] = rows(company, Role.CONTROLLER, "/approvals.csv")
    assert (mine["request"], mine["waits_for"]) == (asked.id, "owner, controller")
    assert mine["reason"] == "'=cmd()", "no formula leaves"
    assert rows(company, Role.FINOPS, "/approvals.csv") == []
    [raised] = rows(company, Role.FINOPS, "/approvals/raised.csv")
    assert raised["hash"] == asked.change_hash
    [others] = rows(company, Role.VIEWER, "/approvals/open.csv")
    assert others["request"] == asked.id
    told = company.client(Role.CONTROLLER).get("/approvals.json").json()
    assert [each["request"] for each in told["items"]] == [asked.id]
    assert company.client(Role.CONTROLLER).get("/approvals/done.xlsx").content[:2] == b"PK"
    page = company.client(Role.CONTROLLER).get("/approvals/?box=raised").content.decode()
    assert "/approvals/raised.csv" in page


def test_the_overview_shows_a_decision_to_who_can_decide(
    company: PagesCompany, asked: Any
) -> None:
    page = company.client(Role.CONTROLLER).get("/").content.decode()
    assert "One request needs your decision" in page
    assert f"/approvals/{asked.id}/" in page
    for role in (Role.FINOPS, Role.VIEWER, Role.AUDITOR, Role.ADMIN):
        assert "your decision" not in company.client(role).get("/").content.decode()
    frozen = company.client(Role.CONTROLLER).get("/?as_of=20").content.decode()
    assert "your decision" not in frozen
