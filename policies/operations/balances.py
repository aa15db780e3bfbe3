"""How do the balances along a path move together? Lock, read again, then change.

Locks: the tree row first, then the balance rows by ascending envelope id and period; nothing
that moves money takes them otherwise. Reading is a statement of its own after the locks: one
clever statement would compare with what it saw before it waited.
Source: decision-plane.md section 3; docs/algorithms/envelopes.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from o10.kernel.errors import Corrupt
from o10.kernel.money import Nanos
from policies.core.envelope import Balance
from policies.operations import statements

LOCK_TREE = "SELECT version FROM envelope_tree WHERE root_envelope_id = %s FOR UPDATE"
MAKE_TREE = """
INSERT INTO envelope_tree (root_envelope_id, version) VALUES (%s, 0)
ON CONFLICT (root_envelope_id) DO NOTHING
"""
# The version counts without a gap: it rises only with an entry that carries it.
RAISE_VERSION = "UPDATE envelope_tree SET version = %s WHERE root_envelope_id = %s"

READ_BALANCES = """
SELECT b.envelope_id, b.period_start, b.cap_nanos, b.settled_nanos, b.held_nanos,
       b.unsettled_nanos, b.unguarded_nanos, b.contingency_nanos, b.limit_nanos, b.epoch
FROM envelope_balance b
JOIN unnest(%s::int[], %s::timestamptz[]) AS cell (envelope_id, period_start)
  ON b.envelope_id = cell.envelope_id AND b.period_start = cell.period_start
"""
LOCK_BALANCES = READ_BALANCES + "ORDER BY b.envelope_id, b.period_start FOR UPDATE OF b"

# `limit_nanos` only ever falls towards the cap here. The admission test is repeated in the
# WHERE, so that a wrong decision changes too few rows and is refused as a whole.
MOVE = """
WITH tree AS (
    UPDATE envelope_tree SET version = %s WHERE root_envelope_id = %s AND %s <> 0)
UPDATE envelope_balance b SET
    settled_nanos = b.settled_nanos + m.settled,
    held_nanos = b.held_nanos + m.held,
    unsettled_nanos = b.unsettled_nanos + m.unsettled,
    unguarded_nanos = b.unguarded_nanos + m.unguarded,
    limit_nanos = CASE WHEN b.cap_nanos IS NULL THEN NULL ELSE greatest(b.cap_nanos,
        least(b.limit_nanos,
              b.settled_nanos - b.unguarded_nanos + b.held_nanos + b.unsettled_nanos
              + m.settled - m.unguarded + m.held + m.unsettled)) END,
    version = CASE WHEN m.settled + m.held + m.unsettled = 0 THEN b.version
                   ELSE m.version END
FROM (SELECT %s::bigint AS settled, %s::bigint AS held, %s::bigint AS unsettled,
             %s::bigint AS unguarded, %s::bigint AS version, %s::bigint AS taken) m,
     unnest(%s::int[], %s::timestamptz[]) AS cell (envelope_id, period_start)
WHERE b.envelope_id = cell.envelope_id AND b.period_start = cell.period_start
  AND (m.taken = 0 OR b.cap_nanos IS NULL
       OR b.settled_nanos + b.held_nanos + b.unsettled_nanos + b.contingency_nanos + m.taken
          <= b.cap_nanos)
"""

# The same for levels that change by different amounts: many leases, or many calls, at once.
MOVE_EACH = """
WITH tree AS (
    UPDATE envelope_tree SET version = %s WHERE root_envelope_id = %s AND %s <> 0)
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
            %s::bigint[], %s::bigint[])
     AS m (envelope_id, period_start, settled, held, unsettled, unguarded, taken)
WHERE b.envelope_id = m.envelope_id AND b.period_start = m.period_start
  AND (m.taken = 0 OR b.cap_nanos IS NULL
       OR b.settled_nanos + b.held_nanos + b.unsettled_nanos + b.contingency_nanos + m.taken
          <= b.cap_nanos)
"""


class CapExceeded(Corrupt):
    """Would this move pass a cap although it was decided that it fits? Fields: path, nanos."""

    code = "cap_exceeded"


class BalanceMissing(Corrupt):
    """Is a balance row gone that a reservation names? Fields: path."""

    code = "balance_missing"


@dataclass(frozen=True, slots=True)
class Cells:
    """Which balance rows does a path have? Root first; one period of each envelope."""

    root: int
    envelopes: tuple[int, ...]
    periods: tuple[datetime, ...]

    @property
    def as_arrays(self) -> tuple[str, str]:
        """How do the two columns go to the server? Array texts cost a tenth of lists."""
        periods = ",".join(f'"{each.isoformat()}"' for each in self.periods)
        return f"{{{','.join(map(str, self.envelopes))}}}", f"{{{periods}}}"

    @property
    def leaf(self) -> int:
        """Which envelope do entries name? The deepest; 0 = none."""
        return self.envelopes[-1] if self.envelopes else 0


@dataclass(frozen=True, slots=True)
class Locked:
    """Which version gets the next change of the tree, and what stands in the rows?

    `version` is that of this transaction, if it moves exposure. None in `path` = no row yet.
    """

    version: int
    path: tuple[Balance | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """By how much does each level change? Units: nanos; all levels by the same amounts."""

    settled: Nanos = 0
    held: Nanos = 0
    unsettled: Nanos = 0
    unguarded: Nanos = 0

    @property
    def net(self) -> Nanos:
        """By how much does exposure change? Entries carry a tree version where it does."""
        return self.settled + self.held + self.unsettled

    def plus(self, other: "Move") -> "Move":
        """Which change are two together?"""
        return Move(
            settled=self.settled + other.settled,
            held=self.held + other.held,
            unsettled=self.unsettled + other.unsettled,
            unguarded=self.unguarded + other.unguarded,
        )


NOTHING = Move()


def lock(cells: Cells) -> Locked:
    """What do the balances of this path say, while nobody else can change them?

    Must run in a transaction.
    Locks: tree row, then balance rows in order.
    """
    version = _lock_tree(cells.root) + 1
    if not cells.envelopes:
        return Locked(version, ())
    found = statements.rows(LOCK_BALANCES, cells.as_arrays)
    return Locked(version, in_path_order(cells, found))


def move(
    *, cells: Cells, version: int, change: Move, taken: Nanos = 0, opened: int = 0
) -> None:
    """How do the balances follow this change? All levels, or none and an error.

    `taken` > 0 is new money: it must fit under the cap at every level. `opened` is how many
    periods began in this transaction; their entries carry the version too.
    Raises: CapExceeded, BalanceMissing (`Corrupt`); IntegrityError where a CHECK stands
    behind us.
    Locks: none further; `lock` holds them.
    """
    moves = int(change.net != 0 or opened != 0)
    if not cells.envelopes:
        if moves:
            raise_version(cells=cells, version=version)
        return
    cursor = statements.run(
        MOVE,
        [
            version,
            cells.root,
            moves,
            change.settled,
            change.held,
            change.unsettled,
            change.unguarded,
            version,
            taken,
            *cells.as_arrays,
        ],
    )
    if cursor.rowcount != len(cells.envelopes):
        kind = CapExceeded if taken else BalanceMissing
        raise kind(path=list(cells.envelopes), nanos=taken)


def move_each(
    *,
    cells: Cells,
    version: int,
    changes: Sequence[Move],
    taken: Sequence[Nanos] = (),
    raised: int = 0,
) -> None:
    """How do the balances follow, when each cell has a change of its own? All, or an error.

    `changes` and `taken` in the order of the cells. `taken` > 0 is new money: it must fit
    under the cap. `raised` 1 = an entry of this transaction carries the version.
    Raises: CapExceeded, BalanceMissing (`Corrupt`); IntegrityError where a CHECK stands
    behind us.
    Locks: none further; `lock` holds them.
    """
    if not cells.envelopes:
        if raised:
            raise_version(cells=cells, version=version)
        return
    parameters = move_parameters(
        cells=cells, version=version, changes=changes, taken=taken, raised=raised
    )
    cursor = statements.run(MOVE_EACH, parameters)
    if cursor.rowcount != len(cells.envelopes):
        kind = CapExceeded if any(taken) else BalanceMissing
        raise kind(path=list(cells.envelopes), nanos=max(taken, default=0))


def move_parameters(
    *,
    cells: Cells,
    version: int,
    changes: Sequence[Move],
    taken: Sequence[Nanos] = (),
    raised: int = 0,
) -> list[object]:
    """With which parameters does MOVE_EACH make these changes? One row for each cell."""
    columns = [
        [getattr(change, name) for change in changes]
        for name in ("settled", "held", "unsettled", "unguarded")
    ]
    more = list(taken) or [0] * len(cells.envelopes)
    return [version, cells.root, raised, version, *cells.as_arrays, *columns, more]


def raise_version(*, cells: Cells, version: int) -> None:
    """Writes down that this transaction has taken this version of the tree."""
    statements.run(RAISE_VERSION, [version, cells.root])


def _lock_tree(root: int) -> int:
    found = statements.row(LOCK_TREE, [root])
    if found is None:
        statements.run(MAKE_TREE, [root])
        found = statements.row(LOCK_TREE, [root])
    if found is None:
        raise BalanceMissing(path=[root])
    return int(found[0])


def in_path_order(cells: Cells, found: Sequence[statements.Row]) -> tuple[Balance | None, ...]:
    """Which balance belongs to each level?"""
    by_cell = {(row[0], row[1]): balance_of(row) for row in found}
    return tuple(by_cell.get(cell) for cell in zip(cells.envelopes, cells.periods, strict=True))


def balance_of(row: statements.Row) -> Balance:
    """Which balance does a row of READ_BALANCES say?"""
    return Balance(
        envelope_id=row[0],
        cap=row[2],
        settled=row[3],
        held=row[4],
        unsettled=row[5],
        unguarded=row[6],
        contingency=row[7],
        limit=row[8],
        epoch=row[9],
    )
