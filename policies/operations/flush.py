"""How do the records of a journal get into the books? By the batch, each exactly once.

What a holder wrote down in memory's time becomes rows: decisions, reservations, entries,
balances, leases. The place up to which the journal is booked moves in the same transaction, so
a death between any two statements leaves nothing half done.

The batch takes what every call does: it was allowed in a lease and ended in it. Before a record
that met something else meanwhile (its hold was taken out of the lease, its lease expired) the
batch ends, and `book_alone` takes that record.
Locks: uids, rows that nobody else writes, trees by root, balances by envelope and period,
leases by id, reservations by id.
Source: docs/algorithms/bookkeeping.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from django.db import connection, transaction

from ledger import facade as ledger
from o10.kernel import ids
from o10.kernel.errors import Conflict
from o10.lease.records import Denied, GivenBack, Record, Released, Reserved, Settled
from policies.operations import statements
from policies.operations.balances import NOTHING, Cells, Move, lock, move_each
from policies.operations.booked_call import instant_of, release_uid, reservation_of
from policies.operations.booked_rows import (
    Call,
    Denial,
    call_of,
    copy_answers,
    copy_decisions,
    copy_denials,
    copy_reservations,
    denial_of,
)
from policies.operations.booked_settle import Attempt, attempt_of, overrun_of, settle_of
from policies.operations.bookkeeper import Books
from policies.operations.journal_tail import JournalTail
from policies.operations.leases import (
    CHANNEL,
    LeaseChange,
    LeaseRow,
    change_leases,
    find_leases,
    lock_leases,
    notify_ended,
)
from policies.operations.reservations import Hold, find_holds

MOST: Final = 500
"""Records of one batch."""

GONE: Final = frozenset({"expired", "closed"})
"""States of a lease in which it pays for nothing."""
TOLD_AT_ONCE: Final = 90
"""Endings in one signal: PostgreSQL carries 8,000 bytes."""

LOCK_ROWS = """
SELECT id, state, open_nanos, lease FROM reservation WHERE id = ANY(%s::uuid[])
ORDER BY id FOR UPDATE
"""
END_ROWS = """
UPDATE reservation r SET state = c.state, open_nanos = c.open,
    settled_nanos = r.settled_nanos + c.settled, attempts = r.attempts + c.attempts,
    ended_at = c.ended
FROM unnest(%s::uuid[], %s::text[], %s::bigint[], %s::bigint[], %s::int[], %s::timestamptz[])
     AS c (id, state, open, settled, attempts, ended)
WHERE r.id = c.id
"""
READ_ENDED = """
SELECT fence FROM lease_holder WHERE fence = ANY(%s::bigint[]) AND ended_at IS NOT NULL
"""
# Told last: what ended outside of the holder is told before that its own endings are booked.
MOVE_HOLDER = """
WITH moved AS (
    UPDATE lease_holder SET booked_to = %s, booked_at = coalesce(%s, booked_at),
        put_aside = put_aside + %s, differing = differing + %s
    WHERE fence = %s AND booked_to = %s
    RETURNING fence, booked_to)
SELECT pg_notify(%s, json_build_object('k', 'booked', 'f', fence, 'to', booked_to)::text)
FROM moved
"""


class BookedElsewhere(Conflict):
    """Did another bookkeeper move on in this journal? Fields: `fence`, `booked_to`."""

    code = "conflict"


class _Cut(Conflict):
    """Which record cannot go with this batch? Field: `at`, its place in it."""


@dataclass(frozen=True, slots=True)
class Flushed:
    """How many records were booked, and is the first one left for `book_alone` (1 or 0)?"""

    count: int
    alone: int


@dataclass(slots=True)
class _Ending:
    """Which settle or release ends which reservation? `attempt` None = a release."""

    at: int
    record: Settled | Released
    lease: UUID
    reservation: UUID
    call: Call | None
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


class _Step(NamedTuple):
    """What happens in which lease? `at` = its place in the batch."""

    at: int
    offset: int
    lease: UUID
    what: Call | _Ending | GivenBack


@dataclass(slots=True)
class _Plan:
    """What is booked with this batch?"""

    tail: JournalTail
    count: int = 0
    leases: dict[UUID, LeaseRow] = field(default_factory=dict)
    calls: dict[UUID, Call] = field(default_factory=dict)
    steps: list[_Step] = field(default_factory=list)
    endings: list[_Ending] = field(default_factory=list)
    denials: list[Denial] = field(default_factory=list)


def flush(*, books: Books, tail: JournalTail, now: datetime, most: int = MOST) -> Flushed:
    """How many of the records that wait in this journal are booked now?

    Raises: BookedElsewhere; the errors of django.db; whatever a record that cannot be booked
    raises. Then nothing was written, and the records still wait.
    """
    records = tail.first(most)
    while records:
        plan = _plan(books, tail, records, now)
        if plan.count == 0:
            return Flushed(0, 1)
        books.numbering.store(now=now)
        try:
            _write(books, plan, now)
        except _Cut as cut:
            records = records[: int(cut.at)]
            continue
        for call in plan.calls.values():
            books.remember(call)
        tail.drop(plan.count)
        return Flushed(plan.count, 0)
    return Flushed(0, int(bool(tail.pending)))


def move_holder(
    *, tail: JournalTail, booked_to: int, put_aside: int = 0, differing: int = 0
) -> None:
    """Writes down up to where this journal is booked. In the transaction that books it.

    Raises: BookedElsewhere.
    """
    cursor = statements.run(
        MOVE_HOLDER,
        [
            booked_to,
            tail.caught_up(booked_to),
            put_aside,
            differing,
            tail.fence,
            tail.booked_to,
            CHANNEL,
        ],
    )
    if cursor.rowcount != 1:
        raise BookedElsewhere(fence=tail.fence, booked_to=tail.booked_to)


def lease_return_of(
    lease: LeaseRow, *, key: str, nanos: int, version: int, now: datetime
) -> ledger.Draft:
    """Which entry tells that so much of a lease came back? `key` names the occasion."""
    return lease.draft(
        kind=ledger.Kind.LEASE_RETURN,
        uid=ids.uid(scope="lease_return", key=f"{lease.id}#{key}", origin_ms=lease.origin_ms),
        recorded_at=now,
        held_nanos=-nanos,
        env_version=version,
    )


# ------------------------------------------------------------------ before any transaction


def _plan(
    books: Books, tail: JournalTail, records: Sequence[tuple[int, Record]], now: datetime
) -> _Plan:
    """Reads, prices and numbers: everything that needs no lock."""
    plan = _Plan(tail)
    named = {
        UUID(bytes=record.lease)
        for _, record in records
        if isinstance(record, Reserved | Settled | Released | GivenBack)
    }
    plan.leases = find_leases(list(named)) if named else {}
    repeated = books.repeated(tail, records)
    names = {
        at: reservation_of(UUID(bytes=record.lease), record.sequence)
        for at, (_, record) in enumerate(records)
        if isinstance(record, Settled | Released)
    }
    holds = _holds_before(books, records, names)
    for at, (offset, record) in enumerate(records):
        if isinstance(record, Reserved):
            lease = plan.leases.get(UUID(bytes=record.lease))
            if lease is None or lease.state in GONE:
                break
            call = call_of(
                offset=offset,
                record=record,
                tail=tail,
                lease=lease,
                numbering=books.numbering,
                repeated=repeated,
                now=now,
            )
            plan.calls[call.hold.id] = call
            plan.steps.append(_Step(at, offset, lease.id, call))
        elif isinstance(record, Settled | Released):
            ending = _ending(books, plan, at, record, names[at], holds, now)
            if ending is None:
                break
            plan.endings.append(ending)
            plan.steps.append(_Step(at, offset, ending.lease, ending))
        elif isinstance(record, GivenBack):
            lease = plan.leases.get(UUID(bytes=record.lease))
            if lease is None or lease.state in GONE:
                break
            plan.steps.append(_Step(at, offset, lease.id, record))
        elif isinstance(record, Denied):
            plan.denials.append(
                denial_of(
                    place=at,
                    record=record,
                    numbering=books.numbering,
                    repeated=repeated,
                    now=now,
                )
            )
        plan.count = at + 1
    books.fold(plan.denials)
    return plan


def _holds_before(
    books: Books, records: Sequence[tuple[int, Record]], names: dict[int, UUID]
) -> dict[UUID, Hold]:
    """Which holds are settled here that were booked before? From memory, else from rows."""
    begun = {
        (record.lease, offset) for offset, record in records if isinstance(record, Reserved)
    }
    named = [
        names[at]
        for at, (_, record) in enumerate(records)
        if isinstance(record, Settled) and (record.lease, record.sequence) not in begun
    ]
    found = {each: books.holds[each] for each in named if each in books.holds}
    missing = [each for each in named if each not in found]
    return {**found, **find_holds(missing)} if missing else found


def _ending(
    books: Books,
    plan: _Plan,
    at: int,
    record: Settled | Released,
    reservation: UUID,
    holds: dict[UUID, Hold],
    now: datetime,
) -> _Ending | None:
    """None = not with the batch."""
    lease = UUID(bytes=record.lease)
    call = plan.calls.get(reservation)
    row = plan.leases.get(lease)
    if row is None or row.state in GONE or (call is not None and call.state != "open"):
        return None
    ending = _Ending(at, record, lease, reservation, call)
    if isinstance(record, Settled):
        hold = call.hold if call is not None else holds.get(reservation)
        if hold is None or not record.final:
            return None
        ending.attempt = attempt_of(
            record=record,
            hold=hold,
            currency=books.currency,
            numbering=books.numbering,
            now=now,
        )
    if call is not None:
        # Written in its last state; what it held is looked at under the lock of its lease.
        call.end(record)
    return ending


# ------------------------------------------------------------------ the transaction


@dataclass(slots=True)
class _Sum:
    """What happens to one lease in this batch? Nanos.

    `rest` and `open` as they stand after each record; `ended` 1 = its holder is gone; `held`
    and `cost` are what the balances above it move by, `excess` the unguarded part of `cost`.
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

    def take(self, *, covered: int = 0, returned: int = 0) -> None:
        """So much leaves the lease."""
        self.rest -= covered + returned
        self.held -= covered + returned
        self.settled += covered
        self.returned += returned


@dataclass(slots=True)
class _Effects:
    """What follows once the locks are held?"""

    sums: dict[UUID, _Sum] = field(default_factory=dict)
    versions: dict[int, int] = field(default_factory=dict)
    raised: set[int] = field(default_factory=set)
    drafts: list[ledger.Draft] = field(default_factory=list)
    ended: list[tuple[UUID, str, int, int, int, datetime]] = field(default_factory=list)
    told: dict[int, list[tuple[UUID, int, int | None]]] = field(default_factory=dict)

    def carry(self, root: int) -> int:
        """Which version has an entry that moves the exposure of this tree?"""
        self.raised.add(root)
        return self.versions[root]

    def tell(self, sum_: _Sum, sequence: int, cost: int) -> None:
        """The holder of the lease hears that one of its calls ended outside of it."""
        self.told.setdefault(sum_.row.fence, []).append((sum_.row.id, sequence, cost))


def _write(books: Books, plan: _Plan, now: datetime) -> None:
    """Raises: _Cut when a record turns out to be none for the batch; BookedElsewhere."""
    with transaction.atomic():
        _write_own(plan, now)
        if plan.steps:
            _write_shared(plan, now)
        move_holder(
            tail=plan.tail,
            booked_to=plan.tail.end_of(plan.count),
            differing=sum(
                1
                for each in plan.endings
                if each.attempt is not None and each.attempt.differs is not None
            ),
        )
    for each in plan.endings:
        if each.attempt is not None and each.attempt.differs is not None:
            books.warn_of(each.attempt.differs, fence=plan.tail.fence)


def _write_own(plan: _Plan, now: datetime) -> None:
    """Rows that nobody else writes and nobody waits for, before any lock that others want."""
    attempts = [each.attempt for each in plan.endings if each.attempt is not None]
    places = {each.attempt.uid: each.at for each in plan.endings if each.attempt is not None}
    hashes = {each.uid: each.request_hash for each in attempts}
    for each in plan.denials:
        if not each.folded:
            places[each.uid], hashes[each.uid] = each.place, each.request_hash
    claimed: dict[UUID, int] = {}
    if hashes:
        claimed, taken = ledger.claim(ledger_id=ledger.COMPANY_LEDGER, hashes=hashes)
        if taken:
            raise _Cut(at=min(places[uid] for uid in taken))
    drafts = [
        settle_of(
            each.attempt,
            now=now,
            amount_nanos=each.covered,
            held_nanos=-each.covered,
            reserved_nanos=each.attempt.hold.amount,
            lease=each.lease,
        )
        for each in plan.endings
        if each.attempt is not None
    ]
    drafts += [each.draft(now=now) for each in plan.denials if not each.folded]
    calls = list(plan.calls.values())
    with connection.cursor() as cursor:
        copy_reservations(cursor, calls)
        copy_decisions(cursor, calls)
        copy_denials(cursor, plan.denials)
        copy_answers(
            cursor,
            [(each.uid, each.reservation, each.record) for each in plan.endings],
        )
    if drafts:
        ledger.append(drafts, claimed=claimed)


def _write_shared(plan: _Plan, now: datetime) -> None:
    """Rows that others wait for: as late, as few statements as can be."""
    effects = _Effects()
    trees = _lock_trees(plan, effects)
    rows = _lock_rows(plan, effects)
    for step in plan.steps:
        what = step.what
        if isinstance(what, Call):
            _begin(what, effects)
        elif isinstance(what, _Ending):
            _end(what, rows, plan, effects, now)
        else:
            _give_back(step.offset, what, plan, effects, now)
    if effects.drafts:
        ledger.append(effects.drafts)
    _move(trees, effects)
    change_leases({each: sum_.change for each, sum_ in effects.sums.items()}, now=now)
    if effects.ended:
        statements.run(END_ROWS, list(map(list, zip(*effects.ended, strict=True))))
    for fence, told in effects.told.items():
        for first in range(0, len(told), TOLD_AT_ONCE):
            notify_ended(fence, told[first : first + TOLD_AT_ONCE])


def _lock_trees(plan: _Plan, effects: _Effects) -> dict[int, Cells]:
    """Trees are locked where money moves; a call that only began moves none."""
    cells: dict[int, set[tuple[int, datetime]]] = {}
    for step in plan.steps:
        if isinstance(step.what, Call):
            continue
        row = plan.leases[step.lease]
        cells.setdefault(row.root, set()).update(
            zip(row.path_ids, row.path_periods, strict=True)
        )
    trees: dict[int, Cells] = {}
    for root in sorted(cells):
        order = sorted(cells[root])
        trees[root] = Cells(
            root, tuple(each[0] for each in order), tuple(each[1] for each in order)
        )
        effects.versions[root] = lock(trees[root]).version
    return trees


@dataclass(slots=True)
class _Row:
    """What stands in a reservation that was booked before, under its lock?"""

    state: str
    open: int
    lease: UUID | None


def _lock_rows(plan: _Plan, effects: _Effects) -> dict[UUID, _Row]:
    """Leases, then reservations; nobody can take a hold out of its lease from here on."""
    leases = lock_leases(sorted({step.lease for step in plan.steps}))
    fences = sorted({row.fence for row in leases.values()})
    ended = {row[0] for row in statements.rows(READ_ENDED, [fences])}
    for lease, row in leases.items():
        if row.state in GONE:
            raise _Cut(at=min(step.at for step in plan.steps if step.lease == lease))
        effects.sums[lease] = _Sum(row, row.rest, row.open, int(row.fence in ended))
    before = sorted(each.reservation for each in plan.endings if each.call is None)
    if not before:
        return {}
    return {row[0]: _Row(*row[1:]) for row in statements.rows(LOCK_ROWS, [before])}


def _begin(call: Call, effects: _Effects) -> None:
    """A hold inside a lease moves nothing but what is known to be open in it."""
    sum_ = effects.sums[call.lease]
    if call.alias_of is None:
        sum_.open += call.hold.amount
    else:
        # Another host answered this request id first: the holder takes the money back.
        effects.tell(sum_, call.offset, 0)


def _end(
    ending: _Ending,
    rows: dict[UUID, _Row],
    plan: _Plan,
    effects: _Effects,
    now: datetime,
) -> None:
    sum_ = effects.sums[ending.lease]
    if ending.call is not None:
        held = ending.call.hold.amount
    else:
        row = rows.get(ending.reservation)
        if row is None or row.state != "open" or row.lease != ending.lease:
            raise _Cut(at=ending.at)
        held = row.open
    covered, cost = ending.covered, ending.cost
    by_hold = min(cost, held)
    # Beyond its hold a call is paid by what the lease has free; more was never lent.
    most = min(cost, sum_.rest, by_hold + max(0, sum_.rest - sum_.open))
    if not by_hold <= covered <= most:
        raise _Cut(at=ending.at)
    # Nobody would give back what becomes free in a lease whose holder is gone.
    returned = held - by_hold if sum_.ended else 0
    sum_.take(covered=covered, returned=returned)
    sum_.open -= held
    sum_.cost += cost
    sum_.excess += cost - covered
    root = sum_.row.root
    if ending.attempt is not None and cost > covered:
        effects.drafts.append(
            overrun_of(
                ending.attempt, excess=cost - covered, version=effects.carry(root), now=now
            )
        )
    if returned:
        effects.drafts.append(
            lease_return_of(
                sum_.row,
                key=str(ending.reservation),
                nanos=returned,
                version=effects.carry(root),
                now=now,
            )
        )
    if ending.call is None:
        state = "settled" if ending.attempt is not None else "released"
        attempts = int(ending.attempt is not None)
        effects.ended.append(
            (ending.reservation, state, 0, cost, attempts, instant_of(ending.record.at_us))
        )
    if sum_.row.fence != plan.tail.fence and not sum_.ended:
        effects.tell(sum_, ending.record.sequence, covered)


def _give_back(
    offset: int, record: GivenBack, plan: _Plan, effects: _Effects, now: datetime
) -> None:
    """What a holder does not use any more; never what its calls still hold."""
    sum_ = effects.sums[UUID(bytes=record.lease)]
    nanos = max(0, min(record.amount, sum_.rest - sum_.open))
    if not nanos:
        return
    sum_.take(returned=nanos)
    effects.drafts.append(
        lease_return_of(
            sum_.row,
            key=f"{plan.tail.fence}#{offset}",
            nanos=nanos,
            version=effects.carry(sum_.row.root),
            now=now,
        )
    )


def _move(trees: dict[int, Cells], effects: _Effects) -> None:
    """The balances follow, each level by what all leases above it did."""
    moved = {
        root: dict.fromkeys(zip(cells.envelopes, cells.periods, strict=True), NOTHING)
        for root, cells in trees.items()
    }
    for sum_ in effects.sums.values():
        change = Move(settled=sum_.cost, held=sum_.held, unguarded=sum_.excess)
        if change == NOTHING:
            continue
        sums = moved[sum_.row.root]
        for cell in zip(sum_.row.path_ids, sum_.row.path_periods, strict=True):
            sums[cell] = sums[cell].plus(change)
    for root, cells in trees.items():
        changes = list(moved[root].values())
        if any(change != NOTHING for change in changes):
            move_each(
                cells=cells,
                version=effects.versions[root],
                changes=changes,
                raised=int(root in effects.raised),
            )
