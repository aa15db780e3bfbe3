"""What becomes of a lease whose holder is heard of no more? Its unknown rest is unsettled.

Leases end by themselves while somebody reads the journal of their holder. Where host and
journal are lost nobody knows what was spent: five seconds after the end of a lease that was not
renewed, all that is in no known reservation moves to `unsettled`, in one entry. Tokens still
prove what was called; after a day what nobody proved is written off.
Source: decision-plane.md sections 3 and 10; docs/algorithms/leases.md.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from hashlib import sha256
from uuid import UUID

from ledger import facade as ledger
from policies.core.instants import unix_ms
from policies.operations import statements
from policies.operations.balances import Move, lock, move
from policies.operations.expire import NotDue
from policies.operations.leases import (
    GRACE,
    LeaseChange,
    LeaseRow,
    change_leases,
    find_leases,
    lock_lease,
)

WINDOW = timedelta(hours=24)
"""How long the money of a lost lease waits for a proof (product.md section 6)."""
BATCH = 100

LOST = """
SELECT l.id FROM lease l
WHERE l.state <> 'closed' AND l.expires_at < %s
  AND l.granted_nanos - l.returned_nanos - l.settled_nanos - l.expired_nanos > (
      SELECT coalesce(sum(r.open_nanos), 0) FROM reservation r
      WHERE r.lease = l.id AND r.state = 'open' AND r.lease IS NOT NULL)
ORDER BY l.expires_at, l.id LIMIT %s
"""
UNPROVEN = """
SELECT id FROM lease
WHERE state = 'expired' AND expires_at < %s
  AND granted_nanos = returned_nanos + settled_nanos + expired_nanos
  AND expired_nanos > late_nanos + written_off_nanos
ORDER BY expires_at, id LIMIT %s
"""
UNPROVEN_OF = """
SELECT id FROM lease
WHERE state = 'expired' AND granted_at < %s
  AND granted_nanos = returned_nanos + settled_nanos + expired_nanos
  AND expired_nanos > late_nanos + written_off_nanos
ORDER BY expires_at, id LIMIT %s
"""
SUM_INSIDE = """
SELECT coalesce(sum(open_nanos), 0)::bigint FROM reservation
WHERE lease = %s AND state = 'open' AND lease IS NOT NULL
"""
# Their money was unsettled with the lease; now it is given up with it.
GIVE_UP = """
UPDATE reservation SET state = 'written_off', ended_at = coalesce(ended_at, %s)
WHERE lease = %s AND state = 'expired'
"""

Ending = Callable[[LeaseRow, UUID, int, datetime], tuple[ledger.Draft, Move, LeaseChange]]


def reconcile_leases(*, now: datetime, limit: int = BATCH) -> int:
    """How many leases expired? Those that nobody renewed and whose rest nobody knows.

    Locks: per lease, in a transaction of its own: its key, tree, balances in order, lease.
    """
    before = now - GRACE
    found = statements.rows(LOST, [before, limit])
    return sum(_end(row[0], "expire", _expire, now) for row in found)


def write_off_leases(*, now: datetime, limit: int = BATCH) -> int:
    """Of how many expired leases was the rest given up, a day after their end?

    Locks: per lease, in a transaction of its own: its key, tree, balances in order, lease,
    its reservations.
    """
    found = statements.rows(UNPROVEN, [now - WINDOW, limit])
    return sum(_end(row[0], "write_off", _write_off, now) for row in found)


def write_off_leases_before(*, granted_before: datetime, now: datetime) -> int:
    """Of how many expired leases was the rest given up, so that their month can be closed?

    Locks: as `write_off_leases`.
    """
    found = statements.rows(UNPROVEN_OF, [granted_before, BATCH])
    return sum(_end(row[0], "write_off", _write_off, now) for row in found)


def _end(lease: UUID, scope: str, ending: Ending, now: datetime) -> int:
    """Did it end now? 0 when somebody else was faster, or it was renewed."""
    seen = find_leases([lease])[lease]

    def run(uid: UUID) -> list[ledger.Draft]:
        locked = lock(seen.cells)
        lease_row = lock_lease(lease)
        if lease_row != seen:
            raise NotDue(state=lease_row.state)
        draft, change, parts = ending(lease_row, uid, locked.version, now)
        move(cells=lease_row.cells, version=locked.version, change=change)
        change_leases({lease: parts}, now=now)
        return [draft]

    try:
        written = ledger.write(
            ledger_id=ledger.COMPANY_LEDGER,
            scope=scope,
            # It may end in parts, and a correction may undo one: the lock says what is due.
            key=f"{lease}#{seen.expired}#{seen.written_off}#{unix_ms(now)}",
            request_hash=sha256(lease.bytes).digest(),
            origin_ms=seen.origin_ms,
            run=run,
        )
    except NotDue:
        return 0
    return 0 if written.replayed is not None else 1


def _expire(
    lease_row: LeaseRow, uid: UUID, version: int, now: datetime
) -> tuple[ledger.Draft, Move, LeaseChange]:
    inside = statements.row(SUM_INSIDE, [lease_row.id])
    unknown = lease_row.rest - (inside[0] if inside else 0)
    if unknown <= 0:
        raise NotDue(state=lease_row.state)
    draft = lease_row.draft(
        kind=ledger.Kind.EXPIRE,
        uid=uid,
        recorded_at=now,
        held_nanos=-unknown,
        unsettled_nanos=unknown,
    )
    return draft, Move(held=-unknown, unsettled=unknown), LeaseChange(expired=unknown)


def _write_off(
    lease_row: LeaseRow, uid: UUID, version: int, now: datetime
) -> tuple[ledger.Draft, Move, LeaseChange]:
    given_up = lease_row.unsettled
    if given_up <= 0 or lease_row.rest:
        raise NotDue(state=lease_row.state)
    statements.run(GIVE_UP, [now, lease_row.id])
    draft = lease_row.draft(
        kind=ledger.Kind.WRITE_OFF,
        uid=uid,
        recorded_at=now,
        unsettled_nanos=-given_up,
        env_version=version,
    )
    return draft, Move(unsettled=-given_up), LeaseChange(written_off=given_up)
