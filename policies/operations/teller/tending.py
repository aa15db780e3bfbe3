"""What does a worker do beside answering? It stays informed, renews, and gives back.

One round of the keeper: hear what was told, know what is new, renew the leases that are in use,
give back what is idle, recalled or short, and borrow ahead of need. Nothing here is on a
caller's path; a round that fails is tried again.
Source: decision-plane.md sections 3, 7 and 9.
"""

import contextlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from o10.access.keys import note_uses
from o10.lease.book import Book, NotOpen
from policies.operations.booked_call import reservation_of
from policies.operations.grant_lease import renew_leases
from policies.operations.teller.known import know
from policies.operations.teller.loans import (
    LEASE_TTL_S,
    SMALL_TTL_S,
    STOP_BEFORE_S,
    refill,
)
from policies.operations.teller.stock import stock_up
from policies.operations.teller.teller import Teller
from policies.operations.teller.till import Till
from policies.queries.backlog import get_booked_to
from policies.queries.ended_calls import find_ended

REFRESH_S = 0.5
RENEW_S = 8.0
RENEW_MOST = 1_000
"""Of the leases of single users, which live for ten minutes, so many are renewed at once."""
NOTE_USES_S = 60.0
DEBTS_S = 0.1
"""What ended calls left in replaced leases goes back so often, not with each of them."""
IDLE_S = 5.0
IDLE_SMALL_S = 600.0
LOW = 4
"""Below a quarter of the slice the next one is borrowed."""
_NEWS = frozenset({"policy", "keys", "prices"})


class Rounds:
    """When was what done last? One keeper a worker."""

    def __init__(self) -> None:
        self.known_at = self.renewed_at = self.noted_at = self._paid_at = -1_000.0
        self._booked_to: int | None = None

    def tend(self, teller: Teller, *, told: Sequence[Mapping[str, Any]], now: datetime) -> None:
        """One round.

        Raises: the errors of django.db while the database is away; the next round does it all.
        """
        at = teller.monotonic()
        for news in told:
            _hear(teller, news, now)
        if self._booked_to is not None:
            # Read in the round before: the endings told until then have been heard by now.
            teller.booked(self._booked_to, now=now)
            self._booked_to = None
        teller.compare_books()
        asked = teller.known is None or teller.known.stale.is_set()
        if asked or at - self.known_at >= REFRESH_S or any(n["k"] in _NEWS for n in told):
            teller.learn(know(now=now, at=at), now=now)
            # A notice may be lost, or come before anybody listened.
            self._booked_to = get_booked_to(fence=teller.fence)
            self.known_at = at
        tills = teller.large
        if at - self.renewed_at >= RENEW_S:
            _renew(teller, now)
            self.renewed_at = at
            # Ten thousand small ones are looked through now, not in every round.
            tills = list(teller.by_place.values())
        if at - self.noted_at >= NOTE_USES_S:
            teller.places.close_idle()
            note_uses(now=now)
            self.noted_at = at
        for till in list(tills):
            _keep(teller, till, at, now)
        if at - self._paid_at >= DEBTS_S:
            teller.settle_debts(now=now)
            self._paid_at = at
        stock_up(teller, now=now)


def close_teller(teller: Teller, *, now: datetime) -> None:
    """Ends in good order: nothing is lent any more, what is free goes back."""
    teller.stopping = True
    for till in list(teller.by_place.values()):
        for book in till.books():
            teller.retire(till, book, now=now)
    teller.end(now=now)
    teller.places.close()


def _hear(teller: Teller, news: Mapping[str, Any], now: datetime) -> None:
    if news["k"] == "ended" and news["f"] == teller.fence:
        for lease, sequence, cost in news["e"]:
            _take_in(teller, UUID(lease), sequence, cost, now)
    if news["k"] == "lost":
        _catch_up(teller, now)
    if news["k"] == "booked" and news["f"] == teller.fence:
        teller.booked(news["to"], now=now)
    if news["k"] == "short":
        teller.settle_debts(now=now)
        # Only where that money lies: one user at his end recalls nothing of ten thousand.
        for till in list(teller.below.get(news["envelope"], ())):
            book = till.book
            if book is not None and book.free:
                teller.give_back(till, book, now=now)


def _take_in(
    teller: Teller, lease: UUID, sequence: int, cost: int | None, now: datetime
) -> None:
    """A call of ours that ended elsewhere: billed with `cost`, or out of the lease (None)."""
    reservation = reservation_of(lease, sequence)
    teller.named.pop(reservation.int, None)
    # Whoever asks on this host from now on is answered from the database.
    teller.claim_for_database(reservation)
    found = teller.books.get(lease)
    if found is None:
        return
    till, book = found
    with contextlib.suppress(NotOpen), teller.journal.lock:
        if cost is None:
            book.drop(sequence)
        else:
            book.hear(sequence, cost)
    if till.book is not book:
        teller.owed.add(book.lease)


def _catch_up(teller: Teller, now: datetime) -> None:
    """Nobody listened for a while: what became of our open calls stands in the books."""
    for reservation, paid in find_ended([UUID(int=each) for each in list(teller.named)]):
        place = teller.place_named(reservation)
        if place is not None:
            _take_in(teller, *place, paid, now)


def _renew(teller: Teller, now: datetime) -> None:
    begun = teller.monotonic()
    # Those that are here before it is asked: a lease granted meanwhile is not in the answer.
    books = list(teller.books.items())
    renewed = renew_leases(
        fence=teller.fence,
        ttl_s=LEASE_TTL_S,
        now=now,
        small=_due_of_the_small(books, begun),
        small_ttl_s=SMALL_TTL_S,
    )
    for lease, (till, book) in books:
        until = renewed.get(lease)
        if until is None:
            # The books closed it, or another took it for dead: it lends nothing any more.
            book.stop()
        else:
            # A wall clock that stepped back makes no lease last longer.
            most = SMALL_TTL_S if till.small else LEASE_TTL_S
            lasts = min((until - now).total_seconds(), most)
            book.renew(begun + lasts - STOP_BEFORE_S)


def _due_of_the_small(books: Sequence[tuple[UUID, tuple[Till, Book]]], at: float) -> list[UUID]:
    """Which leases of single users have half of their time behind them? A few at a time."""
    due = [
        lease
        for lease, (till, book) in books
        if till.small and not book.stopped and book.good_until < at + SMALL_TTL_S / 2
    ]
    return due[:RENEW_MOST]


def _keep(teller: Teller, till: Till, at: float, now: datetime) -> None:
    """Gives back what nobody uses; borrows before the till is empty."""
    book = till.book
    if book is None:
        return
    if now >= till.ends or at - till.used_at > (IDLE_SMALL_S if till.small else IDLE_S):
        teller.retire(till, book, now=now)
        return
    exact = book.granted <= till.pace.dearest
    low = book.free * LOW < book.granted
    if (
        low
        and not exact
        and not teller.is_far_ahead()
        and not till.small
        and till.refill.acquire(blocking=False)
    ):
        try:
            refill(teller, till, worst=till.pace.dearest, now=now)
        finally:
            till.refill.release()
