"""Is every planted difference found, named and measured to the nano?"""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.core.matching import (
    Billed,
    BookedBefore,
    Key,
    MatchClass,
    Spent,
    match,
    tolerance,
)

ONE = 10**9
DAY = date(2026, 10, 1)


def key(day=1, model="gpt", **fields):
    on = date(2026, 10, day)
    return Key(on, fields.pop("last_day", on), model, **fields)


def spent(amount, quantity=1_000, day=1, model="gpt", tier="standard", account=""):
    return Spent(date(2026, 10, day), model, tier, account, amount, quantity)


def test_the_worked_example_of_the_page():
    """docs/algorithms/matching.md: one bill with each kind of difference."""
    bill = [
        Billed(key(1, "gpt"), 1_005 * ONE, 1_000),
        Billed(key(2, "gpt"), 1_040 * ONE, 1_000),
        Billed(key(3, "gpt"), 1_200 * ONE, 1_200),
        Billed(key(4, "search"), 30 * ONE),
    ]
    here = [
        spent(1_000 * ONE, day=1),
        spent(1_000 * ONE, day=2),
        spent(1_000 * ONE, day=3),
        spent(75 * ONE, day=5),
    ]
    found = match(bill, here)
    assert [line.found.value for line in found.lines] == [
        "matched",
        "price",
        "quantity",
        "missing_here",
        "missing_there",
    ]
    assert [line.difference // ONE for line in found.lines] == [5, 40, 200, 30, -75]
    assert (found.billed, found.spent) == (3_275 * ONE, 3_075 * ONE)
    assert found.unexplained == 345 * ONE
    assert found.unexplained_ppm == 105_344
    assert (found.lines[2].quantity_part, found.lines[2].price_part) == (200 * ONE, 0)


@pytest.mark.parametrize(
    ("amount", "most"), [(0, ONE), (50 * ONE, ONE), (100 * ONE, ONE), (400 * ONE, 4 * ONE)]
)
def test_the_tolerance_is_the_larger_of_a_percent_and_a_unit(amount, most):
    assert tolerance(amount) == tolerance(-amount) == most


def test_the_edge_of_the_tolerance_is_inside():
    for gap, found in ((4 * ONE, "matched"), (4 * ONE + 2 * 10**8, "price")):
        lines = match([Billed(key(), 400 * ONE + gap)], [spent(400 * ONE)]).lines
        assert [line.found.value for line in lines] == [found]


def test_a_bill_that_names_less_is_compared_by_what_it_names():
    here = [spent(10 * ONE, model="a"), spent(20 * ONE, model="b", tier="batch")]
    whole = match([Billed(key(model=""), 30 * ONE)], here)
    assert [line.found for line in whole.lines] == [MatchClass.MATCHED]
    month = Billed(Key(DAY, date(2026, 10, 31)), 95 * ONE)
    folded = match([month], [spent(50 * ONE), spent(45 * ONE, day=30)])
    assert [line.found for line in folded.lines] == [MatchClass.MATCHED]
    # A line of the day comes before one of the month.
    both = match(
        [month, Billed(key(1, ""), 50 * ONE)], [spent(50 * ONE), spent(95 * ONE, day=9)]
    )
    assert {line.found for line in both.lines} == {MatchClass.MATCHED}


def test_tiers_and_accounts_are_kept_apart_where_the_bill_does():
    bill = [
        Billed(key(tier="batch", account="a"), 10 * ONE),
        Billed(key(tier="standard", account="a"), 20 * ONE),
    ]
    here = [spent(10 * ONE, tier="batch", account="a"), spent(20 * ONE, account="b")]
    found = {
        (line.key.tier, line.key.account): line.found.value for line in match(bill, here).lines
    }
    assert found == {
        ("batch", "a"): "matched",
        ("standard", "a"): "missing_here",
        ("standard", "b"): "missing_there",
    }


def test_what_was_booked_is_explained_and_over_and_under_do_not_cancel():
    bill = [Billed(key(1), 50 * ONE), Billed(key(2), 10 * ONE)]
    here = [spent(10 * ONE, day=1), spent(50 * ONE, day=2)]
    assert match(bill, here).unexplained == 80 * ONE
    once = match(bill, here, [BookedBefore(key(1), 40 * ONE)])
    assert once.unexplained == 40 * ONE
    assert once.lines[0].difference == 0
    assert not once.lines[0].is_open


amounts = st.integers(-(10**13), 10**13)
keys = st.builds(
    lambda day, model: key(day, model), st.integers(1, 5), st.sampled_from(["a", "b", "c"])
)


@given(
    st.lists(st.builds(Billed, keys, amounts, st.none() | st.integers(0, 10**9)), max_size=30),
    st.lists(
        st.builds(
            spent, amounts, st.integers(0, 10**9), st.integers(1, 7), st.sampled_from("abcd")
        ),
        max_size=30,
    ),
    st.lists(st.builds(BookedBefore, keys, amounts), max_size=10),
)
def test_nothing_is_lost_and_booking_what_is_left_explains_all(bill, here, booked):
    found = match(bill, here, booked)
    assert found.billed == sum(each.amount for each in bill)
    assert found.spent == sum(each.amount for each in here)
    assert found.booked == sum(each.amount for each in booked)
    assert len({line.key for line in found.lines}) == len(found.lines)
    for line in found.lines:
        assert line.quantity_part + line.price_part == line.billed - line.spent
        assert (line.found is MatchClass.MATCHED) == (
            abs(line.billed - line.spent) <= tolerance(line.billed or line.spent)
        )
    rest = [BookedBefore(line.key, line.difference) for line in found.lines]
    after = match(bill, here, [*booked, *rest])
    assert after.unexplained == 0
    # The sums booked make the ledger equal to the bill.
    assert after.spent + after.booked == after.billed
