"""What does a client do with a server that is away, slow, broken or busy?"""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from o10.client import AnswerUnreadable, Client, DecisionPlaneAway
from o10.client.exchange import Ask, Patience, Pause, Reply, Send, carry_out
from o10.kernel import errors
from o10.wire.decisions import Outcome
from o10.wire.reasons import Reason
from tests.client import conftest as told
from tests.client.conftest import Fake, make_async

ASKED = {"use_case": "support", "input_tokens": 10, "max_output_tokens": 5}
Make = Callable[..., Client]
BROKEN = {
    "hangs": (told.hang, "timeout"),
    "drips": (told.drip, "timeout"),
    "breaks off": (told.break_off, ""),
    "speaks another language": (told.speak_nonsense, ""),
    "hangs up": (told.hang_up, ""),
}


def test_a_busy_plane_is_asked_again_with_the_same_key(make_client: Make, fake: Fake) -> None:
    fake.script = [told.AWAY, told.AWAY, (200, {}, told.decision())]
    assert make_client().authorize(**ASKED).decision is Outcome.ALLOW
    ids = {body["request_id"] for body in fake.bodies("/authorize")}
    assert len(fake.seen) == 3
    assert len(ids) == 1


def test_the_key_of_the_caller_is_kept(make_client: Make, fake: Fake) -> None:
    fake.otherwise = (200, {}, told.decision())
    make_client().authorize(**ASKED, request_id="mine")
    assert fake.bodies("/authorize")[0]["request_id"] == "mine"


@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_broken_server_is_an_outage_within_the_time_limit(
    broken: str, kind: str, make_client: Make, fake: Fake, state: Path
) -> None:
    answer, cause = BROKEN[broken]
    fake.otherwise = answer
    took: list[float] = []
    with pytest.raises(DecisionPlaneAway) as caught:
        if kind == "sync":
            client = make_client()
            with timed(took):
                client.authorize(**ASKED)
        else:
            asyncio.run(_ask_async(fake, state, took))
    assert took[0] < 1.6
    assert cause in str(caught.value.fields["cause"])
    refused = caught.value.decision
    assert refused is not None
    assert refused.decision is Outcome.DENY
    assert refused.reasons[0].code is Reason.POLICY_UNAVAILABLE


async def _ask_async(fake: Fake, state: Path, took: list[float]) -> Any:
    client = make_async(fake, state)
    try:
        with timed(took):
            return await client.authorize(**ASKED)
    finally:
        await client.close(timeout_s=0)


@contextlib.contextmanager
def timed(took: list[float]) -> Iterator[None]:
    began = time.monotonic()
    try:
        yield
    finally:
        took.append(time.monotonic() - began)


@pytest.mark.parametrize("body", [b"<html>gateway</html>", b'{"decision":"maybe"}', b"", b"[]"])
def test_an_answer_that_is_none_of_ours_allows_nothing(
    body: bytes, make_client: Make, fake: Fake
) -> None:
    fake.otherwise = (200, {}, body)
    with pytest.raises(AnswerUnreadable):
        make_client().authorize(**ASKED)


def test_nobody_listens(make_client: Make) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    with pytest.raises(DecisionPlaneAway, match="ConnectionRefused"):
        make_client(base_url=url).authorize(**ASKED)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (401, "unauthorized", errors.Unauthorized),
        (403, "forbidden", errors.Forbidden),
        (404, "reservation_unknown", errors.ReservationUnknown),
        (409, "idempotency_mismatch", errors.IdempotencyMismatch),
        (422, "validation_failed", errors.ValidationFailed),
        (409, "a_code_of_tomorrow", errors.Conflict),
        (418, "", errors.Rejected),
    ],
)
def test_a_fault_of_the_request_is_told_once_with_its_code(
    status: int, code: str, kind: type[errors.O10Error], make_client: Make, fake: Fake
) -> None:
    fake.otherwise = (status, {}, {"code": code, "detail": "Because."} if code else b"oh")
    with pytest.raises(kind) as caught:
        make_client().authorize(**ASKED)
    assert len(fake.seen) == 1
    assert caught.value.code == (code or "validation_failed")
    assert caught.value.status == status


def test_a_rate_limit_is_no_outage(make_client: Make, fake: Fake) -> None:
    fake.otherwise = (429, {"Retry-After": "7"}, {"code": "rate_limited", "detail": "Slow."})
    client = make_client()
    with pytest.raises(errors.RateLimited) as caught:
        client.authorize(**ASKED)
    assert caught.value.retry_after_s == 7
    assert client.outage.since is None
    # 7 s do not fit into the time limit: nobody waits for them.
    assert len(fake.seen) == 1


def test_a_connection_is_used_again_and_replaced_when_the_server_closed_it(
    make_client: Make, fake: Fake
) -> None:
    fake.otherwise = (200, {}, told.decision())
    client = make_client(patience=Patience(attempts=1))
    for _ in range(3):
        client.authorize(**ASKED)
    assert len(client._transport._idle) == 1
    fake.script = [(200, {"Connection": "close"}, told.decision())]
    client.authorize(**ASKED)
    assert len(client._transport._idle) == 0
    client.authorize(**ASKED)
    # As a server does that restarted: it closes what lies idle, and says nothing.
    sock = client._transport._idle[0].sock
    assert sock is not None
    sock.shutdown(socket.SHUT_RDWR)
    assert client.authorize(**ASKED).decision is Outcome.ALLOW


def test_many_threads_share_one_client(make_client: Make, fake: Fake) -> None:
    fake.otherwise = (200, {}, told.decision())
    client = make_client()
    answers: list[Any] = []
    threads = [
        threading.Thread(
            target=lambda: answers.extend(client.authorize(**ASKED) for _ in range(20))
        )
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 160
    assert len({body["request_id"] for body in fake.bodies("/authorize")}) == 160


def test_a_client_survives_a_second_event_loop(fake: Fake, state: Path) -> None:
    fake.otherwise = (200, {}, told.decision())
    client = make_async(fake, state)

    async def ask() -> Any:
        return (await client.authorize(**ASKED)).decision

    async def ask_and_close() -> Any:
        answer = await ask()
        await client.close()
        return answer

    assert asyncio.run(ask()) is Outcome.ALLOW
    assert asyncio.run(ask_and_close()) is Outcome.ALLOW


def _steps(replies: list[Any], patience: Patience) -> tuple[list[Any], Any]:
    """Drives the rule alone, on a clock that moves with its waits."""
    at = [0.0]
    steps = carry_out(
        Ask("POST", "/x"), patience=patience, clock=lambda: at[0], spread=lambda: 1
    )
    seen: list[Any] = []
    answer: Any = None
    while True:
        try:
            step = steps.send(answer)
        except StopIteration as end:
            return seen, end.value
        seen.append(step)
        if isinstance(step, Pause):
            at[0] += step.seconds
            answer = None
        else:
            at[0] += 0.1
            answer = replies.pop(0)


def test_the_waits_are_those_of_the_page() -> None:
    patience = Patience(total_s=10, attempts=5)
    replies = [
        Reply(503, b""),
        Reply(503, b"", retry_after_s=1),
        Reply(502, b""),
        Reply(429, b""),
        Reply(200, b"ok"),
    ]
    seen, end = _steps(replies, patience)
    waits = [round(step.seconds, 3) for step in seen if isinstance(step, Pause)]
    # 50 ms doubled, up to as much again by chance (here: all of it); Retry-After where told.
    assert waits == [0.1, 1.1, 0.4, 0.8]
    assert end.status == 200


def test_what_would_end_too_late_is_not_begun() -> None:
    seen, end = _steps([Reply(503, b"", retry_after_s=2)], Patience(total_s=2))
    assert [type(step) for step in seen] == [Send]
    assert end.status == 503


@pytest.mark.parametrize(
    "url", ["localhost:8011", "ftp://x", "http://", "https:///x", "http://h/?a=1"]
)
def test_a_url_that_is_none_is_one_clear_sentence(url: str, make_client: Make) -> None:
    with pytest.raises(ValueError, match="base_url is http"):
        make_client(base_url=url)


def test_a_path_of_a_proxy_stands_before_ours(make_client: Make, fake: Fake) -> None:
    fake.otherwise = (200, {}, told.decision())
    make_client(base_url=fake.url + "/o10/").authorize(**ASKED)
    assert fake.seen[0][0] == "/o10/api/v1/authorize"
