"""What does one lease have free, and which calls hold money in it? In memory, ints only.

Taken money is in one of five places: free, taken but not named yet, held by a named call,
settled, gone (given back, or dropped because the call ended outside). Their sum is what was
granted, always (P2). Nothing here reads a clock, a file or the database.
Source: docs/algorithms/lease-book.md.
"""

import math
from threading import Lock
from typing import NamedTuple
from uuid import UUID

from o10.kernel.errors import Corrupt, ReservationFinalized


class NotOpen(ReservationFinalized):
    """Has this reservation ended, or did this lease never have it? Fields: `sequence`."""


class BookBroken(Corrupt):
    """Was the book told something that cannot be? Fields: `what` and the amounts."""


class Parting(NamedTuple):
    """Where did the money of a settle come from, and what became free?

    Units: nanos. `covered` + `excess` = the cost; `covered` was paid by the hold and, beyond
    it, by the free part; `excess` is an overrun; `freed` went from the hold back to free.
    """

    covered: int
    excess: int
    freed: int


class Book:
    """What is left of one lease, and who holds what?

    `open` maps the sequence of a reservation to what it still holds. `good_until` is an
    instant of the holder's monotonic clock, taken before the grant was asked for (P7).
    Every method is one step for other threads; none of them waits for anything else.
    """

    __slots__ = (
        "_lock",
        "dropped",
        "free",
        "given_back",
        "good_until",
        "granted",
        "lease",
        "open",
        "settled",
        "stopped",
        "taken",
    )

    def __init__(self, *, lease: UUID, granted: int, good_until: float) -> None:
        if granted < 0:
            raise BookBroken(what="a negative grant", granted=granted)
        self.lease = lease
        self.granted = granted
        self.free = granted
        self.taken = 0
        self.open: dict[int, int] = {}
        self.settled = 0
        self.given_back = 0
        self.dropped = 0
        self.good_until = good_until
        self.stopped = False
        self._lock = Lock()

    def reserve(self, amount: int, *, at: float) -> bool:
        """Does the lease pay for this worst case? What it pays is taken, to be named next.

        `at` is the holder's monotonic clock; from `good_until` on nothing is lent any more.
        """
        if amount < 0:
            raise BookBroken(what="a negative amount", amount=amount)
        with self._lock:
            if amount > self.free or at >= self.good_until:
                return False
            self.free -= amount
            self.taken += amount
            return True

    def enter(self, sequence: int, amount: int) -> None:
        """Which reservation is it that the money just taken is for?"""
        with self._lock:
            if amount > self.taken or amount < 0 or sequence in self.open:
                raise BookBroken(what="a name for money that was not taken", sequence=sequence)
            self.taken -= amount
            self.open[sequence] = amount

    def cancel(self, amount: int) -> None:
        """Did the call come to nothing before it was written down? The money is free again."""
        with self._lock:
            if amount > self.taken or amount < 0:
                raise BookBroken(what="more untaken than taken", amount=amount)
            self.taken -= amount
            self.free += amount

    def settle(self, sequence: int, cost: int, *, final: bool) -> Parting:  # noqa: FBT001
        """Who pays this attempt: the hold first, then what is free, the rest is an overrun.

        After a final attempt the remainder of the hold is free again; before, it stays held.
        Raises: NotOpen when the reservation has ended.
        """
        if cost < 0:
            raise BookBroken(what="a negative cost", cost=cost)
        with self._lock:
            held = self._held(sequence)
            by_hold = min(cost, held)
            by_free = min(cost - by_hold, self.free)
            covered = by_hold + by_free
            freed = held - by_hold if final else 0
            if final:
                del self.open[sequence]
            else:
                self.open[sequence] = held - by_hold
            self.free += freed - by_free
            self.settled += covered
            return Parting(covered, cost - covered, freed)

    def release(self, sequence: int) -> int:
        """How much becomes free because this call was never billed?

        Raises: NotOpen when the reservation has ended.
        """
        with self._lock:
            held = self._held(sequence)
            del self.open[sequence]
            self.free += held
            return held

    def drop(self, sequence: int) -> int:
        """How much left the lease with a reservation that became a hold of its own?

        Raises: NotOpen when the reservation has ended.
        """
        with self._lock:
            held = self._held(sequence)
            del self.open[sequence]
            self.dropped += held
            return held

    def give_back(self) -> int:
        """How much is free and leaves now? Reservations stay; what they free stays too."""
        with self._lock:
            gone = self.free
            self.free = 0
            self.given_back += gone
            return gone

    def renew(self, good_until: float) -> None:
        """Until when may it lend? Without effect once it was stopped."""
        with self._lock:
            if not self.stopped:
                self.good_until = good_until

    def stop(self) -> None:
        """It lends nothing any more, for good: recalled, replaced, or the holder ends."""
        with self._lock:
            self.stopped = True
            self.good_until = -math.inf

    @property
    def held(self) -> int:
        """How much do named and unnamed reservations hold?"""
        with self._lock:
            return self.taken + sum(self.open.values())

    @property
    def is_done(self) -> bool:
        """Is all of it settled or gone, so that nothing of the lease is left here?"""
        with self._lock:
            return self.settled + self.given_back + self.dropped == self.granted

    def check(self) -> None:
        """Is P2 kept: is every nano that was granted in exactly one place?

        Raises: BookBroken (`corrupt`).
        """
        with self._lock:
            held = sum(self.open.values())
            parts = (self.free, self.taken, held, self.settled, self.given_back, self.dropped)
            if (
                min(parts) < 0
                or min(self.open.values(), default=0) < 0
                or sum(parts) != self.granted
            ):
                raise BookBroken(what="P2", granted=self.granted, parts=parts)

    def _held(self, sequence: int) -> int:
        held = self.open.get(sequence)
        if held is None:
            raise NotOpen(sequence=sequence)
        return held
