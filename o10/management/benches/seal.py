"""How fast is an entry sealed, against the bare COPY of the same rows?

Both sides write the same number of rows with two producers, entries and keys, a thousand in
each durable transaction. One side has a sealer beside it and ends when the last entry has its
position: chain, tree, tiles and rollups written and committed.
"""

import time
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
from django.conf import settings

from ledger import facade as ledger
from o10.kernel import clock
from o10.management.benches.crew import connect, run_together
from o10.management.benches.result import Bench, interleave, ratio

ROWS = 200_000
BATCH = 1_000
PRODUCERS = 2
REST_S = 0.05
GIVE_UP_S = 60.0


def run(*, rounds: int, rows: int = ROWS) -> Bench:
    """What is sealed entries/s over COPY rows/s in the same run? Goal: >= 0.50."""
    company = ledger.create_ledger(
        origin="bench.o10.example", currency="USD", time_zone="Europe/Berlin", now=clock.now()
    )
    numbers = _Numbers()
    facts: dict[str, str | int | float] = {
        "rows_per_round": rows,
        "producers": PRODUCERS,
        "rows_per_transaction": BATCH,
    }

    def sealed() -> float:
        _drain(company)
        crew = [("default", partial(_produce, each)) for each in numbers.streams(rows)]
        seconds, _ = run_together([*crew, ("sealer", partial(_seal, company, rows))])
        return rows / seconds

    def copied() -> float:
        crew = [("default", partial(_produce, each)) for each in numbers.streams(rows)]
        seconds, _ = run_together(crew)
        return rows / seconds

    with_sealer, bare = interleave(rounds=rounds, a=sealed, b=copied)
    _drain(company)
    facts["sealed_in_all"] = ledger.seal_state(now=clock.now()).seq
    return Bench(
        name="seal",
        ratios=(
            ratio(
                name="sealed and rolled-up entries/s over binary COPY of the same rows",
                goal=">= 0.50",
                a=("written and sealed", with_sealer),
                b=("binary COPY alone", bare),
                unit="entries/s",
            ),
        ),
        facts=facts,
    )


class _Numbers:
    """Numbers no other round has: uids and entry ids come from them."""

    def __init__(self) -> None:
        self.next = 1_000_000
        self.at: datetime = clock.now()

    def streams(self, rows: int) -> list[Sequence[ledger.Streams]]:
        """What does each producer write? Made before the clock starts."""
        made = []
        share = rows // PRODUCERS
        for _ in range(PRODUCERS):
            made.append(
                ledger.copy_streams(
                    first=self.next, count=share, batch=BATCH, ledger_id=1, at=self.at
                )
            )
            self.next += share
        return made


def _produce(streams: Sequence[ledger.Streams], connection: "psycopg.Connection[Any]") -> None:
    for each in streams:
        with connection.transaction(), connection.cursor() as cursor:
            for statement, content in (
                (ledger.IDEM_COPY, each.keys),
                (ledger.ENTRY_COPY, each.entries),
            ):
                with cursor.copy(statement) as copy:
                    copy.write(content)


def _seal(company: ledger.LedgerRow, rows: int, connection: "psycopg.Connection[Any]") -> None:
    """The loop of `ledger_seal`, until so many more are sealed."""
    sealer = _open(company, connection)
    target, deadline = sealer.seq + rows, time.monotonic() + GIVE_UP_S
    while sealer.seq < target:
        if time.monotonic() > deadline:
            raise TimeoutError(f"sealed {sealer.seq} of {target}: did a producer fail?")
        if not ledger.seal_once(sealer, now=clock.now()).full:
            time.sleep(REST_S)


def _drain(company: ledger.LedgerRow) -> None:
    with connect("sealer") as connection:
        sealer = _open(company, connection)
        while ledger.seal_once(sealer, now=clock.now()).count:
            pass


def _open(company: ledger.LedgerRow, connection: "psycopg.Connection[Any]") -> ledger.Sealer:
    key = ledger.load_signing_key(path=Path(settings.O10_SIGNING_KEY_FILE), name=company.origin)
    return ledger.open_sealer(connection, ledger=company, keys=(key.verifier,), now=clock.now())
