"""What happens around a batch? Connect, take over, seal, sign, rest; again after any failure.

The loop rests 50 ms when nothing is waiting and not at all while batches are full. A database
that goes away, a lost fence or another sealer end the session, never the process: it connects
anew and checks anew. Tampering ends the process: somebody must look before more is built on it.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, Protocol

import psycopg
import structlog

from ledger.operations.keep_signing_key import load_signing_key
from ledger.operations.open_sealer import SealerElsewhere, open_sealer
from ledger.operations.seal import FenceLost, Sealer, seal_once
from ledger.operations.sign import read_signed, sign_if_due
from ledger.operations.spot_strays import warn_of_strays
from ledger.operations.tail import open_tail, verify_tail
from ledger.queries.ledgers import COMPANY_LEDGER, LedgerRow

REST_S: Final = 0.05
RETRY_S: Final = 1.0
MONTHS_EVERY: Final = timedelta(hours=1)
MONTHS_AHEAD: Final = 3
_log = structlog.get_logger("ledger.seal")

Connect = Callable[[], "psycopg.Connection[Any]"]
"""Opens a connection of the sealer's role in autocommit mode."""


class Stop(Protocol):
    """When does the loop end? The part of threading.Event that it uses."""

    def is_set(self) -> bool:
        """Shall it end?"""
        ...

    def wait(self, timeout: float) -> bool:
        """Rests, at most this many seconds; true when it shall end."""
        ...


def run_sealer(
    *,
    connect: Connect,
    key_file: Path,
    clock: Callable[[], datetime],
    stop: Stop,
    ledger_id: int = COMPANY_LEDGER,
) -> None:
    """How is everything sealed that is ever written? Returns when `stop` is set.

    Raises: Corrupt (`seal_broken`, `tile_missing`, `signature_invalid`) for what was tampered
    with; ClusterChanged (`cluster_changed`).
    """
    while not stop.is_set():
        try:
            with connect() as connection:
                _session(
                    connection, ledger_id=ledger_id, key_file=key_file, clock=clock, stop=stop
                )
        except SealerElsewhere:
            stop.wait(RETRY_S)
        except FenceLost as lost:
            _log.warning("another sealer took over", fence=lost.fields["fence"])
            stop.wait(RETRY_S)
        except psycopg.Error as error:
            _log.warning("the database went away", error=str(error).strip())
            stop.wait(RETRY_S)


def _session(
    connection: "psycopg.Connection[Any]",
    *,
    ledger_id: int,
    key_file: Path,
    clock: Callable[[], datetime],
    stop: Stop,
) -> None:
    ledger = _read_ledger(connection, ledger_id)
    if ledger is None:
        stop.wait(RETRY_S)
        return
    key = load_signing_key(path=key_file, name=ledger.origin)
    sealer = open_sealer(connection, ledger=ledger, keys=(key.verifier,), now=clock())
    signed = read_signed(sealer)
    tail = open_tail(ledger=ledger, now=clock())
    months_at = clock() - MONTHS_EVERY
    _log.info("sealing", origin=ledger.origin, seq=sealer.seq, fence=sealer.fence)
    while not stop.is_set():
        now = clock()
        if now - months_at >= MONTHS_EVERY:
            _create_months(sealer)
            months_at = now
        sealed = seal_once(sealer, now=now)
        warn_of_strays(count=sealed.strays, first=sealed.first_strays, now=now)
        signed = sign_if_due(sealer, signed, key=key, now=now)
        if not sealed.full:
            tail = verify_tail(connection, tail, upto=sealer.seq, now=now)
            stop.wait(REST_S)


def _create_months(sealer: Sealer) -> None:
    # Ahead of time, so that no writer meets a month without a partition.
    sealer.connection.execute(
        "SELECT ledger_create_month(now() + n * interval '1 month')"
        " FROM generate_series(0, %s) n",
        [MONTHS_AHEAD],
    )


def _read_ledger(connection: "psycopg.Connection[Any]", ledger_id: int) -> LedgerRow | None:
    row = connection.execute(
        "SELECT id, origin, currency, time_zone, rollup_minutes, created_at, closed_at"
        " FROM ledger_ledger WHERE id = %s",
        [ledger_id],
    ).fetchone()
    return LedgerRow(*row) if row else None
