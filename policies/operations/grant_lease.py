"""Where is money lent to a process so that no cap can be passed? One transaction. ← THE CAP

The tree row is locked first, then the balance rows in order; only then, in statements of their
own, what is left is read, the slice is cut to it, and it is added to `held` at every level at
once. A slice is spent in memory afterwards: whoever holds it moves nothing that was not lent,
so holders cannot jointly pass a cap. The CHECK of `envelope_balance` stands behind it.
Source: decision-plane.md section 3; docs/algorithms/leases.md.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from uuid import UUID

import psycopg
from django.db import OperationalError, transaction

from ledger import facade as ledger
from o10.kernel import ids
from o10.kernel.errors import Conflict, ServiceUnavailable
from o10.kernel.periods import Period
from policies.core.envelope import Balance, binding
from policies.core.invariants import exposure_within_cap_after_grant
from policies.core.snapshot import Place
from policies.operations import statements
from policies.operations.balances import (
    READ_BALANCES,
    CapExceeded,
    Cells,
    Move,
    in_path_order,
    lock,
    move_each,
    raise_version,
)
from policies.operations.grant_exact import PolicyChanged
from policies.operations.leases import LeaseRow, find_leases
from policies.operations.open_periods import open_periods

ACTIVE_WITHIN = timedelta(seconds=30)
"""A holder that renewed nothing for longer shares the money no more."""

LIMIT_WAIT = "SELECT set_config('lock_timeout', %s, true)"

COUNT_OTHERS = """
SELECT count(*) FROM lease_holder h
WHERE h.ended_at IS NULL AND h.seen_at > %s AND h.fence <> %s
  AND EXISTS (SELECT 1 FROM lease l
              WHERE l.fence = h.fence AND l.root = %s AND l.state = 'open')
"""

# Nothing is lent to a holder that has ended: nobody would ask it for the money again.
INSERT_LEASES = """
INSERT INTO lease (id, fence, use_case, root, path_ids, path_periods, granted_nanos,
    policy_version, granted_at, expires_at)
SELECT m.id, h.fence, m.use_case, %s, m.path_ids::int[], m.path_periods::timestamptz[],
    m.granted, %s, %s, m.expires_at
FROM lease_holder h, unnest(%s::uuid[], %s::int[], %s::text[], %s::text[], %s::bigint[],
    %s::timestamptz[]) AS m (id, use_case, path_ids, path_periods, granted, expires_at)
WHERE h.fence = %s AND h.ended_at IS NULL
"""

# Only what is due is written, by id; a lease never lives past the end of a period of its path.
RENEW = """
WITH mine AS (
    SELECT l.id, l.expires_at, l.path_ids, l.path_periods FROM lease l
    JOIN lease_holder h ON h.fence = l.fence AND h.ended_at IS NULL
    WHERE l.fence = %s AND l.state IN ('open', 'draining')),
due AS (
    SELECT l.id FROM lease l
    WHERE l.id IN (
        SELECT id FROM mine
        WHERE expires_at < %s OR id IN (SELECT unnest(%s::uuid[])))
      AND l.state IN ('open', 'draining')
    ORDER BY l.id FOR UPDATE),
renewed AS (
    UPDATE lease l SET expires_at = greatest(l.expires_at, least(
        CASE WHEN l.id IN (SELECT unnest(%s::uuid[])) THEN %s ELSE %s END, (
        SELECT min(b.period_end) FROM envelope_balance b
        JOIN unnest(l.path_ids, l.path_periods) AS cell (envelope_id, period_start)
          ON b.envelope_id = cell.envelope_id AND b.period_start = cell.period_start)))
    FROM due WHERE l.id = due.id
    RETURNING l.id, l.expires_at)
SELECT id, expires_at FROM renewed
UNION ALL SELECT id, expires_at FROM mine WHERE id NOT IN (SELECT id FROM due)
"""
SEE_HOLDER = """
UPDATE lease_holder SET seen_at = greatest(seen_at, %s) WHERE fence = %s AND ended_at IS NULL
"""

Size = Callable[[int | None, int], int]
"""How much is wanted, by what the binding level has left (None = no cap) and how many holders
share the tree, this one included? Nanos."""


class HolderEnded(Conflict):
    """Has this holder ended, or never begun? It starts again, with a new `fence`."""

    code = "conflict"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which lease is asked for? Units: nanos; `least` = less is of no use."""

    cells: Cells
    place: Place
    size: Size
    least: int
    lease: UUID
    use_case_id: int


@dataclass(frozen=True, slots=True)
class Lent:
    """What was lent, until when, and what do the balances say with it? Path root first.

    Units: nanos. `version` is that of the tree.
    """

    lease: UUID
    amount: int
    expires_at: datetime
    path: tuple[Balance, ...]
    version: int


@dataclass(frozen=True, slots=True)
class Refused:
    """Which level has too little, or is not open? Counted from the root."""

    path: tuple[Balance, ...]
    level: int


class _NothingLent(Conflict):
    """Carries a refusal out of the transaction, which leaves nothing behind."""

    def __init__(self, refused: Refused) -> None:
        super().__init__()
        self.refused = refused


@dataclass(frozen=True, slots=True, kw_only=True)
class _Terms:
    """Under which terms is lent: to whom, by which policy, from when and how long?"""

    fence: int
    ttl_s: int
    actor_id: int
    policy_version: int
    now: datetime
    wait_ms: int | None


def grant_lease(
    *,
    cells: Cells,
    place: Place,
    size: Size,
    least: int,
    lease: UUID,
    fence: int,
    ttl_s: int,
    use_case_id: int,
    actor_id: int,
    policy_version: int,
    now: datetime,
    wait_ms: int | None = None,
) -> Lent | Refused:
    """How much of this path is lent? At most what every level has left, at least `least`.

    `lease` is a fresh uuid of the holder's choice; a repeat with it gets the same lease.
    `wait_ms` bounds each wait for a lock.
    Raises: PolicyChanged when an envelope of the path was changed since the policy was read,
    or a period of it has ended; HolderEnded (`conflict`); ServiceUnavailable (`unavailable`)
    when the lock was not to be had in time; IdempotencyMismatch for a lease of another holder.
    Locks: the lease's key, tree row, balance rows by envelope id and period.
    """
    wanted = Wanted(
        cells=cells,
        place=place,
        size=size,
        least=least,
        lease=lease,
        use_case_id=use_case_id,
    )
    terms = _Terms(
        fence=fence,
        ttl_s=ttl_s,
        actor_id=actor_id,
        policy_version=policy_version,
        now=now,
        wait_ms=wait_ms,
    )
    found: list[Lent] = []

    def run(uid: UUID) -> list[ledger.Draft]:
        answers, drafts = _lend(cells.root, [wanted], terms)
        if isinstance(answers[0], Refused):
            raise _NothingLent(answers[0])
        found.append(answers[0])
        return drafts

    try:
        written = ledger.write(
            ledger_id=ledger.COMPANY_LEDGER,
            scope="lease",
            key=str(lease),
            request_hash=sha256(f"{lease}#{fence}".encode()).digest(),
            origin_ms=lease.int >> 80,
            run=run,
        )
    except _NothingLent as refusal:
        return refusal.refused
    except OperationalError as error:
        _check_in_time(error)
        raise
    if written.replayed is None:
        return found[0]
    entry = written.replayed.entry
    return _lent_before(lease, entry.entry.env_version if entry else 0)


def grant_many(
    *,
    wanted: Sequence[Wanted],
    fence: int,
    ttl_s: int,
    actor_id: int,
    policy_version: int,
    now: datetime,
    wait_ms: int | None = None,
) -> list[Lent | Refused]:
    """What is lent of several paths of one tree, in one transaction? Answers in their order.

    Each sees what those before it took. A lease that was granted before is answered again.
    Raises: as `grant_lease`; ValueError when the paths are not of one tree.
    Locks: tree row, balance rows of all paths by envelope id and period.
    """
    if not wanted:
        return []
    roots = {each.cells.root for each in wanted}
    if len(roots) > 1:
        raise ValueError(f"leases of one transaction are of one tree, not {sorted(roots)}")
    terms = _Terms(
        fence=fence,
        ttl_s=ttl_s,
        actor_id=actor_id,
        policy_version=policy_version,
        now=now,
        wait_ms=wait_ms,
    )
    try:
        with transaction.atomic():
            answers, drafts = _lend(
                roots.pop(), wanted, terms, repeated=[each.lease for each in wanted]
            )
            ledger.append(drafts)
    except OperationalError as error:
        _check_in_time(error)
        raise
    return answers


def renew_leases(
    *,
    fence: int,
    ttl_s: int,
    now: datetime,
    small: Sequence[UUID] = (),
    small_ttl_s: int = 0,
) -> dict[UUID, datetime]:
    """Until when does each lease of this holder live now?

    Those in `small` are renewed for `small_ttl_s` from now, whatever is left of them.

    Shape: every lease that may still be spent or drained; one that lacks is closed, or its
    holder has ended, and nothing was changed. Written down once half of its time is over.
    Locks: the leases by id, then the holder.
    """
    half = now + timedelta(seconds=ttl_s) / 2
    until = now + timedelta(seconds=ttl_s)
    long = now + timedelta(seconds=small_ttl_s)
    some = list(small)
    found = statements.rows(RENEW, [fence, half, some, some, long, until])
    statements.run(SEE_HOLDER, [now, fence])
    return dict(found)


def _lend(
    root: int, wanted: Sequence[Wanted], terms: _Terms, *, repeated: Sequence[UUID] = ()
) -> tuple[list[Lent | Refused], list[ledger.Draft]]:
    """Locks, looks, cuts and takes; the caller's transaction appends the drafts.

    Leases that may be `repeated` are looked for under the lock, where they are made.
    """
    if terms.wait_ms is not None:
        statements.run(LIMIT_WAIT, [f"{terms.wait_ms}ms"])
    cells, ends = _all_cells(root, wanted)
    locked = lock(cells)
    opened = open_periods(
        cells=cells,
        periods=[ends[cell] for cell in _each(cells)],
        locked=locked,
        actor_id=terms.actor_id,
        now=terms.now,
    )
    balances = dict(zip(_each(cells), opened.path, strict=True))
    for each in wanted:
        _check_policy(each, balances, terms.now)
    before = find_leases(repeated) if repeated else {}
    active = 1 + _others(root, terms)
    answers: list[Lent | Refused] = []
    lent: list[tuple[Wanted, Lent]] = []
    for each in wanted:
        if each.lease in before:
            answers.append(_lent_before(each.lease, 0))
            continue
        answer = _cut(each, balances, active, locked.version, terms)
        answers.append(answer)
        if isinstance(answer, Lent):
            lent.append((each, answer))
    drafts = [*opened.drafts, *(_draft(each, answer, terms) for each, answer in lent)]
    _take(cells, opened.path, balances, locked.version, len(drafts))
    if lent:
        _insert(root, lent, terms)
    return answers, drafts


def _cut(
    wanted: Wanted,
    balances: dict[tuple[int, datetime], Balance],
    active: int,
    version: int,
    terms: _Terms,
) -> Lent | Refused:
    """How much fits at every level? Taken from the balances in memory."""
    path = tuple(balances[cell] for cell in _each(wanted.cells))
    shut = _shut(wanted.place)
    if shut is not None:
        return Refused(path, shut)
    tightest = binding(path)
    if tightest is None:
        amount = wanted.size(None, active)
    else:
        amount = min(wanted.size(tightest.available, active), tightest.available)
    if amount < max(1, wanted.least):
        return Refused(path, tightest.index if tightest else len(path) - 1)
    for cell in _each(wanted.cells):
        balances[cell] = replace(balances[cell], held=balances[cell].held + amount)
    after = tuple(balances[cell] for cell in _each(wanted.cells))
    until = terms.now + timedelta(seconds=terms.ttl_s)
    until = min([until, *(period.end for period in wanted.place.periods)])
    return Lent(wanted.lease, amount, until, after, version)


def _take(
    cells: Cells,
    seen: Sequence[Balance],
    balances: dict[tuple[int, datetime], Balance],
    version: int,
    drafts: int,
) -> None:
    """Moves what was cut into the rows; P1 is asked here and once more by the statement."""
    taken = [
        balances[cell].held - before.held
        for cell, before in zip(_each(cells), seen, strict=True)
    ]
    for cell, more in zip(_each(cells), taken, strict=True):
        where = f"envelope {cell[0]}"
        if more and any(exposure_within_cap_after_grant(balances[cell], where=where)):
            raise CapExceeded(path=list(cells.envelopes), nanos=more)
    if any(taken):
        changes = [Move(held=each) for each in taken]
        move_each(cells=cells, version=version, changes=changes, taken=taken, raised=1)
    elif drafts:
        raise_version(cells=cells, version=version)


def _insert(root: int, lent: Sequence[tuple[Wanted, Lent]], terms: _Terms) -> None:
    arrays = [each.cells.as_arrays for each, _ in lent]
    cursor = statements.run(
        INSERT_LEASES,
        [
            root,
            terms.policy_version,
            terms.now,
            [each.lease for each, _ in lent],
            [each.use_case_id for each, _ in lent],
            [path for path, _ in arrays],
            [periods for _, periods in arrays],
            [answer.amount for _, answer in lent],
            [answer.expires_at for _, answer in lent],
            terms.fence,
        ],
    )
    if cursor.rowcount != len(lent):
        raise HolderEnded(fence=terms.fence)


def _draft(wanted: Wanted, lent: Lent, terms: _Terms) -> ledger.Draft:
    return ledger.Draft(
        ledger_id=ledger.COMPANY_LEDGER,
        kind=ledger.Kind.LEASE,
        uid=ids.uid(scope="lease", key=str(lent.lease), origin_ms=lent.lease.int >> 80),
        effective_at=terms.now,
        recorded_at=terms.now,
        envelope_id=wanted.cells.leaf,
        use_case_id=wanted.use_case_id,
        actor_id=terms.actor_id,
        held_nanos=lent.amount,
        lease=lent.lease,
        policy_version=terms.policy_version,
        env_version=lent.version,
    )


def _check_policy(
    wanted: Wanted, balances: dict[tuple[int, datetime], Balance], now: datetime
) -> None:
    """Is the policy that the holder knows still the one of these envelopes?"""
    for cell, rule, period in zip(
        _each(wanted.cells), wanted.place.path, wanted.place.periods, strict=True
    ):
        if balances[cell].epoch > rule.epoch or not period.start <= now < period.end:
            raise PolicyChanged(what="the policy", retry_after_s=1)


def _shut(place: Place) -> int | None:
    """Which level is frozen or closed? The nearest to the root."""
    for level, rule in enumerate(place.path):
        if rule.state != "active":
            return level
    return None


def _others(root: int, terms: _Terms) -> int:
    row = statements.row(COUNT_OTHERS, [terms.now - ACTIVE_WITHIN, terms.fence, root])
    return row[0] if row else 0


def _all_cells(
    root: int, wanted: Sequence[Wanted]
) -> tuple[Cells, dict[tuple[int, datetime], Period]]:
    """Which rows do all paths have together, and which period is each?"""
    periods = {
        cell: period
        for each in wanted
        for cell, period in zip(_each(each.cells), each.place.periods, strict=True)
    }
    order = list(periods) if len(wanted) == 1 else sorted(periods)
    cells = Cells(root, tuple(each[0] for each in order), tuple(each[1] for each in order))
    return cells, periods


def _each(cells: Cells) -> list[tuple[int, datetime]]:
    return list(zip(cells.envelopes, cells.periods, strict=True))


def _lent_before(lease: UUID, version: int) -> Lent:
    """What was lent for this id the first time, with the balances as they are now?"""
    row: LeaseRow = find_leases([lease])[lease]
    rows = statements.rows(READ_BALANCES, row.cells.as_arrays)
    path = tuple(each for each in in_path_order(row.cells, rows) if each is not None)
    return Lent(row.id, row.granted, row.expires_at, path, version)


def _check_in_time(error: OperationalError) -> None:
    """Was it the lock that did not come in time? Then the caller may come again."""
    if isinstance(error.__cause__, psycopg.errors.LockNotAvailable):
        raise ServiceUnavailable(what="this envelope", retry_after_s=1) from error
