"""Which records go together into the books, and what follows from each? Before any lock.

Everything is read, priced, numbered and added up here, on leases as they are seen now. The
transaction (`flush`) only writes, and finds out whether what was seen still stands.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Final
from uuid import UUID

from ledger import facade as ledger
from o10.kernel import ids
from o10.lease.records import Denied, GivenBack, Record, Released, Reserved, Settled
from policies.operations import statements
from policies.operations.booked_call import instant_of, release_uid, reservation_of
from policies.operations.booked_rows import Call, Denial, First, call_of, denial_of
from policies.operations.booked_settle import Attempt, attempt_of, overrun_of, overrun_uid
from policies.operations.bookkeeper import Books
from policies.operations.journal_tail import JournalTail
from policies.operations.leases import LeaseChange, LeaseRow, find_leases
from policies.operations.reservations import Hold, find_holds

GONE: Final = frozenset({"expired", "closed"})
"""States of a lease in which it pays for nothing."""

_ENDING = (Settled, Released)
_IN_LEASE = (Reserved, *_ENDING, GivenBack)

READ_ENDED = """
SELECT fence FROM lease_holder WHERE fence = ANY(%s::bigint[]) AND ended_at IS NOT NULL
"""


@dataclass(slots=True)
class Ending:
    """Which settle or release ends which reservation? `attempt` None = a release.

    `held` is what the reservation holds until then, in nanos; `begun` 1 = in this batch too.
    """

    at: int
    record: Settled | Released
    lease: UUID
    reservation: UUID
    held: int
    begun: int
    attempt: Attempt | None = None

    @property
    def uid(self) -> UUID:
        """Under which uid is its answer kept? A release in a lease has no entry."""
        return self.attempt.uid if self.attempt else release_uid(self.reservation)

    @property
    def covered(self) -> int:
        """How much does the lease pay? Nanos."""
        return self.record.covered if isinstance(self.record, Settled) else 0

    @property
    def cost(self) -> int:
        """How much did it cost? Nanos."""
        return self.record.cost if isinstance(self.record, Settled) else 0

    @property
    def row(self) -> tuple[UUID, str, int, int, datetime, int, UUID]:
        """How does the row of its reservation end, and how must it stand before?"""
        state = "released" if self.attempt is None else "settled"
        attempts = int(self.attempt is not None)
        ended_at = instant_of(self.record.at_us)
        return self.reservation, state, self.cost, attempts, ended_at, self.held, self.lease


@dataclass(slots=True)
class Sum:
    """What happens to one lease in this batch? Nanos.

    `row` as it was seen; `rest` and `open` as they stand after each record; `ended` 1 = its
    holder is gone; `held` and `cost` are what the balances above it move by, `excess` is the
    unguarded part of `cost`.
    """

    row: LeaseRow
    rest: int
    open: int
    ended: int
    settled: int = 0
    returned: int = 0
    cost: int = 0
    held: int = 0
    excess: int = 0

    @property
    def change(self) -> LeaseChange:
        """How do the figures of the lease change?"""
        return LeaseChange(
            settled=self.settled, returned=self.returned, open=self.open - self.row.open
        )

    @property
    def moves(self) -> int:
        """Do the balances above it change? 1 or 0."""
        return int(bool(self.cost or self.held))

    def take(self, *, covered: int = 0, returned: int = 0) -> None:
        """So much leaves the lease."""
        self.rest -= covered + returned
        self.held -= covered + returned
        self.settled += covered
        self.returned += returned


@dataclass(frozen=True, slots=True)
class Later:
    """Which entry moves the exposure of a tree? It is made once its version is known."""

    root: int
    uid: UUID
    make: Callable[..., ledger.Draft]


@dataclass(slots=True)
class Batch:
    """What is booked together: the first `count` records that wait?"""

    tail: JournalTail
    now: datetime
    count: int = 0
    calls: dict[UUID, Call] = field(default_factory=dict)
    endings: list[Ending] = field(default_factory=list)
    denials: list[Denial] = field(default_factory=list)
    sums: dict[UUID, Sum] = field(default_factory=dict)
    later: list[Later] = field(default_factory=list)
    told: dict[int, list[tuple[UUID, int, int | None]]] = field(default_factory=dict)

    @property
    def differing(self) -> list[Attempt]:
        """Which settles cost otherwise than they were answered?"""
        attempts = (each.attempt for each in self.endings)
        return [each for each in attempts if each is not None and each.differs is not None]

    def tell(self, sum_: Sum, sequence: int, covered: int) -> None:
        """The holder of the lease hears that one of its calls ended outside of it."""
        self.told.setdefault(sum_.row.fence, []).append((sum_.row.id, sequence, covered))


def lease_return_uid(lease: LeaseRow, key: str) -> UUID:
    """Which uid has a return of this lease? `key` names the occasion."""
    return ids.uid(scope="lease_return", key=f"{lease.id}#{key}", origin_ms=lease.origin_ms)


def lease_return_of(
    *, lease: LeaseRow, key: str, nanos: int, now: datetime, version: int
) -> ledger.Draft:
    """Which entry tells that so much of a lease came back?"""
    return lease.draft(
        kind=ledger.Kind.LEASE_RETURN,
        uid=lease_return_uid(lease, key),
        recorded_at=now,
        held_nanos=-nanos,
        env_version=version,
    )


def gather_batch(
    *, books: Books, tail: JournalTail, records: Sequence[tuple[int, Record]], now: datetime
) -> Batch:
    """Which of these records go together? As many as need no look at what others did.

    Raises: whatever a record that cannot be read raises.
    """
    batch = Batch(tail, now)
    seen = _leases(records)
    repeated = books.repeated(tail, records)
    names = {
        at: reservation_of(UUID(bytes=record.lease), record.sequence)
        for at, (_, record) in enumerate(records)
        if isinstance(record, _ENDING)
    }
    holds = _holds_before(books, records, names)
    for at, (offset, record) in enumerate(records):
        if isinstance(record, Denied):
            _refuse(books, batch, at, record, repeated)
        elif isinstance(record, _IN_LEASE):
            lease = UUID(bytes=record.lease)
            sum_ = batch.sums.get(lease) or seen.get(lease)
            if sum_ is None or sum_.row.state in GONE:
                break
            batch.sums[lease] = sum_
            if isinstance(record, Reserved):
                _begin(books, batch, sum_, offset, record, repeated)
            elif isinstance(record, GivenBack):
                _give_back(batch, sum_, offset, record)
            elif not _end(books, batch, sum_, at, record, names[at], holds):
                break
        batch.count = at + 1
    books.fold(batch.denials)
    return batch


def _leases(records: Sequence[tuple[int, Record]]) -> dict[UUID, Sum]:
    """Which leases do they name, and is the holder of each still there?"""
    named = {UUID(bytes=record.lease) for _, record in records if isinstance(record, _IN_LEASE)}
    if not named:
        return {}
    found = find_leases(list(named))
    fences = sorted({row.fence for row in found.values()})
    ended = {row[0] for row in statements.rows(READ_ENDED, [fences])}
    return {
        lease: Sum(row, row.rest, row.open, int(row.fence in ended))
        for lease, row in found.items()
    }


def _holds_before(
    books: Books, records: Sequence[tuple[int, Record]], names: dict[int, UUID]
) -> dict[UUID, Hold]:
    """Which holds end here that were booked before? From memory, else from their rows."""
    begun = {
        (record.lease, offset) for offset, record in records if isinstance(record, Reserved)
    }
    named = [
        names[at]
        for at, (_, record) in enumerate(records)
        if at in names and (record.lease, record.sequence) not in begun
    ]
    found = {each: books.holds[each] for each in named if each in books.holds}
    missing = [each for each in named if each not in found]
    return {**found, **find_holds(missing)} if missing else found


def _refuse(
    books: Books,
    batch: Batch,
    at: int,
    record: Denied,
    repeated: dict[tuple[str, str], First],
) -> None:
    batch.denials.append(
        denial_of(
            place=at,
            record=record,
            numbering=books.numbering,
            repeated=repeated,
            now=batch.now,
        )
    )


def _begin(
    books: Books,
    batch: Batch,
    sum_: Sum,
    offset: int,
    record: Reserved,
    repeated: dict[tuple[str, str], First],
) -> None:
    """A hold inside a lease moves nothing but what is known to be open in it."""
    call = call_of(
        offset=offset,
        record=record,
        tail=batch.tail,
        lease=sum_.row,
        numbering=books.numbering,
        repeated=repeated,
        now=batch.now,
    )
    batch.calls[call.hold.id] = call
    if call.alias_of is None:
        sum_.open += call.hold.amount
    else:
        # Another host answered this request id first: the holder takes the money back.
        batch.tell(sum_, offset, 0)


def _end(
    books: Books,
    batch: Batch,
    sum_: Sum,
    at: int,
    record: Settled | Released,
    reservation: UUID,
    holds: dict[UUID, Hold],
) -> int:
    """Does this ending go with the batch? 1 or 0; then nothing was changed by it."""
    call = batch.calls.get(reservation)
    hold = call.hold if call is not None else holds.get(reservation)
    if hold is None or hold.lease != sum_.row.id:
        return 0
    if (call.state if call is not None else hold.state) != "open":
        return 0
    ending = Ending(at, record, sum_.row.id, reservation, hold.open, int(call is not None))
    covered, cost = ending.covered, ending.cost
    by_hold = min(cost, hold.open)
    # Beyond its hold a call is paid by what the lease has free; more was never lent.
    most = min(cost, sum_.rest, by_hold + max(0, sum_.rest - sum_.open))
    if not by_hold <= covered <= most or not getattr(record, "final", 1):
        return 0
    if isinstance(record, Settled):
        ending.attempt = attempt_of(
            record=record,
            hold=hold,
            currency=books.currency,
            numbering=books.numbering,
            now=batch.now,
        )
    if call is not None:
        # Its row is written in its last state.
        call.end(record)
    batch.endings.append(ending)
    # Nobody would give back what becomes free in a lease whose holder is gone.
    returned = hold.open - by_hold if sum_.ended else 0
    sum_.take(covered=covered, returned=returned)
    sum_.open -= hold.open
    sum_.cost += cost
    sum_.excess += cost - covered
    if ending.attempt is not None and cost > covered:
        batch.later.append(
            Later(
                sum_.row.root,
                overrun_uid(ending.attempt),
                partial(
                    overrun_of, attempt=ending.attempt, excess=cost - covered, now=batch.now
                ),
            )
        )
    _return(batch, sum_, returned, str(reservation))
    if sum_.row.fence != batch.tail.fence and not sum_.ended:
        batch.tell(sum_, record.sequence, covered)
    return 1


def _give_back(batch: Batch, sum_: Sum, offset: int, record: GivenBack) -> None:
    """What a holder does not use any more; never what its calls still hold."""
    nanos = max(0, min(record.amount, sum_.rest - sum_.open))
    sum_.take(returned=nanos)
    _return(batch, sum_, nanos, f"{batch.tail.fence}#{offset}")


def _return(batch: Batch, sum_: Sum, nanos: int, key: str) -> None:
    if nanos:
        batch.later.append(
            Later(
                sum_.row.root,
                lease_return_uid(sum_.row, key),
                partial(lease_return_of, lease=sum_.row, key=key, nanos=nanos, now=batch.now),
            )
        )
