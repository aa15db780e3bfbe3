"""Do wrong clocks write right times, and are wrong times seen?"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import structlog
from django.db import OperationalError, connection
from django.test import Client

from ledger import facade, tasks
from ledger.operations import run_sealer as run_sealer_module
from ledger.operations.seal import Sealer, seal_once
from ledger.queries import database_clock
from ledger.queries import strays as strays_module
from o10.kernel import clock

from .rows import NOW, append_drafts, make_entry, write_entries
from .test_verify import attack

TEN_MINUTES = timedelta(minutes=10)
CLOSE = timedelta(seconds=5)


@pytest.fixture
def due(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(clock, "_due", float("-inf"))
    yield
    clock.correct(0)


class Fast(datetime):
    """A machine whose clock is ten minutes ahead."""

    @classmethod
    def now(cls, tz=None):
        return datetime.now(tz) + TEN_MINUTES


def database_now() -> datetime:
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        return cursor.fetchone()[0]


def at(*minutes: float) -> list[facade.StoredEntry]:
    """One entry each, sealed in this order, recorded so many minutes after NOW."""
    return [
        write_entries(recorded_at=NOW + timedelta(minutes=each, microseconds=place))[0]
        for place, each in enumerate(minutes)
    ]


@pytest.mark.django_db
@pytest.mark.parametrize("way", [1, -1])
def test_the_offset_is_measured_against_the_database(way: int) -> None:
    off = facade.measure_clock_offset(lambda: datetime.now(UTC) - way * TEN_MINUTES)
    assert off is not None
    assert abs(timedelta(microseconds=off) - way * TEN_MINUTES) < CLOSE


@pytest.mark.django_db
def test_half_the_round_trip_is_taken_off() -> None:
    began = database_now()
    readings = iter([began, began + timedelta(milliseconds=800)])
    off = facade.measure_clock_offset(lambda: next(readings))
    # The database answered at once, the clock says that 800 ms went by.
    assert off is not None
    assert -400_000 <= off < -400_000 + CLOSE // timedelta(microseconds=1)


@pytest.mark.django_db
@pytest.mark.parametrize("took", [timedelta(seconds=1.1), timedelta(seconds=-1)])
def test_a_slow_answer_or_a_clock_set_meanwhile_says_nothing(took: timedelta) -> None:
    readings = iter([NOW, NOW + took])
    assert facade.measure_clock_offset(lambda: next(readings)) is None


def test_a_process_ten_minutes_off_writes_corrected_times(
    ledger: Any, due: None, monkeypatch: pytest.MonkeyPatch, opened: Callable[[], Sealer]
) -> None:
    monkeypatch.setattr(clock, "datetime", Fast)
    write_entries(recorded_at=clock.now())
    clock.keep(facade.measure_clock_offset)
    append_drafts([make_entry(recorded_at=clock.now())])
    sealed = seal_once(opened(), now=database_now())
    assert (sealed.count, sealed.strays) == (2, 1)
    written = facade.get_by_seq(ledger_id=1, seq=2)
    assert abs(written.entry.recorded_at - database_now()) < CLOSE
    assert sealed.first_strays[0].seq == 1


def test_the_sealer_flags_what_is_recorded_far_from_now(
    ledger: Any, opened: Callable[[], Sealer]
) -> None:
    entries = at(0, 4.9, -4.9, 5.1, -5.1)
    sealed = seal_once(opened(), now=NOW)
    assert sealed.strays == 2
    assert [(each.seq, each.uid) for each in sealed.first_strays] == [
        (4, entries[3].entry.uid),
        (5, entries[4].entry.uid),
    ]
    with structlog.testing.capture_logs() as logs:
        run_sealer_module.warn_of_strays(
            count=sealed.strays, first=sealed.first_strays, now=NOW
        )
    (line,) = logs
    assert (line["log_level"], line["count"]) == ("warning", 2)
    assert line["first"][0]["uid"] == str(entries[3].entry.uid)
    assert [round(each["ahead_seconds"]) for each in line["first"]] == [306, -306]


def test_the_sealer_names_ten_and_counts_all(ledger: Any, opened: Callable[[], Sealer]) -> None:
    at(*[30.0] * 25)
    sealed = seal_once(opened(), now=NOW)
    assert (sealed.strays, len(sealed.first_strays)) == (25, 10)


def test_strays_of_late_are_counted_from_the_checkpoints(
    ledger: Any, seal_all: Callable[..., int]
) -> None:
    at(0, 0, -30)
    seal_all(NOW)
    # The entry that binds the checkpoint is covered by the next one.
    at(0)
    seal_all(NOW + timedelta(seconds=2))
    later = NOW + timedelta(hours=1)
    at(60, 60, 90, 30)
    seal_all(later)
    assert facade.count_strays(since=NOW - timedelta(minutes=1)) == 3
    assert facade.count_strays(since=later - timedelta(minutes=1)) == 2
    assert facade.count_strays(since=later + timedelta(minutes=1)) == 0


@pytest.mark.parametrize("stretch", [1, 3, 10_000])
def test_the_sweep_finds_forged_instants_wherever_it_cuts(
    ledger: Any, seal_all: Callable[..., int], monkeypatch: pytest.MonkeyPatch, stretch: int
) -> None:
    monkeypatch.setattr(strays_module, "STRETCH", stretch)
    entries = at(0, 1, 2, 40, 3, 4, -60, 5, 500, 501)
    size = seal_all(NOW + timedelta(minutes=502))
    found = facade.sweep_strays(now=NOW + timedelta(days=1))
    assert (found.looked, found.among_neighbours, found.in_future) == (size, 2, 0)
    assert [(each.seq, each.uid) for each in found.named] == [
        (4, entries[3].entry.uid),
        (7, entries[6].entry.uid),
    ]
    assert found.misplaced == 0


def test_the_sweep_finds_the_future_once_sealed_or_not(
    ledger: Any, seal_all: Callable[..., int]
) -> None:
    at(0, 60, 1)
    seal_all(NOW)
    (waiting,) = at(90)
    found = facade.sweep_strays(now=NOW + timedelta(minutes=2))
    assert (found.among_neighbours, found.in_future) == (0, 2)
    assert [each.seq for each in found.named] == [2, 0]
    assert found.named[1].uid == waiting.entry.uid


def test_the_sweep_finds_an_entry_moved_to_another_instant(
    ledger: Any, seal_all: Callable[..., int]
) -> None:
    entries = at(0, 1, 2)
    size = seal_all(NOW)
    attack(
        ledger.urls,
        "UPDATE ledger_entry SET recorded_at = recorded_at + interval '1 month'"
        f" WHERE id = {entries[1].id}",
    )
    found = facade.sweep_strays(now=NOW + timedelta(days=90))
    assert (found.looked, found.among_neighbours, found.misplaced) == (size, 0, 1)


def test_the_daily_job_reports_and_changes_nothing(
    ledger: Any, seal_all: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "now", lambda: NOW + timedelta(minutes=10))
    at(0, 1)
    seal_all(NOW)
    assert tasks.sweep_strays() == 0
    stray, *_ = at(-60, 2, 3)
    seq = seal_all(NOW)
    with structlog.testing.capture_logs() as logs:
        assert tasks.sweep_strays() == 1
    (line,) = logs
    assert (line["log_level"], line["among_neighbours"]) == ("error", 1)
    assert [each["uid"] for each in line["first"]] == [str(stray.entry.uid)]
    assert facade.seal_state(now=NOW).seq == seq


@pytest.mark.django_db
def test_a_database_that_is_away_leaves_requests_as_they_are(
    due: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = connection.copy()
    nowhere.settings_dict = {**connection.settings_dict, "HOST": "127.0.0.1", "PORT": 1}
    monkeypatch.setattr(database_clock, "connection", nowhere)
    with pytest.raises(OperationalError):
        nowhere.ensure_connection()
    clock.correct(1_000_000)
    assert Client().get("/sign-in/").status_code == 200
    assert clock._due > 0
    assert clock.now() - clock.uncorrected() > timedelta(seconds=0.9)


def test_the_sign_of_life_asks_no_database(due: None) -> None:
    assert Client().get("/healthz").status_code == 200
    assert clock._due == float("-inf")


def test_requests_jobs_and_the_sealer_compare_their_clocks(
    ledger: Any, due: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ledger.management.commands.ledger_seal import kept_now
    from o10.wsgi import application

    def ask_verb() -> None:
        environ = {"PATH_INFO": "/api/v1/authorize", "REQUEST_METHOD": "POST"}
        application(environ, lambda status, headers: None)

    ways: dict[str, Callable[[], object]] = {
        "page": lambda: Client().get("/sign-in/"),
        "verb": ask_verb,
        "job": lambda: tasks.watch_seal.apply(),
        "sealer": kept_now,
    }
    monkeypatch.setattr(clock, "datetime", Fast)
    for name, ask in ways.items():
        clock.correct(0)
        clock._due = float("-inf")
        ask()
        assert abs(clock.now() - datetime.now(UTC)) < CLOSE, name
