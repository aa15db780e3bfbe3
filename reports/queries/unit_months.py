"""What did an outcome of each use case cost, month by month, and does it pay?

Reads the statements of `assess_units`: each names the position it was computed at.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from django.db import connection

from o10.kernel.money import Nanos
from o10.kernel.periods import day_start, zone_of
from o10.kernel.viewquery import MAX_SEQ
from policies import facade as policies
from reports.core.unit_economics import (
    Interval,
    Margin,
    MonthFigures,
    UnitCost,
    Verdict,
    break_even_of_calls,
    margin_of,
    verdict,
)
from reports.models import OutcomeValue, UnitMonth
from reports.queries.allocations import next_month
from reports.queries.outcome_values import WINDOW_DAYS, list_outcome_values

MONTHS_MOST: Final = 36
"""Months that are stated and shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitLine:
    """What did an outcome cost in one month, as known at position `seq`?

    Units: nanos. `value` None = none is approved. `open_until` None = the attribution window is
    closed: outcomes that happen later can't belong to the month.
    """

    use_case: int
    month: date
    kind: str
    cost: UnitCost
    direct: Nanos
    joined_run: int
    joined_customer: int
    clusters: int
    value: Nanos | None
    hurdle: Nanos
    window_days: int
    seq: int
    computed_at: datetime
    open_until: datetime | None

    @property
    def margin(self) -> Margin | None:
        """What is left of the approved value? None without one."""
        if self.value is None:
            return None
        return margin_of(self.cost, value=self.value, hurdle=self.hurdle)

    @property
    def target(self) -> Nanos | None:
        """What may one outcome cost at most: value less hurdle? None without a value."""
        return None if self.value is None else self.value - self.hurdle

    @property
    def over(self) -> Nanos | None:
        """By how much does one outcome cost more than it may? Negative = less."""
        cost, target = self.cost.per_outcome, self.target
        return None if cost is None or target is None else cost - target

    @property
    def break_even(self) -> Nanos | None:
        """What might the calls of the month have cost, for its outcomes to pay?"""
        if self.target is None:
            return None
        return break_even_of_calls(
            successes=self.cost.successes,
            target=self.target,
            beside=self.cost.spent - self.direct,
        )

    @property
    def join_grade(self) -> str:
        """How well are outcomes joined to calls? As nine in ten of them are, at least."""
        attempts = self.cost.attempts
        if not attempts:
            return ""
        if self.joined_run * 10 >= attempts * 9:
            return "measured"
        if (self.joined_run + self.joined_customer) * 10 >= attempts * 9:
            return "derived"
        return "assumed"

    @property
    def figures(self) -> MonthFigures:
        """What is judged of this month?"""
        interval = self.cost.interval
        return MonthFigures(
            successes=self.cost.successes,
            attempts=self.cost.attempts,
            high=interval.high if interval else None,
            value=self.value,
            hurdle=self.hurdle,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitCourse:
    """How did the cost of an outcome go, oldest month first, and what is the verdict?

    `judged` is the last month that is over: the verdict speaks of it. None while none is.
    """

    use_case: int
    lines: tuple[UnitLine, ...]
    verdict: Verdict
    failing: int
    judged: UnitLine | None

    def of(self, month: date) -> UnitLine | None:
        """What does this month say?"""
        return next((line for line in self.lines if line.month == month), None)


def newest_rows(
    *, upto: date, months: int = MONTHS_MOST, as_of: int | None = None
) -> list[UnitMonth]:
    """Which statement of each use case and month is the newest, at this position?

    The last `months` up to and with `upto`. One index look-up each: a busy month has many.
    """
    numbers = [row.number for row in policies.list_use_case_rows()]
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT newest.id FROM unnest(%(cases)s::int[]) AS c (use_case)
            CROSS JOIN generate_series(0, %(months)s::int - 1) AS back (n)
            CROSS JOIN LATERAL (
                SELECT id FROM reports_unit_month u
                WHERE u.use_case = c.use_case
                    AND u.month = (%(upto)s::date - back.n * interval '1 month')::date
                    AND u.seq <= %(as_of)s
                ORDER BY u.seq DESC, u.id DESC LIMIT 1) AS newest
            """,
            {
                "cases": numbers,
                "months": months,
                "upto": upto,
                "as_of": MAX_SEQ if as_of is None else as_of,
            },
        )
        found = [row[0] for row in cursor.fetchall()]
    return list(UnitMonth.objects.filter(id__in=found).order_by("use_case", "month"))


def read_unit_courses(
    *, upto: date, at: datetime, time_zone: str, as_of: int | None = None
) -> Mapping[int, UnitCourse]:
    """How did the cost of an outcome go up to this month, by use case number?

    The verdict takes whole months only: a running month is shown and not judged.
    """
    values = {(row.use_case, row.version): row for row in list_outcome_values()}
    found: dict[int, list[UnitLine]] = {}
    for row in newest_rows(upto=upto, as_of=as_of):
        value = values.get((row.use_case, row.value_version))
        line = _line(row, value, at=at, time_zone=time_zone)
        found.setdefault(row.use_case, []).append(line)
    return {
        use_case: _course(use_case, lines, at=at, time_zone=time_zone)
        for use_case, lines in found.items()
    }


def _course(
    use_case: int, lines: Sequence[UnitLine], *, at: datetime, time_zone: str
) -> UnitCourse:
    ordered = tuple(sorted(lines, key=lambda line: line.month))
    ended = [line for line in ordered if month_end(line.month, time_zone) <= at]
    judged, failing = verdict([line.figures for line in ended or ordered])
    return UnitCourse(
        use_case=use_case,
        lines=ordered,
        verdict=judged,
        failing=failing,
        judged=ended[-1] if ended else None,
    )


def _line(
    row: UnitMonth, value: OutcomeValue | None, *, at: datetime, time_zone: str
) -> UnitLine:
    days = value.window_days if value else WINDOW_DAYS
    closes = month_end(row.month, time_zone) + timedelta(days=days)
    interval = None
    if row.low_nanos is not None:
        interval = Interval(low=row.low_nanos, high=row.high_nanos)
    return UnitLine(
        use_case=row.use_case,
        month=row.month,
        kind=row.kind,
        cost=UnitCost(
            spent=row.spent_nanos,
            successes=row.successes,
            failures=row.failures,
            per_outcome=row.per_outcome_nanos,
            interval=interval,
            failed_cost=row.failed_cost_nanos,
        ),
        direct=row.direct_nanos,
        joined_run=row.joined_run,
        joined_customer=row.joined_customer,
        clusters=row.clusters,
        value=value.value_nanos if value else None,
        hurdle=value.hurdle_nanos if value else 0,
        window_days=days,
        seq=row.seq,
        computed_at=row.computed_at,
        open_until=closes if closes > at else None,
    )


def month_end(month: date, time_zone: str) -> datetime:
    """At which instant does this month end?"""
    return day_start(next_month(month), zone_of(time_zone))
