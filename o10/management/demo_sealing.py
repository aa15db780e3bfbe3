"""How does the demo's history get its positions before anybody reports on it?

The sealer is a process of its own and does not run yet when the company is made. Where one runs
already, it is waited for. A month is closed on positions that are signed and verified.
"""

import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from django.conf import settings
from django.db import connections

from ledger import facade as ledger
from o10.kernel import clock
from o10.kernel.errors import Unavailable

PATIENCE_S = 900.0
TICK = timedelta(microseconds=1)


def seal_history(*, now: datetime, sign: bool = False) -> int:
    """Up to which position is the history sealed, and where asked for signed?"""
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
        if sign:
            ledger.sign_now(sealer, key=key, now=clock.now())
        return sealer.seq


def verify_history() -> int:
    """Up to which position was the history verified? The first time, as an auditor would."""
    company = ledger.ledger_of_company()
    keys = ledger.load_verifier_keys(
        path=Path(settings.O10_SIGNING_KEY_FILE), name=company.origin
    )
    started = clock.now()
    audit = ledger.verify_ledger(mode=ledger.VerifierMode.FULL, keys=keys)
    ledger.record_verification(
        ledger_id=company.id,
        mode=audit.mode,
        from_seq=0,
        upto_seq=audit.size,
        finding=audit.findings[0] if audit.findings else None,
        started_at=started,
        finished_at=max(clock.now(), started + TICK),
    )
    return audit.size


def _wait() -> int:
    """A sealer at work signs within a second of what it seals."""
    deadline = time.monotonic() + PATIENCE_S
    state = ledger.seal_state(now=clock.now())
    unsigned = state.waiting or state.checkpoint_size < state.seq
    while unsigned and time.monotonic() < deadline:
        time.sleep(0.1)
        state = ledger.seal_state(now=clock.now())
        unsigned = state.waiting or state.checkpoint_size < state.seq
    return state.seq


def _connect() -> "psycopg.Connection[Any]":
    wanted = connections["sealer"].get_connection_params()
    for name in ("cursor_factory", "context", "autocommit", "prepare_threshold"):
        wanted.pop(name, None)
    return psycopg.connect(**wanted, autocommit=True, application_name="o10 demo")
