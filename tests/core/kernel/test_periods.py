from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o10.kernel.periods import (
    FiscalCalendar,
    OutsidePeriod,
    Period,
    PeriodKind,
    PeriodMalformed,
    day_start,
    label,
    period_at,
    trailing_days,
    zone_of,
)
from tests.core.kernel.golden import golden

ZONES = (
    "UTC",
    "Europe/Berlin",
    "Europe/London",
    "Europe/Lisbon",
    "America/New_York",
    "America/St_Johns",
    "America/Havana",
    "America/Sao_Paulo",
    "America/Santiago",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Asia/Beirut",
    "Asia/Tehran",
    "Australia/Lord_Howe",
    "Australia/Adelaide",
    "Pacific/Apia",
    "Pacific/Chatham",
    "Africa/Cairo",
    "Africa/Casablanca",
    "America/Nuuk",
)
"""Half hours, three quarters, clocks that change at midnight, half-hour DST, a skipped day."""

CALENDAR_KINDS = (
    PeriodKind.DAY,
    PeriodKind.WEEK,
    PeriodKind.MONTH,
    PeriodKind.QUARTER,
    PeriodKind.YEAR,
    PeriodKind.FISCAL,
    PeriodKind.ROLLING,
)
RETAIL = FiscalCalendar(
    anchor=date(2026, 2, 1), anchor_year=2026, long_years=frozenset({2017, 2023, 2028, 2034})
)
YEAR_2011 = datetime.fromisoformat("2011-01-01")
YEAR_2040 = datetime.fromisoformat("2040-01-01")
INSTANTS = st.datetimes(YEAR_2011, YEAR_2040, timezones=st.just(UTC))


def at_kind(kind, at, zone, **more):
    parts = {"fiscal": RETAIL, "start": date(2010, 1, 1), "days": 28}
    if kind is not PeriodKind.FISCAL:
        del parts["fiscal"]
    if kind is not PeriodKind.ROLLING:
        del parts["start"], parts["days"]
    return period_at(kind=kind, at=at, time_zone=zone, **parts, **more)


@pytest.mark.parametrize("case", golden("period")["cases"], ids=lambda case: case["note"])
def test_golden_periods(case):
    parts = dict(case.get("with", {}))
    for name in ("start", "end"):
        if name in parts:
            parts[name] = date.fromisoformat(parts[name])
    if "fiscal" in parts:
        raw = parts["fiscal"]
        parts["fiscal"] = FiscalCalendar(
            anchor=date.fromisoformat(raw["anchor"]),
            anchor_year=raw["anchor_year"],
            pattern=tuple(raw.get("pattern", (4, 4, 5))),
            long_years=frozenset(raw["long_years"]),
        )
    period = period_at(
        kind=PeriodKind(case["kind"]),
        at=datetime.fromisoformat(case["at"]),
        time_zone=case["time_zone"],
        **parts,
    )
    assert period.start == datetime.fromisoformat(case["start"])
    assert period.end == datetime.fromisoformat(case["end"])
    assert label(period, case["time_zone"], parts.get("fiscal")) == case["label"]


@pytest.mark.parametrize("kind", CALENDAR_KINDS)
@given(at=INSTANTS, zone=st.sampled_from(ZONES))
def test_an_instant_lies_in_its_period_and_so_do_both_its_edges(kind, at, zone):
    period = at_kind(kind, at, zone)
    assert at in period
    assert at_kind(kind, period.start, zone) == period
    assert at_kind(kind, period.end - timedelta(microseconds=1), zone) == period
    assert at_kind(kind, period.end, zone).start == period.end


@pytest.mark.parametrize("zone", ZONES)
def test_days_follow_each_other_without_gap_or_overlap_through_ten_years(zone):
    at = datetime(2016, 1, 1, 12, tzinfo=UTC)
    before = at_kind(PeriodKind.DAY, at, zone)
    lengths = set()
    while before.end < datetime(2026, 1, 1, tzinfo=UTC):
        period = at_kind(PeriodKind.DAY, before.end, zone)
        assert period.start == before.end
        lengths.add(period.seconds / 3600)
        before = period
    assert lengths <= {23, 23.5, 24, 24.5, 25, 22, 26}
    assert 24 in lengths


@given(at=INSTANTS, zone=st.sampled_from(ZONES), week_start=st.integers(0, 6))
def test_a_week_has_seven_local_days_and_starts_on_its_day(at, zone, week_start):
    period = period_at(kind=PeriodKind.WEEK, at=at, time_zone=zone, week_start=week_start)
    first = period.start.astimezone(ZoneInfo(zone)).date()
    assert first.weekday() == week_start
    days, cursor = 0, period.start
    while cursor < period.end:
        cursor = at_kind(PeriodKind.DAY, cursor, zone).end
        days += 1
    assert cursor == period.end
    # Apia went from 29 to 31 December 2011: that week has six days.
    assert days == (6 if zone == "Pacific/Apia" and days == 6 and first.year == 2011 else 7)


@given(at=INSTANTS, zone=st.sampled_from(ZONES))
def test_twelve_months_and_four_quarters_fill_the_year(at, zone):
    year = at_kind(PeriodKind.YEAR, at, zone)
    for kind, count in ((PeriodKind.MONTH, 12), (PeriodKind.QUARTER, 4)):
        cursor = year.start
        for _ in range(count):
            assert cursor < year.end
            cursor = at_kind(kind, cursor, zone).end
        assert cursor == year.end


@given(at=INSTANTS)
def test_fiscal_months_have_four_or_five_weeks_and_fill_their_year(at):
    day = at.date()
    year, month, first, after = RETAIL.month_at(day)
    weeks = (after - first).days / 7
    expected = (4, 4, 5)[(month - 1) % 3] + (month == 12 and year in RETAIL.long_years)
    assert first <= day < after
    assert weeks == expected
    assert first.weekday() == RETAIL.anchor.weekday()
    following = RETAIL.month_at(after)
    assert following[:2] == ((year, month + 1) if month < 12 else (year + 1, 1))


@pytest.mark.parametrize("zone", ZONES)
@given(day=st.dates(date(2011, 6, 1), date(2035, 12, 31)))
def test_a_day_starts_at_the_first_instant_not_before_its_midnight(zone, day):
    info = zone_of(zone)
    start = day_start(day, info)
    midnight = datetime(day.year, day.month, day.day)  # noqa: DTZ001
    assert start.astimezone(info).replace(tzinfo=None) >= midnight
    just_before = (start - timedelta(seconds=1)).astimezone(info).replace(tzinfo=None)
    assert just_before < midnight


def test_havana_winter_night_has_two_midnights_and_the_first_one_counts():
    period = at_kind(PeriodKind.DAY, datetime(2026, 11, 1, 12, tzinfo=UTC), "America/Havana")
    assert period.start == datetime(2026, 11, 1, 4, tzinfo=UTC)
    assert period.seconds == 25 * 3600


def test_a_clock_that_goes_back_over_midnight_does_not_put_today_into_yesterday():
    # Nuuk, 25 Oct 2026: at 00:00 local the clock shows 23:00 of the 24th again.
    repeated = datetime(2026, 10, 25, 1, 30, tzinfo=UTC)
    period = at_kind(PeriodKind.DAY, repeated, "America/Nuuk")
    assert repeated in period
    before = at_kind(PeriodKind.DAY, period.start - timedelta(seconds=1), "America/Nuuk")
    assert before.end == period.start


@given(at=INSTANTS, zone=st.sampled_from(ZONES), days=st.integers(1, 400))
def test_trailing_days_end_with_today(at, zone, days):
    window = trailing_days(at=at, days=days, time_zone=zone)
    today = day_start(at.astimezone(zone_of(zone)).date(), zone_of(zone))
    assert window.start <= today < window.end
    assert at >= window.start


def test_fixed_periods_contain_their_start_and_not_their_end():
    parts = {
        "kind": PeriodKind.FIXED,
        "time_zone": "Europe/Berlin",
        "start": date(2026, 11, 1),
        "end": date(2026, 11, 15),
    }
    start, end = datetime(2026, 10, 31, 23, tzinfo=UTC), datetime(2026, 11, 14, 23, tzinfo=UTC)
    assert period_at(at=start, **parts) == Period(PeriodKind.FIXED, start, end)
    for outside in (start - timedelta(microseconds=1), end):
        with pytest.raises(OutsidePeriod) as caught:
            period_at(at=outside, **parts)
        assert caught.value.fields == {"at": outside, "start": start, "end": end}


def test_a_rolling_period_has_not_begun_before_its_start():
    with pytest.raises(OutsidePeriod) as caught:
        period_at(
            kind=PeriodKind.ROLLING,
            at=datetime(2026, 10, 31, 22, 59, tzinfo=UTC),
            time_zone="Europe/Berlin",
            start=date(2026, 11, 1),
            days=30,
        )
    assert caught.value.end is None


AT = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("parts", "pointer"),
    [
        ({"kind": PeriodKind.DAY, "time_zone": "Mars/Olympus"}, "/time_zone"),
        ({"kind": PeriodKind.DAY, "time_zone": ""}, "/time_zone"),
        ({"kind": PeriodKind.DAY, "time_zone": "../etc/passwd"}, "/time_zone"),
        ({"kind": PeriodKind.WEEK, "week_start": 7}, "/week_start"),
        ({"kind": PeriodKind.FISCAL}, "/fiscal"),
        ({"kind": PeriodKind.FIXED, "start": date(2026, 1, 1)}, "/period"),
        (
            {"kind": PeriodKind.FIXED, "start": date(2026, 1, 2), "end": date(2026, 1, 2)},
            "/period/end",
        ),
        (
            {"kind": PeriodKind.FIXED, "start": date(1, 1, 1), "end": date(2026, 1, 2)},
            "/period",
        ),
        (
            {"kind": PeriodKind.FIXED, "start": date(2026, 1, 1), "end": date(9999, 12, 31)},
            "/period",
        ),
        (
            {"kind": PeriodKind.ROLLING, "start": datetime(2026, 1, 1), "days": 5},  # noqa: DTZ001
            "/period",
        ),
        ({"kind": PeriodKind.ROLLING, "start": date(2026, 1, 1)}, "/period"),
        ({"kind": PeriodKind.ROLLING, "start": date(2026, 1, 1), "days": 0}, "/days"),
        ({"kind": PeriodKind.ROLLING, "start": date(2026, 1, 1), "days": 10**9}, "/days"),
    ],
)
def test_impossible_periods_are_refused_with_the_field_that_is_wrong(parts, pointer):
    with pytest.raises(PeriodMalformed) as caught:
        period_at(at=AT, **parts)
    assert [error.pointer for error in caught.value.errors] == [pointer]


def test_an_instant_without_offset_is_a_bug():
    with pytest.raises(ValueError, match="offset"):
        period_at(kind=PeriodKind.DAY, at=datetime(2026, 11, 20))  # noqa: DTZ001


@pytest.mark.parametrize("pattern", [(4, 4, 4), (3, 5, 5)])
def test_a_fiscal_quarter_has_thirteen_weeks(pattern):
    with pytest.raises(PeriodMalformed):
        FiscalCalendar(anchor=date(2026, 2, 1), anchor_year=2026, pattern=pattern)


def test_an_anchor_of_another_age_is_refused_and_not_searched_for_ever():
    with pytest.raises(PeriodMalformed):
        FiscalCalendar(anchor=date(1, 1, 1), anchor_year=1).month_at(date(2026, 1, 1))
