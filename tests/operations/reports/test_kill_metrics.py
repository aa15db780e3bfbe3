"""Is every signal measured live and on history by one path, and never a silent zero?"""

from datetime import date, datetime, timedelta
from fractions import Fraction

import pytest

from o10.wire.requests import Finish
from policies import facade as policies
from policies.core.metrics import METRICS, measure
from policies.queries.kill_drill import drill
from policies.queries.kill_inputs import inputs_at
from policies.queries.kill_sight import ON_ENVELOPE, look_back, look_now
from policies.queries.metric_sources import MetricScope
from reports import facade as reports
from tests.operations.reports.cost_company import FRONTIER, NOVEMBER, NOW, cost_company

UNIT = 10**9
AT = datetime(2026, 11, 20, 10, tzinfo=NOW.tzinfo)
MEASURED = sorted(metric.id for metric in METRICS.values() if not policies.waits_for(metric.id))
STOCKS = {"leased"}
"""Lent money of the past is not known."""


@pytest.fixture(scope="module")
def company(database_urls, django_db_setup, django_db_blocker, tmp_path_factory):
    """Nine weeks of calls: dearer on Fridays, one failed, a frontier model in the last days."""
    home = tmp_path_factory.mktemp("home")
    made = cost_company(database_urls, django_db_blocker, home)
    there = next(made)
    with django_db_blocker.unblock():
        for back in range(1, 64):
            day = date(2026, 11, 20) - timedelta(days=back)
            fields = {"task_type": "simple" if back < 8 else "code", "latency_ms": 100 * back}
            if back < 6:
                fields["model"] = FRONTIER
            friday = 4 if day.weekday() == 4 else 1
            there.use(f"day-{back}", day=day, thousands=100 * friday, **fields)
        there.use("failed", day=date(2026, 11, 19), status=Finish.ERROR, thousands=50)
        there.use("nobody", slug=None, day=date(2026, 11, 19), thousands=10)
        told = [
            reports.OutcomeDraft(
                kind="ticket",
                name=f"t-{number}",
                success=bool(number % 5),
                use_case="support",
                at=AT - timedelta(days=number % 14, hours=1),
            )
            for number in range(80)
        ]
        there.tell(*told)
        reports.set_plan(
            lines=[
                reports.PlanDraft(month=NOVEMBER, use_case="support", amount_nanos=30 * UNIT)
            ],
            actor=there.finops,
            now=AT - timedelta(days=100),
        )
        there.value("support", "3.00")
        [envelope] = policies.list_envelopes(now=NOW).items
        policies.change_envelope(
            envelope=envelope.id,
            change=policies.EnvelopeChange(amount_nanos=7 * UNIT, reason="as agreed"),
            actor=there.finops,
            now=NOW,
        )
        there.count()
        yield there
    with pytest.raises(StopIteration):
        next(made)


def scope(company, metric):
    numbers = company.numbers
    if METRICS[metric].scope == "company" or metric in ON_ENVELOPE:
        return MetricScope("company", tuple(numbers.values()), tuple(numbers))
    return MetricScope("use_case", (numbers["support"],), ("support",))


def spec_of(metric, **fields):
    known = METRICS[metric]
    said = {"metric": metric, "threshold": "1", "comparator": known.comparator}
    return policies.KillSpec(**said | {"window_s": max(known.window_s, 86_400)} | fields)


@pytest.mark.parametrize("metric", MEASURED)
def test_live_and_history_count_the_same(company, metric):
    about, spec = scope(company, metric), spec_of(metric)
    live = inputs_at(look_now(spec=spec, scope=about, at=AT), at=AT, since=None)
    back = look_back(spec=spec, scope=about, start=AT - timedelta(days=5), end=AT)
    then = inputs_at(back, at=AT, since=None)
    needs = set(METRICS[metric].needs) - STOCKS
    assert {name: live.get(name) for name in needs} == {name: then.get(name) for name in needs}
    found = measure(METRICS[metric], live)
    assert found.missing == () and set(found.inputs) >= set(METRICS[metric].needs)


def test_the_signals_that_rest_on_several_books_have_their_values(company):
    found = {}
    for metric in ("premium_share", "burn_multiple", "p_breach", "unattributed_share"):
        about, spec = scope(company, metric), spec_of(metric)
        sight = look_now(spec=spec, scope=about, at=AT)
        found[metric] = measure(METRICS[metric], inputs_at(sight, at=AT, since=None)).value
    assert found == {
        # Five days of 0.40 at the dear model, of 2.66 in the week.
        "premium_share": Fraction(200, 266),
        # 0.46 in a day, of thirty dollars in thirty days.
        "burn_multiple": Fraction(46, 100),
        # One of the last eight weeks was dear, and only such a week ends above 7.00.
        "p_breach": Fraction(1, 8),
        "unattributed_share": Fraction(12, 472),
    }


def test_the_drill_finds_the_days_on_which_the_plan_was_passed(company):
    spec = spec_of("burn_multiple", threshold="0.47", consecutive=1, restore_consecutive=1)
    walked = drill(spec=spec, scope=scope(company, "burn_multiple"), end=AT, days=19)
    assert walked.days == (date(2026, 11, 6), date(2026, 11, 13))


@pytest.mark.parametrize("metric", ["floor_gap", "eval_collapse", "eval_age", "kyi_composite"])
def test_what_nobody_records_is_unknown_and_never_zero(company, metric):
    about, spec = scope(company, metric), spec_of(metric, threshold="0", min_sample=0)
    sight = look_now(spec=spec, scope=about, at=AT)
    found = measure(METRICS[metric], inputs_at(sight, at=AT, since=None))
    assert found.value is None and found.missing == METRICS[metric].needs
    assert policies.waits_for(metric) in ("evals", "KYI scores")
    walked = drill(spec=spec, scope=about, end=AT, days=3)
    assert (walked.trips, walked.blind) == ((), walked.looks)


def test_a_window_without_a_plan_is_unknown_and_not_unplanned(company):
    at = datetime(2026, 10, 20, tzinfo=NOW.tzinfo)
    spec = spec_of("burn_multiple")
    sight = look_now(spec=spec, scope=scope(company, "burn_multiple"), at=at)
    found = measure(METRICS["burn_multiple"], inputs_at(sight, at=at, since=None))
    assert (found.value, found.missing) == (None, ("plan",))
