"""Which runs, days and outcomes make up the cost of an outcome in one month?"""

from collections import defaultdict
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID

from django.db import connection

from o10.kernel.money import Nanos
from reports.core.cost_components import CALLS, Component
from reports.core.unit_economics import Cluster, Join

_ZERO = UUID(int=0)
_CALLS = [each.value for each in CALLS]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitInputs:
    """What goes into the figures of one use case and month?

    Units: nanos. `clusters` are runs and, for what has no run, days; `overhead` is what isn't a
    call: shared components, commitments, adjustments.
    """

    kind: str
    clusters: tuple[Cluster, ...]
    overhead: Nanos
    direct: Nanos
    joined: dict[Join, int]


def unit_inputs(
    *, use_case: int, kind: str, first: date, after: date, window_days: int, told_to: datetime
) -> UnitInputs:
    """What did the runs of days [first, after) cost, and which outcomes did they give?

    An outcome belongs to the day of the last call it is joined to; without one, to its own day.
    `told_to` leaves out what was told later.
    """
    calls_by_day, overhead, direct = _costs(use_case, first, after)
    runs = _runs(use_case, first, after)
    told: dict[UUID | date, list[int]] = defaultdict(lambda: [0, 0])
    joined = dict.fromkeys(Join, 0)
    for success, count, join, day, run in _outcomes(
        use_case, kind, first, after, window_days, told_to
    ):
        if not first <= day < after:
            continue
        joined[join] += count
        told[run if run in runs else day][0 if success else 1] += count
    clusters = [
        Cluster(nanos, *told.pop(run, (0, 0))) for run, (nanos, _) in sorted(runs.items())
    ]
    in_runs: dict[date, Nanos] = defaultdict(int)
    for _, by_day in runs.values():
        for day, nanos in by_day.items():
            in_runs[day] += nanos
    days = sorted({*calls_by_day, *(each for each in told if isinstance(each, date))})
    for day in days:
        rest = calls_by_day.get(day, 0) - in_runs.get(day, 0)
        success, failure = told.get(day, (0, 0))
        if rest or success or failure:
            clusters.append(Cluster(rest, success, failure))
    return UnitInputs(
        kind=kind, clusters=tuple(clusters), overhead=overhead, direct=direct, joined=joined
    )


def _costs(use_case: int, first: date, after: date) -> tuple[dict[date, Nanos], Nanos, Nanos]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT day, component, amount_nanos FROM reports_cost_cell"
            " WHERE use_case = %s AND day >= %s AND day < %s",
            [use_case, first, after],
        )
        rows = cursor.fetchall()
    calls: dict[date, Nanos] = defaultdict(int)
    overhead, direct = 0, 0
    for day, component, nanos in rows:
        if component in _CALLS:
            calls[day] += nanos
        else:
            overhead += nanos
        if component == Component.DIRECT:
            direct += nanos
    return calls, overhead, direct


def _runs(
    use_case: int, first: date, after: date
) -> dict[UUID, tuple[Nanos, dict[date, Nanos]]]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT run, day, amount_nanos FROM reports_run_cost"
            " WHERE use_case = %s AND day >= %s AND day < %s ORDER BY run, day",
            [use_case, first, after],
        )
        rows = cursor.fetchall()
    found: dict[UUID, tuple[Nanos, dict[date, Nanos]]] = {}
    for run, day, nanos in rows:
        whole, by_day = found.get(run, (0, {}))
        found[run] = (whole + nanos, {**by_day, day: nanos})
    return found


def _outcomes(
    use_case: int, kind: str, first: date, after: date, window_days: int, told_to: datetime
) -> list[tuple[bool, int, Join, date, UUID]]:
    """Each outcome once, in its newest revision: success, count, way of joining, day, run."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT o.success, o.count, o.day, r.run, r.day, c.run, c.day
            FROM reports_outcome o
            LEFT JOIN LATERAL (
                SELECT run, day FROM reports_run_cost
                WHERE use_case = o.use_case AND run = o.run AND o.run <> %(zero)s
                ORDER BY day DESC LIMIT 1) r ON true
            LEFT JOIN LATERAL (
                SELECT run, day FROM reports_run_cost
                WHERE r.run IS NULL AND use_case = o.use_case AND o.customer <> %(zero)s
                    AND customer = o.customer AND day <= o.day
                    AND day >= o.day - %(window)s::int
                ORDER BY day DESC, run LIMIT 1) c ON true
            WHERE o.use_case = %(use_case)s AND o.kind = %(kind)s AND o.day >= %(first)s
                AND o.day < %(last)s AND o.recorded_at <= %(told)s AND NOT EXISTS (
                    SELECT 1 FROM reports_outcome l WHERE l.kind = o.kind AND l.name = o.name
                        AND l.revision > o.revision AND l.recorded_at <= %(told)s)
            """,
            {
                "zero": _ZERO,
                "window": window_days,
                "use_case": use_case,
                "kind": kind,
                "first": first,
                "last": after + timedelta(days=window_days),
                "told": told_to,
            },
        )
        rows = cursor.fetchall()
    found = []
    for success, count, day, run, run_day, by_customer, customer_day in rows:
        if run is not None and (day - run_day).days <= window_days:
            found.append((success, count, Join.RUN, run_day, run))
        elif by_customer is not None:
            found.append((success, count, Join.CUSTOMER, customer_day, by_customer))
        else:
            found.append((success, count, Join.USE_CASE, day, _ZERO))
    return found
