"""What is left of a lease, and in which state does that leave it? Integers of one row.

rest = granted - returned - settled - expired; unsettled = expired - late - written off.
Source: docs/algorithms/leases.md; ledger.md section 3.
"""

from dataclasses import dataclass

from o10.kernel.money import Nanos

STATES = ("open", "draining", "expired", "closed")


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseSums:
    """What became of the money of one lease? Units: nanos.

    `late` was proven after the expiry, `written_off` was given up; both leave unsettled money.
    """

    granted: Nanos
    returned: Nanos = 0
    settled: Nanos = 0
    expired: Nanos = 0
    late: Nanos = 0
    written_off: Nanos = 0

    @property
    def rest(self) -> Nanos:
        """How much is still lent?"""
        return self.granted - self.returned - self.settled - self.expired

    @property
    def unsettled(self) -> Nanos:
        """How much expired without an answer so far?"""
        return self.expired - self.late - self.written_off


@dataclass(frozen=True, slots=True)
class LateParts:
    """How does a cost that comes after the expiry of its lease divide? Units: nanos.

    `covered` was unsettled until now; nothing guarded the `excess`.
    """

    covered: Nanos
    excess: Nanos


def state_after(*, sums: LeaseSums, state: str) -> str:
    """In which state is a lease with these sums, if it was in `state`?

    Unsettled money keeps it expired; with nothing left at all it is closed. Once it does not
    reserve any more it never does again.
    """
    if sums.unsettled > 0:
        return "expired"
    if sums.rest == 0:
        return "closed"
    return "draining" if state == "expired" else state


def split_late(*, cost: Nanos, reserved: Nanos, unsettled: Nanos) -> LateParts:
    """How much of a late cost was guarded by its lease?

    At most what was reserved for the call, and what of the lease is still unsettled.
    """
    covered = max(0, min(cost, reserved, unsettled))
    return LateParts(covered, cost - covered)
