"""Which ledger do these tests seal? A committed one, with a key of its own."""

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ledger.operations.keep_signing_key import load_signing_key
from ledger.operations.open_sealer import open_sealer
from ledger.operations.seal import Sealer, seal_once
from ledger.operations.sign import read_signed, sign_if_due

from .rows import NOW, ORIGIN, connect, make_ledger


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    return tmp_path / "keys" / "ledger_ed25519.pem"


@pytest.fixture
def ledger(committed_db: Any) -> Any:
    """A committed, empty ledger; `.urls` of the roles, `.row` of the ledger."""
    made = make_ledger()
    return _Ledger(urls=committed_db, row=made)


class _Ledger:
    def __init__(self, *, urls: Any, row: Any) -> None:
        self.urls, self.row = urls, row


@pytest.fixture
def opened(ledger: Any, key_file: Path) -> Iterator[Callable[[], Sealer]]:
    """Opens sealers on connections of their own."""
    connections: list[psycopg.Connection[Any]] = []

    def make(connection: psycopg.Connection[Any] | None = None) -> Sealer:
        connection = connection or connect(ledger.urls.sealer_url)
        connections.append(connection)
        key = load_signing_key(path=key_file, name=ORIGIN)
        return open_sealer(connection, ledger=ledger.row, keys=(key.verifier,), now=NOW)

    yield make
    for connection in connections:
        connection.close()


@pytest.fixture
def seal_all(opened: Callable[[], Sealer], key_file: Path) -> Callable[..., int]:
    """Seals all that is waiting, signs the result and lets go of the lock."""

    def run(now: datetime = NOW) -> int:
        sealer = opened()
        while seal_once(sealer, now=now).count:
            pass
        key = load_signing_key(path=key_file, name=ORIGIN)
        sign_if_due(sealer, read_signed(sealer), key=key, now=now)
        while seal_once(sealer, now=now).count:
            pass
        sealer.connection.close()
        return sealer.seq

    return run
