"""How do cost per outcome and its interval get on record? Computed when something changed.

Each use case and month has statements, newest last; none is made twice. A month is restated
until its attribution window is closed, and later only when a later fact or entry belongs to it.
"""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Final

from django.db import connection, transaction

from ledger import facade as ledger
from o10.kernel.periods import zone_of
from reports.core.reporting_period import months_between
from reports.core.unit_economics import Join
from reports.models import UnitMonth
from reports.queries.allocations import next_month
from reports.queries.case_month import CaseMonth, case_month, cost_of, digest_of
from reports.queries.cost_cells import counted_seq
from reports.queries.outcome_values import list_outcome_values
from reports.queries.unit_months import MONTHS_MOST, newest_rows

AT_ONCE: Final = timedelta(0)
_LOCK_CLASS: Final = 7_123


def assess_units(
    *, now: datetime, months: int = MONTHS_MOST, at_most_every: timedelta = AT_ONCE
) -> int:
    """How many months were stated anew? Those whose costs, outcomes or value changed.

    `months` = only so many, the running one last. `at_most_every` keeps a busy month from a
    statement for each of its calls.
    Locks: an advisory lock until commit, so that two workers don't state the same.
    """
    company = ledger.ledger_of_company()
    today = now.astimezone(zone_of(company.time_zone)).date()
    written = 0
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s, 1)", [_LOCK_CLASS])
        seq = counted_seq()
        newest = {
            (row.use_case, row.month): row
            for row in newest_rows(upto=today.replace(day=1), months=months)
        }
        for case in _cases(today, months):
            before = newest.get((case.use_case, case.month))
            if before is not None and now - before.computed_at < at_most_every:
                continue
            digest = digest_of(case)
            if before is None or bytes(before.digest) != digest:
                _state(case, digest, seq=seq, now=now)
                written += 1
    return written


def _cases(today: date, count: int) -> Iterator[CaseMonth]:
    """Each use case with an outcome or a value, for the months since its first outcome."""
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
            yield case_month(use_case=use_case, month=month, common=common, values=values)


def _state(case: CaseMonth, digest: bytes, *, seq: int, now: datetime) -> None:
    inputs, cost = cost_of(case, told_to=now)
    UnitMonth.objects.create(
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
