"""How much is borrowed at once? The worked example of docs/algorithms/lease-slices.md."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.core.slices import NEAR, Pace, next_slice, small_slice

DOLLAR = 1_000_000_000
W99 = 6_500_000


@pytest.mark.parametrize(
    ("remaining", "burn", "expected"),
    [
        (60 * DOLLAR, 30 * DOLLAR, 7_500_000_000),
        (60 * DOLLAR, 2 * DOLLAR, 2_000_000_000),
        (200_000_000, 2 * DOLLAR, 25_000_000),
        (40_000_000, 2 * DOLLAR, 4_000_000),
    ],
)
def test_the_slices_of_the_worked_example(remaining, burn, expected):
    found = next_slice(
        remaining=remaining, active_workers=2, w99=W99, burn_1s=burn, worst=4_000_000
    )

    assert found == expected


amounts = st.integers(min_value=0, max_value=10**15)


@given(
    remaining=amounts,
    workers=st.integers(min_value=0, max_value=64),
    w99=amounts,
    burn=amounts,
    worst=st.integers(min_value=1, max_value=10**12),
)
def test_a_slice_covers_its_call_and_leaves_the_others_their_share(
    remaining, workers, w99, burn, worst
):
    found = next_slice(
        remaining=remaining,
        active_workers=workers,
        w99=w99,
        burn_1s=burn,
        worst=worst,
    )

    assert found >= worst
    if remaining < NEAR * max(w99, worst):
        assert found == worst
    elif found > max(w99, worst):
        assert found * 4 * max(1, workers) <= remaining
        assert found <= burn


def test_without_a_cap_a_slice_lasts_ten_seconds():
    found = next_slice(remaining=None, active_workers=3, w99=5, burn_1s=7, worst=20)

    assert found == 70


def test_the_pace_follows_the_rate_and_forgets_it_by_half_in_ten_seconds():
    pace = Pace()
    for second in range(1, 100):
        pace.note(1_000, calls=1, at=float(second))
    assert 990 <= pace.burn_1s <= 1_000

    pace.note(0, calls=0, at=109.0)

    assert 495 <= pace.burn_1s <= 501


def test_the_dearest_call_is_forgotten_after_many_cheaper_ones():
    pace = Pace()
    pace.see(1_000)
    pace.note(0, calls=150, at=1.0)
    pace.see(10)
    assert pace.dearest == 1_000

    pace.note(0, calls=51, at=2.0)
    pace.see(10)

    assert pace.dearest == 500


def test_a_slice_used_up_at_once_doubles():
    pace = Pace()
    pace.note(1_000, calls=1, at=1.0)
    pace.note(1_000, calls=1, at=1.01)
    assert pace.burn_1s == 2_000

    pace.note(2_000, calls=2, at=1.02)
    assert pace.burn_1s == 4_000

    pace.note(0, calls=0, at=3.0)
    assert pace.burn_1s < 1_000


def test_of_an_envelope_with_one_user_a_worker_takes_its_share_with_one_loan():
    share = {"active_workers": 2, "w99": 1_000, "worst": 1_000}
    assert small_slice(remaining=100_000, **share) == 50_000
    assert small_slice(remaining=7_999, **share) == 1_000
