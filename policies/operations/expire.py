"""What becomes of a hold that nobody ended? Five seconds after its time it is `unsettled`.

The money stays deducted: a provider may have billed it. A late settle, a release or, after a
day, a write-off resolves it. Inside a lease the call leaves the lease first; while its holder
lives, not before everything the holder did in time is booked.
Source: product.md section 6.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from uuid import UUID

from ledger import facade as ledger
from o10.kernel.errors import Conflict
from policies.operations.balances import Locked, Move, lock, move
from policies.operations.detach import detach, lock_with_lease
from policies.operations.reservations import Hold, end_hold, find_hold
from policies.queries.due import due_reservations

GRACE = timedelta(seconds=5)
"""Between the end of a hold and its expiry: a settle on its way is not late by a network."""
BATCH = 500


class NotDue(Conflict):
    """Did it end, or live longer, between the look and the lock?"""


@dataclass(frozen=True, slots=True)
class Ending:
    """Which end is written for a hold that is due: verb, its states, the move, the entry?"""

    scope: str
    state: str
    next_state: Callable[[Hold], str]
    kind: int
    change: Callable[[Hold], Move]
    keeps: int


EXPIRE = Ending(
    scope="expire",
    state="open",
    # Without money there is nothing left to resolve.
    next_state=lambda hold: "expired" if hold.open else "written_off",
    kind=ledger.Kind.EXPIRE,
    change=lambda hold: Move(held=-hold.open, unsettled=hold.open),
    keeps=1,
)


def expire_due(*, now: datetime, limit: int = BATCH) -> int:
    """How many holds expired? Those whose time ended five seconds ago or more.

    Locks: per hold, in a transaction of its own: tree, balances in order, lease, reservation.
    """
    before = now - GRACE
    due = due_reservations(state=EXPIRE.state, before=before, limit=limit)
    return sum(end_due(reservation=each, ending=EXPIRE, before=before, now=now) for each in due)


def end_due(*, reservation: UUID, ending: Ending, before: datetime, now: datetime) -> int:
    """Did it end now? 0 when somebody else was faster."""
    seen = find_hold(reservation)

    def run(uid: UUID) -> list[ledger.Draft]:
        locked = lock(seen.cells)
        hold, lease_row = lock_with_lease(seen)
        if hold.state != ending.state or hold.expires_at > before:
            raise NotDue(state=hold.state)
        detached: list[ledger.Draft] = []
        if lease_row:
            hold, detached = detach(
                hold=hold, lease_row=lease_row, version=locked.version, now=now
            )
        return [*detached, _end(hold, uid, ending, locked, now)]

    try:
        written = ledger.write(
            ledger_id=ledger.COMPANY_LEDGER,
            scope=ending.scope,
            key=str(reservation),
            request_hash=sha256(reservation.bytes).digest(),
            origin_ms=seen.origin_ms,
            run=run,
        )
    except NotDue:
        return 0
    return 0 if written.replayed is not None else 1


def _end(hold: Hold, uid: UUID, ending: Ending, locked: Locked, now: datetime) -> ledger.Draft:
    change = ending.change(hold)
    move(cells=hold.cells, version=locked.version, change=change)
    end_hold(
        hold=hold,
        state=ending.next_state(hold),
        open_nanos=hold.open * ending.keeps,
        settled=0,
        attempts=0,
        now=now,
    )
    return hold.draft(
        kind=ending.kind,
        uid=uid,
        recorded_at=now,
        actor_id=0,
        held_nanos=change.held,
        unsettled_nanos=change.unsettled,
        env_version=locked.version if change.net else 0,
        flags=0 if hold.holds else int(ledger.Flag.UNGUARDED | ledger.Flag.SHADOW_MODE),
    )
