"""How do balances follow spend that the ledger's own doors book? Usage, adjustment, reversal.

The ledger calls this through its one slot, inside its transaction, before it appends. Every
effect moves all envelopes above its own, in the periods of its instant.
Locks: tree rows by ascending root, then balance rows by envelope id and period, then
reservations by id.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from ledger import facade as ledger
from policies.models import Envelope
from policies.operations import statements
from policies.operations.balances import BalanceMissing, Cells, Locked, lock, raise_version
from policies.operations.open_periods import open_periods
from policies.operations.reservations import end_hold, lock_hold
from policies.queries.current_policy import current_policy
from policies.queries.places import cells_at
from policies.queries.snapshot_rows import envelope_rule

APPLY = """
UPDATE envelope_balance b SET
    settled_nanos = b.settled_nanos + m.settled,
    held_nanos = b.held_nanos + m.held,
    unsettled_nanos = b.unsettled_nanos + m.unsettled,
    unguarded_nanos = b.unguarded_nanos + m.unguarded,
    limit_nanos = CASE WHEN b.cap_nanos IS NULL THEN NULL ELSE greatest(b.cap_nanos,
        least(b.limit_nanos,
              b.settled_nanos - b.unguarded_nanos + b.held_nanos + b.unsettled_nanos
              + m.settled - m.unguarded + m.held + m.unsettled)) END,
    version = CASE WHEN m.settled + m.held + m.unsettled = 0 THEN b.version ELSE %s END
FROM unnest(%s::int[], %s::timestamptz[], %s::bigint[], %s::bigint[], %s::bigint[],
            %s::bigint[]) AS m (envelope_id, period_start, settled, held, unsettled, unguarded)
WHERE b.envelope_id = m.envelope_id AND b.period_start = m.period_start
"""

Cell = tuple[int, datetime]
NO_TREE = 0


@dataclass(slots=True)
class _Sum:
    """By how much does one balance row move? Nanos."""

    settled: int = 0
    held: int = 0
    unsettled: int = 0
    unguarded: int = 0

    def add(self, effect: ledger.Effect) -> None:
        """Adds one effect."""
        self.settled += effect.amount_nanos
        self.held += effect.held_nanos
        self.unsettled += effect.unsettled_nanos
        self.unguarded += effect.unguarded_nanos


def keep_exposure(effects: Sequence[ledger.Effect]) -> list[int]:
    """Which version has the tree of each effect once the balances have moved?

    Must run in the transaction that appends the entries.
    Raises: BalanceMissing (`balance_missing`) for an envelope nobody knows.
    """
    trees: dict[int, dict[Cell, _Sum]] = {}
    roots: list[int] = []
    for effect in effects:
        root, cells = _cells_of(effect)
        roots.append(root)
        sums = trees.setdefault(root, {})
        for cell in cells:
            sums.setdefault(cell, _Sum()).add(effect)
    # The version counts without a gap: it rises only where an entry will carry it.
    raised = {root for root, effect in zip(roots, effects, strict=True) if effect.net}
    versions = {root: _apply(root, trees[root], effects, raised) for root in sorted(trees)}
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
    sums: dict[Cell, _Sum],
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
    cursor = statements.run(
        APPLY,
        [
            locked.version,
            *cells.as_arrays,
            [sums[cell].settled for cell in order],
            [sums[cell].held for cell in order],
            [sums[cell].unsettled for cell in order],
            [sums[cell].unguarded for cell in order],
        ],
    )
    if cursor.rowcount != len(order):
        raise BalanceMissing(path=list(cells.envelopes))
    return locked.version


def _follow_reservations(effects: Sequence[ledger.Effect]) -> None:
    """Corrections of what a reservation booked change what is known of it, too.

    Money that a reversed late settle had proven is unsettled again: the reservation is open to
    a late settle or the write-off of its day.
    """
    for effect in sorted(effects, key=lambda each: each.reservation):
        if effect.reservation == ledger.ZERO_UUID:
            continue
        hold = lock_hold(effect.reservation)
        open_nanos = hold.open + effect.unsettled_nanos
        end_hold(
            hold=hold,
            state="expired" if effect.unsettled_nanos > 0 else hold.state,
            open_nanos=open_nanos,
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
