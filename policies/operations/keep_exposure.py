"""How do balances follow spend that the ledger's own doors book? Usage, adjustment, reversal.

The ledger calls this through its one slot, inside its transaction, before it appends. Every
effect moves all envelopes above its own, in the periods of its instant.
Locks: tree rows by ascending root, then balance rows by envelope id and period, then leases
by id, then reservations by id.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from ledger import facade as ledger
from policies.models import Envelope
from policies.operations.balances import (
    NOTHING,
    BalanceMissing,
    Cells,
    Locked,
    Move,
    lock,
    move_each,
    raise_version,
)
from policies.operations.leases import LeaseChange, change_leases, lock_leases
from policies.operations.open_periods import open_periods
from policies.operations.reservations import end_hold, lock_hold
from policies.queries.current_policy import current_policy
from policies.queries.places import cells_at
from policies.queries.snapshot_rows import envelope_rule

Cell = tuple[int, datetime]
NO_TREE = 0


def keep_exposure(effects: Sequence[ledger.Effect]) -> list[int]:
    """Which version has the tree of each effect once the balances have moved?

    Must run in the transaction that appends the entries.
    Raises: BalanceMissing (`balance_missing`) for an envelope nobody knows.
    """
    trees: dict[int, dict[Cell, Move]] = {}
    roots: list[int] = []
    for effect in effects:
        root, cells = _cells_of(effect)
        roots.append(root)
        sums = trees.setdefault(root, {})
        change = Move(
            settled=effect.amount_nanos,
            held=effect.held_nanos,
            unsettled=effect.unsettled_nanos,
            unguarded=effect.unguarded_nanos,
        )
        for cell in cells:
            sums[cell] = sums.get(cell, NOTHING).plus(change)
    # The version counts without a gap: it rises only where an entry will carry it.
    raised = {root for root, effect in zip(roots, effects, strict=True) if effect.net}
    versions = {root: _apply(root, trees[root], effects, raised) for root in sorted(trees)}
    _follow_leases(effects)
    _follow_reservations(effects)
    return [versions[root] for root in roots]


def _cells_of(effect: ledger.Effect) -> tuple[int, list[Cell]]:
    if effect.envelope_id == 0:
        return NO_TREE, []
    snapshot = current_policy().snapshot
    rule = snapshot.envelopes.get(effect.envelope_id)
    if rule is None:
        raise BalanceMissing(path=[effect.envelope_id])
    cells = cells_at(snapshot, effect.envelope_id, effect.effective_at)
    return rule.root, [(each.id, start) for each, start in cells]


def _apply(
    root: int,
    sums: dict[Cell, Move],
    effects: Sequence[ledger.Effect],
    raised: Collection[int],
) -> int:
    order = sorted(sums)
    cells = Cells(root, tuple(each[0] for each in order), tuple(each[1] for each in order))
    locked = lock(cells)
    begins = any(balance is None for balance in locked.path)
    if begins or root in raised:
        raise_version(cells=cells, version=locked.version)
    if not order:
        return locked.version
    if begins:
        _open(cells, locked, max(effect.effective_at for effect in effects))
    move_each(cells=cells, version=locked.version, changes=[sums[cell] for cell in order])
    return locked.version


def _follow_leases(effects: Sequence[ledger.Effect]) -> None:
    """What late settles and write-offs resolved of an expired lease is unsettled again."""
    changes: dict[UUID, LeaseChange] = {}
    for effect in effects:
        if effect.lease == ledger.ZERO_UUID or not effect.unsettled_nanos:
            continue
        late = effect.amount_nanos != 0
        back = -effect.unsettled_nanos
        change = LeaseChange(late=back) if late else LeaseChange(written_off=back)
        changes[effect.lease] = changes.get(effect.lease, LeaseChange()).plus(change)
    if changes:
        lock_leases(list(changes))
        change_leases(changes, now=effects[0].effective_at)


def _follow_reservations(effects: Sequence[ledger.Effect]) -> None:
    """Corrections of what a reservation booked change what is known of it, too.

    Money that a reversed late settle had proven is unsettled again: the reservation is open to
    a late settle or the write-off of its day.
    """
    for effect in sorted(effects, key=lambda each: each.reservation):
        if effect.reservation == ledger.ZERO_UUID:
            continue
        hold = lock_hold(effect.reservation)
        # What stands with its lease is not open here.
        own = effect.unsettled_nanos if effect.lease == ledger.ZERO_UUID else 0
        end_hold(
            hold=hold,
            state="expired" if effect.unsettled_nanos > 0 else hold.state,
            open_nanos=hold.open + own,
            settled=effect.amount_nanos,
            attempts=0,
            now=effect.effective_at,
        )


def _open(cells: Cells, locked: Locked, now: datetime) -> None:
    """Begins the periods that have no row; their entries stand beside those of the caller."""
    rows = {row.id: row for row in Envelope.objects.filter(id__in=set(cells.envelopes))}
    periods = [
        envelope_rule(rows[each]).calendar_period_at(start)
        for each, start in zip(cells.envelopes, cells.periods, strict=True)
    ]
    opened = open_periods(cells=cells, periods=periods, locked=locked, actor_id=0, now=now)
    ledger.append(opened.drafts)
