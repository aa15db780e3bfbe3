"""How does a period of an envelope begin? A balance row and its entry, when first needed.

Nothing is reset by a job: a new period is a new row, made by the first call that falls into it,
in that call's transaction and under the lock of the tree.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from ledger import facade as ledger
from o10.kernel import ids
from o10.kernel.periods import Period
from policies.core.envelope import Balance
from policies.core.instants import instant_text, unix_ms
from policies.core.record import exact
from policies.models import Envelope
from policies.operations import statements
from policies.operations.balances import Cells, Locked
from policies.queries.snapshot_rows import envelope_rule

INSERT_BALANCE = """
INSERT INTO envelope_balance (envelope_id, period_start, period_end, cap_nanos, limit_nanos,
    settled_nanos, held_nanos, unsettled_nanos, unguarded_nanos, contingency_nanos, version,
    epoch)
VALUES (%s, %s, %s, %s, %s, 0, 0, 0, 0, 0, %s, %s)
"""


@dataclass(frozen=True, slots=True)
class Opened:
    """Which balances has the path now, and which entries say that periods began?"""

    path: tuple[Balance, ...]
    drafts: tuple[ledger.Draft, ...]


def open_periods(
    *,
    cells: Cells,
    periods: Sequence[Period],
    locked: Locked,
    actor_id: int,
    now: datetime,
    more: Mapping[str, object] | None = None,
    uid: UUID | None = None,
) -> Opened:
    """Which rows of this path are missing? Made here, with the caps in force.

    `more` is added to the documents and `uid` names the entry where one row alone is made
    with its envelope.
    Must run in the transaction that holds the lock of the tree; the envelope rows are read
    fresh, so that a change of cap is never lost.
    """
    missing = [cells.envelopes[i] for i, balance in enumerate(locked.path) if balance is None]
    if not missing:
        return Opened(tuple(b for b in locked.path if b is not None), ())
    rows = {row.id: row for row in Envelope.objects.filter(id__in=missing)}
    path: list[Balance] = []
    drafts: list[ledger.Draft] = []
    for balance, period, envelope_id in zip(locked.path, periods, cells.envelopes, strict=True):
        if balance is not None:
            path.append(balance)
            continue
        row = rows[envelope_id]
        path.append(_insert(row, period, locked.version))
        drafts.append(_draft(row, period, locked.version, actor_id, now, more or {}, uid))
    return Opened(tuple(path), tuple(drafts))


def open_missing(
    *, cells: Cells, locked: Locked, at: datetime, actor_id: int, now: datetime
) -> tuple[ledger.Draft, ...]:
    """Which rows of this path are missing, by the calendars of its envelopes at `at`?

    For money that nobody asked about before it was spent (observe, shadow): its period may
    have no row yet. Made here, like `open_periods`.
    """
    if all(balance is not None for balance in locked.path):
        return ()
    rows = {row.id: row for row in Envelope.objects.filter(id__in=cells.envelopes)}
    periods = [envelope_rule(rows[each]).calendar_period_at(at) for each in cells.envelopes]
    opened = open_periods(
        cells=cells, periods=periods, locked=locked, actor_id=actor_id, now=now
    )
    return opened.drafts


def cap_of(row: Envelope) -> int | None:
    """Which cap do the balances of this envelope get? None for a soft one."""
    return row.amount_nanos if row.hard else None


def period_document(
    row: Envelope, *, start: datetime, end: datetime, cap: int | None, limit: int | None
) -> dict[str, object]:
    """What does an `envelope_change` entry say of one period? The verifier replays caps by it.

    Shape: as `ledger.core.verify` reads it; `parent` 0 = none.
    """
    return {
        "envelope": row.id,
        "public": row.public,
        "parent": row.parent_id or 0,
        "root": row.root,
        "scope": row.scope_kind,
        "period": {"start": instant_text(start), "end": instant_text(end)},
        "cap_nanos": exact(cap),
        "limit_nanos": exact(limit),
    }


def _insert(row: Envelope, period: Period, version: int) -> Balance:
    cap = cap_of(row)
    statements.run(
        INSERT_BALANCE,
        [row.id, period.start, period.end, cap, cap, version, row.epoch],
    )
    return Balance(envelope_id=row.id, cap=cap, limit=cap, epoch=row.epoch)


def _draft(
    row: Envelope,
    period: Period,
    version: int,
    actor_id: int,
    now: datetime,
    more: Mapping[str, object],
    uid: UUID | None,
) -> ledger.Draft:
    cap = cap_of(row)
    body = period_document(row, start=period.start, end=period.end, cap=cap, limit=cap)
    key = f"{row.id}#{instant_text(period.start)}"
    return ledger.Draft(
        ledger_id=ledger.COMPANY_LEDGER,
        kind=ledger.Kind.ENVELOPE_CHANGE,
        uid=uid or ids.uid(scope="period", key=key, origin_ms=unix_ms(now)),
        effective_at=now,
        recorded_at=now,
        envelope_id=row.id,
        use_case_id=row.use_case_id or 0,
        actor_id=actor_id,
        env_version=version,
        doc=ledger.put_document({"change": "period_opened", **more, **body}, now=now),
    )
