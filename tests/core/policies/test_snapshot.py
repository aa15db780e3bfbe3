"""Is a policy hashed by what it says, and does every call find its place and period?"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o10.wire.reasons import Reason
from policies.core.snapshot import Place, PolicyRows, compile_policy

from .rules import NOW, make_envelope, make_path, make_snapshot, make_use_case


def test_the_hash_follows_the_content_and_neither_order_nor_version():
    path = make_path()
    one = compile_policy(PolicyRows([make_use_case()], path), version=1)
    other = compile_policy(PolicyRows([make_use_case()], path[::-1]), version=2)
    assert one.hash == other.hash
    changed = [*path[:2], replace(path[2], amount_nanos=1)]
    assert compile_policy(PolicyRows([make_use_case()], changed), version=1).hash != one.hash


@pytest.mark.parametrize(
    "change", [{"epoch": 2}, {"state": "frozen"}, {"per_call_nanos": 5}, {"hard": False}]
)
def test_every_limit_is_part_of_the_hash(change):
    assert make_snapshot(envelopes=make_path(**change)).hash != make_snapshot().hash


def place(snapshot, *, at=NOW, **labels):
    return snapshot.place_of(use_case=snapshot.use_cases["support"], labels=labels, at=at)


def test_the_path_goes_from_the_root_to_the_deepest_envelope():
    found = place(make_snapshot())
    assert [rule.id for rule in found.path] == [1, 2, 3]


def test_a_use_case_without_an_envelope_draws_on_its_department_then_the_company():
    path = make_path()
    assert [rule.id for rule in place(make_snapshot(envelopes=path[:2])).path] == [1, 2]
    assert [rule.id for rule in place(make_snapshot(envelopes=path[:1])).path] == [1]
    assert place(make_snapshot(envelopes=[])) is Reason.ENVELOPE_NOT_FOUND


def test_two_fixed_years_of_one_scope_take_turns():
    years = [
        make_envelope(
            id=number,
            period_kind="fixed",
            start_at=datetime(year, 1, 1, tzinfo=UTC),
            end_at=datetime(year + 1, 1, 1, tzinfo=UTC),
        )
        for number, year in ((1, 2026), (2, 2027))
    ]
    snapshot = make_snapshot(envelopes=years)
    turn = datetime(2027, 1, 1, tzinfo=UTC)
    assert place(snapshot, at=turn - timedelta(microseconds=1)).path[0].id == 1
    assert place(snapshot, at=turn).path[0].id == 2
    assert place(snapshot, at=turn.replace(year=2028)) is Reason.ENVELOPE_CLOSED
    assert place(snapshot, at=turn.replace(year=2025)) is Reason.ENVELOPE_NOT_STARTED


ZONES = (
    "UTC",
    "Asia/Tokyo",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "America/New_York",
    "America/St_Johns",
    "Europe/Berlin",
    "Pacific/Apia",
    "Pacific/Chatham",
    "America/Sao_Paulo",
    "Africa/Casablanca",
)
KINDS = (
    {"period_kind": "day"},
    *({"period_kind": "week", "week_start": day} for day in range(7)),
    {"period_kind": "month"},
    {"period_kind": "quarter"},
    {"period_kind": "year"},
    {"period_kind": "rolling", "days": 7, "start_at": datetime(2026, 1, 5, tzinfo=UTC)},
    {
        "period_kind": "fiscal",
        "fiscal": {"anchor": "2026-02-02", "anchor_year": 2026, "pattern": [4, 4, 5]},
    },
)


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "-".join(map(str, kind.values()))[:24])
def test_p14_the_instant_before_a_boundary_and_the_boundary_are_in_neighbouring_periods(
    zone, kind
):
    """Windows are computed, never reset: the same with every background job stopped."""
    envelope = make_envelope(time_zone=zone, **kind)
    snapshot = make_snapshot(envelopes=[envelope])
    for start in (NOW, datetime(2026, 3, 29, 1, 30, tzinfo=UTC), NOW + timedelta(days=200)):
        here = place(snapshot, at=start).periods[0]
        before = place(snapshot, at=here.end - timedelta(microseconds=1)).periods[0]
        after = place(snapshot, at=here.end).periods[0]
        assert before == here
        assert after.start == here.end
        assert here.start <= start < here.end
        local = here.end.astimezone(ZoneInfo(zone))
        assert (local.minute, local.second) == (0, 0), local


@given(st.integers(min_value=0, max_value=60 * 24 * 800))
def test_the_memory_of_a_period_never_changes_the_answer(minutes):
    snapshot = make_snapshot(envelopes=[make_envelope(time_zone="Europe/Berlin")])
    at = NOW + timedelta(minutes=minutes)
    place(snapshot, at=NOW)
    remembered = place(snapshot, at=at)
    fresh = place(make_snapshot(envelopes=[make_envelope(time_zone="Europe/Berlin")]), at=at)
    assert isinstance(remembered, Place)
    assert remembered.periods == fresh.periods
