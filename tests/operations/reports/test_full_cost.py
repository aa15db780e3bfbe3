"""Do allocations of any ledger add up to the nano, once, and only by two people?"""

import random
from datetime import date, timedelta
from itertools import product

import psycopg
import pytest
from django.core.management import call_command
from django.db import connection, transaction
from django.db.utils import DatabaseError

from ledger import facade as ledger
from o10.access.roles import Role
from o10.kernel.errors import Forbidden, PreconditionFailed, SelfApproval, ValidationFailed
from o10.kernel.viewquery import parse
from o10.wire.requests import Finish, Purpose
from policies import facade as policies
from reports import facade as reports
from reports.core.allocation import full_cost
from reports.models import APPEND_ONLY
from reports.queries.components import list_amounts, statements_of
from reports.queries.cost_cells import read_counted
from tests.company import caller
from tests.operations.reports.cost_company import (
    CHECKER,
    MAKER,
    NOVEMBER,
    NOW,
    OCTOBER,
    SLUGS,
    cost_company,
)

UNIT = 10**9


@pytest.fixture
def company(database_urls, django_db_setup, django_db_blocker, tmp_path, clock):
    yield from cost_company(database_urls, django_db_blocker, tmp_path)


def cost_of_october(as_of=None):
    counted = read_counted(first=OCTOBER, after=NOVEMBER, as_of=as_of)
    said = statements_of(list_amounts(first=OCTOBER, after=NOVEMBER))
    return full_cost(counted.cells, said, months=1)


def sum_of_entries():
    """The total of October by other means: every amount of every entry."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(sum(amount_nanos), 0)::bigint FROM ledger_entry WHERE"
            " (effective_at AT TIME ZONE 'Europe/Berlin')::date >= '2026-10-01' AND"
            " (effective_at AT TIME ZONE 'Europe/Berlin')::date < '2026-11-01'"
        )
        return int(cursor.fetchone()[0])


def count_entries():
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM ledger_entry")
        return cursor.fetchone()[0]


@pytest.mark.parametrize("seed", range(3))
def test_full_cost_of_all_use_cases_is_the_total_of_a_random_ledger(company, seed):
    draw = random.Random(seed)
    for number in range(25):
        company.use(
            f"{seed}-{number}",
            slug=draw.choice([*SLUGS, None]),
            day=OCTOBER + timedelta(days=draw.randrange(31)),
            purpose=draw.choice(list(Purpose)),
            status=draw.choice(list(Finish)),
            thousands=draw.randrange(1, 900),
        )
    methods = ["by_tokens", "by_calls", "by_direct_cost", "by_driver", "direct"]
    for component in reports.STATED:
        company.state(component.value, draw.randrange(10**13))
        company.state(component.value, draw.randrange(10**12), use_case=draw.choice(SLUGS))
        if draw.random() < 0.8:
            company.rule(component.value, draw.choice(methods))
    reports.record_drivers(
        drafts=[
            reports.VolumeDraft(
                use_case=slug, driver="tickets", period="2026-10", volume=draw.randrange(10**6)
            )
            for slug in SLUGS
        ],
        actor=company.finops,
        now=NOW,
    )
    company.rule("gateway", "by_driver", driver="tickets")
    company.rule("platform", "by_headcount", weights={"support": 7, "claims": 3})
    company.rule("tools", "fixed", weights={"support": "0.333333", "sandbox": "0.111111"})
    company.count()
    spent = read_counted(first=OCTOBER, after=NOVEMBER).cells
    done = company.allocate()
    company.count()
    found = cost_of_october()
    stated = sum(row.amount_nanos for row in list_amounts(first=OCTOBER, after=NOVEMBER))
    assert found.total == sum_of_entries() == sum(cell.nanos for cell in spent) + stated
    assert sum(found.of(number) for number in found.by_use_case) == found.total
    assert done.total == stated
    assert all(line.waiting == 0 for line in found.lines)
    # What no rule placed stays one visible line, and nothing of it reached a use case.
    assert found.unallocated >= done.unallocated > 0


def test_again_books_nothing_and_a_changed_amount_books_the_difference(company):
    company.use("one", thousands=300)
    company.use("two", slug="claims", thousands=100)
    company.state("observability", 400 * UNIT)
    company.rule("observability", "by_tokens")
    company.count()
    first = company.allocate()
    assert (first.run, first.booked, first.reversed) == (1, 2, 0)
    entries = count_entries()
    again = company.allocate()
    assert (again.run, again.booked, count_entries()) == (0, 0, entries)
    company.state("observability", 500 * UNIT)
    changed = company.allocate()
    assert (changed.run, changed.booked, changed.reversed) == (2, 2, 2)
    assert count_entries() == entries + 4
    company.count()
    found = cost_of_october()
    numbers = company.numbers
    observed = reports.Component.OBSERVABILITY
    assert found.by_use_case[numbers["support"]][observed] == 375 * UNIT
    assert found.by_use_case[numbers["claims"]][observed] == 125 * UNIT
    company.state("observability", None)
    assert company.allocate().reversed == 2
    company.count()
    assert cost_of_october().total == sum_of_entries()
    assert observed not in {
        part
        for parts in cost_of_october().by_use_case.values()
        for part, nanos in parts.items()
        if nanos
    }


def test_allocations_move_no_cap_and_no_spent_and_verify(company):
    company.use("one", thousands=300)
    company.state("human_review", 900_000 * UNIT)
    company.rule("human_review", "by_calls")
    company.count()
    before = policies.list_envelope_lines(now=NOW)[0]
    company.allocate()
    company.count()
    after = policies.list_envelope_lines(now=NOW)[0]
    assert (after.settled, after.available) == (before.settled, before.available)
    assert not list(policies.check_conservation())
    spent = ledger.sum_spend(
        ledger_id=1,
        time_zone="Europe/Berlin",
        by=(),
        start=OCTOBER,
        end=NOVEMBER,
        as_of=ledger.position_of(ledger_id=1).seq,
    )
    assert spent[0].spent < UNIT * 1_000
    whole = ledger.sum_spend(
        ledger_id=1,
        time_zone="Europe/Berlin",
        by=(),
        start=OCTOBER,
        end=NOVEMBER,
        as_of=ledger.position_of(ledger_id=1).seq,
        with_allocations=True,
    )
    assert whole[0].spent == spent[0].spent + 900_000 * UNIT == sum_of_entries()


def test_an_earlier_position_shows_the_cost_as_it_was_known(company):
    company.use("one", thousands=300)
    company.state("tools", 40 * UNIT)
    company.rule("tools", "by_calls")
    early = company.count()
    total = cost_of_october().total
    company.allocate()
    company.use("late", thousands=50)
    company.count()
    assert cost_of_october(as_of=early).total == total
    assert cost_of_october().total > total + 40 * UNIT


def test_counting_twice_or_anew_changes_nothing(company):
    for number in range(6):
        company.use(f"n{number}", run_id=f"run-{number % 2}", customer="acme")
    company.count()
    cells = read_counted(first=OCTOBER, after=NOVEMBER).cells
    company.count()
    assert read_counted(first=OCTOBER, after=NOVEMBER).cells == cells
    seq = company.count()
    assert reports.recount_costs(now=NOW) == reports.Recounted(seq, ())
    assert read_counted(first=OCTOBER, after=NOVEMBER).cells == cells


def test_the_command_counts_anew_and_names_what_was_wrong(company, capsys):
    company.use("one")
    company.count()
    cells = read_counted(first=OCTOBER, after=NOVEMBER).cells
    call_command("recount_costs")
    assert "the sums stood as they are" in capsys.readouterr().out
    with connection.cursor() as cursor:
        cursor.execute("UPDATE reports_cost_cell SET amount_nanos = amount_nanos + 1")
    with pytest.raises(SystemExit) as caught:
        call_command("recount_costs")
    assert caught.value.code == 1
    assert "put right: direct" in capsys.readouterr().out
    assert read_counted(first=OCTOBER, after=NOVEMBER).cells == cells


def test_one_person_alone_changes_no_rule_no_value_and_books_nothing(company):
    change = {"component": "tools", "method": "by_calls", "from": "2026-01", "reason": "x"}
    with pytest.raises(SelfApproval):
        reports.apply_allocation_rule(
            change=change, requested_by=MAKER, approved_by=MAKER, actor=MAKER, now=NOW
        )
    value = {"use_case": "support", "type": "t", "value": "1", "from": "2026-01-01"}
    with pytest.raises(SelfApproval):
        reports.apply_outcome_value(
            change=value | {"reason": "x"},
            requested_by=MAKER,
            approved_by=MAKER,
            actor=MAKER,
            now=NOW,
        )
    with pytest.raises(SelfApproval):
        company.allocate(approved_by=MAKER)


def test_a_plan_that_moved_since_it_was_looked_at_is_not_booked(company):
    company.use("one")
    company.state("tools", 40 * UNIT)
    company.rule("tools", "by_calls")
    company.count()
    seen = reports.plan_allocation(month=OCTOBER).digest
    company.state("tools", 41 * UNIT)
    entries = count_entries()
    with pytest.raises(PreconditionFailed):
        company.allocate(digest=seen)
    assert count_entries() == entries


def test_a_rule_holds_from_its_month_and_the_same_twice_is_one_version(company):
    company.use("one", thousands=300)
    company.use("two", slug="claims", thousands=100)
    company.state("tools", 40 * UNIT)
    company.count()
    assert company.rule("tools", "by_calls", **{"from": "2026-09"}).version == 1
    assert company.rule("tools", "by_calls", **{"from": "2026-09"}).version == 1
    assert company.rule("tools", "by_tokens", **{"from": "2026-11"}).version == 2
    by_use_case = {
        line.use_case: line.nanos for line in reports.plan_allocation(month=OCTOBER).lines
    }
    assert by_use_case == {
        company.numbers["support"]: 20 * UNIT,
        company.numbers["claims"]: 20 * UNIT,
    }


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"component": "direct"}, "/component"),
        ({"method": "by_magic"}, "/method"),
        ({"method": "fixed", "weights": {"support": "1.1"}}, "/weights/support"),
        ({"method": "fixed", "weights": {"nobody": "0.1"}}, "/weights/nobody"),
        ({"method": "by_headcount", "weights": {}}, "/weights"),
        ({"from": "2026-13"}, "/from"),
        ({"reason": " "}, "/reason"),
        ({"weights": ["x"]}, "/weights"),
    ],
)
def test_a_wrong_rule_names_the_part(company, change, pointer):
    wanted = {"component": "tools", "method": "by_calls", "from": "2026-01", "reason": "x"}
    with pytest.raises(ValidationFailed) as caught:
        reports.apply_allocation_rule(
            change=wanted | change,
            requested_by=MAKER,
            approved_by=CHECKER,
            actor=CHECKER,
            now=NOW,
        )
    assert pointer in {error.pointer for error in caught.value.errors}


def test_statements_are_for_finance_whole_or_not_at_all(company):
    draft = reports.ComponentDraft(
        component="tools", month=OCTOBER, amount_nanos=1, source="bill"
    )
    for role in (Role.OWNER, Role.VIEWER, Role.AUDITOR, Role.ADMIN, Role.ROUTER):
        with pytest.raises(Forbidden):
            reports.set_component_amounts(drafts=[draft], actor=caller(role), now=NOW)
    wrong = [
        draft,
        reports.ComponentDraft(component="direct", month=OCTOBER, amount_nanos=5, source="x"),
        reports.ComponentDraft(
            component="tools", month=OCTOBER, amount_nanos=1, source=" ", grade="sure"
        ),
    ]
    with pytest.raises(ValidationFailed) as caught:
        reports.set_component_amounts(drafts=wrong, actor=company.finops, now=NOW)
    assert {error.pointer for error in caught.value.errors} == {
        "/items/1/amount",
        "/items/2",
        "/items/2/source",
        "/items/2/grade",
    }
    assert not list_amounts(first=OCTOBER, after=NOVEMBER)
    assert company.state("tools", 5) == 1
    assert company.state("tools", 5) == 0
    assert company.state("evals", 0, source="none were run") == 1


def test_what_was_stated_and_booked_is_final(company):
    company.use("one")
    company.state("tools", 5)
    company.rule("tools", "by_calls")
    company.value("support", "1.50")
    company.count()
    company.allocate()
    for table in APPEND_ONLY:
        for statement in (f"UPDATE {table} SET id = id", f"DELETE FROM {table}"):
            with pytest.raises(DatabaseError), transaction.atomic():
                with connection.cursor() as cursor:
                    cursor.execute(
                        statement + " WHERE id = (SELECT min(id) FROM " + table + ")"
                    )
                if not _has_rows(table):
                    raise DatabaseError("empty")


def _has_rows(table):
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT EXISTS (SELECT 1 FROM {table})")
        return cursor.fetchone()[0]


def test_the_month_of_an_allocation_is_its_own(company):
    company.use("one")
    company.state("tools", 7 * UNIT)
    company.rule("tools", "by_calls")
    company.count()
    company.allocate()
    company.count()
    assert date(2026, 10, 31) == _day_of_lines()
    with psycopg.connect(company.urls.superuser_url) as direct:
        found = direct.execute(
            "SELECT envelope_id, use_case_id FROM ledger_entry WHERE kind = 9"
        ).fetchall()
    assert found == [(0, company.numbers["support"])]


def _day_of_lines():
    with connection.cursor() as cursor:
        cursor.execute("SELECT max(day) FROM reports_cost_cell WHERE component = 'tools'")
        return cursor.fetchone()[0]


def rig(name="rig", used_hours=438, **fields):
    wanted = {"purchase": 90_000 * UNIT, "residual": 10_000 * UNIT, "life_hours": 40_000}
    running = {"power": 7 * UNIT // 10, "hosting": 0, "staff": 0}
    hours = {"planned_ppm": 800_000, "hours": 730, "used_hours": used_hours}
    return reports.Machine(name=name, **wanted | running | hours | fields)


def test_machines_state_cost_and_waste_and_an_allocation_books_both(company):
    company.use("one")
    said = {"month": OCTOBER, "actor": company.finops, "now": NOW}
    first = reports.put_machine(machine=rig(), use_case="", source="asset 12", **said)
    assert (first.used, first.waste) == (1_401_600_000_000, 467_200_000_000)
    again = reports.put_machine(machine=rig(), use_case="", source="asset 12", **said)
    assert (first.changed, again.changed) == (True, False)
    both = reports.put_machine(machine=rig("b", 0), use_case="", source="asset 13", **said)
    assert [each.name for each in both.machines] == ["b", "rig"]
    assert both.waste == 467_200_000_000 + 584 * 32 * UNIT // 10
    left = reports.take_machine(name="b", use_case="", **said)
    assert (left.used, left.waste) == (first.used, first.waste)
    company.rule("hardware", "by_calls")
    company.count()
    company.allocate()
    company.count()
    found = cost_of_october()
    lines = {line.component: line for line in found.lines}
    used = lines[reports.Component.HARDWARE]
    assert (used.nanos, used.waiting, used.known) == (first.used, 0, True)
    assert used.grade is reports.Grade.DERIVED
    assert "$3.20 an hour" in used.basis
    # No rule places the waste: it is a line of its own.
    assert lines[reports.Component.HARDWARE_WASTE].nanos == first.waste == found.unallocated
    assert not reports.take_machine(name="rig", use_case="", **said).machines
    assert company.allocate().reversed == 2


def test_a_machine_that_cannot_be_and_a_closed_month_write_nothing(company, monkeypatch):
    said = {"use_case": "", "source": "asset 12", "actor": company.finops, "now": NOW}
    with pytest.raises(ValidationFailed) as caught:
        reports.put_machine(machine=rig(used_hours=999), month=OCTOBER, **said)
    assert caught.value.errors[0].pointer == "/machines/0/used_hours"
    with pytest.raises(ValidationFailed) as caught:
        reports.put_machine(machine=rig(), month=OCTOBER, **said | {"use_case": "nobody"})
    assert [each.pointer for each in caught.value.errors] == ["/use_case"]
    with pytest.raises(Forbidden):
        reports.put_machine(machine=rig(), month=OCTOBER, **said | {"actor": company.router})
    closed = type("Closed", (), {"status": "closed", "period": "2026-10", "closed_at": NOW})()
    monkeypatch.setattr(ledger, "find_period", lambda period: closed)
    with pytest.raises(ValidationFailed) as caught:
        reports.put_machine(machine=rig(), month=OCTOBER, **said)
    assert [each.code for each in caught.value.errors] == ["period_closed"]
    assert not list_amounts(first=OCTOBER, after=NOVEMBER)


def test_the_number_of_each_component_leads_to_exactly_its_entries(company):
    """Counted in Python, asked for in SQL: two ways to the same amount, at one position."""
    from ledger.queries.component_entries import COMPONENTS

    assert set(COMPONENTS) == {each.value for each in reports.Component}
    for number, (purpose, status) in enumerate(product(Purpose, Finish)):
        company.use(
            f"t-{number}",
            slug=(*SLUGS, None)[number % 4],
            day=OCTOBER + timedelta(days=number),
            purpose=purpose,
            status=status,
            thousands=number + 1,
        )
    company.state("platform", 90 * UNIT)
    company.rule("platform", "by_calls")
    company.count()
    company.allocate()
    company.state("platform", 70 * UNIT)
    company.allocate()
    seq = company.count()
    found = cost_of_october()
    assert sum(bool(line.nanos) for line in found.lines) >= 8
    for line in found.lines:
        asked = ledger.line_filter_of(
            parse(
                [("p", "2026-10"), ("f", f"component:{line.component}"), ("as_of", str(seq))],
                page=ledger.LEDGER_GRAMMAR,
            ).query,
            time_zone="Europe/Berlin",
        )
        listed = ledger.list_entry_lines(where=asked, limit=200)
        assert listed.amount == line.nanos, line.component
        assert sum(each.amount for each in listed.items) == line.nanos
