"""Does ΔPL count what it should, and do the named causes add up to it?"""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from reports.core.plan import Stance, Variance, contributions, plan_to_date, sum_variances

UNIT = 10**9
START = datetime(2026, 11, 1, 5, tzinfo=UTC)
END = datetime(2026, 12, 1, 5, tzinfo=UTC)
amounts = st.integers(-(10**15), 10**15)
variances = st.builds(Variance, st.integers(0, 10**15), st.none() | st.integers(0, 10**15))


def test_a_variance_inside_the_band_is_on_plan():
    assert Variance(100_400 * UNIT, 100_000 * UNIT).stance is Stance.ON_PLAN
    assert Variance(101_900 * UNIT, 100_000 * UNIT).stance is Stance.ON_PLAN
    assert Variance(102_001 * UNIT, 100_000 * UNIT).stance is Stance.OVER
    assert Variance(97_999 * UNIT, 100_000 * UNIT).stance is Stance.UNDER


def test_no_plan_is_not_a_plan_of_zero():
    assert Variance(1, None).stance is Stance.NO_PLAN
    assert Variance(0, None).stance is Stance.NO_SPEND
    assert Variance(501 * UNIT, 0).stance is Stance.OVER
    assert Variance(5, None).delta is None


def test_a_plan_is_due_linearly_and_in_full_at_the_end():
    plan = 300_000 * UNIT
    middle = START + (END - START) / 2
    assert plan_to_date(plan=plan, start=START, end=END, at=START) == 0
    assert plan_to_date(plan=plan, start=START, end=END, at=middle) == plan // 2
    assert plan_to_date(plan=plan, start=START, end=END, at=END) == plan
    assert plan_to_date(plan=plan, start=START, end=END, at=END + timedelta(days=3)) == plan
    assert plan_to_date(plan=plan, start=START, end=END, at=START - timedelta(days=3)) == 0


@given(st.integers(0, 10**18), st.integers(-86_400, 33 * 86_400))
def test_what_is_due_never_passes_the_plan_and_never_falls(plan, seconds):
    at = START + timedelta(seconds=seconds)
    due = plan_to_date(plan=plan, start=START, end=END, at=at)
    later = plan_to_date(plan=plan, start=START, end=END, at=at + timedelta(hours=1))
    assert 0 <= due <= later <= plan


@given(st.lists(variances, max_size=12))
def test_the_whole_is_the_sum_of_its_parts(parts):
    whole = sum_variances(parts)
    assert whole.actual == sum(part.actual for part in parts)
    known = [part.plan for part in parts if part.plan is not None]
    assert whole.plan == (sum(known) if known else None)


@given(st.dictionaries(st.text(max_size=6), variances, max_size=12))
def test_named_causes_and_the_rest_add_up_to_the_difference(parts):
    found = contributions(parts.items())
    whole = sum(part.actual - (part.plan or 0) for part in parts.values())
    assert found.explained + found.rest == whole
    assert len(found.names) + found.others == len(parts)
    if whole:
        # The rest never points the way of the whole: then a name would be missing.
        assert found.rest * whole <= 0
        assert found.explained * whole > 0


@given(st.dictionaries(st.text(max_size=6), variances, min_size=1, max_size=12))
def test_one_cause_fewer_would_not_explain_it(parts):
    found = contributions(parts.items())
    whole = sum(part.actual - (part.plan or 0) for part in parts.values())
    if found.names:
        last = parts[found.names[-1]]
        without = found.explained - (last.actual - (last.plan or 0))
        assert abs(without) < abs(whole)


def test_the_two_largest_explain_the_overview_of_the_pictures():
    parts = {
        "Support assistant": Variance(131_900 * UNIT, 112_000 * UNIT),
        "Agent · collections": Variance(22_800 * UNIT, 12_000 * UNIT),
        "Code completion": Variance(76_900 * UNIT, 70_000 * UNIT),
        "RAG · policy search": Variance(86_400 * UNIT, 94_800 * UNIT),
    }
    found = contributions(parts.items())
    assert found.names == ("Support assistant", "Agent · collections")
    assert (found.explained, found.others) == (30_700 * UNIT, 2)
    assert found.rest == -1_500 * UNIT
