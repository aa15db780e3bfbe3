"""What is left along a path, and which level binds?"""

from hypothesis import given
from hypothesis import strategies as st

from policies.core.envelope import (
    Balance,
    allocation_left,
    binding,
    left,
    limit_after,
    soft_thresholds_passed,
    too_small,
)


def level(cap, **used):
    return Balance(envelope_id=1, cap=cap, **used)


def test_left_is_the_cap_without_everything_that_may_be_spent():
    used = {"settled": 10, "held": 20, "unsettled": 5, "contingency": 3}
    assert left(level(100, **used)) == 62


def test_a_cap_of_zero_is_a_hard_stop_and_no_cap_is_none():
    assert left(level(0)) == 0
    assert left(level(None, settled=10**18)) is None
    assert too_small([level(0)], 1) == 0
    assert too_small([level(None)], 10**18) is None


def test_unguarded_spend_counts_against_the_cap():
    assert left(level(100, settled=130, unguarded=130)) == -30


def test_the_own_envelope_is_named_before_those_above():
    path = [level(10), level(100), level(5)]
    assert too_small(path, 50) == 2
    assert too_small([level(10), level(100), level(60)], 50) == 0


def test_the_binding_level_leaves_least_and_of_equals_is_the_deepest():
    assert binding([level(10), level(None), level(10), level(20)]).index == 2
    assert binding([level(None)]) is None


amounts = st.integers(min_value=0, max_value=10**12)
levels = st.builds(
    Balance,
    envelope_id=st.just(1),
    cap=st.none() | amounts,
    settled=amounts,
    held=amounts,
    unsettled=amounts,
)


@given(st.lists(levels, min_size=1, max_size=6), amounts)
def test_an_amount_fits_exactly_when_no_capped_level_leaves_less(path, amount):
    fits = all(left(each) is None or left(each) >= amount for each in path)
    assert (too_small(path, amount) is None) == fits
    tightest = binding(path)
    if tightest is not None:
        assert fits == (tightest.available >= amount)


def test_soft_thresholds_are_passed_by_what_would_be_exposed():
    balance = level(1_000, settled=400)
    shares = (800_000, 500_000, 1_000_000)

    def passed(amount):
        return soft_thresholds_passed(balance=balance, amount=amount, thresholds_ppm=shares)

    assert passed(99) == ()
    assert passed(100) == (500_000,)
    assert passed(600) == (500_000, 800_000, 1_000_000)
    assert soft_thresholds_passed(balance=level(None), amount=1, thresholds_ppm=shares) == ()


@given(amounts, st.none() | amounts, amounts)
def test_a_limit_is_never_below_the_cap_and_only_falls_towards_it(cap, limit, guarded):
    after = limit_after(cap=cap, limit=limit, guarded=guarded)
    assert after >= cap
    if limit is not None and guarded <= limit:
        assert after == max(cap, guarded)
    if limit is not None:
        assert after <= max(cap, limit)


def test_without_a_cap_there_is_no_limit():
    assert limit_after(cap=None, limit=5, guarded=9) is None


def test_a_child_gets_what_its_siblings_leave_of_the_parent():
    assert allocation_left(parent_cap=100, sibling_caps=[30, None, 20]) == 50
    assert allocation_left(parent_cap=None, sibling_caps=[30]) is None
