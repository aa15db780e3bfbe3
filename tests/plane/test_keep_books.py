"""Does the command keep the books of its host, whoever is killed meanwhile?"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from policies import facade as policies
from policies.models import DecisionLog, Lease, LeaseHolder, Reservation
from policies.queries.this_host import host_of, plane_folder
from tests.home import GIVEN_URL, HOME
from tests.machines.replay import findings_of_entries
from tests.operations.policies.company import DOLLAR, make_books, make_tree
from tests.operations.policies.scribe import Scribe

pytestmark = pytest.mark.skipif(bool(GIVEN_URL), reason="the command reads the embedded server")
ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 40.0
X, C = 15_000_000, 7_650_000


def wait_for(what: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.05)


@pytest.fixture
def host(committed_db: Any) -> Iterator[str]:
    """The host that the command reads: the home of these tests, with no journal in it."""
    folder = plane_folder(HOME)
    _clear(folder)
    make_books()
    make_tree(company=10**6 * DOLLAR, department=10**6 * DOLLAR, use_case=10**6 * DOLLAR)
    yield host_of(HOME)
    _clear(folder)


def _clear(folder: Path) -> None:
    for path in folder.glob("journal-*.bin"):
        path.unlink()


@pytest.fixture
def start() -> Iterator[Callable[[], "subprocess.Popen[bytes]"]]:
    running: list[subprocess.Popen[bytes]] = []

    def command() -> "subprocess.Popen[bytes]":
        running.append(
            subprocess.Popen(
                [sys.executable, "manage.py", "keep_books"],
                cwd=ROOT,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )
        return running[-1]

    yield command
    for each in running:
        each.kill()
        each.wait(PATIENCE_S)


def settled() -> int:
    return Reservation.objects.filter(state="settled").count()


def test_it_books_what_is_written_and_ends_when_told(host, start):
    scribe = Scribe(plane_folder(HOME), host=host)
    lease = scribe.borrow(10 * X)
    for _ in range(5):
        scribe.settle(scribe.allow(lease))
    books = start()
    wait_for(lambda: settled() == 5)
    assert os.getpriority(os.PRIO_PROCESS, books.pid) == 10
    books.send_signal(signal.SIGTERM)
    assert books.wait(PATIENCE_S) == 0
    scribe.die()


def test_killed_again_and_again_it_books_every_call_once(host, start):
    scribe = Scribe(plane_folder(HOME), host=host)
    lease = scribe.borrow(2_000 * X)
    paid = 0
    for number in range(3):
        books = start()
        before = settled()
        while settled() < before + 30:
            scribe.settle(scribe.allow(lease, request_id=f"{number}-{paid}"))
            paid += 1
            time.sleep(0.02)
        os.kill(books.pid, signal.SIGKILL)
        books.wait(PATIENCE_S)
    start()
    wait_for(lambda: settled() == paid)
    assert DecisionLog.objects.count() == paid
    assert Lease.objects.get(id=lease).settled_nanos == paid * C
    assert findings_of_entries() == []
    assert policies.check_conservation() == []
    scribe.die()


def test_a_killed_worker_leaves_no_money_behind(host, start):
    """It dies in the middle of whatever it does; what it answered stays, the rest is back."""
    start()
    for _ in range(2):
        worker = get_context("fork").Process(target=_work, args=(host,))
        worker.start()
        before = Reservation.objects.count()
        wait_for(lambda before=before: Reservation.objects.count() > before + 20)
        os.kill(worker.pid or 0, signal.SIGKILL)
        worker.join(PATIENCE_S)
    wait_for(lambda: not LeaseHolder.objects.filter(ended_at=None).exists())
    open_calls = Reservation.objects.filter(state="open")
    held = sum(open_calls.values_list("open_nanos", flat=True))
    lent = sum(
        each.granted_nanos - each.returned_nanos - each.settled_nanos
        for each in Lease.objects.all()
    )
    assert lent == held
    assert not Lease.objects.filter(state="open").exists()
    assert LeaseHolder.objects.filter(put_aside=0).count() == 2
    assert findings_of_entries() == []
    assert policies.check_conservation() == []


def _work(host: str) -> None:
    for alias in connections:
        connections[alias].connection = None
    scribe = Scribe(plane_folder(HOME), host=host)
    while True:
        lease = scribe.borrow(20 * X)
        for number in range(18):
            sequence = scribe.allow(lease)
            if number % 3:
                scribe.settle(sequence)
        scribe.give_back(lease)
