"""Do two workers on RabbitMQ tell each alert once, also when one is killed while it sends?"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime

import psycopg
import pytest
from standardwebhooks import Webhook

from policies import facade as policies
from policies.models import Organisation
from tests.architecture.source import ROOT
from tests.conftest import Urls
from tests.home import HOME
from tests.operations.policies import company
from tests.receiver import Receiver, receiver
from tests.wiring.test_databases import listens

pytestmark = pytest.mark.broker

BROKER = "amqp://guest:guest@127.0.0.1:5672//"
ALERTS = 12
PATIENCE = 60.0
KIND = "criterion_tripped"


def start(number: int) -> "subprocess.Popen[bytes]":
    """A real worker with a beat of its own, on the tests' database."""
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "celery", "--app", "o10.celery:app", "--quiet"),
            *("worker", "--beat", "--pool", "solo", "--loglevel", "error"),
            *("--without-mingle", "--hostname", f"alerts{number}@%h"),
            *("--schedule", str(HOME / f"beat-alerts-{number}")),
        ],
        cwd=ROOT,
        env=os.environ
        | {
            "O10_BROKER_URL": BROKER,
            "O10_HOME": str(HOME),
            "DJANGO_SETTINGS_MODULE": "o10.settings",
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


@pytest.fixture
def workers(committed_db: Urls) -> Iterator[list["subprocess.Popen[bytes]"]]:
    if not listens(5672):
        pytest.skip("needs rabbitmq on 127.0.0.1:5672: apt-get install rabbitmq-server")
    company.make_books()
    Organisation.objects.create(
        slug="acme", name="Acme", demo=True, created_at=company.NOW, created_by="system"
    )
    started = [start(1), start(2)]
    try:
        yield started
    finally:
        for each in started:
            if each.poll() is None:
                os.killpg(each.pid, signal.SIGKILL)
            each.wait()


def told(log: Receiver) -> list[tuple[str, bytes]]:
    """Message id and body of what came of our alerts; the workers find some of their own."""
    return [
        (each.headers["webhook-id"], each.body)
        for each in list(log.got)
        if json.loads(each.body)["data"]["kind"] == KIND
    ]


def until(done, what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def test_each_alert_is_told_once_though_a_worker_is_killed_while_it_sends(
    workers: list["subprocess.Popen[bytes]"], committed_db: Urls
) -> None:
    hold = threading.Event()
    with (
        receiver() as log,
        psycopg.connect(committed_db.superuser_url, autocommit=True) as connection,
    ):
        log.wait = lambda: hold.wait(PATIENCE)
        now = datetime.now(UTC)
        made = policies.create_channel(
            draft=policies.ChannelDraft(name="Pager", kind="webhook", target=log.url),
            actor=company.FINANCE,
            now=now,
        )
        for number in range(ALERTS):
            policies.raise_alert(
                kind=KIND,
                subject=f"kill_{number}",
                window="2026-11",
                title="A criterion tripped.",
                detail="",
                severity="critical",
                now=now,
            )
        # Both hold a message in their hands now: sent, and not answered.
        until(lambda: len(log.got) >= 2, "two workers send at once")
        held = set(told(log))
        os.killpg(workers[0].pid, signal.SIGKILL)
        workers[0].wait()
        log.wait = lambda: None
        hold.set()
        until(lambda: len(set(told(log))) == ALERTS, "the other worker tells the rest")
        # The claim of the dead one runs out: a minute goes by in the table.
        connection.execute(
            "UPDATE policies_alert_delivery SET claim_ends_at = now() - interval '1 s'"
            " WHERE state = 'claimed'"
        )
        until(lambda: waiting(connection) == 0, "everything is noted as sent")
        counts = Counter(told(log))
        assert len(counts) == ALERTS
        assert len({message for message, _ in counts}) == ALERTS
        again = {key for key, times in counts.items() if times > 1}
        assert len(again) <= 1 and again <= held
        assert max(counts.values()) <= 2
        for each in log.got:
            Webhook(made.secret).verify(each.body, each.headers)


def waiting(connection: "psycopg.Connection[tuple[int]]") -> int:
    row = connection.execute(
        "SELECT count(*) FROM policies_alert_delivery d JOIN policies_alert a"
        " ON a.id = d.alert_id WHERE a.kind = %s AND d.state <> 'sent'",
        [KIND],
    ).fetchone()
    return row[0] if row else -1
