"""How do the records of a journal get into the books? By the batch, each exactly once.

What a holder wrote down in memory's time becomes rows: decisions, reservations, entries,
balances, leases. The place up to which the journal is booked moves in the same transaction, so
a death between any two statements leaves nothing half done.

The batch takes what every call does: it was allowed in a lease and ended in it. Before a record
that met something else meanwhile (its hold was taken out of the lease, its lease expired) the
batch ends, and `book_alone` takes that record.

Callers wait for trees, balances and leases, so these come last, in one go, and trees only where
an entry carries their version: settles inside a lease leave the exposure as it is.
Locks: uids, rows that nobody else writes, reservations that end, trees by root, balances by
envelope and period, leases by id. Elsewhere reservations come last; whoever ends the very same
reservation at the same moment may wait for us, and we give up first (lock_timeout).
Source: docs/algorithms/bookkeeping.md.
"""

import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db import connection, transaction

from ledger import facade as ledger
from o10.kernel.errors import Conflict
from policies.operations import statements
from policies.operations.balances import (
    LOCK_BALANCES,
    MOVE_EACH,
    NOTHING,
    BalanceMissing,
    Cells,
    Move,
    lock,
    move_parameters,
)
from policies.operations.booked_rows import (
    copy_answers,
    copy_decisions,
    copy_denials,
    copy_reservations,
)
from policies.operations.booked_settle import settle_of
from policies.operations.bookkeeper import Books
from policies.operations.gather_batch import Batch, gather_batch
from policies.operations.journal_tail import JournalTail
from policies.operations.leases import (
    CHANGE_LEASES,
    CHANNEL,
    change_parameters,
    notify_ended,
)

MOST: Final = 500
"""Records of one batch."""
TOLD_AT_ONCE: Final = 90
"""Endings in one signal: PostgreSQL carries 8,000 bytes."""
NO_REQUEST: Final = bytes(32)
_TRIES: Final = 5

END_ROWS = """
UPDATE reservation r SET state = c.state, open_nanos = 0,
    settled_nanos = r.settled_nanos + c.settled, attempts = r.attempts + c.attempts,
    ended_at = c.ended
FROM unnest(%s::uuid[], %s::text[], %s::bigint[], %s::int[], %s::timestamptz[], %s::bigint[],
            %s::uuid[]) AS c (id, state, settled, attempts, ended, open, lease)
WHERE r.id = c.id AND r.state = 'open' AND r.open_nanos = c.open AND r.lease = c.lease
RETURNING r.id
"""
# As they were seen when the batch was added up, or not at all.
LOCK_SEEN = """
SELECT l.id FROM lease l
JOIN unnest(%s::uuid[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::text[])
     AS s (id, returned, settled, expired, open, state) ON l.id = s.id
WHERE l.returned_nanos = s.returned AND l.settled_nanos = s.settled
  AND l.expired_nanos = s.expired AND l.open_nanos = s.open AND l.state = s.state
ORDER BY l.id FOR UPDATE OF l
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


class _Stale(Conflict):
    """Did a lease change between the look and the lock?"""


@dataclass(frozen=True, slots=True)
class Flushed:
    """How many records were booked, and is the first one left for `book_alone` (1 or 0)?

    `hot_s`: so long others had to wait for what the batch had locked.
    """

    count: int
    alone: int
    hot_s: float = 0.0


def flush(*, books: Books, tail: JournalTail, now: datetime, most: int = MOST) -> Flushed:
    """How many of the records that wait in this journal are booked now?

    Raises: BookedElsewhere; the errors of django.db; whatever a record that cannot be booked
    raises. Then nothing was written, and the records still wait.
    """
    records = tail.first(most)
    tries = _TRIES
    while records:
        batch = gather_batch(books=books, tail=tail, records=records, now=now)
        if batch.count == 0:
            return Flushed(0, 1)
        books.numbering.store(now=now)
        try:
            hot_s = _write(books, batch)
        except _Cut as cut:
            records = records[: int(cut.at)]
            continue
        except _Stale:
            tries -= 1
            if not tries:
                raise
            continue
        for call in batch.calls.values():
            books.remember(call)
        tail.drop(batch.count)
        for attempt in batch.differing:
            books.warn_of(attempt.differs, fence=tail.fence)
        return Flushed(batch.count, 0, hot_s)
    return Flushed(0, int(bool(tail.pending)))


def move_holder(
    *, tail: JournalTail, booked_to: int, put_aside: int = 0, differing: int = 0
) -> None:
    """Writes down up to where this journal is booked. In the transaction that books it.

    Raises: BookedElsewhere.
    """
    parameters = _holder_parameters(tail, booked_to, put_aside, differing)
    if statements.run(MOVE_HOLDER, parameters).rowcount != 1:
        raise BookedElsewhere(fence=tail.fence, booked_to=tail.booked_to)


def _write(books: Books, batch: Batch) -> float:
    """How long had others to wait? Seconds.

    Raises: _Cut, _Stale when something is not as it was seen; BookedElsewhere.
    """
    with transaction.atomic():
        claimed = _claim(batch)
        _write_own(batch, claimed)
        _end_rows(books, batch)
        # Behind the rows: a release that another host booked first is cut from the batch there.
        _write_answers(batch)
        hot_at = time.perf_counter()
        _write_shared(batch, claimed)
    return time.perf_counter() - hot_at


def _claim(batch: Batch) -> dict[UUID, int]:
    """Which entry ids have the entries of this batch? One claim for all of them."""
    places: dict[UUID, int] = {}
    hashes = {each.uid: NO_REQUEST for each in batch.later}
    for ending in batch.endings:
        if ending.attempt is not None:
            hashes[ending.attempt.uid] = ending.attempt.request_hash
            places[ending.attempt.uid] = ending.at
    for denial in batch.denials:
        if not denial.folded:
            hashes[denial.uid], places[denial.uid] = denial.request_hash, denial.place
    if not hashes:
        return {}
    claimed, taken = ledger.claim(ledger_id=ledger.COMPANY_LEDGER, hashes=hashes)
    if taken:
        raise _Cut(at=min(places.get(uid, 0) for uid in taken))
    return claimed


def _write_own(batch: Batch, claimed: dict[UUID, int]) -> None:
    """Rows that nobody else writes and nobody waits for."""
    drafts = [
        settle_of(
            ending.attempt,
            now=batch.now,
            amount_nanos=ending.covered,
            held_nanos=-ending.covered,
            reserved_nanos=ending.attempt.hold.amount,
            lease=ending.lease,
        )
        for ending in batch.endings
        if ending.attempt is not None
    ]
    drafts += [each.draft(now=batch.now) for each in batch.denials if not each.folded]
    calls = list(batch.calls.values())
    with connection.cursor() as cursor:
        copy_reservations(cursor, calls)
        copy_decisions(cursor, calls)
        copy_denials(cursor, batch.denials)
    if drafts:
        ledger.append(drafts, claimed=claimed)


def _write_answers(batch: Batch) -> None:
    answers = [(each.uid, each.reservation, each.record) for each in batch.endings]
    with connection.cursor() as cursor:
        copy_answers(cursor, answers)


def _end_rows(books: Books, batch: Batch) -> None:
    """Reservations that were booked before and end now, if they stand as they were seen."""
    before = [each for each in batch.endings if not each.begun]
    if not before:
        return
    columns = list(map(list, zip(*(each.row for each in before), strict=True)))
    ended = {row[0] for row in statements.rows(END_ROWS, columns)}
    if len(ended) != len(before):
        others = [each for each in before if each.reservation not in ended]
        for each in others:
            books.holds.pop(each.reservation, None)
        raise _Cut(at=min(each.at for each in others))


def _write_shared(batch: Batch, claimed: dict[UUID, int]) -> None:
    """What others wait for: sent at once, answered at once."""
    versions = {
        root: lock(Cells(root, (), ())).version
        for root in sorted({each.root for each in batch.later})
    }
    if batch.later:
        drafts = [each.make(version=versions[each.root]) for each in batch.later]
        ledger.append(drafts, claimed=claimed)
    trees = _moves(batch)
    changed = {
        lease: sum_ for lease, sum_ in sorted(batch.sums.items()) if _differs(sum_.change)
    }
    with connection.wrap_database_errors, connection.connection.pipeline():
        for cells, _ in trees.values():
            statements.run(LOCK_BALANCES, cells.as_arrays)
        seen = statements.run(LOCK_SEEN, _seen(changed)) if changed else None
        moved = [
            statements.run(
                MOVE_EACH,
                move_parameters(
                    cells=cells,
                    version=versions.get(root, 0),
                    changes=changes,
                    raised=int(root in versions),
                ),
            )
            for root, (cells, changes) in trees.items()
        ]
        if changed:
            changes_ = {lease: sum_.change for lease, sum_ in changed.items()}
            statements.run(CHANGE_LEASES, change_parameters(changes_, now=batch.now))
        for fence, told in batch.told.items():
            for first in range(0, len(told), TOLD_AT_ONCE):
                notify_ended(fence, told[first : first + TOLD_AT_ONCE])
        holder = statements.run(
            MOVE_HOLDER,
            _holder_parameters(
                batch.tail, batch.tail.end_of(batch.count), 0, len(batch.differing)
            ),
        )
    if holder.rowcount != 1:
        raise BookedElsewhere(fence=batch.tail.fence, booked_to=batch.tail.booked_to)
    if seen is not None and seen.rowcount != len(changed):
        raise _Stale
    for cursor, (cells, _) in zip(moved, trees.values(), strict=True):
        if cursor.rowcount != len(cells.envelopes):
            raise BalanceMissing(path=list(cells.envelopes))


def _moves(batch: Batch) -> dict[int, tuple[Cells, list[Move]]]:
    """How do the balances follow, by tree? Each level by what all leases below it did."""
    sums: dict[int, dict[tuple[int, Any], Move]] = {}
    for sum_ in batch.sums.values():
        if not sum_.moves:
            continue
        change = Move(settled=sum_.cost, held=sum_.held, unguarded=sum_.excess)
        tree = sums.setdefault(sum_.row.root, {})
        for cell in zip(sum_.row.path_ids, sum_.row.path_periods, strict=True):
            tree[cell] = tree.get(cell, NOTHING).plus(change)
    found = {}
    for root in sorted(sums):
        order = sorted(sums[root])
        cells = Cells(root, tuple(each[0] for each in order), tuple(each[1] for each in order))
        found[root] = cells, [sums[root][each] for each in order]
    return found


def _differs(change: Any) -> int:
    return int(bool(change.settled or change.returned or change.open))


def _seen(changed: dict[UUID, Any]) -> list[object]:
    rows = [sum_.row for sum_ in changed.values()]
    return [
        list(changed),
        [row.returned for row in rows],
        [row.settled for row in rows],
        [row.expired for row in rows],
        [row.open for row in rows],
        [row.state for row in rows],
    ]


def _holder_parameters(
    tail: JournalTail, booked_to: int, put_aside: int, differing: int
) -> list[object]:
    return [
        booked_to,
        tail.caught_up(booked_to),
        put_aside,
        differing,
        tail.fence,
        tail.booked_to,
        CHANNEL,
    ]
