"""Is every nano of a lease in exactly one place, whatever happens in whatever order?"""

import sys
from dataclasses import dataclass, field
from threading import Barrier, Thread
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o10.kernel.errors import Corrupt, ReservationFinalized
from o10.lease.book import Book, BookBroken, NotOpen, Parting, Reuse
from tests.core.kernel.test_worked_examples import rows_of

LEASE = UUID("01a1f849-0000-7000-8000-00000000000a")


def book_of(granted=1_000, good_until=100.0, reuse=Reuse.AT_ONCE):
    return Book(lease=LEASE, granted=granted, good_until=good_until, reuse=reuse)


def careful(granted=1_000):
    return book_of(granted, reuse=Reuse.WHEN_BOOKED)


def state_of(book):
    return (
        book.granted,
        book.free,
        book.taken,
        dict(book.open),
        book.waiting,
        dict(book._ended),
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


def test_a_stopped_book_pays_from_the_hold_only():
    book = book_of()
    hold(book, 7, 300)
    assert book.covers(7, 450) == 450
    book.stop()
    assert book.covers(7, 450) == 300
    assert book.settle(7, 450, final=True) == Parting(covered=300, excess=150, freed=0)
    assert book.free == 700
    with pytest.raises(NotOpen):
        book.covers(7, 1)


def test_what_a_call_did_not_use_waits_until_it_is_booked():
    book = careful(granted=300)
    hold(book, 7, 300)
    assert book.settle(7, 120, final=True) == Parting(120, 0, 180)
    assert (book.free, book.waiting) == (0, 180)
    assert not book.reserve(1, at=0)
    assert book.confirm(7) == 180
    assert (book.free, book.waiting) == (180, 0)
    assert book.confirm(7) == 0
    book.check()


@pytest.mark.parametrize(
    ("ours", "theirs", "free"), [(0, 300, 700), (300, 0, 1_000), (120, 120, 880)]
)
def test_another_ending_that_was_booked_first_undoes_ours(ours, theirs, free):
    book = careful()
    hold(book, 7, 300)
    book.settle(7, ours, final=True)
    book.hear(7, theirs)
    book.check()
    assert (book.free, book.waiting, book.settled) == (free, 0, theirs)
    assert book.confirm(7) == 0
    with pytest.raises(NotOpen):
        book.hear(7, theirs)


def test_another_ending_of_an_open_call_frees_the_rest_at_once():
    book = careful()
    hold(book, 7, 300)
    assert book.hear(7, 120) == 180
    assert (book.free, book.open, book.settled) == (880, {}, 120)


def test_a_call_that_left_the_lease_takes_along_what_waited():
    book = careful()
    hold(book, 7, 300)
    book.settle(7, 120, final=True)
    assert book.drop(7) == 180
    assert (book.free, book.waiting, book.dropped) == (700, 0, 180)
    book.check()


def test_a_stopped_book_gives_back_what_waits_and_still_hears_who_was_first():
    book = careful()
    hold(book, 7, 300)
    hold(book, 8, 200)
    book.release(7)
    assert book.give_back() == 500
    book.stop()
    assert book.give_back() == 300
    # Another had billed 250 of it: the books took back 50 only.
    assert book.hear(7, 250) == 0
    assert (book.given_back, book.settled, book.free) == (550, 250, 0)
    # And a smaller bill than ours frees the difference.
    book.settle(8, 150, final=True)
    assert book.give_back() == 50
    assert book.hear(8, 30) == 120
    book.check()
    assert (book.given_back, book.settled, book.free) == (600, 280, 120)


def test_a_book_is_kept_until_the_last_ending_is_booked():
    book = careful(granted=300)
    hold(book, 7, 300)
    book.settle(7, 300, final=True)
    assert not book.is_done
    book.confirm(7)
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
        lambda book: book.hear(7, 301),
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


@pytest.mark.parametrize(
    "place", ["free", "taken", "waiting", "settled", "given_back", "dropped"]
)
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
class Count:
    """An independent count by name; what is free is what is left. None = not open."""

    granted: int
    reuse: Reuse
    good: bool = True
    nameless: list[int] = field(default_factory=list)
    held: dict[int, int] = field(default_factory=dict)
    ended: dict[int, list[int]] = field(default_factory=dict)  # held, spent, given back
    paid: int = 0
    out: int = 0

    @property
    def waiting(self):
        return sum(held - spent - given for held, spent, given in self.ended.values())

    @property
    def free(self):
        held = sum(self.held.values()) + sum(self.nameless) + self.waiting
        return self.granted - self.out - self.paid - held

    def reserve(self, amount, at):
        if amount > self.free or at >= 10.0 or not self.good:
            return False
        self.nameless.append(amount)
        return True

    def settle(self, name, cost, final):
        if name not in self.held:
            return None
        held = self.held[name]
        covered = min(cost, held + (self.free if self.good else 0))
        spent = min(cost, held)
        self.paid += covered
        self.held[name] = held - spent
        if not final:
            return (covered, cost - covered, 0)
        return (covered, cost - covered, self._end(name, held, spent))

    def release(self, name):
        return self._end(name, self.held[name], 0) if name in self.held else None

    def _end(self, name, held, spent):
        del self.held[name]
        if self.reuse is Reuse.WHEN_BOOKED:
            self.ended[name] = [held, spent, 0]
        return held - spent

    def confirm(self, name):
        held, spent, given = self.ended.pop(name, (0, 0, 0))
        return held - spent - given

    def hear(self, name, share):
        """Somebody billed this share (percent) of the hold first."""
        if name not in self.held and name not in self.ended:
            return None
        before = self.free
        open_here = self.held.pop(name, None)
        held, spent, given = self.ended.pop(name, (open_here, 0, 0))
        covered = held * share // 100
        self.paid += covered - spent
        self.out -= max(0, given - (held - covered))
        return self.free - before

    def drop(self, name):
        if name not in self.held and name not in self.ended:
            return None
        held, spent, given = self.ended.pop(name, (self.held.pop(name, 0), 0, 0))
        self.out += held - spent - given
        return held - spent - given

    def give_back(self):
        gone = self.free
        if not self.good:
            gone += self.waiting
            for each in self.ended.values():
                each[2] = each[0] - each[1]
        self.out += gone
        return gone


AMOUNT = st.integers(0, 60)
NAME = st.integers(0, 9)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("reserve"), AMOUNT, st.sampled_from([0.0, 9.0, 10.0, 11.0])),
        st.tuples(st.just("enter")),
        st.tuples(st.just("cancel")),
        st.tuples(st.just("settle"), NAME, AMOUNT, st.booleans()),
        st.tuples(st.sampled_from(["release", "drop", "confirm"]), NAME),
        st.tuples(st.just("hear"), NAME, st.integers(0, 100)),
        st.tuples(st.just("give_back")),
        st.tuples(st.just("stop")),
    ),
    max_size=60,
)


@pytest.mark.parametrize("reuse", Reuse)
@given(granted=st.integers(0, 200), steps=STEPS)
def test_every_nano_is_in_one_place_after_any_steps(reuse, granted, steps):
    book = book_of(granted, good_until=10.0, reuse=reuse)
    count = Count(granted, reuse)
    names = 0
    for verb, *rest in steps:
        if verb == "enter":
            if count.nameless:
                count.held[names] = count.nameless.pop()
                book.enter(names, count.held[names])
                names += 1
        elif verb == "cancel":
            if count.nameless:
                book.cancel(count.nameless.pop())
        elif verb == "stop":
            book.stop()
            count.good = False
        else:
            _both(book, count, verb, rest)
        book.check()
        assert (book.free, book.open, book.settled) == (count.free, count.held, count.paid)
        assert (book.taken, book.waiting) == (sum(count.nameless), count.waiting)
        assert book.given_back + book.dropped == count.out
        assert book.held == sum(count.held.values()) + sum(count.nameless)
        assert book.is_done is (count.paid + count.out == granted and not count.ended)


def _both(book, count, verb, rest):
    asked = list(rest)
    if verb == "hear":
        held = count.held.get(rest[0], count.ended.get(rest[0], [0])[0])
        asked[1] = held * rest[1] // 100
    named = {
        "reserve": lambda: book.reserve(rest[0], at=rest[1]),
        "settle": lambda: book.settle(rest[0], rest[1], final=rest[2]),
    }.get(verb, lambda: getattr(book, verb)(*asked))
    before, covers = state_of(book), None
    if verb == "settle" and rest[0] in count.held:
        covers = book.covers(rest[0], rest[1])
    expected = getattr(count, verb)(*rest)
    if expected is None:
        with pytest.raises(NotOpen):
            named()
        assert state_of(book) == before
        return
    answer = named()
    assert answer == expected
    assert covers is None or covers == answer.covered


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
