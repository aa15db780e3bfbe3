"""What is the small world of leased money made of? Truth, workers, journals, signals, hosts.

A state is a tuple of tuples. Workers keep the real `o10.lease.book.Book`; everything else is
written from decision-plane.md sections 3 and 8 and shares no code with `policies`.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

from o10.lease.book import Book, Reuse, _Ended

LEASE = UUID(int=10)


class Rare(NamedTuple):
    """How often may it happen?"""

    cuts: int = 0
    crashes: int = 0
    aways: int = 0
    detaches: int = 0


@dataclass(frozen=True, eq=False)
class World:
    """How large is it, and which mistake is in it?

    `paths` are the envelopes of each leaf, root first; `hosts` the host of each worker.
    """

    paths: tuple[tuple[int, ...], ...]
    caps: tuple[int, ...]
    hosts: tuple[int, ...]
    sizes: tuple[int, ...] = (1, 2)
    amounts: tuple[int, ...] = (1,)
    costs: tuple[int, ...] = (0, 1, 2)
    leases: int = 2
    calls: int = 2
    rare: Rare = Rare()
    reuse: Reuse = Reuse.WHEN_BOOKED
    bug: str = ""

    @property
    def alike(self) -> bool:
        """Are the leaves interchangeable?"""
        return len({(len(path), self.caps[path[-1]]) for path in self.paths}) == 1


class Row(NamedTuple):
    """A balance. `limit` is the cap, or the guarded exposure that was there when it was cut."""

    cap: int
    limit: int
    settled: int = 0
    held: int = 0
    unsettled: int = 0
    unguarded: int = 0

    @property
    def exposure(self) -> int:
        return self.settled + self.held + self.unsettled


class Lease(NamedTuple):
    leaf: int
    worker: int
    granted: int
    returned: int = 0
    settled: int = 0
    expired: int = 0
    late: int = 0
    written: int = 0
    state: str = "open"  # open, closed (its holder has ended), expired (its host is lost)

    @property
    def rest(self) -> int:
        return self.granted - self.returned - self.settled - self.expired

    @property
    def pot(self) -> int:
        return self.expired - self.late - self.written


class Call(NamedTuple):
    """`row` is what the truth knows: none, lease (open in it), sql (a hold of its own), aside
    (its hold is unsettled), lost (open in an expired lease), gone (written off), ended."""

    lease: int
    amount: int
    row: str = "none"
    claimed: str = ""
    timed: int = 0
    ends: int = 0


class Worker(NamedTuple):
    alive: int = 1
    ended: int = 0
    books: tuple[tuple[int, tuple[Any, ...]], ...] = ()
    journal: tuple[tuple[Any, ...], ...] = ()
    told: tuple[tuple[Any, ...], ...] = ()


class State(NamedTuple):
    rows: tuple[Row, ...]
    leases: tuple[Lease, ...]
    calls: tuple[Call, ...]
    workers: tuple[Worker, ...]
    away: tuple[int, ...]
    left: Rare
    legit: int = 0


class Violation(Exception):
    """An invariant is broken."""


class NeverFreed(Book):
    """Seeded bug: the hold stays when its bill has come."""

    __slots__ = ()

    def settle(self, sequence: int, cost: int, *, final: bool) -> Any:
        return super().settle(sequence, cost, final=False)


class NoEffect(Book):
    """Seeded bug: a release answers, and does nothing."""

    __slots__ = ()

    def release(self, sequence: int) -> int:
        return self.open[sequence]


BOOKS = {"hold kept after settle": NeverFreed, "release without effect": NoEffect}


def frozen(book: Book) -> tuple[Any, ...]:
    return (
        book.granted,
        book.free,
        tuple(sorted(book.open.items())),
        tuple(sorted(book._ended.items())),
        book.waiting,
        book.settled,
        book.given_back,
        book.dropped,
        book.stopped,
    )


@cache
def do(
    world: World, state: tuple[Any, ...], verb: str, *rest: Any
) -> tuple[tuple[Any, ...], Any]:
    """One step of the real book, from a frozen state to the next."""
    kind = BOOKS.get(world.bug, Book)
    book = kind(lease=LEASE, granted=state[0], good_until=1.0, reuse=world.reuse)
    book.free, book.open, book.waiting = state[1], dict(state[2]), state[4]
    book._ended = {each: _Ended(*ended) for each, ended in state[3]}
    # What is given back already is given back again at no cost: all of them may be new.
    book._fresh = list(book._ended)
    book.settled, book.given_back, book.dropped = state[5:8]
    if state[8]:
        book.stop()
    if verb == "reserve":
        answer: Any = book.reserve(rest[1], at=0.0)
        if answer:
            book.enter(rest[0], rest[1])
    elif verb == "settle":
        answer = book.settle(rest[0], rest[1], final=True).covered
    else:
        answer = getattr(book, verb)(*rest)
    book.check()
    return frozen(book), answer


def begin(world: World) -> State:
    """The first state: nothing is lent."""
    return State(
        rows=tuple(Row(cap, cap) for cap in world.caps),
        leases=(),
        calls=(),
        workers=tuple(Worker() for _ in world.hosts),
        away=tuple(0 for _ in set(world.hosts)),
        left=world.rare,
    )


def put(items: tuple[Any, ...], at: int, item: Any) -> tuple[Any, ...]:
    return (*items[:at], item, *items[at + 1 :])


def lease_with(state: State, at: int, /, **changes: int | str) -> State:
    """Changes of a lease; numbers are added."""
    old = state.leases[at]
    new = {
        name: value if isinstance(value, str) else getattr(old, name) + value
        for name, value in changes.items()
    }
    return state._replace(leases=put(state.leases, at, old._replace(**new)))


def call_with(state: State, at: int, /, **changes: Any) -> State:
    return state._replace(calls=put(state.calls, at, state.calls[at]._replace(**changes)))


def worker_with(state: State, at: int, worker: Worker) -> State:
    workers = (*state.workers[:at], worker, *state.workers[at + 1 :])
    return State(state.rows, state.leases, state.calls, workers, *state[4:])


def move(
    world: World,
    state: State,
    leaf: int,
    settled: int = 0,
    held: int = 0,
    unsettled: int = 0,
    unguarded: int = 0,
) -> State:
    """All levels of a path move together. The limit follows the exposure down, never up."""
    rows = list(state.rows)
    for at in world.paths[leaf]:
        old = rows[at]
        rows[at] = Row(
            old.cap,
            old.limit,
            old.settled + settled,
            old.held + held,
            old.unsettled + unsettled,
            old.unguarded + unguarded,
        )
        guarded = rows[at].exposure - rows[at].unguarded
        if guarded > old.limit:
            raise Violation(f"P1: {guarded} guarded above the limit {old.limit} at {at}")
        rows[at] = rows[at]._replace(limit=max(old.cap, guarded))
    return state._replace(rows=tuple(rows))


def write(state: State, worker: int, *record: Any) -> State:
    old = state.workers[worker]
    journal = (*old.journal, record)
    return worker_with(
        state, worker, Worker(old.alive, old.ended, old.books, journal, old.told)
    )


def tell(state: State, call: int, *news: Any) -> State:
    """A signal to the holder of a call, if it can still hear."""
    holder = state.leases[state.calls[call].lease].worker
    worker = state.workers[holder]
    if not worker.alive:
        return state
    told = (*worker.told, (news[0], call, *news[1:]))
    return worker_with(state, holder, worker._replace(told=told))


def book_of(state: State, worker: int, lease: int) -> tuple[Any, ...] | None:
    for each, book in state.workers[worker].books:
        if each == lease:
            return book
    return None


def with_book(state: State, worker: int, lease: int, book: tuple[Any, ...]) -> State:
    old = state.workers[worker]
    books = tuple([(each, book if each == lease else kept) for each, kept in old.books])
    return worker_with(
        state, worker, Worker(old.alive, old.ended, books, old.journal, old.told)
    )


def open_in(state: State, lease: int) -> int:
    """How much do calls hold that the truth knows as open in this lease?"""
    return sum(
        call.amount for call in state.calls if call.lease == lease and call.row == "lease"
    )
