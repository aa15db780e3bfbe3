"""Which days does a page sum up, how is that called, and how much of it has passed?"""

from dataclasses import dataclass
from datetime import date, datetime

from o10.kernel.periods import zone_of
from o10.kernel.viewquery import PeriodRange
from reports.core.headline import Progress

_NAMES = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ReportingPeriod:
    """Which months are summed, seen from one instant?

    Shape: `first_day` included, `after` excluded, days of the ledger's zone; `starts_at` and
    `ends_at` the same as UTC instants; `day` counts from 1 and stops at `days`.
    """

    months: PeriodRange
    first_day: date
    after: date
    starts_at: datetime
    ends_at: datetime
    at: datetime
    day: int
    days: int

    @property
    def label(self) -> str:
        """How is it called in a table or a bar? "Nov 2026"."""
        return self.months.label

    @property
    def name(self) -> str:
        """How is it called in a sentence? "November", or the label beyond one month."""
        if self.months.first_month != self.months.last_month:
            return self.label
        name = _NAMES[self.months.first_month % 12]
        same_year = self.months.first_month // 12 == self._local_year
        return name if same_year else f"{name} {self.months.first_month // 12}"

    @property
    def progress(self) -> Progress:
        """Does it still run?"""
        return Progress.ENDED if self.at >= self.ends_at else Progress.RUNNING

    @property
    def detail(self) -> str:
        """How far is it? "day 21 of 30"; empty once it has ended."""
        return "" if self.progress is Progress.ENDED else f"day {self.day} of {self.days}"

    @property
    def month_starts(self) -> tuple[date, ...]:
        """Which months are in it, by their first days?"""
        return tuple(
            month_start(month)
            for month in range(self.months.first_month, self.months.last_month + 1)
        )

    @property
    def _local_year(self) -> int:
        return self.at.year


def reporting_period(
    *, asked: PeriodRange | None, at: datetime, time_zone: str
) -> ReportingPeriod:
    """Which period does a page sum up? The month of `at` in this zone when none was asked."""
    local = at.astimezone(zone_of(time_zone)).date()
    newest = local.year * 12 + local.month - 1
    months = asked or PeriodRange(newest, newest)
    first, after = month_start(months.first_month), month_start(months.last_month + 1)
    starts_at, ends_at = months.bounds(time_zone)
    days = (after - first).days
    return ReportingPeriod(
        months=months,
        first_day=first,
        after=after,
        starts_at=starts_at,
        ends_at=ends_at,
        at=at,
        day=min(max((local - first).days + 1, 0), days),
        days=days,
    )


def month_start(month: int) -> date:
    """Which is the first day of this month? Counted from January of year 0."""
    return date(month // 12, month % 12 + 1, 1)


def months_between(first: date, after: date) -> tuple[date, ...]:
    """Which months begin in [first, after)?"""
    count = (after.year - first.year) * 12 + after.month - first.month
    start = first.year * 12 + first.month - 1
    return tuple(month_start(start + index) for index in range(count))
