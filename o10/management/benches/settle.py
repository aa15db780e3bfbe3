"""What does a durable settle cost: with many at once, alone, in SQL, and beside the sealer?

The decision plane answers when a settle is on disk in its journal; the SQL form, the strict
door of the web port, when its transaction is. Both are asked by the same connections in turn.
Beside the sealer sixteen clients commit one settle each time: its key, its entry, one fsync.
Both sides run the same seconds; one has the sealer's loop beside it, which ends with nothing
left unsealed.
"""

import itertools
import os
import statistics
import threading
import time
from array import array
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
from django.conf import settings

from ledger import facade as ledger
from o10.kernel import clock
from o10.management.benches.authorize import HOT, WORKERS, the_call
from o10.management.benches.callers import settle_request
from o10.management.benches.crew import connect, run_together
from o10.management.benches.drive import Request, Script, drive, percentile
from o10.management.benches.load import (
    MakeScripts,
    Sample,
    asks,
    column,
    first_number,
    measure,
    middle,
    take_turns,
)
from o10.management.benches.result import Bench, Ratio, interleave, ratio
from o10.management.benches.scene import Scene, found_scene, open_use_case
from o10.management.benches.server import BOOKS, PLANE, WEB, Site, drain, even_sockets, site

PROCESSES = 4
THREADS = 4
SECONDS = 6.0
CONNECTIONS = 16
PLANE_SECONDS = 2.0
RESERVE_SECONDS = {PLANE: 2.5, WEB: 3.5}
"""A settle costs more than its authorize on the plane, and less in SQL."""
RECORD = bytes(900)
"""As long as the record of a settle in a journal."""
FLUSHES = 400
BILLED = (1_200, 310)
PAIRS, AUTHORIZE = "pairs", "authorize"

Samples = dict[str, list[Sample]]
Named = Callable[[bytes], bytes]
"""How a settle names its reservation: out of the answer to authorize."""


def run(*, rounds: int, seconds: float = SECONDS) -> Bench:
    """What does each form settle a second, at once and alone, and what does the sealer cost?"""
    scene = found_scene()
    open_use_case(scene, HOT)
    facts: dict[str, str | int | float] = {}
    with site(workers=WORKERS, names=(PLANE, BOOKS, WEB)) as running:
        plane = _on_the_plane(running, scene, rounds, facts)
    return Bench(
        name="settle",
        ratios=(*plane, *_beside_the_sealer(rounds, seconds, facts)),
        facts=facts,
    )


def _on_the_plane(
    running: Site, scene: Scene, rounds: int, facts: dict[str, str | int | float]
) -> list[Ratio]:
    settles = _Settles(running, scene)
    flushes: list[float] = []

    def alone() -> Sample:
        flushes.append(_flush_us())
        return settles.turn(PLANE, 1, _token)

    said = take_turns(
        {
            "at once": partial(settles.turn, PLANE, CONNECTIONS, _token),
            "at once by id": partial(settles.turn, PLANE, CONNECTIONS, _id),
            "at once in SQL": partial(settles.turn, WEB, CONNECTIONS, _token),
            "alone": alone,
            "alone in SQL": partial(settles.turn, WEB, 1, _token),
            AUTHORIZE: settles.authorize_alone,
            PAIRS: settles.pairs,
        },
        rounds=rounds,
    )
    # The first flush belonged to the warm-up.
    floor = [
        wait + flush
        for wait, flush in zip(column(said[AUTHORIZE], "p50_us"), flushes[1:], strict=True)
    ]
    facts["fdatasync of a record, p50 us"] = round(statistics.median(flushes[1:]), 1)
    facts["select 1 round trips/s of one connection"] = round(_round_trips())
    _tell(said, facts)
    return [
        ratio(
            name="D13 p50 of a settle over p50 of an authorize and one fdatasync, c=1",
            goal="<= 1.5",
            a=("durable settle", column(said["alone"], "p50_us")),
            b=("authorize + fdatasync", floor),
            unit="us",
        ),
        *(
            ratio(
                name=f"durable settles/s over SQL for each call, c={connections}",
                goal=">= 1.0",
                a=("decision plane", column(said[how], "rate")),
                b=("one transaction a call", column(said[f"{how} in SQL"], "rate")),
                unit="settles/s",
            )
            for how, connections in (("at once", CONNECTIONS), ("alone", 1))
        ),
    ]


def _tell(said: Samples, facts: dict[str, str | int | float]) -> None:
    for how, samples in said.items():
        facts[f"{how}: per second"] = middle(samples, "rate")
        facts[f"{how}: p50 us"] = middle(samples, "p50_us")
        facts[f"{how}: p99 us"] = middle(samples, "p99_us")
        facts[f"{how}: processor us"] = middle(samples, "cpu_us")
        facts[f"{how}: bookkeeper us"] = middle(samples, "books_us")
        facts[f"{how}: PostgreSQL us"] = middle(samples, "database_us")
    facts["at once: in the books per second"] = middle(said["at once"], "booked_rate")


class _Settles:
    """Reservations are made first, unmeasured; then they are settled."""

    def __init__(self, running: Site, scene: Scene) -> None:
        self.running, self.scene = running, scene
        self.request = the_call(scene, HOT)

    def turn(self, name: str, connections: int, named: Named) -> Sample:
        """How fast does this server settle what it has just let through?"""
        server = self.running[name]
        found: list[bytes] = []
        drive(
            port=server.port,
            sockets=even_sockets(server, connections),
            seconds=RESERVE_SECONDS[name],
            scripts=[_reserve(self.request, named, found) for _ in range(connections)],
        )
        drain()
        asked = iter([self._bytes(each) for each in found])
        make = self._each(asked, connections)
        return measure(self.running, server, make, seconds=PLANE_SECONDS)

    def authorize_alone(self) -> Sample:
        """How long does one authorize take when nobody else asks?"""
        make = asks(self.request, good=b'"decision":"allow"', connections=1)
        return measure(self.running, self.running[PLANE], make, seconds=1.0)

    def pairs(self) -> Sample:
        """How many authorizes with their settles? The wait is of both together."""

        def make(waits: "array[int]") -> list[Script]:
            return [self._pair(waits) for _ in range(CONNECTIONS)]

        return measure(self.running, self.running[PLANE], make, seconds=PLANE_SECONDS)

    def _pair(self, waits: "array[int]") -> Script:
        for number in itertools.count(first_number()):
            status, body, first = yield self.request.numbered(number)
            _check(status, body)
            status, body, second = yield self._bytes(_token(body))
            _check(status, body)
            waits.append(first + second)

    def _each(self, asked: Iterator[bytes], connections: int) -> MakeScripts:
        return lambda waits: [_send_each(asked, waits) for _ in range(connections)]

    def _bytes(self, reservation: bytes) -> bytes:
        return settle_request(self.scene.key, reservation.decode(), BILLED)


def _reserve(request: Request, named: Named, found: list[bytes]) -> Script:
    for number in itertools.count(first_number()):
        status, body, _ = yield request.numbered(number)
        _check(status, body)
        found.append(named(body))


def _send_each(asked: Iterator[bytes], waits: "array[int]") -> Script:
    for each in asked:
        status, body, nanos = yield each
        _check(status, body)
        waits.append(nanos)


def _token(body: bytes) -> bytes:
    return _between(body, b'"token":"')


def _id(body: bytes) -> bytes:
    return b"rsv_" + _between(body, b'"rsv_')


def _between(body: bytes, before: bytes) -> bytes:
    at = body.index(before) + len(before)
    return body[at : body.index(b'"', at)]


def _check(status: int, body: bytes) -> None:
    if status != 200:
        raise ValueError(f"answered {status}: {body[:300]!r}")


def _flush_us() -> float:
    """How long does one append take until it is on the disk of the journals? Median."""
    folder = Path(settings.O10_HOME) / "plane"
    folder.mkdir(exist_ok=True)
    path = folder / "flushed"
    waits = array("q")
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        for _ in range(FLUSHES):
            begun = time.perf_counter_ns()
            os.write(descriptor, RECORD)
            os.fdatasync(descriptor)
            waits.append(time.perf_counter_ns() - begun)
    finally:
        os.close(descriptor)
        path.unlink()
    return percentile(waits, 0.5)


def _round_trips() -> float:
    with connect("default") as connection:
        begun, count = time.monotonic(), 0
        while time.monotonic() - begun < 1.0:
            connection.execute("SELECT 1")
            count += 1
        return count / (time.monotonic() - begun)


def _beside_the_sealer(
    rounds: int, seconds: float, facts: dict[str, str | int | float]
) -> list[Ratio]:
    company = ledger.ledger_of_company()
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
    facts["clients beside the sealer"] = PROCESSES * THREADS
    facts["seconds_per_round"] = seconds
    facts["sealed_in_all"] = ledger.seal_state(now=clock.now()).seq
    # The first round of each side was the warm-up.
    return [
        ratio(
            name="durable settles/s with the sealer over the same inserts without it",
            goal=">= 0.90",
            a=("with sealer", sealed),
            b=("without", bare),
            unit="settles/s",
        ),
        _p99(waits["with"][1:], waits["without"][1:]),
    ]


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
