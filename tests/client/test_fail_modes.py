"""What goes while o10 cannot decide: nothing, or up to a cap that restarts do not renew?"""

import asyncio
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from o10.client import Client, DecisionPlaneAway, FailClosed, FailOpen, LocalPrice
from o10.client.exchange import Patience
from o10.client.failmode import Allowance
from o10.client.verbs import Kept
from o10.kernel import errors
from o10.wire.decisions import Outcome
from o10.wire.reasons import Reason
from tests.client import conftest as told
from tests.client.conftest import Fake, wait_for

Make = Callable[..., Client]
ASKED = {"use_case": "batch", "model": "m", "input_tokens": 1_000, "max_output_tokens": 1_000}
PRICED = FailOpen(
    cap_per_hour="0.05",
    # 1,000 x 2.50 + 1,000 x 10.00 a million = 0.0125 a call: four fit into 0.05.
    prices={"m": LocalPrice(input_per_million="2.50", output_per_million="10.00")},
)


def test_closed_is_the_default_for_every_use_case(make_client: Make, fake: Fake) -> None:
    fake.otherwise = told.AWAY
    client = make_client(fail_mode={"batch": PRICED})
    with pytest.raises(DecisionPlaneAway):
        client.authorize(**ASKED | {"use_case": "support"})
    assert client.authorize(**ASKED).reasons[0].code is Reason.FAIL_OPEN


def test_open_ends_at_the_cap_of_the_hour(make_client: Make, fake: Fake) -> None:
    fake.otherwise = told.AWAY
    client = make_client(fail_mode={"batch": PRICED})
    for _ in range(4):
        decision = client.authorize(**ASKED)
        assert decision.decision is Outcome.ALLOW
        assert decision.reservation is not None
        assert decision.reservation.amount_nanos == "12500000"
    with pytest.raises(DecisionPlaneAway, match="used up"):
        client.authorize(**ASKED)


def test_a_second_process_and_a_restart_share_the_allowance(
    make_client: Make, fake: Fake
) -> None:
    fake.otherwise = told.AWAY
    first, second = (make_client(fail_mode={"batch": PRICED}) for _ in range(2))
    for client in (first, second, first):
        client.authorize(**ASKED)
    first.close(timeout_s=0)
    third = make_client(fail_mode={"batch": PRICED})
    third.authorize(**ASKED)
    with pytest.raises(DecisionPlaneAway, match="used up"):
        second.authorize(**ASKED)


def test_the_allowance_is_of_any_hour_and_of_each_use_case(tmp_path: Path) -> None:
    allowance = Allowance(tmp_path / "allowance.jsonl")

    def take(nanos: int, *, minutes: int, use_case: str = "a") -> bool:
        at = told.NOW + timedelta(minutes=minutes)
        return allowance.take(use_case=use_case, nanos=nanos, cap_nanos=100, now=at)

    assert take(60, minutes=0)
    assert take(40, minutes=50)
    assert not take(1, minutes=59)
    assert take(100, minutes=59, use_case="b")
    assert take(60, minutes=61)
    assert not take(1, minutes=70)
    # The clock was set back two hours: what was counted ahead of it still counts.
    assert not take(50, minutes=-60)


def test_a_torn_line_of_the_allowance_frees_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "allowance.jsonl"
    allowance = Allowance(path)
    assert allowance.take(use_case="a", nanos=60, cap_nanos=100, now=told.NOW)
    with path.open("ab") as file:
        file.write(b"[17636")
    assert allowance.take(use_case="a", nanos=40, cap_nanos=100, now=told.NOW)
    assert not allowance.take(use_case="a", nanos=1, cap_nanos=100, now=told.NOW)


def test_without_a_price_calls_are_counted(make_client: Make, fake: Fake) -> None:
    fake.otherwise = told.AWAY
    client = make_client(fail_mode={"batch": FailOpen(cap_per_hour="5.00", calls_per_hour=3)})
    for _ in range(2):
        client.authorize(**ASKED)
    client.authorize(use_case="batch", prompt="no tokens are counted here")
    with pytest.raises(DecisionPlaneAway):
        client.authorize(**ASKED)


def test_without_a_cap_of_its_own_a_call_gets_one(make_client: Make, fake: Fake) -> None:
    fake.otherwise = told.AWAY
    decision = make_client(fail_mode={"batch": FailOpen()}).authorize(
        use_case="batch", input_tokens=5
    )
    assert decision.decision is Outcome.ALLOW_WITH_CAPS
    assert decision.caps is not None
    assert decision.caps.max_output_tokens == 1_024


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 429])
def test_a_refused_key_or_request_opens_nothing(
    status: int, make_client: Make, fake: Fake
) -> None:
    fake.otherwise = (status, {"Retry-After": "60"}, {"code": "x", "detail": "No."})
    with pytest.raises(errors.O10Error):
        make_client(fail_mode={"batch": FailOpen()}).authorize(**ASKED)


def test_a_plane_that_cannot_decide_says_so_and_the_mode_applies(
    make_client: Make, fake: Fake
) -> None:
    fake.otherwise = (200, {}, told.denied("POLICY_UNAVAILABLE"))
    client = make_client(fail_mode={"batch": FailOpen()})
    assert client.authorize(**ASKED).reasons[0].code is Reason.FAIL_OPEN
    closed = client.authorize(**ASKED | {"use_case": "support"})
    assert closed.decision is Outcome.DENY


def test_a_denial_for_money_opens_nothing(make_client: Make, fake: Fake) -> None:
    fake.otherwise = (200, {}, told.denied())
    client = make_client(fail_mode={"batch": FailOpen()})
    assert client.authorize(**ASKED).decision is Outcome.DENY


def test_an_open_use_case_does_not_wait_at_every_call(make_client: Make, fake: Fake) -> None:
    fake.otherwise = told.AWAY
    client = make_client(fail_mode={"batch": FailOpen()})
    client.authorize(**ASKED)
    asked = len(fake.seen)
    for _ in range(20):
        client.authorize(**ASKED)
    assert len(fake.seen) <= asked + 3


def test_the_outage_is_from_the_first_failure_to_the_first_success(
    make_client: Make, fake: Fake, clock: Any
) -> None:
    fake.otherwise = told.AWAY
    client = make_client(fail_mode={"batch": FailOpen()})
    call = client.authorize(**ASKED)
    clock.move_to(told.NOW + timedelta(minutes=3))
    client.settle(
        reservation=call.reservation.id,
        usage={"input_tokens": 900, "output_tokens": 70},
        model="m",
        latency_ms=12,
    )
    unused = wait_for(lambda: _one_more(client))
    client.release(reservation=unused.reservation.id)
    clock.move_to(told.NOW + timedelta(minutes=7))
    fake.otherwise = (200, {}, told.decision())
    wait_for(lambda: client.authorize(**ASKED).decision_id == "dec_1")
    fake.otherwise = (200, {}, {"recorded": 1})
    assert client.outbox.flush(timeout_s=5) == 0
    (record,) = fake.bodies("/usage")
    assert record == {
        "use_case": "batch",
        "model": "m",
        "at": "2026-11-20T09:30:00Z",
        "usage": {"input_tokens": 900, "output_tokens": 70},
        "latency_ms": 12,
        "id": f"{call.decision_id}.1",
        "source": "o10.client.fail_open",
        "code": "FAIL_OPEN",
        "fail_open": {
            "since": "2026-11-20T09:30:00Z",
            "until": "2026-11-20T09:37:00Z",
            "estimated": False,
        },
    }
    assert client.outage.since is None


def _one_more(client: Client) -> Any:
    decision = client.authorize(**ASKED)
    return decision if decision.reasons[0].code is Reason.FAIL_OPEN else None


def test_calls_of_a_dead_process_are_told_by_the_next(make_client: Make, fake: Fake) -> None:
    fake.otherwise = told.AWAY
    dead = make_client(fail_mode={"batch": FailOpen()})
    settled = dead.authorize(**ASKED)
    dead.settle(
        reservation=settled.reservation.id, usage={"input_tokens": 1, "output_tokens": 2}
    )
    running = dead.authorize(**ASKED)
    # As SIGKILL does: the file is left as it is, and unlocked.
    dead.outbox._closing = True
    dead.outbox._file.close()
    next_one = make_client()
    fake.otherwise = (200, {}, told.decision())
    wait_for(lambda: next_one.outbox.flush(timeout_s=2) == 0)
    sent = {record["id"]: record for record in fake.bodies("/usage")}
    assert set(sent) == {f"{settled.decision_id}.1", f"{running.decision_id}.1"}
    assert sent[f"{settled.decision_id}.1"]["usage"] == {"input_tokens": 1, "output_tokens": 2}
    lost = sent[f"{running.decision_id}.1"]
    assert lost["usage"] == {"input_tokens": 1_000, "output_tokens": 1_000}
    assert lost["fail_open"]["estimated"] is True
    assert lost["status"] == "error"


def test_what_cannot_be_written_down_does_not_go(
    make_client: Make, fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.otherwise = told.AWAY
    client = make_client(fail_mode={"batch": FailOpen()})

    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("o10.client.fact_file.os.write", full)
    with pytest.raises(errors.Unavailable, match="No space left"):
        client.authorize(**ASKED)


def test_a_settle_of_an_outage_is_kept_and_sent_with_the_same_key(
    make_client: Make, fake: Fake
) -> None:
    fake.otherwise = told.AWAY
    client = make_client()
    kept = client.settle(
        reservation="token-1", usage={"input_tokens": 1, "output_tokens": 1}, attempt=1
    )
    assert isinstance(kept, Kept)
    fake.otherwise = (200, {}, told.SETTLED)
    assert client.outbox.flush(timeout_s=5) == 0
    sent = fake.bodies("/settle")
    assert len(sent) >= 2
    assert all(body == sent[0] for body in sent)


def test_kept_facts_are_told_in_order_and_outlive_the_process(
    make_client: Make, fake: Fake, state: Path
) -> None:
    fake.otherwise = told.AWAY
    first = make_client()
    for attempt in (1, 2, 3):
        first.settle(reservation="token-1", attempt=attempt, final=attempt == 3)
    first.close(timeout_s=0)
    assert list(state.glob("*/outbox-*.jsonl"))
    fake.seen.clear()
    fake.otherwise = (200, {}, told.SETTLED)
    second = make_client()
    wait_for(lambda: second.outbox.flush(timeout_s=2) == 0)
    assert [body["attempt"] for body in fake.bodies("/settle")] == [1, 2, 3]
    second.close()
    assert not list(state.glob("*/outbox-*.jsonl"))


def test_two_living_processes_leave_each_others_facts_alone(
    make_client: Make, fake: Fake
) -> None:
    fake.otherwise = told.AWAY
    first = make_client()
    first.settle(reservation="token-1")
    assert make_client().outbox.waiting == 0
    assert first.outbox.waiting == 1


def test_what_is_refused_for_good_is_kept_for_a_person(
    make_client: Make, fake: Fake, state: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fake.otherwise = told.AWAY
    client = make_client()
    client.settle(reservation="token-1")
    client.settle(reservation="token-2")
    fake.otherwise = (409, {}, {"code": "reservation_finalized", "detail": "Ended."})
    assert client.outbox.flush(timeout_s=5) == 0
    (refused,) = state.glob("*/refused.jsonl")
    assert refused.read_text().count("reservation_finalized") == 2
    assert "o10 refused what the router had to tell" in caplog.text


def test_a_key_that_is_being_rotated_loses_nothing(make_client: Make, fake: Fake) -> None:
    fake.otherwise = told.AWAY
    client = make_client()
    client.settle(reservation="token-1")
    fake.otherwise = (401, {}, {"code": "unauthorized"})
    assert client.outbox.flush(timeout_s=0.5) == 1
    fake.otherwise = (200, {}, told.SETTLED)
    assert client.outbox.flush(timeout_s=5) == 0


def test_no_key_and_no_prompt_is_ever_written_down(
    make_client: Make, fake: Fake, state: Path
) -> None:
    fake.otherwise = told.AWAY
    client = make_client(key="o10_very_secret", fail_mode={"batch": FailOpen()})
    client.authorize(use_case="batch", prompt="a trade secret")
    client.settle(reservation="token-1")
    text = b"".join(path.read_bytes() for path in state.rglob("*") if path.is_file())
    assert b"token-1" in text
    assert b"secret" not in text
    assert "secret" not in "".join(str(path) for path in state.rglob("*"))


def test_too_much_waits_and_one_more_is_refused(
    make_client: Make, fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("o10.client.outbox.MOST_WAITING", 2)
    fake.otherwise = told.AWAY
    client = make_client()
    for _ in range(2):
        client.settle(reservation="token-1")
    with pytest.raises(errors.Unavailable, match="full"):
        client.settle(reservation="token-1")


def test_threads_cannot_pass_the_cap_together(make_client: Make, fake: Fake) -> None:
    fake.otherwise = told.AWAY
    client = make_client(fail_mode={"batch": PRICED})
    client.authorize(**ASKED)
    went: list[Any] = []

    def ask() -> None:
        try:
            went.append(client.authorize(**ASKED))
        except DecisionPlaneAway:
            pass

    threads = [threading.Thread(target=ask) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(went) == 3


def test_a_folder_that_cannot_be_written_is_said_at_once(
    make_client: Make, state: Path
) -> None:
    state.write_text("a file, not a folder")
    with pytest.raises(errors.Unavailable, match="state_dir"):
        make_client(default_fail_mode=FailClosed())


def test_an_answer_that_came_too_late_is_asked_for_again_and_released(
    make_client: Make, fake: Fake
) -> None:
    fake.script = [told.hang]
    fake.otherwise = answers
    client = make_client(patience=Patience(total_s=0.3, attempts=1))
    with pytest.raises(DecisionPlaneAway):
        client.authorize(**ASKED)
    wait_for(lambda: fake.bodies("/release"))
    first, again = fake.bodies("/authorize")
    assert first == again
    assert fake.bodies("/release")[0]["reservation"] == "token-1"
    assert client.outbox.flush(timeout_s=5) == 0


@pytest.mark.parametrize("changes", [{"request_id": "mine"}, {"prompt": "a secret"}])
def test_what_others_may_ask_again_is_not_taken_back(
    changes: dict[str, Any], make_client: Make, fake: Fake
) -> None:
    fake.otherwise = told.hang_up
    client = make_client(patience=Patience(total_s=0.3, attempts=1))
    with pytest.raises(DecisionPlaneAway):
        client.authorize(**ASKED | changes)
    assert client.outbox.waiting == 0


def test_a_cancelled_question_is_taken_back(fake: Fake, state: Path) -> None:
    fake.script = [told.hang]
    fake.otherwise = answers

    async def run() -> None:
        async with told.make_async(fake, state, patience=Patience(total_s=2.0)) as client:
            asking = asyncio.create_task(client.authorize(**ASKED))
            while not fake.bodies("/authorize"):
                await asyncio.sleep(0.01)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            while not fake.bodies("/release"):
                await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(run(), 10))


def answers(handler: Any) -> None:
    release = handler.path.endswith("release")
    body = msgspec.json.encode(told.RELEASED if release else told.decision())
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)
