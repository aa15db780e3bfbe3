"""Is the cost of an outcome that of the page, its interval honest, and the verdict the rule?"""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.core.unit_economics import (
    BLOCKS_MOST,
    PPM,
    Cluster,
    MonthFigures,
    Verdict,
    margin_of,
    month_fails,
    unit_cost,
    verdict,
)

UNIT = 10**9
CLUSTERS = st.lists(
    st.builds(
        Cluster,
        nanos=st.integers(0, 10**12),
        successes=st.integers(0, 3),
        failures=st.integers(0, 3),
    ),
    max_size=40,
)


def one_a_run(cost_nanos, successes, failures):
    """A run for each attempt, all of equal cost."""
    return [Cluster(cost_nanos, 1, 0)] * successes + [Cluster(cost_nanos, 0, 1)] * failures


@pytest.mark.parametrize(
    ("cost_nanos", "successes", "failures"), [(8_000_000, 60, 40), (12_000_000, 90, 10)]
)
def test_a_cheap_attempt_that_fails_costs_what_a_dear_one_costs(
    cost_nanos, successes, failures
):
    """G10: 0.008 / 60 % = 0.012 / 90 % = 0.013333."""
    found = unit_cost(one_a_run(cost_nanos, successes, failures), overhead=0, seed="g10")
    assert found.per_outcome == 13_333_333
    assert found.failed_cost == cost_nanos * failures
    assert found.per_failure == cost_nanos
    assert found.success_ppm == successes * PPM // 100


def test_no_success_has_no_cost_and_says_what_was_spent():
    found = unit_cost([Cluster(5, 0, 2), Cluster(7, 0, 0)], overhead=3, seed="none")
    assert (found.per_outcome, found.interval) == (None, None)
    assert (found.spent, found.successes, found.failures) == (15, 0, 2)
    assert found.failed_cost == 15
    assert margin_of(found, value=10, hurdle=0) is None


def test_nothing_at_all_is_no_error():
    found = unit_cost([], overhead=0, seed="empty")
    assert (found.spent, found.attempts, found.success_ppm) == (0, 0, None)


def test_shared_cost_is_part_of_every_outcome():
    found = unit_cost([Cluster(10, 1, 0)] * 10, overhead=50, seed="x")
    assert found.per_outcome == 15
    assert (found.interval.low, found.interval.high) == (15, 15)


GOLDEN = [
    Cluster(UNIT * (1 + place % 7), int(place % 3 != 0), int(place % 3 == 0))
    for place in range(60)
]


def test_the_golden_interval_of_the_page():
    """docs/algorithms/cost-per-outcome.md: 60 runs, 40 of them with success, overhead $60."""
    found = unit_cost(GOLDEN, overhead=60 * UNIT, seed="1/2026-11")
    assert found.spent == 60 * UNIT + sum(each.nanos for each in GOLDEN)
    assert (found.successes, found.failures) == (40, 20)
    assert found.per_outcome == GOLDEN_FIGURES["per_outcome"]
    assert found.interval.low == GOLDEN_FIGURES["low"]
    assert found.interval.high == GOLDEN_FIGURES["high"]
    assert found.failed_cost == GOLDEN_FIGURES["failed_cost"]


GOLDEN_FIGURES = {
    "per_outcome": 7_350_000_000,
    "low": 6_181_818_182,
    "high": 8_800_000_000,
    "failed_cost": 99_000_000_000,
}


@given(clusters=CLUSTERS, overhead=st.integers(0, 10**12))
def test_the_same_runs_give_the_same_figures_and_the_interval_is_in_order(clusters, overhead):
    found = unit_cost(clusters[:12], overhead=overhead, seed="s")
    assert found == unit_cost(clusters[:12], overhead=overhead, seed="s")
    assert 0 <= found.failed_cost <= found.spent + len(clusters)
    if found.interval is not None and found.interval.high is not None:
        assert found.interval.low <= found.interval.high


def test_the_interval_holds_the_true_cost_about_nine_times_in_ten():
    draw = random.Random(7)
    inside = 0
    for trial in range(60):
        runs = [
            Cluster(round(UNIT * draw.lognormvariate(0, 0.5)), int(draw.random() < 0.7), 0)
            for _ in range(80)
        ]
        found = unit_cost(runs, overhead=0, seed=str(trial))
        true = UNIT * 1.1331484530668263 / 0.7
        inside += found.interval.low <= true <= (found.interval.high or true)
    assert 46 <= inside <= 60


def test_very_many_runs_are_drawn_in_blocks_and_the_interval_narrows():
    few = unit_cost(GOLDEN, overhead=0, seed="b")
    many = unit_cost(GOLDEN * 40, overhead=0, seed="b")
    assert len(GOLDEN) * 40 > BLOCKS_MOST
    width = few.interval.high - few.interval.low
    assert 0 < (many.interval.high - many.interval.low) * 4 < width
    assert many.per_outcome == few.per_outcome


def test_rare_successes_leave_no_upper_bound():
    found = unit_cost([Cluster(5, 0, 1)] * 40 + [Cluster(5, 1, 0)], overhead=0, seed="rare")
    assert found.interval.high is None
    margin = margin_of(found, value=1_000, hurdle=0)
    assert margin.low is None
    assert margin.margin == 1_000 - found.per_outcome


def month(high, value=100, hurdle=0, n=50, successes=None):
    return MonthFigures(
        successes=n if successes is None else successes,
        attempts=n,
        high=high,
        value=value,
        hurdle=hurdle,
    )


@pytest.mark.parametrize(
    ("figures", "fails"),
    [
        (month(101), True),
        (month(100), False),
        (month(95, hurdle=10), True),
        (month(101, n=29), None),
        (month(101, n=40, successes=29), None),
        (month(None, n=40, successes=0), True),
        (month(101, value=None), None),
    ],
)
def test_a_month_fails_by_its_upper_bound_and_only_on_evidence(figures, fails):
    assert month_fails(figures) is fails


@pytest.mark.parametrize(
    ("months", "said"),
    [
        ([month(101)] * 3, (Verdict.FAILS, 3)),
        ([month(50), *[month(101)] * 2], (Verdict.AT_RISK, 2)),
        ([*[month(101)] * 3, month(50)], (Verdict.PAYS, 0)),
        ([month(101), month(101, n=10), month(101)], (Verdict.AT_RISK, 1)),
        ([month(50, n=10)], (Verdict.NOT_ENOUGH, 0)),
        ([month(50, value=None)], (Verdict.NO_VALUE, 0)),
        ([month(None, n=0)], (Verdict.NO_OUTCOME, 0)),
        ([], (Verdict.NO_OUTCOME, 0)),
    ],
)
def test_the_verdict_needs_three_failing_months_in_a_row(months, said):
    assert verdict(months) == said
