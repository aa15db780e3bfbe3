"""In which period does an instant lie? Half-open periods, calendars, time zones, DST.

A period is [start, end) in UTC instants, computed once from the wall clock of an IANA zone: a
day begins at the first instant whose local time is not before midnight, so days have 23, 24
or 25 hours (and one in Apia had none). Nothing here reads the clock or keeps a state.
Source: docs/algorithms/periods.md, whose worked example is also the test's.
"""

from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from itertools import accumulate
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from o10.kernel.errors import FieldError, Rejected

MAX_DAYS = 3_660
"""Longest rolling window in days (ten years): a limit on what a caller can ask."""


class PeriodKind(StrEnum):
    """Which calendars cut time into periods?"""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    QUARTER = "quarter"
    YEAR = "year"
    FISCAL = "fiscal"
    """A 4-, 4- or 5-week month of a `FiscalCalendar`."""
    ROLLING = "rolling"
    """Windows of `days` local days, one after the other from `start`; a call is in one."""
    FIXED = "fixed"
    """One period with given ends."""


class PeriodMalformed(Rejected):
    """Is the period no period (unknown zone, end not after start, days out of range)?"""

    code = "validation_failed"


class OutsidePeriod(Rejected):
    """Does the instant lie outside of a fixed period, or before a rolling one starts?

    Fields: `at`, `start`, `end`; the authorize door answers ENVELOPE_NOT_STARTED or
    ENVELOPE_CLOSED.
    """

    code = "outside_period"


@dataclass(frozen=True, slots=True)
class Period:
    """From when until when? UTC instants, start included, end excluded."""

    kind: PeriodKind
    start: datetime
    end: datetime

    def __contains__(self, at: object) -> bool:
        return isinstance(at, datetime) and self.start <= at < self.end

    @property
    def seconds(self) -> int:
        """How long is it really, DST counted?"""
        return int((self.end - self.start).total_seconds())


@dataclass(frozen=True, slots=True)
class FiscalCalendar:
    """Which weeks make a fiscal month? A 4-4-5 calendar (or 4-5-4, 5-4-4) from an anchor.

    Shape: `anchor` is the first day of fiscal year `anchor_year`; each year has 52 weeks,
    those in `long_years` 53, with the extra week in the last month. `pattern` is weeks per
    month of a quarter.
    """

    anchor: date
    anchor_year: int
    pattern: tuple[int, int, int] = (4, 4, 5)
    long_years: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        if sum(self.pattern) != 13 or min(self.pattern) < 4:
            raise _malformed("/fiscal/pattern", "A fiscal quarter has 13 weeks, such as 4-4-5.")

    def month_at(self, day: date) -> tuple[int, int, date, date]:
        """Which fiscal year and month is this day in, from which day until which (excluded)?"""
        year, first = self.anchor_year, self.anchor
        if abs((day - first).days) > 40 * MAX_DAYS:
            raise _malformed("/fiscal/anchor", "The anchor lies within 400 years of the day.")
        while day < first:
            year -= 1
            first -= timedelta(weeks=self._weeks(year))
        while day >= first + timedelta(weeks=self._weeks(year)):
            first += timedelta(weeks=self._weeks(year))
            year += 1
        starts = list(
            accumulate((timedelta(weeks=w) for w in self._months(year)), initial=timedelta())
        )
        month = bisect_right(starts, day - first)
        return year, month, first + starts[month - 1], first + starts[month]

    def _weeks(self, year: int) -> int:
        return 53 if year in self.long_years else 52

    def _months(self, year: int) -> tuple[int, ...]:
        months = self.pattern * 4
        return (*months[:-1], months[-1] + self._weeks(year) - 52)


def period_at(
    *,
    kind: PeriodKind,
    at: datetime,
    time_zone: str = "UTC",
    start: datetime | date | None = None,
    end: datetime | date | None = None,
    days: int | None = None,
    week_start: int = 0,
    fiscal: FiscalCalendar | None = None,
) -> Period:
    """Which period of this kind contains the instant?

    Units: `at` is an aware instant; `start` and `end` are aware instants or local dates of
    `time_zone` (a date means its first instant); `week_start` 0 = Monday … 6 = Sunday; `days`
    whole local days of a rolling window.
    Raises: PeriodMalformed (`validation_failed`) for an unknown zone or a missing or
    impossible part; OutsidePeriod (`outside_period`) for a fixed period that does not contain
    the instant or a rolling one that starts after it.
    """
    if at.tzinfo is None:
        raise ValueError("an instant carries its offset")
    zone = zone_of(time_zone)
    if kind is PeriodKind.FIXED:
        return _fixed(at, zone, start, end)
    if kind is PeriodKind.ROLLING:
        return _rolling(at, zone, start, days)
    if kind is PeriodKind.WEEK and not 0 <= week_start <= 6:
        raise _malformed("/week_start", "A week starts on a day from 0 (Monday) to 6 (Sunday).")
    if kind is PeriodKind.FISCAL and fiscal is None:
        raise _malformed("/fiscal", "A fiscal period needs its calendar.")
    day = at.astimezone(zone).date()
    first, after = _bounds(kind, day, week_start, fiscal)
    # Clocks that go back across midnight show yesterday again after today has begun; the
    # period is decided by the instants, so step to the neighbour where the local date
    # misleads.
    if at >= day_start(after, zone):
        first, after = _bounds(kind, after, week_start, fiscal)
    return Period(kind, day_start(first, zone), day_start(after, zone))


def trailing_days(*, at: datetime, days: int, time_zone: str = "UTC") -> Period:
    """Which are the last `days` local days, today included? To read by, not to hold money in.

    Raises: PeriodMalformed (`validation_failed`).
    """
    zone = zone_of(time_zone)
    _check_days(days)
    today = at.astimezone(zone).date()
    first = today - timedelta(days=days - 1)
    return Period(
        PeriodKind.ROLLING, day_start(first, zone), day_start(today + timedelta(days=1), zone)
    )


def label(period: Period, time_zone: str = "UTC", fiscal: FiscalCalendar | None = None) -> str:
    """What is this period called on a screen? "Nov 2026", "Q4 2026", "FY2026 P10".

    A rolling, fixed or unnamed fiscal period is written by its first and last local day.
    """
    zone = zone_of(time_zone)
    first = period.start.astimezone(zone).date()
    last = (period.end - timedelta(microseconds=1)).astimezone(zone).date()
    if period.kind is PeriodKind.FISCAL and fiscal is not None:
        year, month, *_ = fiscal.month_at(first)
        return f"FY{year} P{month}"
    names = {
        PeriodKind.DAY: _day(first),
        PeriodKind.WEEK: f"week of {_day(first)}",
        PeriodKind.MONTH: f"{_MONTHS[first.month - 1]} {first.year}",
        PeriodKind.QUARTER: f"Q{(first.month + 2) // 3} {first.year}",
        PeriodKind.YEAR: f"{first.year}",
    }
    return names.get(period.kind, f"{_day(first)} – {_day(last)}")


def zone_of(time_zone: str) -> ZoneInfo:
    """Which zone has this IANA name?

    Raises: PeriodMalformed (`validation_failed`) when no zone has it.
    """
    try:
        return ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise _malformed(
            "/time_zone", f"{time_zone[:64]!r} is not an IANA time zone."
        ) from error


def day_start(day: date, zone: ZoneInfo) -> datetime:
    """At which UTC instant does this local day begin?

    The first instant whose local time is not before midnight of that day: the earlier of two
    midnights when clocks go back over it, the end of the gap when they jump over it.
    """
    midnight = datetime.combine(day, time.min)
    instant = midnight.replace(tzinfo=zone).astimezone(UTC)
    if instant.astimezone(zone).replace(tzinfo=None) == midnight:
        return instant
    # Midnight does not exist. With fold=1 the later offset is used, which lies before the jump.
    low = midnight.replace(tzinfo=zone, fold=1).astimezone(UTC)
    high = instant
    while high - low > timedelta(seconds=1):
        middle = (low + (high - low) / 2).replace(microsecond=0)
        if middle.astimezone(zone).replace(tzinfo=None) >= midnight:
            high = middle
        else:
            low = middle
    return high


def _bounds(
    kind: PeriodKind, day: date, week_start: int, fiscal: FiscalCalendar | None
) -> tuple[date, date]:
    if kind is PeriodKind.FISCAL and fiscal is not None:
        _, _, first, after = fiscal.month_at(day)
        return first, after
    if kind is PeriodKind.WEEK:
        first = day - timedelta(days=(day.weekday() - week_start) % 7)
        return first, first + timedelta(days=7)
    months = _MONTHS_IN.get(kind)
    if months is None:
        return day, day + timedelta(days=1)
    first = date(day.year, (day.month - 1) // months * months + 1, 1)
    index = first.month - 1 + months
    return first, date(first.year + index // 12, index % 12 + 1, 1)


def _fixed(
    at: datetime, zone: ZoneInfo, start: datetime | date | None, end: datetime | date | None
) -> Period:
    if start is None or end is None:
        raise _malformed("/period", "A fixed period has a start and an end.")
    period = Period(PeriodKind.FIXED, _instant(start, zone), _instant(end, zone))
    if period.start >= period.end:
        raise _malformed("/period/end", "The end of a period lies after its start.")
    if at not in period:
        raise OutsidePeriod(at=at, start=period.start, end=period.end)
    return period


def _rolling(
    at: datetime, zone: ZoneInfo, start: datetime | date | None, days: int | None
) -> Period:
    if start is None or days is None:
        raise _malformed("/period", "A rolling period has a start and a number of days.")
    _check_days(days)
    anchor = _instant(start, zone).astimezone(zone).date()
    if at < day_start(anchor, zone):
        raise OutsidePeriod(at=at, start=day_start(anchor, zone), end=None)
    step = timedelta(days=days)
    first = anchor + (at.astimezone(zone).date() - anchor) // step * step
    if at < day_start(first, zone):
        first -= step
    if at >= day_start(first + step, zone):
        first += step
    return Period(PeriodKind.ROLLING, day_start(first, zone), day_start(first + step, zone))


def _instant(value: datetime | date, zone: ZoneInfo) -> datetime:
    if not 2000 <= value.year <= 2200:
        raise _malformed("/period", "A period lies between the years 2000 and 2200.")
    if not isinstance(value, datetime):
        return day_start(value, zone)
    if value.tzinfo is None:
        raise _malformed("/period", "An instant carries its offset, such as Z.")
    return value.astimezone(UTC)


def _check_days(days: int) -> None:
    if not 1 <= days <= MAX_DAYS:
        raise _malformed("/days", f"A window has from 1 to {MAX_DAYS} days.")


def _day(day: date) -> str:
    return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"


def _malformed(pointer: str, message: str) -> PeriodMalformed:
    return PeriodMalformed(errors=[FieldError(pointer, "period_malformed", message)])


_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTHS_IN = {PeriodKind.MONTH: 1, PeriodKind.QUARTER: 3, PeriodKind.YEAR: 12}
