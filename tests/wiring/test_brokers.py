"""Does the real worker do the scheduled jobs over each broker?"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import psycopg
import pytest

from tests.architecture.source import ROOT
from tests.conftest import Urls
from tests.home import HOME
from tests.operations.policies import company
from tests.wiring.test_databases import listens

BROKERS = {
    "files": ("", 0, ""),
    "rabbitmq": (
        "amqp://guest:guest@127.0.0.1:5672//",
        5672,
        "apt-get install rabbitmq-server",
    ),
    "redis": ("redis://127.0.0.1:6379/9", 6379, "apt-get install redis-server"),
}
PATIENCE = 40.0


@pytest.fixture(params=sorted(BROKERS))
def worker(
    request: pytest.FixtureRequest, committed_db: Urls
) -> Iterator["subprocess.Popen[bytes]"]:
    """A real worker with its beat, on the tests' database."""
    url, port, install = BROKERS[request.param]
    if port and not listens(port):
        pytest.skip(f"needs {request.param} on 127.0.0.1:{port}: {install}")
    company.make_books()
    company.make_tree()
    company.ask(request_id="forgotten")
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "celery", "--app", "o10.celery:app", "--quiet"),
            *("worker", "--beat", "--pool", "solo", "--loglevel", "error", "--without-mingle"),
            *("--schedule", str(HOME / f"beat-{request.param}")),
        ],
        cwd=ROOT,
        env=os.environ
        | {
            "O10_BROKER_URL": url,
            "O10_HOME": str(HOME),
            "DJANGO_SETTINGS_MODULE": "o10.settings",
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_the_worker_expires_a_forgotten_hold_by_itself(
    worker: "subprocess.Popen[bytes]", committed_db: Urls
) -> None:
    deadline = time.monotonic() + PATIENCE
    with psycopg.connect(committed_db.app_url, autocommit=True) as connection:
        while time.monotonic() < deadline:
            assert worker.poll() is None
            row = connection.execute("SELECT state FROM reservation").fetchone()
            assert row is not None
            if row[0] == "expired":
                return
            time.sleep(0.2)
    raise AssertionError("no job was done over this broker")
