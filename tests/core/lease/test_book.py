"""Is every nano of a lease in exactly one place, whatever happens in whatever order?"""

import sys
from dataclasses import dataclass, field
from threading import Barrier, Thread
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o10.kernel.errors import Corrupt, ReservationFinalized
from o10.lease.book import Book, BookBroken, NotOpen, Parting
from tests.core.kernel.test_worked_examples import rows_of

LEASE = UUID("01a1f849-0000-7000-8000-00000000000a")


def book_of(granted=1_000, good_until=100.0):
    return Book(lease=LEASE, granted=granted, good_until=good_until)


def state_of(book):
    return (
        book.granted,
        book.free,
        book.taken,
        dict(book.open),
        book.settled,
        book.given_back,
        book.dropped,
        book.good_until,
        book.stopped,
    )


def hold(book, sequence, amount, at=0.0):
    assert book.reserve(amount, at=at)
    book.enter(sequence, amount)


def test_the_lease_book_page():
    book = book_of(granted=10_000)
    for row in rows_of("lease-book.md"):
        _step(book, row[0])
        book.check()
        held = book.taken + sum(book.open.values())
        told = [book.free, held, book.settled, book.given_back + book.dropped]
        assert told == [int(cell.replace(",", "")) for cell in row[1:5]], row


def _step(book, words):
    verb, *numbers = words.replace(",", "").split()
    if verb == "grant":
        assert int(numbers[0]) == book.granted
    elif verb == "reserve":
        hold(book, int(numbers[0]), int(numbers[1]))
    elif verb == "settle":
        book.settle(int(numbers[0]), int(numbers[1]), final=numbers[-1] != "more")
    elif verb == "give":
        book.give_back()
    else:
        getattr(book, verb)(int(numbers[0]))


def test_it_lends_to_the_last_nano_and_no_further():
    book = book_of(granted=10)
    assert book.reserve(10, at=0)
    assert not book.reserve(1, at=0)
    assert book.reserve(0, at=0)


def test_nothing_is_lent_from_the_instant_it_is_no_longer_good():
    book = book_of(good_until=100.0)
    assert book.reserve(1, at=99.999)
    assert not book.reserve(1, at=100.0)
    book.renew(200.0)
    assert book.reserve(1, at=100.0)


def test_a_stopped_book_lends_nothing_even_when_it_is_renewed():
    book = book_of()
    hold(book, 7, 10)
    book.stop()
    book.renew(1e9)
    assert not book.reserve(1, at=-1e9)
    assert book.settle(7, 4, final=True) == Parting(4, 0, 6)


def test_a_settle_below_the_hold_frees_the_rest():
    book = book_of()
    hold(book, 7, 300)
    assert book.settle(7, 120, final=True) == Parting(covered=120, excess=0, freed=180)
    assert (book.free, book.settled, book.open) == (880, 120, {})


def test_a_settle_above_the_hold_takes_what_is_free_and_the_rest_is_an_overrun():
    book = book_of()
    hold(book, 7, 300)
    hold(book, 8, 500)
    assert book.settle(7, 650, final=True) == Parting(covered=500, excess=150, freed=0)
    assert (book.free, book.settled, book.open) == (0, 500, {8: 500})


def test_an_attempt_that_is_not_the_last_keeps_the_rest_held():
    book = book_of()
    hold(book, 7, 300)
    assert book.settle(7, 100, final=False) == Parting(100, 0, 0)
    assert book.open == {7: 200}
    assert book.settle(7, 350, final=False) == Parting(350, 0, 0)
    assert book.open == {7: 0}
    assert book.settle(7, 0, final=True) == Parting(0, 0, 0)
    assert (book.free, book.settled) == (550, 450)


@pytest.mark.parametrize("ending", ["settle", "release", "drop"])
@pytest.mark.parametrize("again", ["settle", "release", "drop"])
def test_a_reservation_ends_once(ending, again):
    verbs = {
        "settle": lambda book: book.settle(7, 100, final=True),
        "release": lambda book: book.release(7),
        "drop": lambda book: book.drop(7),
    }
    book = book_of()
    hold(book, 7, 300)
    verbs[ending](book)
    before = state_of(book)
    with pytest.raises(NotOpen) as raised:
        verbs[again](book)
    assert raised.value.fields == {"sequence": 7}
    assert isinstance(raised.value, ReservationFinalized)
    assert state_of(book) == before


def test_a_call_that_was_never_written_down_costs_nothing():
    book = book_of()
    assert book.reserve(300, at=0)
    book.cancel(300)
    assert (book.free, book.taken) == (1_000, 0)


def test_what_is_freed_after_a_return_can_be_given_back_again():
    book = book_of()
    hold(book, 7, 300)
    assert book.give_back() == 700
    assert not book.is_done
    book.release(7)
    assert book.give_back() == 300
    assert book.is_done


def test_a_hold_that_left_the_lease_took_its_money_along():
    book = book_of()
    hold(book, 7, 300)
    assert book.drop(7) == 300
    assert (book.free, book.dropped, book.held) == (700, 300, 0)
    assert book.give_back() == 700
    assert book.is_done


@pytest.mark.parametrize(
    "wrong",
    [
        lambda book: book.reserve(-1, at=0),
        lambda book: book.enter(9, 1),
        lambda book: book.enter(9, -1),
        lambda book: book.cancel(1),
        lambda book: book.cancel(-1),
        lambda book: book.settle(7, -1, final=True),
        lambda book: book.reserve(5, at=0) and book.enter(7, 5),
        lambda book: Book(lease=LEASE, granted=-1, good_until=0),
    ],
)
def test_what_cannot_be_stops_the_line(wrong):
    book = book_of()
    hold(book, 7, 300)
    with pytest.raises(BookBroken) as raised:
        wrong(book)
    assert isinstance(raised.value, Corrupt)
    assert book.open == {7: 300}


@pytest.mark.parametrize("place", ["free", "taken", "settled", "given_back", "dropped"])
@pytest.mark.parametrize("by", [1, -1])
def test_the_check_notices_one_nano_too_many_or_too_few(place, by):
    book = book_of()
    hold(book, 7, 300)
    book.check()
    setattr(book, place, getattr(book, place) + by)
    with pytest.raises(BookBroken):
        book.check()


def test_the_check_notices_a_negative_hold_that_another_hides():
    book = book_of()
    book.open.update({7: -5, 8: 5})
    with pytest.raises(BookBroken):
        book.check()


@dataclass
class Ledger:
    """An independent count: who got what, by name."""

    granted: int
    out: int = 0
    held: dict[int, int] = field(default_factory=dict)
    nameless: list[int] = field(default_factory=list)
    paid: int = 0

    @property
    def free(self):
        return (
            self.granted - self.out - self.paid - sum(self.held.values()) - sum(self.nameless)
        )


AMOUNT = st.integers(0, 60)
NAME = st.integers(0, 5)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("reserve"), AMOUNT, st.sampled_from([0.0, 9.0, 10.0, 11.0])),
        st.tuples(st.just("enter"), NAME),
        st.tuples(st.just("cancel")),
        st.tuples(st.just("settle"), NAME, AMOUNT, st.booleans()),
        st.tuples(st.just("release"), NAME),
        st.tuples(st.just("drop"), NAME),
        st.tuples(st.just("give_back")),
        st.tuples(st.just("stop")),
    ),
    max_size=60,
)


@given(granted=st.integers(0, 200), steps=STEPS)
def test_every_nano_is_in_one_place_after_any_steps(granted, steps):
    book, count, stopped = book_of(granted, good_until=10.0), Ledger(granted), False
    for verb, *rest in steps:
        if verb == "reserve":
            amount, at = rest
            expected = amount <= count.free and at < 10.0 and not stopped
            assert book.reserve(amount, at=at) is expected
            count.nameless += [amount] * expected
        elif verb in {"enter", "cancel"}:
            _name(book, count, *rest)
        elif verb == "give_back":
            free = count.free
            assert book.give_back() == free
            count.out += free
        elif verb == "stop":
            book.stop()
            stopped = True
        elif rest[0] not in count.held:
            before = state_of(book)
            with pytest.raises(NotOpen):
                _end(book, verb, rest)
            assert state_of(book) == before
        else:
            _end_both(book, count, verb, rest)
        book.check()
        assert (book.free, book.open, book.settled) == (count.free, count.held, count.paid)
        assert book.taken == sum(count.nameless)
        assert book.given_back + book.dropped == count.out
        assert book.held == sum(count.held.values()) + sum(count.nameless)
        assert book.is_done is (count.paid + count.out == granted)


def _name(book, count, name=None):
    """Names the money taken last, or lets it go; not under a name that is in use."""
    if not count.nameless or name in count.held:
        return
    amount = count.nameless.pop()
    if name is None:
        book.cancel(amount)
    else:
        book.enter(name, amount)
        count.held[name] = amount


def _end(book, verb, rest):
    if verb == "settle":
        return book.settle(rest[0], rest[1], final=rest[2])
    return getattr(book, verb)(rest[0])


def _end_both(book, count, verb, rest):
    free, held = count.free, count.held[rest[0]]
    answer = _end(book, verb, rest)
    if verb == "release":
        assert answer == count.held.pop(rest[0])
    elif verb == "drop":
        assert answer == held
        count.out += count.held.pop(rest[0])
    else:
        cost, final = rest[1:]
        assert answer.covered + answer.excess == cost
        assert answer.covered == min(cost, held + free)
        count.paid += answer.covered
        count.held[rest[0]] = max(held - cost, 0)
        if final:
            assert count.held.pop(rest[0]) == answer.freed
        else:
            assert answer.freed == 0


def test_threads_that_race_for_the_last_money_never_share_it():
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        book, start, won = book_of(granted=3_000), Barrier(4), []

        def life(number):
            start.wait()
            mine = 0
            for turn in range(1_500):
                if book.reserve(3, at=0.0):
                    mine += 3
                    book.enter(turn * 4 + number, 3)
                    if turn % 3 == 0:
                        book.settle(turn * 4 + number, 1, final=True)
                        mine -= 2
            won.append(mine)

        threads = [Thread(target=life, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    book.check()
    assert sum(won) == 3_000 - book.free
    assert book.free < 3
