"""Is each outcome there once, joined to its calls, restated while it may be, and paid for?"""

from datetime import UTC, date, datetime, timedelta

import pytest

from o10.access.roles import Role
from o10.kernel.errors import Forbidden
from o10.wire.requests import OutcomeFact
from policies import facade as policies
from reports import facade as reports
from reports.core.unit_economics import Verdict
from reports.models import Outcome
from reports.queries.unit_metrics import (
    cost_per_outcome,
    cost_per_outcome_wow,
    margin_per_outcome,
    review_share,
)
from reports.queries.unit_months import read_unit_courses
from tests.company import caller
from tests.operations.reports.cost_company import NOW, OCTOBER, cost_company

UNIT = 10**9


@pytest.fixture
def company(database_urls, django_db_setup, django_db_blocker, tmp_path, clock):
    yield from cost_company(database_urls, django_db_blocker, tmp_path)


def told(name, success=True, **fields):
    at = fields.pop("at", datetime(2026, 10, 12, 15, tzinfo=UTC))
    wanted = {"use_case": "support", "at": at} | fields
    return reports.OutcomeDraft(kind="ticket", name=name, success=success, **wanted)


def course(company, slug="support", **fields):
    wanted = {"upto": date(2026, 11, 1), "at": NOW, "time_zone": "Europe/Berlin"} | fields
    return read_unit_courses(**wanted)[company.numbers[slug]]


def test_an_outcome_is_recorded_once_and_its_entry_costs_nothing(company):
    first = company.tell(told("t-1"), told("t-2", success=False), told("t-1"))
    assert [item.status for item in first.items] == ["recorded", "recorded", "replayed"]
    assert first.items[0].entry_id == first.items[2].entry_id
    again = company.tell(told("t-1"), told("t-2", success=True))
    assert [item.status for item in again.items] == ["replayed", "rejected"]
    assert again.items[1].error.code == "idempotency_mismatch"
    assert Outcome.objects.count() == 2
    company.count()
    from ledger import facade as ledger

    rows = ledger.sum_spend(
        ledger_id=1,
        time_zone="UTC",
        by=(),
        start=date(2026, 1, 1),
        end=date(2027, 1, 1),
        as_of=ledger.position_of(ledger_id=1).seq,
    )
    assert not rows or (rows[0].spent, rows[0].calls) == (0, 0)


def test_each_wrong_item_is_told_and_the_right_ones_are_written(company):
    company.value("claims", "3.00", type="claim")
    report = company.tell(
        told("ok"),
        told("who", use_case="nobody"),
        told("when", at=NOW + timedelta(hours=1)),
        told("old", at=datetime(1, 1, 1, tzinfo=UTC)),
        told("which", decision="dec_00000000000000000000000000"),
        told("rev", revision=2),
        reports.OutcomeDraft(kind="claim", name="by-type", success=True),
        reports.OutcomeDraft(kind="other", name="of-nobody", success=True),
    )
    codes = [item.error.code if item.error else item.status for item in report.items]
    assert codes == [
        "recorded",
        "unknown",
        "in_the_future",
        "out_of_range",
        "unknown",
        "no_revision_before",
        "recorded",
        "required",
    ]
    assert report.items[1].error.pointer == "/1/use_case"
    assert Outcome.objects.get(name="by-type").use_case == company.numbers["claims"]


def test_the_next_revision_holds_until_the_window_closes(company):
    late = NOW - timedelta(days=2)
    company.tell(told("t-1", at=late))
    assert company.tell(told("t-1", success=False, revision=2, at=late)).count("recorded") == 1
    company.count()
    assert (Outcome.objects.count(), company_successes(company)) == (2, 0)
    company.tell(told("old", at=NOW - timedelta(days=8)))
    refused = company.tell(told("old", success=False, revision=2, at=NOW - timedelta(days=8)))
    assert refused.items[0].error.code == "window_closed"


def company_successes(company):
    scope = policies.MetricScope("use_case", (company.numbers["support"],), ("support",))
    found = cost_per_outcome(scope=scope, start=NOW - timedelta(days=30), end=NOW, at=NOW)
    return found["outcomes"]


def test_outcomes_find_their_calls_by_run_by_customer_and_by_use_case(company):
    company.use("r1", run_id="run-1", thousands=2)
    company.use("r2", run_id="run-2", thousands=3)
    company.use("c1", customer="acme", day=date(2026, 10, 10))
    company.use("c2", customer="late-customer", day=date(2026, 10, 2))
    company.use("plain", thousands=5)
    company.count()
    company.tell(
        told("by-run", use_case=None, run_id="run-1"),
        told("failed-run", False, run_id="run-2"),
        told("by-customer", customer="acme"),
        told("too-late", customer="late-customer"),
        told("alone"),
    )
    assert reports.assess_units(now=NOW) > 0
    line = course(company).of(OCTOBER)
    assert (line.cost.successes, line.cost.failures) == (4, 1)
    assert (line.joined_run, line.joined_customer, line.join_grade) == (2, 1, "assumed")
    # Runs: run-1, run-2, two customers; days: 2 and 10 October have nothing left over, 12 has.
    assert line.clusters == 5
    assert line.cost.per_outcome * 4 - line.cost.spent in range(-4, 5)
    # The failed run, and its fifth of the calls that gave no outcome at all.
    thousand = line.cost.spent // 12
    assert line.cost.failed_cost == 3 * thousand + thousand // 5


def test_an_outcome_told_beside_usage_is_the_same_as_one_told_by_itself(company):
    fact = OutcomeFact(type="ticket", id="t-9", success=True)
    company.use("inline", outcome=fact)
    company.count()
    row = Outcome.objects.get(name="t-9")
    assert (row.source, row.success, row.join) == ("usage", True, "run")
    assert company.tell(told("t-9")).items[0].status == "replayed"
    company.count()
    assert Outcome.objects.count() == 1
    reports.assess_units(now=NOW)
    assert course(company).of(OCTOBER).joined_run == 1


def test_an_outcome_told_beside_a_settle_is_kept(company):
    import json

    from o10.wire.requests import Authorize, Settle, UsageCounts
    from tests.operations.reports.cost_company import MODEL

    answer = json.loads(
        policies.authorize(
            request=Authorize(
                request_id="a-1",
                use_case="support",
                model=MODEL,
                input_tokens=1_000,
                max_output_tokens=100,
                run_id="run-7",
            ),
            caller=company.router,
            now=NOW,
        )
    )
    policies.settle(
        request=Settle(
            reservation=answer["reservation"]["id"],
            usage=UsageCounts(input_tokens=1_000, output_tokens=80),
            outcome=OutcomeFact(type="ticket", id="t-settled", success=True),
        ),
        caller=company.router,
        now=NOW,
    )
    company.count(now=NOW)
    row = Outcome.objects.get(name="t-settled")
    assert (row.source, row.join, row.success) == ("settle", "run", True)
    # By its decision another result of the same run is found, use case and all.
    named = reports.OutcomeDraft(
        kind="ticket", name="t-2", success=False, decision=answer["decision_id"]
    )
    assert company.tell(named).items[0].join == "run"
    assert Outcome.objects.get(name="t-2").run == row.run


def test_months_are_restated_only_when_something_changed(company):
    company.use("one")
    company.count()
    company.tell(told("t-1"))
    assert reports.assess_units(now=NOW) > 0
    assert reports.assess_units(now=NOW) == 0
    company.tell(told("t-2"))
    assert reports.assess_units(now=NOW) == 1
    assert course(company).of(OCTOBER).cost.successes == 2


def test_no_success_shows_what_was_spent_and_no_cost(company):
    amount = company.use("one")
    company.count()
    company.tell(told("t-1", success=False))
    reports.assess_units(now=NOW)
    line = course(company).of(OCTOBER)
    assert (line.cost.per_outcome, line.cost.spent) == (None, amount)
    assert line.margin is None


def test_three_months_above_value_fail_and_shared_cost_is_part_of_it(company):
    for month in (8, 9, 10):
        day = date(2026, month, 12)
        company.use(f"m{month}", day=day)
        at = datetime(2026, month, 12, 15, tzinfo=UTC)
        company.tell(*(told(f"m{month}-{number}", at=at) for number in range(30)))
    company.count()
    company.value("support", "0.50", hurdle="0.10")
    reports.assess_units(now=NOW)
    assert course(company).verdict is Verdict.PAYS
    for month in (8, 9, 10):
        company.state("human_review", 15 * UNIT, month=date(2026, month, 1))
    company.rule("human_review", "by_calls")
    for month in (8, 9, 10):
        company.allocate(date(2026, month, 1))
    company.count()
    reports.assess_units(now=NOW)
    found = course(company)
    assert (found.verdict, found.failing) == (Verdict.FAILS, 3)
    line = found.of(OCTOBER)
    assert line.value == UNIT // 2
    assert line.margin.low < line.hurdle
    assert line.open_until is None
    assert found.of(date(2026, 11, 1)).open_until == datetime(2026, 12, 7, 23, tzinfo=UTC)
    scope = policies.MetricScope("use_case", (company.numbers["support"],), ("support",))
    window = {"scope": scope, "end": datetime(2026, 10, 31, 22, 59, tzinfo=UTC), "at": NOW}
    week = datetime(2026, 10, 24, 22, 59, tzinfo=UTC)
    share = review_share(start=week, **window)
    assert share["review"] == 15 * UNIT
    assert share["full_cost"] == line.cost.spent
    margin = margin_per_outcome(start=week, **window)
    assert margin["cost_upper_nanos"] == line.cost.interval.high
    assert margin["value_nanos"] == UNIT // 2 - UNIT // 10
    both = cost_per_outcome_wow(start=week, **window)
    assert set(both) == {"full_cost", "outcomes", "full_cost_before", "outcomes_before"}
    assert both["full_cost"] == 15 * UNIT * 7 // 31


def test_only_those_who_record_usage_tell_outcomes(company):
    for role in (Role.VIEWER, Role.AUDITOR, Role.OWNER, Role.CFO):
        with pytest.raises(Forbidden):
            reports.record_outcomes(drafts=[told("x")], actor=caller(role), now=NOW)
    assert not Outcome.objects.exists()
