"""How is a lease found, locked and changed? The `lease` cache.

Locks: the tree and its balances before the leases, leases by id, leases before reservations.
The path of a lease never changes, so it is read first without a lock, to know which tree to
lock. Whoever changes a lease writes the entry that says so in the same transaction.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from ledger import facade as ledger
from o10.kernel.errors import Corrupt
from policies.core.lending import LeaseSums
from policies.operations import statements
from policies.operations.balances import Cells

GRACE = timedelta(seconds=5)
"""Between the end of a lease and its expiry: what its holder still writes is on its way."""
CHANNEL = "o10_plane"
"""Where holders listen for what happened outside of them."""

_COLUMNS = """
id, fence, use_case, root, path_ids, path_periods, granted_nanos, returned_nanos,
settled_nanos, expired_nanos, late_nanos, written_off_nanos, open_nanos, state,
policy_version, granted_at, expires_at
"""
READ_LEASES = f"SELECT {_COLUMNS} FROM lease WHERE id = ANY(%s::uuid[])"
LOCK_LEASES = READ_LEASES + " ORDER BY id FOR UPDATE"

# The state follows the sums: policies.core.lending.state_after says the same.
CHANGE_LEASES = """
UPDATE lease l SET
    returned_nanos = c.returned, settled_nanos = c.settled, expired_nanos = c.expired,
    late_nanos = c.late, written_off_nanos = c.written_off, open_nanos = c.open,
    state = c.state,
    ended_at = CASE WHEN c.state IN ('closed', 'expired') THEN coalesce(l.ended_at, c.at) END
FROM (
    SELECT m.*, %s::timestamptz AS at,
        CASE WHEN m.expired - m.late - m.written_off > 0 THEN 'expired'
             WHEN w.granted_nanos - m.returned - m.settled - m.expired = 0 THEN 'closed'
             WHEN w.state = 'expired' OR m.drains > 0 THEN 'draining'
             ELSE w.state END AS state
    FROM (
        SELECT w.id, w.returned_nanos + d.returned AS returned,
               w.settled_nanos + d.settled AS settled, w.expired_nanos + d.expired AS expired,
               w.late_nanos + d.late AS late,
               w.written_off_nanos + d.written_off AS written_off,
               greatest(0, w.open_nanos + d.open) AS open, d.drains
        FROM unnest(%s::uuid[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[],
                    %s::bigint[], %s::bigint[], %s::int[])
             AS d (id, returned, settled, expired, late, written_off, open, drains)
        JOIN lease w ON w.id = d.id) m
    JOIN lease w ON w.id = m.id) c
WHERE l.id = c.id
"""

LENT_UNTIL = """
SELECT max(expires_at) FROM lease WHERE state <> 'closed' AND path_ids @> ARRAY[%s::int]
"""
HOLDER_LIVES = "SELECT 1 FROM lease_holder WHERE fence = %s AND ended_at IS NULL"

NOTIFY = "SELECT pg_notify(%s, %s)"


class LeaseMissing(Corrupt):
    """Is a lease gone that a reservation or an entry names? Fields: `leases`."""

    code = "lease_missing"


class LeaseOverdrawn(Corrupt):
    """Would more leave a lease than is in it? Fields: `lease`, `rest`, `nanos`."""

    code = "lease_overdrawn"


@dataclass(frozen=True, slots=True)
class LeaseRow:
    """What is known of a lease? Units: nanos; `open` in reservations the books know of."""

    id: UUID
    fence: int
    use_case: int
    root: int
    path_ids: tuple[int, ...]
    path_periods: tuple[datetime, ...]
    granted: int
    returned: int
    settled: int
    expired: int
    late: int
    written_off: int
    open: int
    state: str
    policy_version: int
    granted_at: datetime
    expires_at: datetime

    @property
    def cells(self) -> Cells:
        """Which balance rows hold its money?"""
        return Cells(self.root, self.path_ids, self.path_periods)

    @property
    def sums(self) -> LeaseSums:
        """What became of its money?"""
        return LeaseSums(
            granted=self.granted,
            returned=self.returned,
            settled=self.settled,
            expired=self.expired,
            late=self.late,
            written_off=self.written_off,
        )

    @property
    def rest(self) -> int:
        """How much is still lent?"""
        return self.sums.rest

    @property
    def unsettled(self) -> int:
        """How much expired without an answer so far?"""
        return self.sums.unsettled

    @property
    def origin_ms(self) -> int:
        """When was it made? Unix milliseconds, from its own id: uids of its moves share it."""
        return self.id.int >> 80

    def draft(self, **fields: Any) -> ledger.Draft:
        """Which entry tells of a move of this lease? The fields all of them share.

        Effective at the instant of the grant, so that every move falls into the same period.
        """
        common: dict[str, Any] = {
            "ledger_id": ledger.COMPANY_LEDGER,
            "effective_at": self.granted_at,
            "envelope_id": self.cells.leaf,
            "use_case_id": self.use_case,
            "policy_version": self.policy_version,
            "lease": self.id,
        }
        return ledger.Draft(**{**common, **fields})


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseChange:
    """By how much do the figures of a lease change? Nanos; `drains` 1 = it reserves no more.

    `open` follows the reservations known in it, for reading only.
    """

    returned: int = 0
    settled: int = 0
    expired: int = 0
    late: int = 0
    written_off: int = 0
    open: int = 0
    drains: int = 0

    def plus(self, other: "LeaseChange") -> "LeaseChange":
        """Which change are two of the same lease together?"""
        names = ("returned", "settled", "expired", "late", "written_off", "open")
        sums = {name: getattr(self, name) + getattr(other, name) for name in names}
        return LeaseChange(**sums, drains=max(self.drains, other.drains))

    def on(self, lease: LeaseRow) -> LeaseRow:
        """How does the row read afterwards? Its state aside."""
        return replace(
            lease,
            returned=lease.returned + self.returned,
            settled=lease.settled + self.settled,
            expired=lease.expired + self.expired,
            late=lease.late + self.late,
            written_off=lease.written_off + self.written_off,
            open=max(0, lease.open + self.open),
        )


def find_leases(leases: Sequence[UUID]) -> dict[UUID, LeaseRow]:
    """What is known of these leases, read without a lock? Those that are not there lack."""
    return _by_id(statements.rows(READ_LEASES, [list(leases)]))


def lock_leases(leases: Sequence[UUID]) -> dict[UUID, LeaseRow]:
    """What is known of them, while nobody else can change them? Lock their trees before.

    Raises: LeaseMissing (`lease_missing`).
    Locks: the lease rows by id.
    """
    found = _by_id(statements.rows(LOCK_LEASES, [sorted(leases)]))
    missing = [str(each) for each in leases if each not in found]
    if missing:
        raise LeaseMissing(leases=missing)
    return found


def lock_lease(lease: UUID) -> LeaseRow:
    """What is known of it, while nobody else can change it? Lock its tree before.

    Raises: LeaseMissing (`lease_missing`).
    """
    return lock_leases([lease])[lease]


def lent_until(envelope_id: int) -> datetime | None:
    """Until when may a lease of this envelope, or of one below, be spent? None = no lease."""
    row = statements.row(LENT_UNTIL, [envelope_id])
    return row[0] if row else None


def holder_lives(fence: int) -> int:
    """Does this holder still count as alive? 1 = yes: it has not ended and was not ended."""
    return int(statements.row(HOLDER_LIVES, [fence]) is not None)


def change_leases(changes: Mapping[UUID, LeaseChange], *, now: datetime) -> None:
    """How do these leases read now? A lease with nothing left is closed by it.

    Raises: LeaseMissing; IntegrityError where a CHECK stands behind us.
    Locks: none further; `lock_leases` holds them.
    """
    if not changes:
        return
    cursor = statements.run(CHANGE_LEASES, change_parameters(changes, now=now))
    if cursor.rowcount != len(changes):
        raise LeaseMissing(leases=[str(each) for each in sorted(changes)])


def change_parameters(changes: Mapping[UUID, LeaseChange], *, now: datetime) -> list[object]:
    """With which parameters does CHANGE_LEASES make these changes? One row for each."""
    order = sorted(changes)
    columns = [
        [getattr(changes[each], name) for each in order]
        for name in (
            "returned",
            "settled",
            "expired",
            "late",
            "written_off",
            "open",
            "drains",
        )
    ]
    return [now, order, *columns]


def notify(kind: str, **what: object) -> None:
    """Tells every holder, when this transaction commits."""
    body = json.dumps({"k": kind, **what}, separators=(",", ":"))
    statements.run(NOTIFY, [CHANNEL, body])


def notify_ended(fence: int, endings: Sequence[tuple[UUID, int, int | None]]) -> None:
    """Tells a holder which reservations ended outside of it: lease, sequence, cost.

    Cost None = the reservation left the lease with its money; the holder drops it.
    """
    if endings:
        told = [[lease.hex, sequence, cost] for lease, sequence, cost in endings]
        notify("ended", f=fence, e=told)


def _by_id(rows: Sequence[statements.Row]) -> dict[UUID, LeaseRow]:
    return {row[0]: _lease(row) for row in rows}


def _lease(row: statements.Row) -> LeaseRow:
    fields = list(row)
    fields[4], fields[5] = tuple(fields[4]), tuple(fields[5])
    return LeaseRow(*fields)
