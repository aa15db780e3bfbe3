"""When is money given up that expired and that nobody proved? After a day.

It leaves `unsettled` and is available again. A later settle is still booked, as unguarded.
Before a month is closed what is still unsettled in it is given up at once.
"""

from datetime import datetime, timedelta

from ledger import facade as ledger
from policies.operations.balances import Move
from policies.operations.expire import BATCH, Ending, end_due
from policies.operations.reconcile_leases import write_off_leases, write_off_leases_before
from policies.queries.closing import list_unsettled
from policies.queries.due import due_reservations

WINDOW = timedelta(hours=24)
"""How long an expired hold stays deducted (product.md section 6)."""

WRITE_OFF = Ending(
    scope="write_off",
    state="expired",
    next_state=lambda hold: "written_off",
    kind=ledger.Kind.WRITE_OFF,
    change=lambda hold: Move(unsettled=-hold.open),
    keeps=0,
)


def write_off_due(*, now: datetime, limit: int = BATCH) -> int:
    """How many expired holds and leases were written off?

    Locks: per hold, in a transaction of its own: tree, balances in order, reservation; per
    lease likewise.
    """
    before = now - WINDOW
    due = due_reservations(state=WRITE_OFF.state, before=before, limit=limit)
    ended = sum(
        end_due(reservation=each, ending=WRITE_OFF, before=before, now=now) for each in due
    )
    return ended + write_off_leases(now=now)


def write_off_before(*, ends_at: datetime, now: datetime) -> int:
    """How many expired holds and leases from before this instant were given up?

    Locks: as `write_off_due`.
    """
    due = list_unsettled(before=ends_at, limit=BATCH)
    ended = sum(
        end_due(reservation=each, ending=WRITE_OFF, before=now, now=now) for each in due
    )
    return ended + write_off_leases_before(granted_before=ends_at, now=now)
