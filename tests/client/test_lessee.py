"""Does a router decide by itself, from leases, and is all of it booked by o10?"""

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import psycopg
import pytest

from o10.access import keys, operations
from o10.client import (
    AsyncClient,
    AsyncLessee,
    Client,
    DecisionPlaneAway,
    FailOpen,
    Lessee,
)
from o10.client.exchange import Ask, Patience
from o10.client.local_till import LocalDecision
from o10.kernel import clock as kernel_clock
from o10.kernel import errors
from o10.wire import token
from o10.wire.decisions import Decision, Outcome, Settled
from o10.wire.leasing import ROUTER_TOKEN_KEY
from o10.wire.reasons import Reason
from policies import facade as policies
from tests.architecture.source import ROOT
from tests.client.conftest import MODEL, wait_for

ASKED = {
    "use_case": "support-assistant",
    "model": MODEL,
    "input_tokens": 1_000,
    "max_output_tokens": 500,
}
USAGE = {"input_tokens": 1_000, "output_tokens": 100}


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
    wait_for(lambda: ended(database_urls, fence), 40)
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


def test_a_frozen_envelope_is_recalled_within_a_second(
    lessee: Lessee, company: Any, database_urls: Any
) -> None:
    lessee.authorize(**ASKED)
    change = policies.EnvelopeChange
    envelope = company.envelopes["use_case"]

    def set_state(state: str) -> None:
        policies.change_envelope(
            envelope=envelope,
            change=change(state=state, reason="A test."),
            actor=company.finops,
            now=kernel_clock.now(),
        )

    set_state("frozen")
    began = time.monotonic()
    try:
        wait_for(lambda: not lessee.authorize(**ASKED).decision.goes, 5)
        assert time.monotonic() - began < 1.5
        lent = "SELECT sum(granted_nanos - returned_nanos - settled_nanos - open_nanos)"
        wait_for(
            lambda: (
                rows(database_urls, f"{lent} FROM lease WHERE state = 'open'")[0][0]
                in (0, None)
            )
        )
    finally:
        set_state("active")
    assert wait_for(lambda: isinstance(lessee.authorize(**ASKED), LocalDecision), 5)


def test_a_trip_reaches_a_router_that_decides_by_itself_within_a_second(
    lessee: Lessee, company: Any
) -> None:
    """A use case under a lever is decided by o10 alone; its lease goes back."""
    now = kernel_clock.now()
    public = policies.create_criterion(
        draft=policies.CriterionDraft(
            name="Runaway loop",
            scope_kind="use_case",
            scope_slug="support-assistant",
            spec=policies.KillSpec(metric="repeat_loop", threshold="20", lever="freeze"),
        ),
        actor=company.finops,
        now=now,
    )
    policies.apply_arm(criterion=public, actor="usr_b", now=now, version=1, reason="agreed")
    lasted = []

    def denied() -> bool:
        answer = lessee.authorize(**ASKED)
        told = [each.code for each in answer.reasons]
        return answer.decision is Outcome.DENY and told[0] is Reason.KILL_CRITERION_ACTIVE

    for _ in range(2):
        wait_for(lambda: isinstance(lessee.authorize(**ASKED), LocalDecision), 5)
        begun = time.monotonic()
        policies.apply_trip(
            criterion=public, actor="usr_b", now=kernel_clock.now(), reason="it loops"
        )
        try:
            wait_for(denied, 10)
            lasted.append(time.monotonic() - begun)
        finally:
            policies.apply_restore(
                criterion=public, actor="usr_b", now=kernel_clock.now(), reason="fixed"
            )
    # Nothing but a busy machine may take longer, and not each time.
    assert min(lasted) < 1.0, lasted
    wait_for(lambda: isinstance(lessee.authorize(**ASKED), LocalDecision), 5)


def test_a_repeated_request_id_is_one_call_and_another_body_is_refused(lessee: Lessee) -> None:
    first = lessee.authorize(**ASKED, request_id="once")
    second = lessee.authorize(**ASKED, request_id="once")
    assert first.decision_id == second.decision_id
    with pytest.raises(errors.IdempotencyMismatch):
        lessee.authorize(**ASKED | {"max_output_tokens": 400}, request_id="once")


def test_a_settle_is_repeatable_and_ends_once(lessee: Lessee) -> None:
    decision = lessee.authorize(**ASKED)
    first = lessee.settle(reservation=decision.token, usage=USAGE)
    assert lessee.settle(reservation=decision.reservation.id, usage=USAGE) == first
    with pytest.raises(errors.IdempotencyMismatch):
        lessee.settle(reservation=decision.token, usage=USAGE | {"output_tokens": 9})
    with pytest.raises(errors.ReservationFinalized):
        lessee.release(reservation=decision.token)


def test_what_is_not_usual_is_decided_by_o10(lessee: Lessee) -> None:
    lessee.authorize(**ASKED)
    unusual = [
        ASKED | {"input_tokens": None, "prompt": "count me"},
        ASKED | {"model": "no-such-model"},
        ASKED | {"use_case": "nobody"},
        ASKED | {"max_output_tokens": 100_000_000},
        ASKED | {"model": "openai/text-embedding-3-small", "max_output_tokens": 0},
    ]
    for fields in unusual:
        assert isinstance(lessee.authorize(**fields), Decision), fields
    with pytest.raises(errors.ValidationFailed):
        lessee.authorize(**ASKED | {"step": -1})
    with pytest.raises(TypeError):
        lessee.authorize(**ASKED, no_such_field=1)
    assert isinstance(lessee.authorize(**ASKED), LocalDecision)


def test_a_call_served_by_another_model_is_priced_by_o10(
    lessee: Lessee, database_urls: Any
) -> None:
    decision = lessee.authorize(**ASKED)
    settled = lessee.settle(reservation=decision.token, usage=USAGE, model="openai/gpt-4o-mini")
    assert isinstance(settled, Settled)
    assert "MODEL_SERVED_DIFFERS" in settled.flags
    assert int(settled.cost.amount_nanos) < 3_500_000


def test_another_process_settles_by_the_token(lessee: Lessee, client: Client) -> None:
    decision = lessee.authorize(**ASKED)
    lessee.keeper.ship_now()
    settled = client.settle(reservation=decision.token, usage=USAGE)
    assert isinstance(settled, Settled)
    book = lessee.keeper._books[next(iter(lessee.keeper._books))][1]
    wait_for(lambda: not lessee.calls._holds and not book.open, 12)
    book.check()


def test_a_router_signs_for_its_own_leases_alone(lessee: Lessee, client: Client) -> None:
    decision = lessee.authorize(**ASKED)
    mine = token.read(decision.token, keys={ROUTER_TOKEN_KEY: lessee.keeper.secret})
    foreign = token.sign(
        replace(mine, lease=UUID(int=mine.lease.int ^ 1)), key=lessee.keeper.secret
    )
    with pytest.raises(errors.TokenInvalid):
        client.settle(reservation=foreign, usage=USAGE)


def test_a_revoked_key_lends_nothing_within_a_second(
    lessee: Lessee, client: Client, company: Any
) -> None:
    lessee.authorize(**ASKED)
    key = client.authorize(**ASKED)
    assert key.decision.goes
    operations.revoke_key(
        key_id=lessee.keeper.own_key, actor="usr_finance", now=kernel_clock.now()
    )
    keys.forget()

    def refused() -> bool:
        try:
            lessee.authorize(**ASKED)
        except errors.Unauthorized:
            return True
        return False

    began = time.monotonic()
    wait_for(refused, 5)
    assert time.monotonic() - began < 1.5


def test_the_snapshot_has_an_etag(plane: str, secret: str, client: Client) -> None:
    first = client.send_once(Ask("GET", "/api/v1/policy/snapshot"))
    assert first.status == 200
    told = json.loads(first.body)
    (case,) = [each for each in told["use_cases"] if each["slug"] == "support-assistant"]
    assert [each["scope"] for each in case["envelopes"]] == [
        "company",
        "department",
        "use_case",
    ]
    tag = (("If-None-Match", first.etag),)
    again = client.send_once(Ask("GET", "/api/v1/policy/snapshot", headers=tag))
    assert (again.status, again.body, again.etag) == (304, b"", first.etag)


def test_a_lease_goes_back_by_its_own_door(client: Client, database_urls: Any) -> None:
    asked = {name: ASKED[name] for name in ("use_case", "model", "input_tokens")}
    lent = json.loads(
        client.send_once(
            Ask("POST", "/api/v1/leases", msgspec.json.encode(asked | {"least": 10_000_000}))
        ).body
    )
    lease = lent["lease"]
    told = client.send_once(Ask("POST", f"/api/v1/leases/{lease['lease']}:return", b"{}"))
    assert json.loads(told.body) == {"returned": lease["granted"], "rest": 0}
    again = client.send_once(Ask("POST", f"/api/v1/leases/{lease['lease']}:return", b"{}"))
    assert json.loads(again.body) == {"returned": 0, "rest": 0}
    assert list(policies.check_conservation()) == []


def test_calls_are_guarded_as_with_a_client(lessee: Lessee) -> None:
    with lessee.call(**ASKED) as call:
        call.used({"usage": {"prompt_tokens": 1_000, "completion_tokens": 100}})
    assert isinstance(call.settled, Settled)
    assert call.settled.cost.amount_nanos == "3500000"

    @lessee.guarded(**ASKED)
    def ask() -> Any:
        return {"usage": {"prompt_tokens": 1_000, "completion_tokens": 100}}

    ask()
    assert not lessee.calls._holds


def test_a_further_attempt_is_billed_by_o10_and_the_call_is_its_from_then_on(
    lessee: Lessee, database_urls: Any
) -> None:
    decision = lessee.authorize(**ASKED)
    first = lessee.settle(reservation=decision.token, usage=USAGE, final=False)
    last = lessee.settle(reservation=decision.token, usage=USAGE, attempt=2)
    assert isinstance(first, Settled)
    assert isinstance(last, Settled)
    told = rows(
        database_urls,
        "SELECT state, settled_nanos, attempts, lease IS NULL FROM reservation"
        " ORDER BY authorized_at DESC LIMIT 1",
    )
    assert told == [("settled", 7_000_000, 2, True)]
    wait_for(lambda: not any(book.open for _, book in lessee.keeper._books.values()), 12)
    assert list(policies.check_conservation()) == []


def test_the_async_lessee_does_the_same(
    plane: str, secret: str, books: None, tmp_path: Path, database_urls: Any
) -> None:
    async def run() -> Any:
        async with AsyncClient(base_url=plane, key=secret, state_dir=tmp_path) as client:
            async with AsyncLessee(client) as lessee:
                for _ in range(5):
                    async with lessee.call(**ASKED) as call:
                        call.used({"usage": {"prompt_tokens": 1_000, "completion_tokens": 100}})
                released = await lessee.authorize(**ASKED)
                await lessee.release(reservation=released.token)
                priced = await lessee.authorize(**ASKED)
                other = await lessee.settle(
                    reservation=priced.token, usage=USAGE, model="openai/gpt-4o-mini"
                )
                assert "MODEL_SERVED_DIFFERS" in other.flags
                return lessee.keeper.fence, lessee.local, lessee.remote

    fence, local, remote = asyncio.run(run())
    assert (local, remote) == (7, 0)
    wait_for(lambda: ended(database_urls, fence), 40)
    assert list(policies.check_conservation()) == []


def decides_again(lessee: Lessee, asked: dict[str, Any]) -> bool:
    try:
        return isinstance(lessee.authorize(**asked), LocalDecision)
    except DecisionPlaneAway:
        return False


def test_a_plane_that_is_away_is_missed_only_when_the_leases_end(
    plane: str, secret: str, books: None, tmp_path: Path, database_urls: Any
) -> None:
    with Client(
        base_url=plane,
        key=secret,
        state_dir=tmp_path,
        patience=Patience(total_s=0.5, attempts=1),
        fail_mode={"contract-review": FailOpen()},
    ) as client:
        with Lessee(client) as lessee:
            spare = {"input_tokens": 100, "max_output_tokens": 50}
            for use_case in ("support-assistant", "contract-review"):
                for _ in range(4):
                    lessee.authorize(**ASKED | spare | {"use_case": use_case})
            fence, port = lessee.keeper.fence, client._address.port
            with socket.socket() as closed:
                closed.bind(("127.0.0.1", 0))
                client._address.port = closed.getsockname()[1]
            for each in (client._transport, client._background):
                each.close()
            kept = lessee.authorize(**ASKED | spare)
            assert isinstance(kept, LocalDecision)
            for _, book in list(lessee.keeper._books.values()):
                # As two seconds before the end of a lease that nobody renewed.
                book.renew(time.monotonic())
            with pytest.raises(DecisionPlaneAway):
                lessee.authorize(**ASKED | spare)
            opened = lessee.authorize(**ASKED | spare | {"use_case": "contract-review"})
            assert opened.reasons[0].code is Reason.FAIL_OPEN
            lessee.settle(reservation=opened.reservation.id, usage=USAGE)
            assert isinstance(lessee.settle(reservation=kept.token, usage=USAGE), Settled)
            client._address.port = port
            wait_for(lambda: decides_again(lessee, ASKED | spare), 15)
            assert client.outbox.flush(timeout_s=10) == 0
    wait_for(lambda: ended(database_urls, fence), 40)
    assert list(policies.check_conservation()) == []


def test_a_holder_that_o10_ended_is_followed_by_another(
    lessee: Lessee, database_urls: Any
) -> None:
    lessee.authorize(**ASKED)
    first = lessee.keeper.fence
    with psycopg.connect(database_urls.superuser_url) as connection:
        connection.execute("UPDATE lease_holder SET ended_at = now() WHERE fence = %s", [first])
    wait_for(lambda: lessee.keeper.over, 5)
    assert isinstance(lessee.authorize(**ASKED), LocalDecision)
    assert lessee.keeper.fence != first


def test_a_process_that_ends_gives_back_what_it_has(
    plane: str, secret: str, books: None, tmp_path: Path, database_urls: Any
) -> None:
    code = (
        "import sys\n"
        "from o10.client import Client, Lessee\n"
        "client = Client(base_url=sys.argv[1], key=sys.argv[2], state_dir=sys.argv[3])\n"
        "lessee = Lessee(client)\n"
        f"lessee.authorize(**{ASKED!r})\n"
        "print(lessee.keeper.fence)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, plane, secret, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    wait_for(lambda: ended(database_urls, int(done.stdout)), 40)
    assert not list(tmp_path.glob("*/journal-*"))


def test_a_forked_child_leaves_the_leases_of_its_parent_alone(
    lessee: Lessee, database_urls: Any
) -> None:
    lessee.authorize(**ASKED)
    before = lessee.keeper.own_journal.position
    child = os.fork()
    if child == 0:
        try:
            decided = lessee.try_authorize(ASKED)
            os._exit(0 if decided is None else 1)
        except BaseException:  # noqa: BLE001 - a child must not go on as a test
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    assert lessee.keeper.own_journal.position >= before
    assert isinstance(lessee.authorize(**ASKED), LocalDecision)
