"""What does one lease have free, and which calls hold money in it? In memory, ints only.

Money is in one of six places: free, taken but not named yet, held by a named call, waiting for
the books after its call ended, settled, gone (given back, or dropped because the call ended
outside). Their sum is what was granted, always (P2). Nothing here reads a clock or a file.
Source: docs/algorithms/lease-book.md.
"""

import math
from enum import Enum
from threading import Lock
from typing import NamedTuple
from uuid import UUID

from o10.kernel.errors import Corrupt, ReservationFinalized


class NotOpen(ReservationFinalized):
    """Has this reservation ended, or did this lease never have it? Fields: `sequence`."""


class BookBroken(Corrupt):
    """Was the book told something that cannot be? Fields: `what` and the amounts."""


class Reuse(Enum):
    """When may what a call did not use be lent again?

    Somebody who does not share this host's claims may end the same call at the same time with
    another cost. Whoever is booked first wins, and only then the remainder is known.
    """

    AT_ONCE = "at_once"
    """Nobody else can end a call of this lease."""
    WHEN_BOOKED = "when_booked"
    """The remainder waits for `confirm`, or for `hear` or `drop` when another was first."""


class Parting(NamedTuple):
    """Where did the money of a settle come from, and what became free?

    Units: nanos. `covered` + `excess` = the cost; `covered` was paid by the hold and, beyond
    it, by the free part; `excess` is an overrun; `freed` is what the hold had too much.
    """

    covered: int
    excess: int
    freed: int


class _Ended(NamedTuple):
    """What did a call hold that ended here and is not booked yet; how much of it was spent,
    how much of the remainder has been given back already? Nanos.
    """

    held: int
    spent: int
    given: int = 0

    @property
    def waiting(self) -> int:
        return self.held - self.spent - self.given


class Book:
    """What is left of one lease, and who holds what?

    `open` maps the sequence of a reservation to what it still holds. `good_until` is an
    instant of the holder's monotonic clock, taken before the grant was asked for (P7).
    `waiting` is what calls that ended here may not have needed (see Reuse).
    Every method is one step for other threads; none of them waits for anything else.
    """

    __slots__ = (
        "_ended",
        "_fresh",
        "_lock",
        "dropped",
        "free",
        "given_back",
        "good_until",
        "granted",
        "lease",
        "open",
        "reuse",
        "settled",
        "stopped",
        "taken",
        "waiting",
    )

    def __init__(
        self,
        *,
        lease: UUID,
        granted: int,
        good_until: float,
        reuse: Reuse = Reuse.AT_ONCE,
    ) -> None:
        if granted < 0:
            raise BookBroken(what="a negative grant", granted=granted)
        self.lease = lease
        self.granted = granted
        self.free = granted
        self.taken = 0
        self.open: dict[int, int] = {}
        self.reuse = reuse
        self.waiting = 0
        self._ended: dict[int, _Ended] = {}
        self._fresh: list[int] = []
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

    def covers(self, sequence: int, cost: int) -> int:
        """How much of this cost would `settle` cover now?

        Raises: NotOpen when the reservation has ended.
        """
        with self._lock:
            held = self._held(sequence)
            return min(cost, held) + self._beyond(held, cost)

    def settle(self, sequence: int, cost: int, *, final: bool) -> Parting:  # noqa: FBT001
        """Who pays this attempt: the hold first, then what is free, the rest is an overrun.

        A stopped lease pays from the hold only: what is free in it is on its way back.
        After a final attempt the remainder of the hold is free again; before, it stays held.
        Raises: NotOpen when the reservation has ended.
        """
        if cost < 0:
            raise BookBroken(what="a negative cost", cost=cost)
        with self._lock:
            held = self._held(sequence)
            by_hold = min(cost, held)
            by_free = self._beyond(held, cost)
            covered = by_hold + by_free
            self.free -= by_free
            self.settled += covered
            if not final:
                self.open[sequence] = held - by_hold
                return Parting(covered, cost - covered, 0)
            self._end(sequence, held, by_hold)
            return Parting(covered, cost - covered, held - by_hold)

    def release(self, sequence: int) -> int:
        """How much comes back because this call was never billed?

        Raises: NotOpen when the reservation has ended.
        """
        with self._lock:
            held = self._held(sequence)
            self._end(sequence, held, 0)
            return held

    def confirm(self, sequence: int) -> int:
        """How much is free now that the books ended the call as this holder did?

        0 when nothing of it waits here.
        """
        with self._lock:
            ended = self._ended.pop(sequence, None)
            if ended is None:
                return 0
            self.waiting -= ended.waiting
            self.free += ended.waiting
            return ended.waiting

    def hear(self, sequence: int, covered: int) -> int:
        """How much is free now that somebody else ended the call, taking so much for it?

        Their ending was booked first; what was ended here meanwhile is undone.
        Raises: NotOpen when the call is unknown or confirmed.
        """
        with self._lock:
            known = self._ended.get(sequence)
            held = self.open.get(sequence, covered) if known is None else known.held
            if not 0 <= covered <= held:
                raise BookBroken(what="more than was held", sequence=sequence, covered=covered)
            ended = self._outside(sequence)
            back = ended.held - covered
            given = min(ended.given, back)
            self.settled += covered - ended.spent
            self.given_back += given - ended.given
            self.free += back - given
            return back - given

    def drop(self, sequence: int) -> int:
        """How much left the lease with a reservation that became a hold of its own?

        Raises: NotOpen when the call is unknown or confirmed.
        """
        with self._lock:
            gone = self._outside(sequence).waiting
            self.dropped += gone
            return gone

    def give_back(self) -> int:
        """How much is not used any more and leaves now? Reservations stay.

        All that is free; of a stopped lease also what waits: the books take back what they
        find, and nothing of it is lent here again.
        """
        with self._lock:
            gone = self.free
            self.free = 0
            if self.stopped:
                gone += self.waiting
                self.waiting = 0
                # Only those that ended since the last time: a lease has hundreds of calls.
                for sequence in self._fresh:
                    ended = self._ended.get(sequence)
                    if ended is not None:
                        given = ended.held - ended.spent
                        self._ended[sequence] = ended._replace(given=given)
                self._fresh.clear()
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
        """Is all of it settled or gone for sure, so that the book can be forgotten?"""
        with self._lock:
            spent = self.settled + self.given_back + self.dropped
            return spent == self.granted and not self._ended

    def check(self) -> None:
        """Is P2 kept: is every nano that was granted in exactly one place?

        Raises: BookBroken (`corrupt`).
        """
        with self._lock:
            held = sum(self.open.values())
            gone = self.given_back + self.dropped
            parts = (self.free, self.taken, held, self.waiting, self.settled, gone)
            if (
                min(parts) < 0
                or min(self.open.values(), default=0) < 0
                or sum(parts) != self.granted
                or self.waiting != sum(ended.waiting for ended in self._ended.values())
            ):
                raise BookBroken(what="P2", granted=self.granted, parts=parts)

    def _end(self, sequence: int, held: int, spent: int) -> None:
        """The call is over here; its remainder is free, or waits until that is sure."""
        del self.open[sequence]
        if self.reuse is Reuse.AT_ONCE:
            self.free += held - spent
        else:
            self._ended[sequence] = _Ended(held, spent)
            self._fresh.append(sequence)
            self.waiting += held - spent

    def _outside(self, sequence: int) -> _Ended:
        """Takes out a call that ended outside: open here, or ended here but not booked."""
        held = self.open.pop(sequence, None)
        if held is not None:
            return _Ended(held, 0)
        ended = self._ended.pop(sequence, None)
        if ended is None:
            raise NotOpen(sequence=sequence)
        self.waiting -= ended.waiting
        return ended

    def _beyond(self, held: int, cost: int) -> int:
        return 0 if self.stopped else min(max(cost - held, 0), self.free)

    def _held(self, sequence: int) -> int:
        held = self.open.get(sequence)
        if held is None:
            raise NotOpen(sequence=sequence)
        return held
