"""Is a call that went out undecided booked afterwards, marked, with its outage?"""

import socket
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ledger.core.entry import Basis, Flag
from o10.client import Client, FailOpen, LocalPrice
from o10.client.exchange import Patience
from o10.wire.reasons import Reason
from tests.client.conftest import MODEL, wait_for

ASKED = {
    "use_case": "support-assistant",
    "model": MODEL,
    "input_tokens": 1_000,
    "max_output_tokens": 500,
}
OPEN = FailOpen(
    prices={MODEL: LocalPrice(input_per_million="2.50", output_per_million="10.00")}
)
HASTY = Patience(total_s=0.3, connect_s=0.1, attempts=1)


class Gate:
    """Lets the plane be reached, or not: a proxy of sockets would do no more."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.ports = (client._transport._address.port, _closed_port())

    def shut(self) -> None:
        self.client._address.port = self.ports[1]
        self.client._transport.close()
        self.client._background.close()

    def open(self) -> None:
        self.client._address.port = self.ports[0]


def _closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def client(plane: str, secret: str, tmp_path: Path) -> Any:
    with Client(
        base_url=plane,
        key=secret,
        state_dir=tmp_path,
        fail_mode={"support-assistant": OPEN},
        patience=HASTY,
    ) as made:
        yield made


def entries(urls: Any) -> list[tuple[int, int, int]]:
    with psycopg.connect(urls.superuser_url) as connection:
        found = connection.execute(
            "SELECT amount_nanos, flags, tok_out FROM ledger_entry"
            " WHERE flags & %s <> 0 ORDER BY id",
            [int(Flag.FAIL_OPEN)],
        )
        return list(found.fetchall())


def test_calls_of_an_outage_are_booked_with_its_mark(
    client: Client, database_urls: Any
) -> None:
    gate = Gate(client)
    gate.shut()
    decision = client.authorize(**ASKED)
    assert [each.code for each in decision.reasons] == [Reason.FAIL_OPEN]
    with client.call(**ASKED) as call:
        call.used({"usage": {"prompt_tokens": 900, "completion_tokens": 70}})
    assert entries(database_urls) == []
    gate.open()
    wait_for(lambda: client.authorize(**ASKED).reasons[0].code is Reason.OK_WITHIN_ENVELOPE)
    # One of the two calls still runs: its usage comes after the outage.
    client.settle(reservation=decision.reservation.id)
    assert client.outbox.flush(timeout_s=10) == 0
    booked = entries(database_urls)
    assert [(flags & 0b111, out) for _, flags, out in booked] == [
        (Basis.MEASURED, 70),
        (Basis.ESTIMATED, 500),
    ]
    assert all(amount > 0 for amount, _, _ in booked)
    with psycopg.connect(database_urls.superuser_url) as connection:
        documents = connection.execute(
            "SELECT 1 FROM ledger_document WHERE convert_from(body, 'UTF8') LIKE '%fail_open%'"
        ).fetchall()
    assert documents
