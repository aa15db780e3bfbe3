"""Does a page sum up the month of the ledger's zone, and say how far it is?"""

from datetime import UTC, date, datetime

from o10.kernel.viewquery import PeriodRange
from reports.core.headline import Progress
from reports.core.reporting_period import months_between, reporting_period

NEW_YORK = "America/New_York"


def test_the_month_is_that_of_the_ledgers_zone():
    at = datetime(2026, 11, 1, 3, 59, tzinfo=UTC)
    assert reporting_period(asked=None, at=at, time_zone=NEW_YORK).label == "Oct 2026"
    assert reporting_period(asked=None, at=at, time_zone="UTC").label == "Nov 2026"


def test_a_running_month_tells_its_day():
    at = datetime(2026, 11, 22, 4, 0, tzinfo=UTC)
    period = reporting_period(asked=None, at=at, time_zone=NEW_YORK)
    assert (period.name, period.detail) == ("November", "day 21 of 30")
    assert period.progress is Progress.RUNNING
    assert (period.first_day, period.after) == (date(2026, 11, 1), date(2026, 12, 1))


def test_an_hour_longer_in_november_is_still_thirty_days():
    at = datetime(2026, 11, 30, 12, tzinfo=UTC)
    period = reporting_period(asked=None, at=at, time_zone=NEW_YORK)
    assert (period.ends_at - period.starts_at).total_seconds() == 30 * 86_400 + 3_600
    assert period.days == 30


def test_a_month_of_another_year_carries_its_year():
    at = datetime(2026, 11, 22, tzinfo=UTC)
    period = reporting_period(
        asked=PeriodRange(2025 * 12 + 9, 2025 * 12 + 9), at=at, time_zone="UTC"
    )
    assert (period.name, period.detail) == ("October 2025", "")
    assert period.progress is Progress.ENDED


def test_a_year_has_twelve_month_starts():
    at = datetime(2026, 11, 22, tzinfo=UTC)
    period = reporting_period(
        asked=PeriodRange(2026 * 12, 2026 * 12 + 11), at=at, time_zone="UTC"
    )
    assert (period.label, period.name) == ("2026", "2026")
    assert len(period.month_starts) == 12
    assert months_between(date(2026, 11, 1), date(2027, 2, 1)) == (
        date(2026, 11, 1),
        date(2026, 12, 1),
        date(2027, 1, 1),
    )
