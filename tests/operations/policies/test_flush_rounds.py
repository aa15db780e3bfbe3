"""Does the bookkeeper follow every journal of its host, and stop for none of them?"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import psycopg
import pytest
import structlog
from django.db import connection, connections

from o10.lease.journal import read_at
from policies.facade import check_conservation
from policies.models import Lease, LeaseHolder, Reservation
from policies.operations import book_alone, bookkeeper, close_holder
from policies.operations import run_books as module
from policies.operations.run_books import Rounds, run_books
from policies.queries.backlog import backlog_at
from policies.queries.this_host import host_of, plane_folder
from tests.machines.replay import findings_of_entries

from .company import DOLLAR, NOW, make_tree, money_of
from .scribe import Scribe

X, C = 15_000_000, 7_650_000
PATIENCE_S = 20.0


@pytest.fixture(autouse=True)
def fresh_loggers(monkeypatch) -> None:
    """A logger that was used before keeps its form, whatever a test wants to hear."""
    for each in (book_alone, bookkeeper, module):
        monkeypatch.setattr(each, "_log", structlog.get_logger("policies.books"))


@pytest.fixture
def sound(committed_books) -> Iterator[psycopg.Connection]:
    yield committed_books
    assert findings_of_entries() == []
    assert check_conservation() == []


@pytest.fixture
def tree(sound):
    return make_tree(company=10**6 * DOLLAR, department=10**6 * DOLLAR, use_case=10**6 * DOLLAR)


class Desk:
    """A bookkeeper whose clocks are turned by hand."""

    def __init__(self, home: Path) -> None:
        self.home, self.folder, self.host = home, plane_folder(home), host_of(home)
        self.at, self.now = 100.0, NOW
        connection.ensure_connection()
        self.rounds = self.sit_down()

    def sit_down(self) -> Rounds:
        return Rounds(
            host=self.host,
            folder=self.folder,
            now=lambda: self.now,
            monotonic=lambda: self.at,
        )

    def scribe(self) -> Scribe:
        return Scribe(self.folder, host=self.host)

    def run(self, *, seconds: float = 0.0) -> None:
        """Rounds until nothing waits; `seconds` pass before."""
        self.at += seconds
        self.now += timedelta(seconds=seconds)
        for count in range(200):
            self.rounds.round()
            self.at += 0.06
            waits = any(each.tail.pending for each in self.rounds.followed.values())
            if count > 1 and not waits:
                return
        raise AssertionError("it never came to an end")


@pytest.fixture
def desk(tree, tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def holder(scribe: Scribe) -> LeaseHolder:
    return LeaseHolder.objects.get(fence=scribe.fence)


def test_all_journals_of_the_host_are_booked_and_no_other_ones(desk, tmp_path):
    one, two = desk.scribe(), desk.scribe()
    away = Scribe(tmp_path, host="another host")
    for each in (one, two, away):
        each.settle(each.allow(each.borrow(2 * X)))
    desk.run()
    assert holder(one).booked_to == one.path.stat().st_size
    assert holder(two).booked_to == two.path.stat().st_size
    assert holder(away).booked_to == 0


def test_a_journal_that_grows_is_followed(desk):
    scribe = desk.scribe()
    lease = scribe.borrow(2 * X)
    desk.run()
    scribe.settle(scribe.allow(lease))
    desk.run()
    assert Lease.objects.get(id=lease).settled_nanos == C


def test_what_a_gone_holder_left_comes_back_and_open_calls_stay(desk, tree):
    scribe = desk.scribe()
    lease = scribe.borrow(5 * X)
    scribe.settle(scribe.allow(lease))
    scribe.allow(lease)
    desk.run(seconds=5)
    assert holder(scribe).ended_at is None
    scribe.die()
    desk.run(seconds=5)
    row = Lease.objects.get(id=lease)
    assert (row.state, row.returned_nanos, row.open_nanos) == ("draining", 4 * X - C, X)
    assert holder(scribe).ended_at is not None
    assert money_of(tree["use_case"])["held"] == X
    assert scribe.fence not in desk.rounds.followed


def test_leases_by_the_dozen_come_back_a_few_a_round(desk, monkeypatch):
    monkeypatch.setattr(close_holder, "AT_ONCE", 3)
    scribe, other = desk.scribe(), desk.scribe()
    for _ in range(10):
        scribe.borrow(X)
    desk.run()
    scribe.die()
    at, rounds = desk.at, 0
    desk.at += 2
    while holder(scribe).ended_at is None:
        desk.rounds.round()
        rounds += 1
        assert rounds < 20
    assert rounds >= 4
    assert not Lease.objects.exclude(state="closed").exists()
    assert desk.at < at + 10
    other.die()


def test_a_torn_last_record_was_never_answered(desk):
    scribe = desk.scribe()
    lease = scribe.borrow(5 * X)
    scribe.allow(lease)
    whole = scribe.path.stat().st_size
    scribe.allow(lease)
    os.truncate(scribe.path, scribe.path.stat().st_size - 3)
    scribe.die()
    desk.run(seconds=5)
    desk.run(seconds=5)
    assert holder(scribe).ended_at is not None
    assert holder(scribe).put_aside == 0
    assert holder(scribe).booked_to >= whole
    assert Lease.objects.get(id=lease).returned_nanos == 4 * X


def test_an_unreadable_record_is_put_aside_and_stops_nobody(desk):
    scribe, other = desk.scribe(), desk.scribe()
    lease = scribe.borrow(5 * X)
    good = scribe.allow(lease)
    bad = read_at(scribe.path, good)
    scribe.write(msgspec.structs.replace(bad, request=b"{"))
    scribe.settle(good)
    other.settle(other.allow(other.borrow(X)))
    with structlog.testing.capture_logs() as logs:
        desk.run()
    assert Lease.objects.get(id=lease).settled_nanos == C
    assert holder(scribe).put_aside == 1
    assert holder(other).booked_to == other.path.stat().st_size
    assert [each["kind"] for each in logs if each["event"] == "record_put_aside"] == [
        "Reserved"
    ]
    assert backlog_at(home=desk.home, now=NOW).put_aside == 1
    # Nobody knows what it was: the rest of its leases is not given back as unused.
    scribe.die()
    desk.run(seconds=5)
    assert holder(scribe).ended_at is not None
    assert Lease.objects.get(id=lease).returned_nanos == 0


def test_a_damaged_place_is_skipped_to_the_next_whole_record(desk):
    scribe = desk.scribe()
    lease = scribe.borrow(5 * X)
    lost = scribe.allow(lease)
    good = scribe.allow(lease)
    scribe.settle(good)
    with scribe.path.open("r+b") as file:
        file.seek(lost + 20)
        file.write(b"\xff\xff\xff\xff")
    with structlog.testing.capture_logs() as logs:
        desk.run()
        desk.run(seconds=3)
    assert Reservation.objects.count() == 1
    assert Lease.objects.get(id=lease).settled_nanos == C
    assert holder(scribe).put_aside == 1
    assert "journal_damaged" in [each["event"] for each in logs]


def test_damage_at_the_end_of_a_gone_holder_leaves_its_leases_to_time(desk):
    scribe = desk.scribe()
    lease = scribe.borrow(5 * X)
    lost = scribe.allow(lease)
    with scribe.path.open("r+b") as file:
        file.seek(lost + 20)
        file.write(b"\xff\xff\xff\xff")
    scribe.die()
    desk.run(seconds=3)
    desk.run(seconds=3)
    assert (holder(scribe).put_aside, holder(scribe).ended_at is None) == (1, False)
    assert Lease.objects.get(id=lease).returned_nanos == 0


def test_half_a_record_that_never_becomes_whole_is_damage(desk):
    """A length that was overwritten makes the journal look torn for ever."""
    scribe = desk.scribe()
    lease = scribe.borrow(5 * X)
    lost = scribe.allow(lease)
    with scribe.path.open("r+b") as file:
        file.seek(lost)
        file.write((1 << 21).to_bytes(4))
    scribe.settle(scribe.allow(lease))
    desk.run()
    assert Lease.objects.get(id=lease).settled_nanos == 0
    # Nobody may think that all of this journal is booked.
    before = holder(scribe).booked_at
    desk.run(seconds=1.5)
    assert holder(scribe).booked_at == before
    desk.run(seconds=3)
    desk.run()
    assert Lease.objects.get(id=lease).settled_nanos == C


def test_a_settle_waits_for_the_journal_of_its_call_whatever_the_order(desk):
    other, scribe = desk.scribe(), desk.scribe()
    lease = scribe.borrow(2 * X)
    other.settle(scribe.allow(lease), of=scribe)
    desk.run()
    assert Lease.objects.get(id=lease).settled_nanos == C
    assert holder(other).put_aside == 0


def test_a_settle_of_a_call_that_is_lost_is_put_aside(desk):
    other, scribe = desk.scribe(), desk.scribe()
    sequence = scribe.allow(scribe.borrow(2 * X))
    other.settle(sequence, of=scribe)
    lease = other.borrow(2 * X)
    other.settle(other.allow(lease))
    scribe.die()
    scribe.path.unlink()
    desk.run()
    assert holder(other).put_aside == 1
    assert Lease.objects.get(id=lease).settled_nanos == C


def test_a_holder_whose_journal_is_lost_keeps_its_leases_until_they_expire(desk):
    scribe = desk.scribe()
    lease = scribe.borrow(2 * X)
    scribe.die()
    scribe.path.unlink()
    desk.run(seconds=61)
    desk.run(seconds=61)
    assert holder(scribe).ended_at is not None
    assert Lease.objects.get(id=lease).returned_nanos == 0
    assert holder(scribe).put_aside == 1


def test_what_was_lent_while_its_holder_was_ended_comes_back(desk):
    scribe = desk.scribe()
    scribe.die()
    desk.run(seconds=3)
    LeaseHolder.objects.filter(fence=scribe.fence).update(ended_at=None)
    lease = scribe.borrow(2 * X)
    LeaseHolder.objects.filter(fence=scribe.fence).update(ended_at=NOW)
    desk.run(seconds=3)
    assert Lease.objects.get(id=lease).state == "closed"


def test_it_is_known_up_to_when_all_is_booked_though_nothing_is_new(desk):
    scribe = desk.scribe()
    desk.run()
    first = holder(scribe).booked_at
    desk.run(seconds=7)
    assert holder(scribe).booked_at - first >= timedelta(seconds=7)


def test_it_is_not_said_that_all_is_booked_while_something_waits(desk, monkeypatch):
    scribe = desk.scribe()
    desk.run()
    before = holder(scribe).booked_at
    scribe.allow(scribe.borrow(2 * X))
    monkeypatch.setattr(desk.rounds, "_step", lambda each: each.tail.look(now=desk.now) * 0)
    desk.at += 5
    desk.now += timedelta(seconds=5)
    desk.rounds.round()
    assert holder(scribe).booked_at == before


def test_the_backlog_says_how_much_waits_and_for_how_long(desk):
    scribe = desk.scribe()
    lease = scribe.borrow(4 * X)
    desk.run()
    assert backlog_at(home=desk.home, now=NOW).unbooked_bytes == 0
    before = scribe.path.stat().st_size
    scribe.settle(scribe.allow(lease, now=NOW + timedelta(seconds=2)))
    found = backlog_at(home=desk.home, now=NOW + timedelta(seconds=9))
    assert found.unbooked_bytes == scribe.path.stat().st_size - before
    assert (found.oldest, found.holders) == (timedelta(seconds=7), 1)
    desk.run()
    assert backlog_at(home=desk.home, now=NOW).unbooked_bytes == 0


def test_a_journal_goes_a_day_after_all_of_it_was_closed(desk, monkeypatch):
    scribe, still = desk.scribe(), desk.scribe()
    scribe.settle(scribe.allow(scribe.borrow(X)))
    still.allow(still.borrow(X))
    scribe.die()
    still.die()
    desk.run(seconds=5)
    desk.run(seconds=module.SWEEP_S)
    assert scribe.path.exists()
    desk.run(seconds=24 * 3_600)
    desk.run(seconds=module.SWEEP_S)
    assert not scribe.path.exists()
    # A call of this one is open still.
    assert still.path.exists()


# ---------------------------------------------------------------- the loop, in a thread


def wait_for(what: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)


class Loop:
    """The command's loop in a thread of its own."""

    def __init__(self, home: Path, *, now: Callable[[], datetime] = lambda: NOW) -> None:
        self.stop = threading.Event()
        self.thread = threading.Thread(
            target=self._run, kwargs={"home": home, "now": now, "stop": self.stop}
        )
        self.thread.start()

    def _run(self, **how: object) -> None:
        try:
            run_books(**how)  # type: ignore[arg-type]
        finally:
            connections.close_all()

    def end(self) -> None:
        self.stop.set()
        self.thread.join(PATIENCE_S)
        assert not self.thread.is_alive()


@pytest.fixture
def loop(desk) -> Iterator[Callable[[], Loop]]:
    started: list[Loop] = []

    def start() -> Loop:
        started.append(Loop(desk.home))
        return started[-1]

    yield start
    for each in started:
        each.end()


def settled(lease) -> int:
    return Lease.objects.get(id=lease).settled_nanos


def test_the_loop_books_while_its_sessions_are_thrown_out(desk, loop, sound):
    scribe = desk.scribe()
    lease = scribe.borrow(200 * X)
    loop()
    paid = 0
    with psycopg.connect(sound.superuser_url, autocommit=True) as superuser:
        for _ in range(6):
            for _ in range(20):
                scribe.settle(scribe.allow(lease))
                paid += C
            superuser.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'o10 books'"
            )
            time.sleep(0.05)
    wait_for(lambda: settled(lease) == paid)
    assert Reservation.objects.count() == 120


def test_an_outage_is_said_once_and_its_end_too(desk, monkeypatch):
    scribe = desk.scribe()
    scribe.settle(scribe.allow(scribe.borrow(X)))
    away = threading.Event()
    real = module._take_turn

    def take_turn(host: str) -> int:
        if not away.is_set():
            raise psycopg.OperationalError("the server is away")
        return real(host)

    monkeypatch.setattr(module, "_take_turn", take_turn)
    with structlog.testing.capture_logs() as logs:
        running = Loop(desk.home)
        time.sleep(0.8)
        away.set()
        wait_for(lambda: Reservation.objects.filter(state="settled").count() == 1)
        running.end()
    said = [each["event"] for each in logs if each["event"].startswith(("database", "books"))]
    assert said == ["database_away", "books_resumed"]


def test_of_two_bookkeepers_one_stands_by_and_takes_over(desk, loop):
    scribe = desk.scribe()
    lease = scribe.borrow(4 * X)
    first = loop()
    wait_for(lambda: holder(scribe).booked_to > 0)
    with structlog.testing.capture_logs() as logs:
        loop()
        wait_for(lambda: any(each["event"] == "books_kept_elsewhere" for each in logs))
        scribe.settle(scribe.allow(lease))
        wait_for(lambda: settled(lease) == C)
        first.end()
        scribe.settle(scribe.allow(lease))
        wait_for(lambda: settled(lease) == 2 * C)


def test_it_hurries_while_money_is_short(desk, loop, monkeypatch):
    """Rests are as good as abolished for the next moments once somebody said `short`."""
    monkeypatch.setattr(module, "REST_S", 3.0)
    scribe = desk.scribe()
    lease = scribe.borrow(4 * X)
    loop()
    wait_for(lambda: holder(scribe).booked_to > 0)
    time.sleep(0.1)
    scribe.give_back(lease, amount=X)
    begun = time.monotonic()
    connection.cursor().execute(
        'SELECT pg_notify(\'o10_plane\', \'{"k":"short","root":1,"envelope":1}\')'
    )
    wait_for(lambda: Lease.objects.get(id=lease).returned_nanos == X)
    assert time.monotonic() - begun < 1.5


def test_a_record_that_another_transaction_keeps_waiting_is_booked_after_it(desk, loop, sound):
    scribe = desk.scribe()
    lease = scribe.borrow(4 * X)
    loop()
    wait_for(lambda: holder(scribe).booked_to > 0)
    with structlog.testing.capture_logs() as logs:
        with psycopg.connect(sound.app_url) as other:
            other.execute("SELECT 1 FROM envelope_balance FOR UPDATE")
            scribe.settle(scribe.allow(lease))
            time.sleep(0.8)
            assert settled(lease) == 0
        wait_for(lambda: settled(lease) == C)
    assert logs == []


def test_settles_inside_a_lease_wait_for_no_tree(desk, loop, sound):
    """Whoever borrows or lends holds the tree; what was lent is spent all the same."""
    scribe = desk.scribe()
    lease = scribe.borrow(4 * X)
    loop()
    wait_for(lambda: holder(scribe).booked_to > 0)
    with psycopg.connect(sound.app_url) as other:
        other.execute("SELECT 1 FROM envelope_tree FOR UPDATE")
        scribe.settle(scribe.allow(lease))
        wait_for(lambda: settled(lease) == C)
