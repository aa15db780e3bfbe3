"""How does the demo's history get its positions before anybody reports on it?

The sealer is a process of its own and does not run yet when the company is made. Where one runs
already, it is waited for.
"""

import time
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
from django.conf import settings
from django.db import connections

from ledger import facade as ledger
from o10.kernel import clock
from o10.kernel.errors import Unavailable

PATIENCE_S = 900.0


def seal_history(*, now: datetime) -> int:
    """Up to which position is the history sealed?"""
    company = ledger.ledger_of_company()
    key = ledger.load_signing_key(path=Path(settings.O10_SIGNING_KEY_FILE), name=company.origin)
    with _connect() as connection:
        try:
            sealer = ledger.open_sealer(
                connection, ledger=company, keys=(key.verifier,), now=now
            )
        except Unavailable:
            return _wait()
        while ledger.seal_once(sealer, now=clock.now()).count:
            pass
        return sealer.seq


def _wait() -> int:
    deadline = time.monotonic() + PATIENCE_S
    state = ledger.seal_state(now=clock.now())
    while state.waiting and time.monotonic() < deadline:
        time.sleep(0.1)
        state = ledger.seal_state(now=clock.now())
    return state.seq


def _connect() -> "psycopg.Connection[Any]":
    wanted = connections["sealer"].get_connection_params()
    for name in ("cursor_factory", "context", "autocommit", "prepare_threshold"):
        wanted.pop(name, None)
    return psycopg.connect(**wanted, autocommit=True, application_name="o10 demo")
