"""Is a plan entered whole or not at all, by those who may, and never edited?"""

from datetime import UTC, date, datetime

import pytest
from django.db import connection, transaction
from django.db.utils import DatabaseError

from o10.access import operations as access
from o10.access.roles import Role
from o10.kernel.errors import Conflict, Forbidden, ValidationFailed
from policies import facade as policies
from reports import facade
from reports.models import PlanLine
from reports.operations.set_plan import LINES_MOST
from tests.company import caller
from tests.forget import forget_everything

NOW = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
NOVEMBER = date(2026, 11, 1)
FINOPS = caller(Role.FINOPS)


@pytest.fixture
def company(db):
    from ledger import facade as ledger

    forget_everything()
    ledger.create_ledger(
        origin="ledger.example.com/p", currency="USD", time_zone="UTC", now=NOW
    )
    policies.found_organisation(
        name="Acme", slug="acme", demo=False, actor=access.COMMAND_LINE, now=NOW
    )
    for slug in ("support", "sandbox"):
        draft = policies.UseCaseDraft(slug=slug, name=slug, department="service")
        policies.create_use_case(draft=draft, actor=FINOPS, now=NOW)
    yield
    forget_everything()


def plan(*lines, actor=FINOPS, now=NOW):
    drafts = [facade.PlanDraft(*line) for line in lines]
    return facade.set_plan(lines=drafts, actor=actor, now=now)


def cells(**more):
    numbers = {row.number: row.slug for row in policies.list_use_case_rows()} | {0: ""}
    found = facade.plan_cells(first=date(2026, 1, 1), after=date(2027, 1, 1), **more)
    return {(month, numbers[number]): amount for (month, number), amount in found.items()}


def test_the_newest_version_of_each_cell_holds(company):
    assert plan(("support", NOVEMBER, 5), ("sandbox", NOVEMBER, 7)) == 1
    assert plan(("support", date(2026, 11, 23), 6)) == 2
    assert cells() == {(NOVEMBER, "support"): 6, (NOVEMBER, "sandbox"): 7}
    assert facade.newest_plan().version == 2


def test_an_earlier_instant_reads_the_earlier_plan(company):
    plan(("support", NOVEMBER, 5))
    plan(("support", NOVEMBER, 6), now=NOW.replace(hour=12))
    assert cells(entered_to=NOW) == {(NOVEMBER, "support"): 5}


def test_a_cell_can_be_taken_back(company):
    plan(("support", NOVEMBER, 5), ("", NOVEMBER, 1))
    plan(("support", NOVEMBER, None))
    assert cells() == {(NOVEMBER, ""): 1}


@pytest.mark.parametrize(
    ("lines", "pointer"),
    [
        ([], "/lines"),
        ([("nobody", NOVEMBER, 5)], "/lines/0/use_case"),
        ([("support", NOVEMBER, -1)], "/lines/0/amount"),
        ([("support", NOVEMBER, 2**63)], "/lines/0/amount"),
        ([("support", NOVEMBER, 1), ("support", date(2026, 11, 9), 2)], "/lines/1"),
        ([("support", NOVEMBER, 1)] * (LINES_MOST + 1), "/lines"),
    ],
)
def test_one_wrong_line_keeps_all_of_them_out(company, lines, pointer):
    with pytest.raises(ValidationFailed) as told:
        plan(("sandbox", NOVEMBER, 3), *lines) if lines and pointer == "" else plan(*lines)
    assert told.value.errors[0].pointer == pointer
    assert not PlanLine.objects.exists()


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OWNER, Role.AUDITOR, Role.CFO, Role.ADMIN])
def test_only_finance_enters_a_plan(company, role):
    with pytest.raises(Forbidden):
        plan(("support", NOVEMBER, 5), actor=caller(role))
    assert not PlanLine.objects.exists()


@pytest.mark.parametrize(
    "attack",
    [
        "UPDATE reports_plan_line SET amount_nanos = 1",
        "DELETE FROM reports_plan_line",
        "TRUNCATE reports_plan_line",
    ],
)
def test_a_plan_line_is_never_edited(company, attack):
    plan(("support", NOVEMBER, 5))
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(attack)
    assert cells() == {(NOVEMBER, "support"): 5}


def test_a_plan_is_asked_for_and_holds_once_a_second_person_agreed(company):
    controller = caller(Role.CONTROLLER, "usr_controller")
    plan(("support", NOVEMBER, 5))
    lines = [facade.PlanDraft("support", NOVEMBER, 9), facade.PlanDraft("sandbox", NOVEMBER, 2)]
    with pytest.raises(Forbidden):
        facade.ask_plan(lines=lines, actor=controller, now=NOW)
    asked = facade.ask_plan(lines=lines, actor=FINOPS, now=NOW, key="k")
    assert facade.ask_plan(lines=lines, actor=FINOPS, now=NOW, key="k").id == asked.id
    assert [(row.old, row.new) for row in asked.text.rows][1][0] == "no plan"
    assert asked.text.money_nanos == "6" and cells() == {(NOVEMBER, "support"): 5}
    done = policies.approve(approval=asked.id, actor=controller, now=NOW)
    assert done.result == {"plan_version": "2"}
    assert cells() == {(NOVEMBER, "support"): 9, (NOVEMBER, "sandbox"): 2}


def test_another_plan_in_between_voids_the_request(company):
    lines = [facade.PlanDraft("support", NOVEMBER, 9)]
    asked = facade.ask_plan(lines=lines, actor=FINOPS, now=NOW)
    plan(("support", NOVEMBER, 5))
    with pytest.raises(Conflict):
        policies.approve(
            approval=asked.id, actor=caller(Role.CONTROLLER, "usr_controller"), now=NOW
        )
    assert policies.get_approval(approval=asked.id, now=NOW).state == "void"
    assert cells() == {(NOVEMBER, "support"): 5}
