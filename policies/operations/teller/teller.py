"""What has one decision worker at hand: policy, leases, places, its journal and its claims?

The books are in the database; this is memory. Whatever is answered from it stands in the
journal before the answer leaves, and the bookkeeper books it (policies.operations.flush).
Locks: `journal.lock` is held by whoever moves money in a lease and writes it down.
Source: decision-plane.md sections 2, 3 and 6; docs/decisions/0010-teller-and-bookkeeper.md.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b
from pathlib import Path
from threading import Lock
from typing import NamedTuple
from uuid import UUID

from o10.access.keys import Caller
from o10.kernel import ids
from o10.lease import journal as journals
from o10.lease import records
from o10.lease.book import Book
from o10.lease.claims import Claimed, Claims
from o10.lease.journal import Journal
from o10.lease.places import Places
from o10.wire.requests import Authorize
from policies.core.snapshot import Place
from policies.core.terms import Terms
from policies.operations.balances import Cells
from policies.operations.open_holder import journal_name
from policies.operations.questions import Asked, cells_of
from policies.operations.teller.bills import BillBook
from policies.operations.teller.crowd import Crowd, crowd_key
from policies.operations.teller.known import Known
from policies.operations.teller.till import SMALL, Till, till_at

BY_STRICT = (1 << 40) - 2
"""Claimed in place of an offset: the answer stands in the database, not in a journal."""
AHEAD_MOST_S = 30.0
AHEAD_MOST_BYTES = 256 << 20
"""Of records that no book knows yet; about 150,000 calls."""
_MOST_TILLS = 100_000
_MOST_GROUNDS = 2_000
_HOLDER_BITS = 40
_UUID_BITS = (1 << 128) - 1
_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
_US = timedelta(microseconds=1)


class Answered(NamedTuple):
    """What is answered, and where does it stand in the journal (or BY_STRICT)?"""

    body: bytes
    offset: int


@dataclass(slots=True)
class Call:
    """Who asks what, when? `body` is the JSON as sent, `mono` the worker's monotonic clock."""

    request: Authorize
    body: bytes
    caller: Caller
    now: datetime
    mono: float


class Teller:
    """What does this worker know, hold and owe?

    Shape: `books` by lease, with the till each belongs to; `named` maps the uuid of an open
    reservation to its number and lease, as integers: nothing for the collector to visit;
    `by_place` are all tills, `tills` the way to them by what a call says; `terms` by key, use
    case, model, venue and region, with the inputs they hold for (above, to) and until when;
    `large` are the tills of scopes that are few, `crowds` know what is common to the others;
    `ended` are calls that ended here and are not booked yet: where it was written, their book
    and number; `owed` are replaced leases in which something may have become free; `below` are
    the tills of each envelope and of those below it, by its number; `waits` is held by the one
    call that waits for the books, `turn` by the one that is being read and decided (see
    policies.operations.teller.authorizing).
    """

    def __init__(
        self,
        *,
        fence: int,
        folder: Path,
        journal: Journal,
        claims: Claims,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.fence = fence
        self.folder = folder
        self.journal = journal
        self.claims = claims
        self.monotonic = monotonic
        self.known: Known | None = None
        self.stopping = False
        self.books: dict[UUID, tuple[Till, Book]] = {}
        self.named: dict[int, int] = {}
        self.by_place: dict[tuple[tuple[int, ...], tuple[datetime, ...]], Till] = {}
        self.tills: dict[tuple[str | None, ...], Till] = {}
        self.terms: dict[tuple[str | None, ...], tuple[Terms, int, int, datetime]] = {}
        self.ended: deque[tuple[int, Book, int]] = deque()
        self.owed: set[UUID] = set()
        self.below: dict[int, list[Till]] = {}
        self.booked_to = 0
        self.booked_at = monotonic()
        self.waits = Lock()
        self.turn = Lock()
        self.short_at = 0.0
        self.crowds: dict[tuple[object, object], Crowd] = {}
        self.large: list[Till] = []
        self.places = Places(self.journal_of)
        self.bills = BillBook()
        self._kinds: tuple[str, ...] = ()
        self._grounds: dict[tuple[int, int], records.Grounds] = {}

    # What is known

    def learn(self, known: Known, *, now: datetime) -> None:
        """Takes over what holds from now on; leases of envelopes that changed go back."""
        before, self.known = self.known, known
        if before is not None and before.policy.snapshot is known.policy.snapshot:
            if before.prices is not known.prices:
                self.terms.clear()
                self._forget_wordings()
            return
        self.terms.clear()
        self.tills.clear()
        rules = known.policy.snapshot.envelopes
        self._kinds = tuple(sorted({rule.scope_kind for rule in rules.values()} & SMALL))
        for till in list(self.by_place.values()):
            fresh = tuple(rules.get(rule.id) for rule in till.place.path)
            if all(new is old for new, old in zip(fresh, till.place.path, strict=True)):
                # Ten thousand tills, one change: those that it does not touch cost nothing.
                continue
            kept = tuple(rule for rule in fresh if rule is not None)
            recalled = len(kept) < len(fresh) or any(
                new.epoch != old.epoch or new.state != "active"
                for new, old in zip(kept, till.place.path, strict=False)
            )
            if recalled:
                self.recall(till, now=now)
            if len(kept) == len(fresh):
                till.place = Place(kept, till.place.periods)

    def _forget_wordings(self) -> None:
        """They go by the identity of terms, which is only good as long as those are kept."""
        for till in list(self.by_place.values()):
            with self.journal.lock:
                till.wordings.clear()
                till.grounds.clear()
        for crowd in list(self.crowds.values()):
            crowd.patterns = {}

    def want_news(self) -> None:
        """Asks the keeper to look for a newer policy at once."""
        if self.known is not None:
            self.known.stale.set()

    # Places

    def place_key(self, request: Authorize) -> tuple[str | None, ...]:
        """Which values of the call choose its envelope? Only kinds that have envelopes."""
        if not self._kinds:
            return (request.use_case,)
        values = {
            "environment": request.environment,
            "customer": request.customer,
            "run": request.run_id,
        }
        return (request.use_case, *[values[kind] for kind in self._kinds])

    def open_till(self, request: Authorize, asked: Asked) -> Till | None:
        """Which till serves this call? None where no envelope covers it."""
        place = asked.place
        if place is None:
            return None
        till = self.till_of(place, asked.cells, version=asked.policy.snapshot.version)
        if len(self.tills) >= _MOST_TILLS:
            self.tills.clear()
        self.tills[self.place_key(request)] = till
        return till

    def till_of(self, place: Place, cells: Cells, *, version: int) -> Till:
        """Which till has this place? Opened when it is first asked for."""
        row = (cells.envelopes, cells.periods)
        till = self.by_place.get(row)
        if till is None:
            fresh = till_at(place)
            till = self.by_place.setdefault(row, fresh)
            if till is fresh:
                for envelope in cells.envelopes:
                    self.below.setdefault(envelope, []).append(till)
                if not till.small:
                    self.large.append(till)
        if till.version != version:
            # A usual call reads several of these, with this lock in hand.
            with self.journal.lock:
                till.stands_at(place, version=version)
        return till

    def crowd_of(self, till: Till) -> Crowd | None:
        """To which users does this one belong? None = he has nobody above him."""
        if not till.small or len(till.place.path) < 2:
            return None
        key = crowd_key(till.cells)
        crowd = self.crowds.get(key)
        if crowd is None:
            above = Place(till.place.path[:-1], till.place.periods[:-1])
            crowd = self.crowds.setdefault(key, Crowd(above, cells_of(above)))
            if self.known is not None:
                snapshot, parent = self.known.policy.snapshot, above.path[-1].id
                crowd.size = max(1, len(snapshot.leaves_below(parent, at=till.begins)))
        return crowd

    def named_in(self, reference: str) -> tuple[UUID, int] | None:
        """Which lease and number has the reservation with this public id, if it is ours?"""
        try:
            return self.place_named(ids.uuid_of(reference, "rsv"))
        except ids.IdMalformed:
            return None

    def place_named(self, reservation: UUID) -> tuple[UUID, int] | None:
        """Which lease and number has this reservation, if it is ours and open?"""
        found = self.named.get(reservation.int)
        return None if found is None else (UUID(int=found & _UUID_BITS), found >> 128)

    def name(self, reservation: int, lease: UUID, sequence: int) -> None:
        """Remembers where this reservation stands, so that its bare id finds it."""
        self.named[reservation] = sequence << 128 | lease.int

    # Leases

    def recall(self, till: Till, *, now: datetime) -> None:
        """Lends nothing here any more and gives back what is free; calls may still end."""
        till.view = None
        for book in till.books():
            self.retire(till, book, now=now)

    def retire(self, till: Till, book: Book, *, now: datetime) -> None:
        """Lends nothing out of this lease any more, and gives back what is free in it."""
        book.stop()
        if till.book is book:
            till.book = None
        till.retired[book.lease] = book
        self.give_back(till, book, now=now)

    def give_back(self, till: Till, book: Book, *, now: datetime) -> None:
        """Writes down that what is free goes back; a lease that has ended is forgotten."""
        with self.journal.lock:
            gone = book.give_back()
            if gone:
                given = records.GivenBack(
                    lease=book.lease.bytes, at_us=micros(now), amount=gone
                )
                self.journal.append(records.encode(given))
        if till.book is not book and book.is_done:
            till.retired.pop(book.lease, None)
            self.books.pop(book.lease, None)

    def settle_debts(self, *, now: datetime) -> None:
        """Gives back what ended calls left free in leases that were replaced.

        Once for all calls of a round: a record and an entry for each of them would cost more
        than the money is worth for a tenth of a second.
        """
        for _ in range(len(self.owed)):
            try:
                lease = self.owed.pop()
            except KeyError:
                return
            found = self.books.get(lease)
            if found is not None:
                self.give_back(*found, now=now)

    def claim_for_database(self, reservation: UUID) -> None:
        """It ended outside: the database answers for it, whichever worker is asked."""
        key = end_key(reservation)
        claimed = self.claims.claim(key, fence=self.fence, at_s=self.second())
        if claimed is Claimed.OURS:
            self.claims.publish(key, fence=self.fence, offset=BY_STRICT)

    def booked(self, to: int, *, now: datetime) -> None:
        """The books are as far as this in our journal: what ended calls left is free again."""
        if to > self.booked_to:
            self.booked_to, self.booked_at = to, self.monotonic()
        while self.ended and self.ended[0][0] < to:
            _, book, sequence = self.ended.popleft()
            with self.journal.lock:
                book.confirm(sequence)
            found = self.books.get(book.lease)
            if found is not None and found[0].book is not book:
                self.owed.add(book.lease)
        self.settle_debts(now=now)

    def compare_books(self) -> None:
        """Are the books level with our journal? The keeper asks all the time."""
        if self.journal.position <= self.booked_to:
            self.booked_at = self.monotonic()

    def is_far_ahead(self) -> bool:
        """Is the bookkeeper away, or so far behind that no further money should be lent?"""
        waiting = self.journal.position - self.booked_to
        if waiting <= 0:
            return False
        return waiting > AHEAD_MOST_BYTES or self.monotonic() - self.booked_at > AHEAD_MOST_S

    # The host

    def second(self) -> int:
        """In which second of the host's own clock are we? Claims are kept by it."""
        return int(time.monotonic()) + 1

    def journal_of(self, fence: int) -> Path:
        """Where does this holder write?"""
        return self.folder / journal_name(fence)

    def grounds_at(self, fence: int, offset: int) -> records.Grounds | None:
        """On which grounds were calls decided that name this place? None = it says none.

        Raises: RecordMissing.
        """
        found = self._grounds.get((fence, offset))
        if found is not None:
            return found
        record = self.places.read(fence, offset)
        if not isinstance(record, records.Grounds):
            return None
        if len(self._grounds) >= _MOST_GROUNDS:
            self._grounds.clear()
        self._grounds[fence, offset] = record
        return record

    def lives(self, fence: int) -> bool:
        """Is this holder of our host still there?"""
        try:
            return fence == self.fence or self.places.is_held(fence)
        except journals.RecordMissing:
            return False

    def end(self, *, now: datetime) -> None:
        """Writes the last record and closes the journal."""
        self.journal.append(records.encode(records.Ended(at_us=micros(now))))
        self.journal.close()


def end_key(reservation: UUID) -> bytes:
    """Under which key is the ending of this reservation claimed on a host?"""
    return blake2b(b"e|" + reservation.bytes, digest_size=16).digest()


def micros(at: datetime) -> int:
    """How many Unix microseconds?"""
    return (at - _EPOCH) // _US


def lease_id(fence: int) -> UUID:
    """Which id has the next lease of this holder? Its low 40 bits name the holder."""
    fresh = ids.new_uuid().int
    holder = fence & ((1 << _HOLDER_BITS) - 1)
    return UUID(int=(fresh >> _HOLDER_BITS << _HOLDER_BITS) | holder)


def fence_of(lease: UUID) -> int:
    """Which holder borrowed this lease?"""
    return lease.int & ((1 << _HOLDER_BITS) - 1)
