"""How does a call inside a lease become an ordinary hold? Its money leaves the lease with it.

Whoever lengthens, expires or bills a call in parts, and is not its holder, cannot change the
holder's memory. So the money changes place first: out of the lease, into a hold of its own, in
one transaction; balances stay as they are. The holder hears of it and drops the call.
Locks: the caller holds tree, balances, lease and reservation.
"""

from dataclasses import replace
from datetime import datetime
from uuid import UUID

from ledger import facade as ledger
from o10.kernel import ids
from policies.operations import statements
from policies.operations.balances import raise_version
from policies.operations.leases import (
    GRACE,
    LeaseChange,
    LeaseRow,
    change_leases,
    holder_lives,
    lock_lease,
    notify_ended,
)
from policies.operations.reservations import Hold, lock_hold

LEAVE_LEASE = "UPDATE reservation SET lease = NULL WHERE id = %s"


def lock_with_lease(seen: Hold) -> tuple[Hold, LeaseRow | None]:
    """What is known of a hold and its lease, while nobody else can change them?

    The lease is None for a hold of its own. Lock its tree before.
    Locks: the lease, then the reservation.
    """
    lease_row = lock_lease(seen.lease) if seen.lease else None
    hold = lock_hold(seen.id)
    # It may have left the lease since it was seen; it never enters one.
    return hold, lease_row if hold.lease else None


def holder_keeps(lease_row: LeaseRow, *, now: datetime) -> int:
    """Does a living holder keep this lease in its memory? 1 = yes, so it must be told.

    Not when it ended, and not when it let the lease run out.
    """
    if lease_row.state not in ("open", "draining") or now > lease_row.expires_at + GRACE:
        return 0
    return holder_lives(lease_row.fence)


def detach(
    *, hold: Hold, lease_row: LeaseRow, version: int, now: datetime
) -> tuple[Hold, list[ledger.Draft]]:
    """Which hold is it now, and which entries say that its money changed place?

    `version` is that of the tree in this transaction; the entries carry it.
    """
    statements.run(LEAVE_LEASE, [hold.id])
    notify_ended(lease_row.fence, [(lease_row.id, hold.sequence, None)])
    free = replace(hold, lease=None)
    if not hold.open:
        return free, []
    change_leases({lease_row.id: LeaseChange(returned=hold.open, open=-hold.open)}, now=now)
    raise_version(cells=hold.cells, version=version)
    out = lease_row.draft(
        kind=ledger.Kind.LEASE_RETURN,
        uid=_uid("lease_return", f"{lease_row.id}#{hold.id}", lease_row.origin_ms),
        recorded_at=now,
        held_nanos=-hold.open,
        env_version=version,
    )
    into = hold.draft(
        kind=ledger.Kind.RESERVE,
        uid=_uid("detach", str(hold.id), hold.origin_ms),
        recorded_at=now,
        held_nanos=hold.open,
        reserved_nanos=hold.amount,
        env_version=version,
    )
    return free, [out, into]


def _uid(scope: str, key: str, origin_ms: int) -> UUID:
    return ids.uid(scope=scope, key=key, origin_ms=origin_ms)
