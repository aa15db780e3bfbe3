"""Does a router decide by itself, from leases, and is all of it booked by o10?"""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
from django.conf import settings

from o10.client import Client, Lessee
from o10.client.local_till import LocalDecision
from o10.kernel import clock as kernel_clock
from o10.wire.decisions import Outcome, Settled
from policies import facade as policies
from tests.client.conftest import MODEL, wait_for

ASKED = {
    "use_case": "support-assistant",
    "model": MODEL,
    "input_tokens": 1_000,
    "max_output_tokens": 500,
}
USAGE = {"input_tokens": 1_000, "output_tokens": 100}


@pytest.fixture
def books(company: Any) -> Iterator[None]:
    """The bookkeeper of this host, in a thread."""
    stop = threading.Event()
    home = Path(settings.O10_HOME)
    thread = threading.Thread(
        target=policies.run_books,
        kwargs={"home": home, "now": lambda: kernel_clock.now(), "stop": stop},
        daemon=True,
    )
    thread.start()
    yield
    stop.set()
    thread.join(10)


@pytest.fixture
def client(plane: str, secret: str, tmp_path: Path) -> Iterator[Client]:
    with Client(base_url=plane, key=secret, state_dir=tmp_path) as made:
        yield made


@pytest.fixture
def lessee(client: Client, books: None) -> Iterator[Lessee]:
    with Lessee(client) as made:
        yield made


def rows(urls: Any, sql: str, *params: Any) -> list[Any]:
    with psycopg.connect(urls.superuser_url) as connection:
        return connection.execute(sql, params).fetchall()


def test_the_first_call_borrows_and_the_next_ones_ask_nobody(
    lessee: Lessee, client: Client
) -> None:
    first = lessee.authorize(**ASKED)
    assert isinstance(first, LocalDecision)
    sent: list[Any] = []
    client._transport.send = sent.append  # type: ignore[method-assign,assignment]
    for _ in range(20):
        decision = lessee.authorize(**ASKED)
        assert decision.decision is Outcome.ALLOW
        assert decision.caps.max_output_tokens == 500
        assert decision.route.model == first.route.model
    assert sent == []
    assert lessee.local == 21


def test_the_answer_is_the_one_the_plane_gives(lessee: Lessee, client: Client) -> None:
    local = lessee.authorize(**ASKED)
    remote = client.authorize(**ASKED)
    mine, theirs = (
        json.loads(local.answer),
        json.loads(msgspec.json.encode(remote)),
    )
    kept = [told["reasons"].pop(0)["detail"] for told in (mine, theirs)]
    assert [each.split(" keeps ")[0] for each in kept] == [
        "At most 0.0075; support-assistant / Nov 2026"
    ] * 2
    for told in (mine, theirs):
        for name in ("decision_id", "reservation", "envelopes"):
            told.pop(name)
    assert mine == theirs
    assert local.reservation.amount_nanos == remote.reservation.amount_nanos
    assert [each.name for each in local.envelopes] == [each.name for each in remote.envelopes]


def ended(urls: Any, fence: int) -> bool:
    found = rows(urls, "SELECT ended_at FROM lease_holder WHERE fence = %s", fence)
    return found[0][0] is not None


def test_calls_are_booked_settled_and_given_back(lessee: Lessee, database_urls: Any) -> None:
    decisions = [lessee.authorize(**ASKED) for _ in range(10)]
    for decision in decisions[:8]:
        settled = lessee.settle(reservation=decision.token, usage=USAGE)
        assert isinstance(settled, Settled)
        assert settled.flags == ()
    lessee.release(reservation=decisions[8].reservation.id)
    estimated = lessee.settle(reservation=decisions[9].token)
    assert [str(flag) for flag in estimated.flags] == ["USAGE_ESTIMATED"]
    fence = lessee.keeper.fence
    lessee.close()
    wait_for(lambda: ended(database_urls, fence), 15)
    leases = rows(
        database_urls,
        "SELECT state, granted_nanos - returned_nanos - settled_nanos FROM lease"
        " WHERE fence = %s",
        fence,
    )
    assert set(leases) == {("closed", 0)}
    booked = rows(
        database_urls,
        "SELECT r.state, count(*), sum(r.settled_nanos) FROM reservation r"
        " JOIN lease l ON l.id = r.lease WHERE l.fence = %s GROUP BY 1 ORDER BY 1",
        fence,
    )
    # 1,000 in at 2.50 and 100 out at 10.00 a million: 0.0035 a call; one at its worst case.
    assert booked == [("released", 1, 0), ("settled", 9, 8 * 3_500_000 + 7_500_000)]
    assert list(policies.check_conservation()) == []
