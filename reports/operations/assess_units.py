"""How do cost per outcome and its interval get on record? Computed when something changed.

Each use case and month has statements, newest last; none is made twice. A month is restated
until its attribution window is closed, and later only when a later fact or entry belongs to it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from hashlib import sha256
from typing import Final

from django.db import connection, transaction

from ledger import facade as ledger
from o10.kernel.periods import zone_of
from reports.core.reporting_period import months_between
from reports.core.unit_economics import Join, UnitCost, unit_cost
from reports.models import OutcomeValue, UnitMonth
from reports.queries.allocations import next_month
from reports.queries.cost_cells import counted_seq
from reports.queries.outcome_values import WINDOW_DAYS, list_outcome_values, value_on
from reports.queries.unit_inputs import UnitInputs, unit_inputs
from reports.queries.unit_months import newest_rows

MONTHS_MOST: Final = 36
_LOCK_CLASS: Final = 7_123


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    use_case: int
    month: date
    kind: str
    value: OutcomeValue | None

    @property
    def window(self) -> int:
        return self.value.window_days if self.value else WINDOW_DAYS


def assess_units(*, now: datetime, months: int = MONTHS_MOST) -> int:
    """How many months were stated anew? Those whose costs, outcomes or value changed.

    `months` = only so many, the running one last: what changes every few seconds is recent.
    Locks: an advisory lock until commit, so that two workers don't state the same.
    """
    company = ledger.ledger_of_company()
    today = now.astimezone(zone_of(company.time_zone)).date()
    written = 0
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s, 1)", [_LOCK_CLASS])
        seq = counted_seq()
        newest = {(row.use_case, row.month): row for row in newest_rows()}
        for case in _cases(today, months):
            digest = _digest(case)
            before = newest.get((case.use_case, case.month))
            if before is not None and bytes(before.digest) == digest:
                continue
            _state(case, digest, seq=seq, now=now)
            written += 1
    return written


def _cases(today: date, count: int) -> Iterable[_Case]:
    """Each use case with an outcome or a value, for the months it has any cost or outcome."""
    values = list_outcome_values()
    first = today.replace(day=1)
    index = first.year * 12 + first.month - count
    oldest = date(index // 12, index % 12 + 1, 1)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT use_case, kind, min(day), sum(count)::bigint FROM reports_outcome"
            " GROUP BY 1, 2"
        )
        told = cursor.fetchall()
    for use_case in sorted({row[0] for row in told} | {row.use_case for row in values}):
        own = [row for row in told if row[0] == use_case]
        starts = [row[2] for row in own] or [first]
        begin = max(oldest, min(starts).replace(day=1))
        common = max(own, key=lambda row: (row[3], row[1]))[1] if own else ""
        for month in months_between(begin, next_month(first)):
            value = value_on(values, use_case=use_case, on=_last_day(month))
            yield _Case(
                use_case=use_case,
                month=month,
                kind=value.kind if value else common,
                value=value,
            )


def _last_day(month: date) -> date:
    return date.fromordinal(next_month(month).toordinal() - 1)


def _digest(case: _Case) -> bytes:
    """What went into the figures, in one hash: any change of it is a restatement."""
    after = next_month(case.month)
    last = date.fromordinal(after.toordinal() + case.window)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT component, sum(amount_nanos)::text, sum(calls)::text"
            " FROM reports_cost_cell WHERE use_case = %s AND day >= %s AND day < %s"
            " GROUP BY 1 ORDER BY 1",
            [case.use_case, case.month, after],
        )
        costs = cursor.fetchall()
        cursor.execute(
            "SELECT count(*), max(id) FROM reports_outcome"
            " WHERE use_case = %s AND kind = %s AND day >= %s AND day < %s",
            [case.use_case, case.kind, case.month, last],
        )
        told = cursor.fetchone()
        cursor.execute(
            "SELECT count(*), sum(amount_nanos)::text FROM reports_run_cost"
            " WHERE use_case = %s AND day >= %s AND day < %s",
            [case.use_case, case.month, after],
        )
        runs = cursor.fetchone()
    value = case.value.version if case.value else 0
    said = repr((case.kind, value, costs, told, runs))
    return sha256(said.encode()).digest()


def _state(case: _Case, digest: bytes, *, seq: int, now: datetime) -> None:
    inputs = unit_inputs(
        use_case=case.use_case,
        kind=case.kind,
        first=case.month,
        after=next_month(case.month),
        window_days=case.window,
        told_to=now,
    )
    cost = unit_cost(
        inputs.clusters,
        overhead=inputs.overhead,
        seed=f"{case.use_case}/{case.month:%Y-%m}",
    )
    _row(case, inputs, cost, digest, seq=seq, now=now).save(force_insert=True)


def _row(
    case: _Case,
    inputs: UnitInputs,
    cost: UnitCost,
    digest: bytes,
    *,
    seq: int,
    now: datetime,
) -> UnitMonth:
    return UnitMonth(
        use_case=case.use_case,
        month=case.month,
        kind=case.kind,
        seq=seq,
        computed_at=now,
        spent_nanos=cost.spent,
        direct_nanos=inputs.direct,
        successes=cost.successes,
        failures=cost.failures,
        joined_run=inputs.joined[Join.RUN],
        joined_customer=inputs.joined[Join.CUSTOMER],
        per_outcome_nanos=cost.per_outcome,
        low_nanos=cost.interval.low if cost.interval else None,
        high_nanos=cost.interval.high if cost.interval else None,
        failed_cost_nanos=cost.failed_cost,
        clusters=len(inputs.clusters),
        value_version=case.value.version if case.value else 0,
        digest=digest,
    )
