"""Does a lease account for all of its money in every order of events?"""

from hypothesis import given
from hypothesis import strategies as st

from policies.core import invariants
from policies.core.lending import STATES, LeaseSums, split_late, state_after

AMOUNTS = st.integers(0, 10**12)


def test_nothing_left_closes_a_lease_and_unsettled_money_keeps_it_expired() -> None:
    fresh = LeaseSums(granted=100)
    assert state_after(sums=fresh, state="open") == "open"
    assert state_after(sums=fresh, state="draining") == "draining"
    spent = LeaseSums(granted=100, settled=60, returned=40)
    assert state_after(sums=spent, state="open") == "closed"
    lost = LeaseSums(granted=100, settled=60, expired=40)
    assert state_after(sums=lost, state="open") == "expired"
    proven = LeaseSums(granted=100, settled=60, expired=40, late=30, written_off=10)
    assert state_after(sums=proven, state="expired") == "closed"
    # Calls that are known still hold money in it; it lends nothing any more.
    known = LeaseSums(granted=100, settled=50, expired=40, late=40)
    assert state_after(sums=known, state="expired") == "draining"


def test_a_late_cost_is_covered_by_its_promise_and_by_what_is_unsettled() -> None:
    assert split_late(cost=7, reserved=10, unsettled=100).covered == 7
    assert split_late(cost=12, reserved=10, unsettled=100).excess == 2
    assert split_late(cost=7, reserved=10, unsettled=3).excess == 4
    assert split_late(cost=7, reserved=10, unsettled=0).covered == 0


@given(cost=AMOUNTS, reserved=AMOUNTS, unsettled=AMOUNTS)
def test_a_late_cost_is_booked_whole_and_never_draws_too_much(
    cost: int, reserved: int, unsettled: int
) -> None:
    parts = split_late(cost=cost, reserved=reserved, unsettled=unsettled)
    assert parts.covered + parts.excess == cost
    assert 0 <= parts.covered <= min(reserved, unsettled)


@given(
    granted=st.integers(1, 10**9),
    events=st.lists(
        st.tuples(
            st.sampled_from(("returned", "settled", "expired", "late", "written_off")),
            st.integers(1, 10**9),
        ),
        max_size=12,
    ),
)
def test_whatever_happens_in_lawful_order_p2_and_p5_hold(
    granted: int, events: list[tuple[str, int]]
) -> None:
    figures = dict.fromkeys(("returned", "settled", "expired", "late", "written_off"), 0)
    state = "open"
    for kind, wish in events:
        sums = LeaseSums(granted=granted, **figures)
        there = sums.rest if kind in ("returned", "settled", "expired") else sums.unsettled
        figures[kind] += min(wish, there)
        sums = LeaseSums(granted=granted, **figures)
        state = state_after(sums=sums, state=state)
        assert state in STATES
        assert list(invariants.ended_lease_conserves(sums, state=state, where="l")) == []
        broken = invariants.lease_covers_its_reservations(
            sums, open_inside=sums.rest, where="l"
        )
        assert list(broken) == []
        one_more = invariants.lease_covers_its_reservations(
            sums, open_inside=sums.rest + 1, where="l"
        )
        assert [breach.rule for breach in one_more] == ["P2"]
        if state == "closed":
            assert figures["expired"] == figures["late"] + figures["written_off"]
            assert sums.rest == 0
