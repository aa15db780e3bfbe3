"""How does money that nobody uses leave a lease? Given back by its holder, or when it ended.

One rule for the bookkeeper, the reconciler and whoever closes a lease: never more than is lent
and not in a reservation that the books know of. Of a lease that expired nothing comes back
before its journal is read to the end: others may draw on what is unsettled by their tokens.
Then what nobody used is written off at once.
"""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from ledger import facade as ledger
from o10.kernel import ids
from policies.operations.balances import NOTHING, Move
from policies.operations.leases import LeaseChange, LeaseRow


@dataclass(frozen=True, slots=True)
class Parted:
    """Which entries tell of it, and how do the balances of the path and the lease move by them?

    The caller applies both and appends the entries in one transaction.
    """

    drafts: tuple[ledger.Draft, ...] = ()
    move: Move = NOTHING
    change: LeaseChange = field(default_factory=LeaseChange)


def give_back(
    *, lease_row: LeaseRow, amount: int, key: str, version: int, now: datetime
) -> Parted:
    """What leaves the lease when its holder does not use `amount` any more?

    At most what is lent and in no known reservation (`lease_row.open`); a call that ended
    outside may have taken its money along already. Of an expired lease, nothing.
    `key` tells it from other returns of the lease; `version` is that of its tree.
    Units: nanos.
    """
    spare = 0 if lease_row.state == "expired" else lease_row.rest - lease_row.open
    return _parted(lease_row, max(0, min(amount, spare)), 0, key, version, now)


def finish_lease(
    *, lease_row: LeaseRow, version: int, now: datetime, awaited: int = 0
) -> Parted:
    """What leaves a lease whose holder ended and whose journal is booked to its end?

    All that is in no open reservation; the lease drains. `awaited` of its unsettled money may
    still be proven by calls that are known and were not billed yet; the rest never was used.
    Units: nanos.
    """
    back = max(0, lease_row.rest - lease_row.open)
    proven = max(0, lease_row.unsettled - awaited)
    key = f"end#{lease_row.returned}#{lease_row.written_off}"
    found = _parted(lease_row, back, proven, key, version, now)
    return Parted(found.drafts, found.move, found.change.plus(LeaseChange(drains=1)))


def _parted(
    lease_row: LeaseRow, back: int, proven: int, key: str, version: int, now: datetime
) -> Parted:
    drafts = []
    if back:
        drafts.append(
            lease_row.draft(
                kind=ledger.Kind.LEASE_RETURN,
                uid=_uid("lease_return", lease_row, key),
                recorded_at=now,
                held_nanos=-back,
                env_version=version,
            )
        )
    if proven:
        drafts.append(
            lease_row.draft(
                kind=ledger.Kind.WRITE_OFF,
                uid=_uid("write_off", lease_row, key),
                recorded_at=now,
                unsettled_nanos=-proven,
                env_version=version,
            )
        )
    return Parted(
        tuple(drafts),
        Move(held=-back, unsettled=-proven),
        LeaseChange(returned=back, written_off=proven),
    )


def _uid(scope: str, lease_row: LeaseRow, key: str) -> UUID:
    return ids.uid(scope=scope, key=f"{lease_row.id}#{key}", origin_ms=lease_row.origin_ms)
