"""Is a move of the cost per call found when it is there, and hardly ever when it is not?"""

import json
import math
import random
import statistics
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.core.cost_shift import (
    LOOKS,
    MONTH,
    PPM,
    Sample,
    Verdict,
    compare,
    effect_per_month,
    is_due,
    looks_at,
    student_t,
)

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "cost_shift.json").read_text())
COSTS = st.lists(st.integers(0, 10**12), min_size=50, max_size=80)
ALPHA = 0.05 / 8 / 2


def sample(costs):
    return Sample(len(costs), sum(costs), sum(each * each for each in costs))


def told(given):
    return Sample(given[0], int(given[1]), int(given[2]))


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: case["name"])
def test_the_golden_comparisons(case):
    found = compare(told(case["before"]), told(case["after"]))
    wanted = case["expected"]
    assert found.verdict.value == wanted["verdict"]
    assert (str(found.mean_before), str(found.mean_after)) == (
        wanted["mean_before"],
        wanted["mean_after"],
    )
    assert (found.ratio_ppm, found.low_ppm, found.high_ppm) == (
        wanted["ratio_ppm"],
        wanted["low_ppm"],
        wanted["high_ppm"],
    )


@pytest.mark.parametrize("degrees", [10, 30, 60, 198, 5_000])
def test_the_quantile_leaves_its_share_beyond_it(degrees):
    """The density of Student's t, integrated by Simpson's rule: a second way to the number."""
    front = math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2)
    scale = math.exp(front) / math.sqrt(degrees * math.pi)
    steps, end = 4_000, student_t(degrees)
    width = end / steps
    total = 0.0
    for step in range(steps + 1):
        weight = 1 if step in (0, steps) else 4 if step % 2 else 2
        total += weight * scale * (1 + (step * width) ** 2 / degrees) ** (-(degrees + 1) / 2)
    beyond = 0.5 - total * width / 3
    assert beyond == pytest.approx(ALPHA, rel=0.01)


@settings(max_examples=60, deadline=None)
@given(COSTS, COSTS)
def test_the_interval_is_what_a_textbook_gives(before, after):
    found = compare(sample(before), sample(after))
    if not sum(before):
        assert found.verdict is Verdict.NOT_ENOUGH
        return
    if not sum(after):
        assert found.verdict is Verdict.CHEAPER
        return
    parts = [
        statistics.variance(each) / (len(each) * statistics.mean(each) ** 2)
        for each in (before, after)
    ]
    error = sum(parts)
    if error < 1e-12:
        return
    degrees = error**2 / sum(
        part**2 / (len(each) - 1) for part, each in zip(parts, (before, after), strict=True)
    )
    ratio = statistics.mean(after) / statistics.mean(before)
    factor = math.exp(min(20.0, student_t(degrees) * math.sqrt(error)))
    assert found.low_ppm == pytest.approx(ratio / factor * PPM, rel=1e-6, abs=1)
    assert found.high_ppm == pytest.approx(ratio * factor * PPM, rel=1e-6, abs=1)


@settings(max_examples=60, deadline=None)
@given(COSTS, COSTS, st.integers(2, 1_000))
def test_a_dearer_currency_unit_changes_no_verdict(before, after, times):
    first = compare(sample(before), sample(after))
    second = compare(
        sample([each * times for each in before]), sample([each * times for each in after])
    )
    assert (first.verdict, first.ratio_ppm) == (second.verdict, second.ratio_ppm)
    for one, other in ((first.low_ppm, second.low_ppm), (first.high_ppm, second.high_ppm)):
        assert one == other or abs(one - other) <= 1 + one * 1e-9


@settings(max_examples=40, deadline=None)
@given(COSTS, COSTS)
def test_the_order_of_time_turns_dearer_into_cheaper(before, after):
    there, back = compare(sample(before), sample(after)), compare(sample(after), sample(before))
    if there.verdict is Verdict.DEARER and there.ratio_ppm > 1_250_000 and sum(after):
        assert back.verdict in (Verdict.CHEAPER, Verdict.STEADY)
        assert back.ratio_ppm < PPM


def test_skewed_costs_that_did_not_move_are_hardly_ever_blamed():
    """Log-normal costs, eight looks at a stream without a change; 1 % of runs may be wrong."""
    random.seed(11)
    wrong = 0
    for _ in range(150):
        before = sample([round(random.lognormvariate(15, 0.9)) for _ in range(800)])
        after = [round(random.lognormvariate(15, 0.9)) for _ in range(1_600)]
        wrong += any(
            compare(before, sample(after[: 50 << look])).verdict
            not in (Verdict.STEADY, Verdict.NOT_ENOUGH)
            for look in range(6)
        )
    assert wrong <= 2


def test_a_move_by_four_tenths_is_found_within_a_few_looks():
    random.seed(7)
    for _ in range(40):
        before = sample([round(random.lognormvariate(15, 0.5)) for _ in range(800)])
        after = [round(1.4 * random.lognormvariate(15, 0.5)) for _ in range(800)]
        assert compare(before, sample(after)).verdict is Verdict.DEARER


def test_the_interval_covers_the_truth_as_often_as_it_says():
    random.seed(3)
    covered = 0
    for _ in range(400):
        before = sample([round(random.lognormvariate(15, 0.7)) for _ in range(120)])
        after = sample([round(1.25 * random.lognormvariate(15, 0.7)) for _ in range(120)])
        found = compare(before, after)
        covered += found.low_ppm <= 1_250_000 <= found.high_ppm
    assert covered >= 0.98 * 400


def test_money_a_month_is_exact_and_rounded_once():
    before, after = Sample(2, 3, 5), Sample(3, 10, 40)
    # (10/3 - 3/2) x 7 calls in a day x 30 days = 385 nanos.
    assert effect_per_month(before, after, calls=7, span=timedelta(days=1)) == 385
    assert effect_per_month(after, before, calls=7, span=timedelta(days=1)) == -385
    assert effect_per_month(before, after, calls=1, span=MONTH) == 2


@given(st.integers(0, 20_000))
def test_looks_double_and_end(n):
    looks = looks_at(n)
    assert 0 <= looks <= LOOKS
    assert not is_due(n_after=n, looks=looks)
    if looks:
        assert is_due(n_after=n, looks=looks - 1)
