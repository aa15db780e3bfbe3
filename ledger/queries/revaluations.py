"""What did each month cost as it was booked, and as it was revalued since?

As booked: all entries of the month without revaluations. As revalued: that, and the difference
of every original of the month, wherever its `revaluation` entry was posted.
Source: product.md section 13; docs/algorithms/revaluation.md.
"""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from django.db import connection

from ledger.queries.ledgers import ledger_of_company
from ledger.queries.spend import SpendKey, position_of, sum_spend
from o10.kernel.money import Nanos

RUNS_SHOWN: Final = 100
_POSTED: Final = """
SELECT date_trunc('month', e.effective_at AT TIME ZONE %(zone)s)::date,
    sum(e.amount_nanos)::bigint
FROM ledger_revaluation v
JOIN ledger_idem i ON i.ledger_id = %(ledger)s AND i.uid = v.entry_uid
JOIN ledger_entry e ON e.ledger_id = i.ledger_id AND e.xid = i.xid AND e.id = i.entry_id
GROUP BY 1
"""
_OF_ORIGINALS: Final = """
SELECT date_trunc('month', v.original_at AT TIME ZONE %(zone)s)::date,
    sum(v.delta_nanos)::bigint, count(*)
FROM ledger_revaluation v
WHERE NOT EXISTS (
    SELECT 1 FROM ledger_reversed r WHERE r.ledger_id = %(ledger)s AND r.uid = v.entry_uid
)
GROUP BY 1
"""
_RUNS: Final = """
SELECT run, price_version, min(recorded_at), count(*), sum(delta_nanos)::bigint,
    min(original_at), max(original_at)
FROM ledger_revaluation GROUP BY run, price_version ORDER BY 3 DESC LIMIT %s
"""
_OF_ENTRY: Final = """
SELECT entry_uid::text, before_nanos, after_nanos, delta_nanos, price_version, recorded_at
FROM ledger_revaluation WHERE original_uid = %s ORDER BY recorded_at
"""


@dataclass(frozen=True, slots=True)
class RevaluedMonth:
    """What did a month cost? Units: nanos of the ledger's currency.

    `month` is its first day; `revalued` = `booked` + `delta`; `entries` originals were touched.
    """

    month: date
    booked: Nanos
    delta: Nanos
    revalued: Nanos
    entries: int


@dataclass(frozen=True, slots=True)
class RevaluationRun:
    """What did one revaluation post? Originals lie between `first_at` and `last_at`."""

    run: str
    price_version: int
    posted_at: datetime
    entries: int
    delta: Nanos
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True, slots=True)
class RevaluationLine:
    """What did one revaluation do to one entry? Units: nanos."""

    entry_uid: str
    before: Nanos
    after: Nanos
    delta: Nanos
    price_version: int
    recorded_at: datetime


def sum_revalued(*, start: date, end: date) -> tuple[RevaluedMonth, ...]:
    """What did the months in [start, end) cost, as booked and as revalued? Oldest first.

    Months count in the ledger's zone; sealed entries only, as in every sum of spend.
    """
    company = ledger_of_company()
    totals = {
        row.keys[0]: row.spent
        for row in sum_spend(
            ledger_id=company.id,
            time_zone=company.time_zone,
            by=(SpendKey.MONTH,),
            start=start,
            end=end,
            as_of=position_of(ledger_id=company.id).seq,
        )
    }
    about = {"ledger": company.id, "zone": company.time_zone}
    with connection.cursor() as cursor:
        cursor.execute(_POSTED, about)
        posted = dict(cursor.fetchall())
        cursor.execute(_OF_ORIGINALS, about)
        deltas = {month: (delta, count) for month, delta, count in cursor.fetchall()}
    months = sorted(month for month in {*totals, *deltas} if start <= month < end)
    found = []
    for month in months:
        booked = totals.get(month, 0) - posted.get(month, 0)
        delta, count = deltas.get(month, (0, 0))
        found.append(RevaluedMonth(month, booked, delta, booked + delta, count))
    return tuple(found)


def list_revaluation_runs() -> tuple[RevaluationRun, ...]:
    """Which revaluations were posted? The newest first."""
    with connection.cursor() as cursor:
        cursor.execute(_RUNS, [RUNS_SHOWN])
        return tuple(RevaluationRun(*row) for row in cursor.fetchall())


def list_revaluations_of(*, uid: str) -> tuple[RevaluationLine, ...]:
    """By which revaluations was this entry touched? In the order they were posted."""
    with connection.cursor() as cursor:
        cursor.execute(_OF_ENTRY, [uid])
        return tuple(RevaluationLine(*row) for row in cursor.fetchall())
