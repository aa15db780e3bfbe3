"""Do the cells add up to the entries, on the right hours and days?"""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.core.canonical import encode
from ledger.core.corrections import reversing
from ledger.core.entry import Entry, Kind
from ledger.core.rollup import (
    CLASS_OF_KIND,
    Buckets,
    Increments,
    KindClass,
    cell_of,
    fold,
    fold_images,
)

from .books import make_entry, number

BERLIN = Buckets(ZoneInfo("Europe/Berlin"))
ZONES = [
    "UTC",
    "Europe/Berlin",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "America/St_Johns",
    "Pacific/Apia",
    "Asia/Pyongyang",
]


def at(instant: datetime, **fields: object) -> Entry:
    return make_entry(effective_at=instant, **fields)


def test_every_kind_has_one_class() -> None:
    assert set(CLASS_OF_KIND) == set(Kind)
    assert set(CLASS_OF_KIND.values()) == set(KindClass)


def test_an_entry_changes_the_cell_of_its_attribution_by_its_quantities() -> None:
    cell = cell_of(make_entry())
    assert cell is not None
    key, increments = cell
    assert key == (3, 12, 2, 41, 77, KindClass.CALL)
    assert increments == (
        *(3_915_000, -3_915_000, 0, 4_590_000, 1_100_000, 1),
        *(400, 800, 0, 0, 670, 120),
    )


def test_an_entry_that_counts_nothing_has_no_cell() -> None:
    counted = dict.fromkeys(Increments._fields, 0)
    entry = make_entry(kind=Kind.REGISTRY, **counted)
    assert cell_of(entry) is None
    for folded in (fold([entry], buckets=BERLIN), fold_images([encode(entry)], buckets=BERLIN)):
        assert (folded.hours, folded.days) == ({}, {})


@pytest.mark.parametrize(
    ("instant", "day"),
    [
        (datetime(2026, 3, 28, 22, 59, 59, tzinfo=UTC), date(2026, 3, 28)),
        (datetime(2026, 3, 28, 23, 0, tzinfo=UTC), date(2026, 3, 29)),
        (datetime(2026, 3, 29, 21, 59, 59, tzinfo=UTC), date(2026, 3, 29)),
        (datetime(2026, 3, 29, 22, 0, tzinfo=UTC), date(2026, 3, 30)),
        (datetime(2026, 10, 24, 22, 0, tzinfo=UTC), date(2026, 10, 25)),
        (datetime(2026, 10, 25, 22, 59, 59, 999999, tzinfo=UTC), date(2026, 10, 25)),
        (datetime(2026, 10, 25, 23, 0, tzinfo=UTC), date(2026, 10, 26)),
        (datetime(1999, 12, 31, 23, 30, tzinfo=UTC), date(2000, 1, 1)),
    ],
)
def test_a_day_of_a_clock_change_has_23_or_25_hours(instant: datetime, day: date) -> None:
    for folded in (
        fold([at(instant)], buckets=BERLIN),
        fold_images([encode(at(instant))], buckets=BERLIN),
    ):
        assert [place for place, _ in folded.days] == [day]


def test_a_zone_of_45_minutes_offset_has_its_own_midnight() -> None:
    kathmandu = Buckets(ZoneInfo("Asia/Kathmandu"), 15)
    before, after = (datetime(2026, 11, 20, 18, minute, tzinfo=UTC) for minute in (14, 15))
    folded = fold([at(before), at(after)], buckets=kathmandu)
    assert sorted(place for place, _ in folded.days) == [date(2026, 11, 20), date(2026, 11, 21)]
    assert sorted(place for place, _ in folded.hours) == [
        datetime(2026, 11, 20, 18, 0, tzinfo=UTC),
        datetime(2026, 11, 20, 18, 15, tzinfo=UTC),
    ]


def test_hours_of_another_width_are_refused() -> None:
    with pytest.raises(ValueError, match="rollup minutes 20"):
        Buckets(ZoneInfo("UTC"), 20)


# Hypothesis takes the bounds without a zone.
FIRST, LAST = (datetime(year, 1, 1) for year in (1999, 2035))  # noqa: DTZ001
ENTRIES = st.lists(
    st.builds(
        make_entry,
        effective_at=st.datetimes(FIRST, LAST, timezones=st.just(UTC)).filter(
            lambda value: value != datetime(2000, 1, 1, tzinfo=UTC)
        ),
        kind=st.sampled_from(Kind).map(int),
        use_case_id=st.integers(1, 3),
        envelope_id=st.integers(0, 2),
        amount_nanos=st.integers(-(10**15), 10**15),
        held_nanos=st.sampled_from([0, 5, -5]),
        reserved_nanos=st.sampled_from([0, 7]),
        counter_nanos=st.just(0),
        n=st.integers(-1, 1),
        tok_in=st.sampled_from([0, 400]),
        tok_out=st.just(0),
    ),
    max_size=30,
)


@given(ENTRIES, st.sampled_from(ZONES), st.sampled_from([60, 30, 15]))
@settings(max_examples=80, deadline=None)
def test_both_ways_of_folding_agree_and_add_up_to_the_entries(
    entries: list[Entry], zone: str, minutes: int
) -> None:
    buckets = Buckets(ZoneInfo(zone), minutes)
    folded = fold(entries, buckets=buckets)
    fast = fold_images([encode(entry) for entry in entries], buckets=buckets)
    assert (fast.hours, fast.days) == (folded.hours, folded.days)
    for place, name in enumerate(Increments._fields):
        total = sum(getattr(entry, name) for entry in entries)
        assert sum(cell[place] for cell in folded.hours.values()) == total
        assert sum(cell[place] for cell in folded.days.values()) == total
    for hour, _ in folded.hours:
        assert (hour - datetime(2000, 1, 1, tzinfo=UTC)) % timedelta(minutes=minutes) == (
            timedelta(0)
        )


def test_an_entry_and_its_reversal_empty_the_sums_of_the_original_day() -> None:
    original = make_entry()
    reversal = reversing(
        original,
        uid=number("reversal"),
        recorded_at=original.recorded_at + timedelta(days=40),
        actor_id=4,
        doc=bytes(32),
    )
    folded = fold([original, reversal], buckets=BERLIN)
    assert {place for place, _ in folded.days} == {date(2026, 11, 20)}
    assert sum(cell.amount_nanos for cell in folded.days.values()) == 0
    assert sum(cell.n for cell in folded.days.values()) == 0
