"""How fast is the ledger verified, against reading the same rows and doing nothing with them?

Both sides stream image, leaf and link of every sealed entry over binary COPY. One hashes each
image, compares it with the leaf and follows the chain; the full one also recomputes the tree.
"""

from collections.abc import Callable
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
BATCH = 10_000

Read = Callable[..., Any]


def run(*, rounds: int, rows: int = ROWS) -> Bench:
    """What is verified over drained entries/s? Goals: >= 0.55 with two, >= 0.70 with one."""
    origin = "bench.o10.example"
    company = ledger.create_ledger(
        origin=origin, currency="USD", time_zone="Europe/Berlin", now=clock.now()
    )
    _fill(company, rows)
    check = partial(ledger.check_range, ledger_id=1, origin=origin)
    full = partial(ledger.check_tree, ledger_id=1, origin=origin)
    drain = partial(ledger.drain_range, ledger_id=1)
    two = interleave(
        rounds=rounds,
        a=partial(_rate, check, rows, 2),
        b=partial(_rate, drain, rows, 2),
    )
    one = interleave(
        rounds=rounds,
        a=partial(_rate, full, rows, 1),
        b=partial(_rate, drain, rows, 1),
    )
    return Bench(
        name="verify",
        ratios=(
            ratio(
                name="leaf and chain checked over drained, two processes",
                goal=">= 0.55",
                a=("verified", two[0]),
                b=("drained", two[1]),
                unit="entries/s",
            ),
            ratio(
                name="leaf, chain and root over drained, one process",
                goal=">= 0.70",
                a=("verified", one[0]),
                b=("drained", one[1]),
                unit="entries/s",
            ),
        ),
        facts={"entries": rows},
    )


def _rate(read: Read, rows: int, processes: int) -> float:
    edges = [rows * place // processes for place in range(processes + 1)]
    crew = [
        ("default", partial(_read, read, after, upto))
        for after, upto in zip(edges, edges[1:], strict=False)
    ]
    seconds, said = run_together(crew)
    broken = [each for each in said if getattr(each, "finding", None)]
    if broken:
        raise ValueError(f"the bench ledger does not verify: {broken[0].finding}")
    return rows / seconds


def _read(read: Read, after: int, upto: int, connection: "psycopg.Connection[Any]") -> Any:
    with connection.cursor() as cursor:
        ledger.plan_walks(cursor, scope="SESSION")
        return read(cursor, after=after, upto=upto)


def _fill(company: ledger.LedgerRow, rows: int) -> None:
    streams = ledger.copy_streams(
        first=1_000_000, count=rows, batch=BATCH, ledger_id=1, at=clock.now()
    )
    with connect("default") as writer:
        for each in streams:
            with writer.transaction(), writer.cursor() as cursor:
                for statement, content in (
                    (ledger.IDEM_COPY, each.keys),
                    (ledger.ENTRY_COPY, each.entries),
                ):
                    with cursor.copy(statement) as copy:
                        copy.write(content)
    key = ledger.load_signing_key(path=Path(settings.O10_SIGNING_KEY_FILE), name=company.origin)
    with connect("sealer") as connection:
        sealer = ledger.open_sealer(
            connection, ledger=company, keys=(key.verifier,), now=clock.now()
        )
        while ledger.seal_once(sealer, now=clock.now()).count:
            pass
    with connect("owner") as owner:
        owner.execute("ANALYZE")
