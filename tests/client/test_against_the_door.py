"""Does the client speak with the real door? Decisions, settles, releases, errors with codes."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from o10.client import AsyncClient, Client, Denied
from o10.kernel import errors
from o10.wire.decisions import Outcome, Settled
from tests.client.conftest import MODEL

ASKED = {
    "use_case": "support-assistant",
    "model": MODEL,
    "input_tokens": 1_000,
    "max_output_tokens": 500,
}
USAGE = {"input_tokens": 1_000, "output_tokens": 100}


@pytest.fixture
def client(plane: str, secret: str, tmp_path: Path) -> Any:
    with Client(base_url=plane, key=secret, state_dir=tmp_path) as made:
        yield made


def test_a_call_is_allowed_settled_and_refunded(client: Client) -> None:
    decision = client.authorize(**ASKED)
    assert decision.decision is Outcome.ALLOW
    assert decision.reservation is not None
    settled = client.settle(reservation=decision.reservation.token, usage=USAGE)
    assert isinstance(settled, Settled)
    assert int(settled.refunded.amount_nanos) > 0


def test_a_repeated_request_id_gets_the_first_decision(client: Client) -> None:
    first = client.authorize(**ASKED, request_id="c-1")
    assert client.authorize(**ASKED, request_id="c-1").decision_id == first.decision_id


def test_an_unknown_field_is_a_mistake_of_the_program(client: Client) -> None:
    with pytest.raises(TypeError, match="max_output_token"):
        client.authorize(use_case="support-assistant", max_output_token=5)


def test_a_broken_rule_names_the_field(client: Client) -> None:
    with pytest.raises(errors.ValidationFailed) as caught:
        client.authorize(**ASKED | {"input_tokens": -1})
    assert caught.value.errors[0].pointer == "/input_tokens"
    assert caught.value.status == 422


def test_a_key_nobody_knows_is_unauthorized(plane: str, tmp_path: Path) -> None:
    with Client(base_url=plane, key="o10_no", state_dir=tmp_path) as stranger:
        with pytest.raises(errors.Unauthorized):
            stranger.authorize(**ASKED)


def test_a_denied_call_is_never_sent(client: Client) -> None:
    sent = []
    with pytest.raises(Denied) as caught:
        with client.call(**ASKED | {"max_output_tokens": 900_000}):
            sent.append("provider")
    assert sent == []
    assert not caught.value.decision.decision.goes


def test_a_call_settles_with_the_usage_of_its_response(client: Client) -> None:
    with client.call(**ASKED) as call:
        call.used({"usage": {"prompt_tokens": 1_000, "completion_tokens": 100}})
    assert isinstance(call.settled, Settled)
    assert "USAGE_ESTIMATED" not in call.settled.flags


def test_a_call_without_usage_is_settled_as_estimated(client: Client) -> None:
    with client.call(**ASKED) as call:
        pass
    assert isinstance(call.settled, Settled)
    assert [str(flag) for flag in call.settled.flags] == ["USAGE_ESTIMATED"]


def test_a_failed_call_that_was_not_billed_is_released(client: Client) -> None:
    with pytest.raises(ConnectionRefusedError):
        with client.call(**ASKED) as call:
            raise ConnectionRefusedError
    with pytest.raises(errors.ReservationFinalized):
        client.settle(reservation=call.reservation, usage=USAGE)


def test_the_async_client_does_the_same(plane: str, secret: str, tmp_path: Path) -> None:
    async def run() -> Any:
        async with AsyncClient(base_url=plane, key=secret, state_dir=tmp_path) as client:
            async with client.call(**ASKED) as call:
                call.used({"usage": {"prompt_tokens": 1_000, "completion_tokens": 100}})
            many = await asyncio.gather(*(client.authorize(**ASKED) for _ in range(10)))
            for each in many:
                await client.release(reservation=each.reservation.token)
            with pytest.raises(errors.ReservationUnknown):
                await client.extend(reservation="rsv_00000000000000000000000000", ttl_s=60)
            return call.settled, [each.decision for each in many]

    settled, decisions = asyncio.run(run())
    assert isinstance(settled, Settled)
    assert set(decisions) == {Outcome.ALLOW}
