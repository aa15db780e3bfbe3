"""Does each of P1 to P8 hold where it should, and say what breaks it where not?"""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.core import invariants
from policies.core.envelope import Balance
from policies.core.invariants import Breach
from policies.core.lending import LeaseSums


def rules(found: Iterable[Breach]) -> list[tuple[str, str, str, str]]:
    return [(each.rule, each.column, each.expected, each.found) for each in found]


def level(**fields: int) -> Balance:
    return Balance(**{"envelope_id": 1, "cap": 100, "limit": 100, **fields})


def test_p1_guarded_exposure_stays_within_the_limit() -> None:
    full = level(settled=70, unguarded=20, held=30, unsettled=20)
    assert rules(invariants.guarded_exposure_within_limit(full, where="w")) == []
    over = level(settled=70, unguarded=20, held=31, unsettled=20)
    assert rules(invariants.guarded_exposure_within_limit(over, where="w")) == [
        ("P1", "guarded exposure", "at most 100", "101")
    ]
    free = Balance(1, None, settled=10**15)
    assert rules(invariants.guarded_exposure_within_limit(free, where="w")) == []


def test_p1_a_grant_leaves_cap_and_contingency_whole() -> None:
    full = level(settled=50, held=40, contingency=10)
    assert rules(invariants.exposure_within_cap_after_grant(full, where="w")) == []
    over = level(settled=50, held=41, contingency=10)
    assert rules(invariants.exposure_within_cap_after_grant(over, where="w")) == [
        ("P1", "exposure after a grant", "at most 100", "101")
    ]


def test_p2_negative_parts_of_a_lease_are_named() -> None:
    sums = LeaseSums(granted=10, returned=-1)
    found = rules(invariants.lease_covers_its_reservations(sums, open_inside=0, where="l"))
    assert found == [("P2", "returned", "0 or more", "-1")]


@given(st.lists(st.integers(0, 10**6), min_size=4, max_size=4))
def test_p2_a_book_adds_up_to_what_was_granted(parts: list[int]) -> None:
    free, open_inside, settled, gone = parts
    fields = {"free": free, "open_inside": open_inside, "settled": settled, "gone": gone}
    granted = sum(parts)
    assert rules(invariants.book_adds_up(granted=granted, **fields, where="b")) == []
    found = rules(invariants.book_adds_up(granted=granted + 1, **fields, where="b"))
    assert found == [("P2", "granted", str(granted + 1), str(granted))]


def test_p2_a_book_never_owes() -> None:
    found = invariants.book_adds_up(
        granted=10, free=-1, open_inside=11, settled=0, gone=0, where="b"
    )
    assert rules(found) == [("P2", "a part of the book", "0 or more", "-1")]


def test_p3_a_parent_holds_what_its_children_hold() -> None:
    check = invariants.parent_holds_its_children
    assert rules(check(parent=10, children=10, column="held", where="w")) == []
    assert rules(check(parent=9, children=10, column="held", where="w")) == [
        ("P3", "held", "at least 10", "9")
    ]


def test_p3_held_money_has_owners() -> None:
    check = invariants.held_money_has_an_owner
    assert rules(check(held=5, owned=5, column="held", where="w")) == []
    assert rules(check(held=5, owned=6, column="held", where="w")) == [("P3", "held", "5", "6")]


@pytest.mark.parametrize(
    "endings",
    [
        [],
        ["settle"],
        ["release"],
        ["expire"],
        ["expire", "late_settle"],
        ["expire", "write_off"],
        ["expire", "write_off", "late_settle"],
    ],
)
def test_p4_a_reservation_may_end_so(endings: list[str]) -> None:
    assert rules(invariants.reservation_ends_once(endings, where="r")) == []


@pytest.mark.parametrize(
    "endings",
    [
        ["settle", "release"],
        ["settle", "settle"],
        ["expire", "release"],
        ["expire", "late_settle", "late_settle"],
        ["write_off"],
        ["late_settle"],
    ],
)
def test_p4_a_reservation_may_not_end_so(endings: list[str]) -> None:
    found = list(invariants.reservation_ends_once(endings, where="r"))
    assert {breach.rule for breach in found} == {"P4"}


def test_p4_what_ended_holds_nothing() -> None:
    check = invariants.ended_reservation_holds_nothing
    assert rules(check(state="expired", open_nanos=4, where="r")) == []
    assert rules(check(state="settled", open_nanos=4, where="r")) == [("P4", "open", "0", "4")]


def test_p5_a_closed_lease_that_keeps_money_is_named() -> None:
    sums = LeaseSums(granted=10, returned=4)
    assert rules(invariants.ended_lease_conserves(sums, state="open", where="l")) == []
    lost = LeaseSums(granted=10, expired=10, late=4)
    assert rules(invariants.ended_lease_conserves(lost, state="closed", where="l")) == [
        ("P5", "state", "expired", "closed")
    ]
    conjured = LeaseSums(granted=10, returned=10, late=4)
    assert ("P5", "expired", "at least 4 more", "resolved") in rules(
        invariants.ended_lease_conserves(conjured, state="closed", where="l")
    )


def test_p6_a_hold_pays_for_its_worst_case() -> None:
    check = invariants.hold_covers_the_worst_case
    assert rules(check(amount=10, worst=10, where="r")) == []
    assert rules(check(amount=9, worst=10, where="r")) == [("P6", "amount", "at least 10", "9")]


def test_p7_nothing_is_reserved_in_the_last_two_seconds() -> None:
    check = invariants.reserved_within_the_lease
    assert rules(check(at_s=128.0, lent_until_s=130.0, where="b")) == []
    assert rules(check(at_s=128.5, lent_until_s=130.0, where="b")) == [
        ("P7", "reserved at", "before 128.0", "128.5")
    ]


def test_p8_only_unguarded_money_passes_a_cap() -> None:
    check = invariants.excess_is_counted_apart
    assert rules(check(level(settled=120, unguarded=20), where="w")) == []
    assert rules(check(level(settled=121, unguarded=20), where="w")) == [
        ("P8", "unguarded", "at most 20", "21")
    ]
    # A cap cut below what was lent is no breach: the limit falls as it comes back.
    assert rules(check(level(held=150, limit=150), where="w")) == []
    assert rules(check(Balance(1, None, settled=10**15), where="w")) == []


@given(
    cap=st.integers(0, 1_000),
    limit=st.integers(0, 1_000),
    settled=st.integers(-50, 1_000),
    held=st.integers(0, 1_000),
    unsettled=st.integers(0, 1_000),
    unguarded=st.integers(0, 1_000),
)
def test_p1_implies_p8(
    cap: int, limit: int, settled: int, held: int, unsettled: int, unguarded: int
) -> None:
    balance = Balance(
        1,
        cap,
        settled=settled,
        held=held,
        unsettled=unsettled,
        unguarded=unguarded,
        limit=max(cap, limit),
    )
    if not list(invariants.guarded_exposure_within_limit(balance, where="w")):
        assert list(invariants.excess_is_counted_apart(balance, where="w")) == []
