"""What does the sealer cost a durable settle? The same inserts with it and without it.

Sixteen clients commit one settle each time: its key, its entry, one fsync. Both sides run the
same seconds; one has the sealer's loop beside it, which ends with nothing left unsealed.
"""

import statistics
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
from django.conf import settings

from ledger import facade as ledger
from o10.kernel import clock
from o10.management.benches.crew import connect, run_together
from o10.management.benches.result import Bench, Ratio, interleave, ratio

PROCESSES = 4
THREADS = 4
SECONDS = 6.0


def run(*, rounds: int, seconds: float = SECONDS) -> Bench:
    """What are settles/s with the sealer over settles/s without? Goal: >= 0.90, p99 <= 1.5."""
    company = ledger.create_ledger(
        origin="bench.o10.example", currency="USD", time_zone="Europe/Berlin", now=clock.now()
    )
    first = _Counter()
    waits: dict[str, list[float]] = {"with": [], "without": []}

    def clients() -> list[tuple[str, Any]]:
        return [
            ("default", partial(_commit_settles, first.take(), seconds))
            for _ in range(PROCESSES)
        ]

    def with_sealer() -> float:
        crew = [*clients(), ("sealer", partial(_seal_for, company, seconds))]
        _, said = run_together(crew)
        return _rate(said[:PROCESSES], waits["with"], seconds)

    def without() -> float:
        _, said = run_together(clients())
        return _rate(said, waits["without"], seconds)

    sealed, bare = interleave(rounds=rounds, a=with_sealer, b=without)
    # The first round of each side was the warm-up.
    late = [waits["with"][1:], waits["without"][1:]]
    return Bench(
        name="settle",
        ratios=(
            ratio(
                name="durable settles/s with the sealer over the same inserts without it",
                goal=">= 0.90",
                a=("with sealer", sealed),
                b=("without", bare),
                unit="settles/s",
            ),
            _p99(late[0], late[1]),
        ),
        facts={
            "clients": PROCESSES * THREADS,
            "seconds_per_round": seconds,
            "sealed_in_all": ledger.seal_state(now=clock.now()).seq,
        },
    )


def _p99(sealed: list[float], bare: list[float]) -> Ratio:
    return ratio(
        name="p99 of one durable settle with the sealer over without it",
        goal="<= 1.5",
        a=("with sealer", sealed),
        b=("without", bare),
        unit="ms",
    )


class _Counter:
    """Numbers no other client has: uids come from them."""

    def __init__(self) -> None:
        self.next = 1_000_000

    def take(self) -> int:
        """Ten million numbers of one's own."""
        self.next += 10_000_000
        return self.next


def _commit_settles(
    first: int, seconds: float, connection: "psycopg.Connection[Any]"
) -> list[float]:
    """How long did each settle of this process take, in ms?"""
    connection.close()
    waits: list[list[float]] = [[] for _ in range(THREADS)]
    threads = [
        threading.Thread(
            target=_client, args=(first + place * 1_000_000, seconds, waits[place])
        )
        for place in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [wait for own in waits for wait in own]


def _client(first: int, seconds: float, waits: list[float]) -> None:
    with connect("default") as connection:
        end = time.monotonic() + seconds
        number = first
        while (start := time.monotonic()) < end:
            draft = ledger.synthetic_entry(number=number, ledger_id=1, at=clock.now())
            with connection.transaction(), connection.cursor() as cursor:
                ledger.append_rows(cursor, [draft], claimed={})
            waits.append((time.monotonic() - start) * 1_000)
            number += 1


def _rate(said: list[list[float]], p99s: list[float], seconds: float) -> float:
    waits = [wait for own in said for wait in own]
    p99s.append(statistics.quantiles(waits, n=100)[98])
    return len(waits) / seconds


def _seal_for(
    company: ledger.LedgerRow, seconds: float, connection: "psycopg.Connection[Any]"
) -> int:
    """The loop of `ledger_seal` for this long, then until nothing waits."""
    key = ledger.load_signing_key(path=Path(settings.O10_SIGNING_KEY_FILE), name=company.origin)
    sealer = ledger.open_sealer(
        connection, ledger=company, keys=(key.verifier,), now=clock.now()
    )
    end = time.monotonic() + seconds
    while True:
        sealed = ledger.seal_once(sealer, now=clock.now())
        if not sealed.full:
            if time.monotonic() > end and not sealed.count:
                return sealer.seq
            time.sleep(0.05)
