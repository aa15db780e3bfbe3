"""Does the sealer's loop live through what happens to processes and databases?"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ledger import facade
from ledger.operations.run_sealer import run_sealer
from o10.kernel import clock
from tests.home import GIVEN_URL

from .rows import NOW, connect, write_entries
from .test_seal import check_all
from .test_verify import attack, entry_at

ROOT = Path(__file__).resolve().parents[3]
PATIENCE_S = 20.0


def wait_for(what: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not what():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.05)


def sealed() -> int:
    return facade.seal_state(now=NOW).seq


@pytest.fixture
def running(ledger: Any, key_file: Path) -> Iterator[threading.Event]:
    """The loop in a thread of its own, against the committed ledger."""
    stop = threading.Event()
    thread = threading.Thread(
        target=run_sealer,
        kwargs={
            "connect": lambda: connect(ledger.urls.sealer_url),
            "key_file": key_file,
            "clock": clock.now,
            "stop": stop,
        },
    )
    thread.start()
    yield stop
    stop.set()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()


def test_the_loop_seals_signs_and_verifies_what_is_written(
    ledger: Any, running: threading.Event
) -> None:
    write_entries(20)
    wait_for(lambda: sealed() >= 20)
    wait_for(lambda: facade.latest_checkpoint() is not None)
    badge = facade.seal_badge(now=clock.now())
    wait_for(lambda: facade.seal_badge(now=clock.now()).state is facade.SealVerdict.VERIFIED)
    assert badge.finding is None


def test_the_loop_connects_again_when_the_database_throws_it_out(
    ledger: Any, running: threading.Event
) -> None:
    write_entries(5)
    wait_for(lambda: sealed() >= 5)
    with connect(ledger.urls.superuser_url) as superuser:
        superuser.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE usename = current_database() || '_sealer'"
        )
    write_entries(5)
    wait_for(lambda: sealed() >= 10)


@pytest.mark.parametrize(
    ("statement", "code", "seq"),
    [
        (
            f"UPDATE ledger_entry SET amount_nanos = amount_nanos + 1 WHERE {entry_at(7)}",
            "entry_changed",
            7,
        ),
        (f"DELETE FROM ledger_entry WHERE {entry_at(9)}", "entry_missing", 9),
        ("UPDATE ledger_seal SET chain = sha256('x') WHERE seq = 4", "chain_broken", 4),
        ("UPDATE rollup_day SET amount_nanos = amount_nanos + 1", "rollup_drift", None),
    ],
)
def test_the_side_bar_turns_red_within_seconds(
    ledger: Any, running: threading.Event, statement: str, code: str, seq: int | None
) -> None:
    write_entries(30)
    wait_for(lambda: sealed() >= 30)
    wait_for(lambda: facade.seal_badge(now=clock.now()).state is facade.SealVerdict.VERIFIED)
    attack(ledger.urls, statement)
    wait_for(lambda: facade.seal_badge(now=clock.now()).state is facade.SealVerdict.BROKEN)
    finding = facade.seal_badge(now=clock.now()).finding
    assert finding is not None
    assert finding["code"] == code
    assert seq is None or finding["seq"] == seq


@pytest.mark.skipif(bool(GIVEN_URL), reason="the command reads the embedded server")
def test_the_command_survives_kill_nine_again_and_again(ledger: Any) -> None:
    for _ in range(4):
        sealer = subprocess.Popen(
            [sys.executable, "manage.py", "ledger_seal"],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            target = sealed() + 50
            end = time.monotonic() + PATIENCE_S
            while sealed() < target and time.monotonic() < end:
                write_entries(40)
            assert sealed() >= target
            os.kill(sealer.pid, signal.SIGKILL)
        finally:
            sealer.kill()
            sealer.wait(PATIENCE_S)
    last = subprocess.Popen(
        [sys.executable, "manage.py", "ledger_seal"],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(lambda: facade.seal_state(now=NOW).waiting == 0)
        # The hourly reference follows the checkpoint and is sealed too.
        time.sleep(1.5)
        wait_for(lambda: facade.seal_state(now=NOW).waiting == 0)
    finally:
        last.send_signal(signal.SIGTERM)
        assert last.wait(PATIENCE_S) == 0
    check_all(ledger.urls)
