"""Does every guarded call end, whatever happens to it: return, error, stream, disconnect?"""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from o10.client import AsyncClient, Client, DecisionPlaneAway, Denied
from o10.client.calls import was_not_billed
from tests.client import conftest as told
from tests.client.conftest import Fake, make_async, wait_for

Make = Callable[..., Client]
ASKED = {"use_case": "support", "model": "m", "input_tokens": 10, "max_output_tokens": 5}
ANSWER = {
    "id": "resp-1",
    "model": "m-2026",
    "usage": {"prompt_tokens": 9, "completion_tokens": 4},
}
DELTA = {"choices": [{"delta": {"content": "hi"}}]}
LAST = {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 2}}


class ProviderError(Exception):
    """As SDKs raise it for an answer with an error status."""

    def __init__(self, status_code: int) -> None:
        self.status_code = status_code


@pytest.fixture(autouse=True)
def answers(fake: Fake) -> None:
    """The plane allows everything and books what it is told."""

    def answer(handler: Any) -> None:
        import msgspec

        verb = handler.path.rsplit("/", 1)[1]
        body = msgspec.json.encode(
            {"authorize": told.decision(), "settle": told.SETTLED, "release": told.RELEASED}[
                verb
            ]
        )
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    fake.otherwise = answer


def ends(fake: Fake) -> list[tuple[str, str, Any]]:
    """How did calls end? Verb, status, output tokens told (None: no usage)."""
    found = []
    for path, body in list(fake.seen):
        verb = path.rsplit("/", 1)[1]
        if verb != "authorize":
            usage = (body.get("usage") or {}).get("output_tokens")
            found.append((verb, body.get("status", ""), usage))
    return found


def test_a_call_is_settled_with_what_the_response_says(make_client: Make, fake: Fake) -> None:
    with make_client().call(**ASKED) as call:
        assert call.max_output_tokens == 800
        assert call.used(ANSWER) is ANSWER
    (body,) = fake.bodies("/settle")
    assert body.pop("latency_ms") >= 0
    assert body == {
        "reservation": "token-1",
        "attempt": 1,
        "status": "ok",
        "model": "m-2026",
        "provider_request_id": "resp-1",
        "usage": {
            "input_tokens": 9,
            "output_tokens": 4,
            "cached_input_tokens": 0,
            "cache_write_tokens": 0,
            "audio_input_tokens": 0,
            "image_input_tokens": 0,
            "reasoning_tokens": 0,
            "audio_output_tokens": 0,
            "image_output_tokens": 0,
        },
    }


def test_an_own_settle_is_the_only_one(make_client: Make, fake: Fake) -> None:
    with make_client().call(**ASKED) as call:
        call.settle(usage={"input_tokens": 1, "output_tokens": 3})
    assert ends(fake) == [("settle", "", 3)]


def test_attempts_are_counted_and_the_last_one_ends_it(make_client: Make, fake: Fake) -> None:
    with make_client().call(**ASKED) as call:
        call.used(ANSWER)
        call.settle(status="error", final=False, purpose="retry")
        call.used(LAST)
    first, second = fake.bodies("/settle")
    assert (first["attempt"], first["final"], first["usage"]["output_tokens"]) == (1, False, 4)
    assert (second["attempt"], second["status"], second["usage"]["output_tokens"]) == (
        2,
        "ok",
        2,
    )


@pytest.mark.parametrize(
    ("error", "end"),
    [
        (ProviderError(400), ("release", "", None)),
        (ProviderError(429), ("release", "", None)),
        (ProviderError(500), ("release", "", None)),
        (ProviderError(504), ("settle", "error", None)),
        (ConnectionRefusedError(), ("release", "", None)),
        (TimeoutError("read"), ("settle", "error", None)),
        (ValueError("a bug after the answer"), ("settle", "error", None)),
        (KeyboardInterrupt(), ("settle", "cancelled", None)),
    ],
)
def test_an_error_releases_only_what_was_surely_not_billed(
    error: BaseException, end: tuple[str, str, Any], make_client: Make, fake: Fake
) -> None:
    with pytest.raises(type(error)):
        with make_client().call(**ASKED):
            raise error
    assert ends(fake) == [end]


def test_an_error_after_the_usage_is_known_settles_it(make_client: Make, fake: Fake) -> None:
    with pytest.raises(ProviderError):
        with make_client().call(**ASKED) as call:
            call.used(ANSWER)
            raise ProviderError(400)
    assert ends(fake) == [("settle", "error", 4)]


def test_a_cause_deeper_down_is_found() -> None:
    try:
        try:
            raise ConnectionRefusedError
        except ConnectionRefusedError as inner:
            raise RuntimeError("the SDK's own") from inner
    except RuntimeError as outer:
        assert was_not_billed(outer)
    assert not was_not_billed(RuntimeError())


def test_a_denied_call_ends_at_once(make_client: Make, fake: Fake) -> None:
    fake.otherwise = (200, {}, told.denied(retry_after_s=30))
    with pytest.raises(Denied) as caught:
        with make_client().call(**ASKED):
            raise AssertionError("the provider was called")
    assert caught.value.reason == "ENVELOPE_HARD_LIMIT"
    assert caught.value.retry_after_s == 30
    assert ends(fake) == []


def test_a_call_that_o10_refuses_to_settle_still_returns(
    make_client: Make, fake: Fake, state: Path
) -> None:
    with make_client().call(**ASKED):
        fake.otherwise = (409, {}, {"code": "reservation_finalized", "detail": "Ended."})
    (refused,) = state.glob("*/refused.jsonl")
    assert "token-1" in refused.read_text()


def pieces(*each: Any, error: BaseException | None = None) -> Iterator[Any]:
    yield from each
    if error is not None:
        raise error


def test_a_stream_settles_when_it_is_used_up(make_client: Make, fake: Fake) -> None:
    with make_client().call(**ASKED) as call:
        stream = call.stream(pieces(DELTA, DELTA, LAST))
    assert ends(fake) == []
    assert list(stream) == [DELTA, DELTA, LAST]
    assert ends(fake) == [("settle", "ok", 2)]


def test_a_stream_settles_when_the_client_goes_away(make_client: Make, fake: Fake) -> None:
    client = make_client()
    with client.call(**ASKED) as call:
        stream = call.stream(pieces(DELTA, DELTA, LAST))
    next(stream)
    stream.close()
    stream.close()
    assert ends(fake) == [("settle", "cancelled", None)]


def test_a_forgotten_stream_settles_in_the_background(make_client: Make, fake: Fake) -> None:
    client = make_client()

    def forget() -> None:
        with client.call(**ASKED) as call:
            next(call.stream(pieces(DELTA, LAST)))

    forget()
    gc.collect()
    assert wait_for(lambda: ends(fake)) == [("settle", "cancelled", None)]


def test_a_stream_nobody_read_settles_too(make_client: Make, fake: Fake) -> None:
    client = make_client()
    with client.call(**ASKED) as call:
        call.stream(pieces(DELTA))
    gc.collect()
    assert wait_for(lambda: ends(fake)) == [("settle", "cancelled", None)]


def test_a_broken_stream_settles_as_error(make_client: Make, fake: Fake) -> None:
    with make_client().call(**ASKED) as call:
        stream = call.stream(pieces(DELTA, error=ConnectionResetError()))
    with pytest.raises(ConnectionResetError):
        list(stream)
    assert ends(fake) == [("settle", "error", None)]


def test_the_first_piece_of_an_anthropic_stream_is_no_final_usage(
    make_client: Make, fake: Fake
) -> None:
    start = {
        "type": "message_start",
        "message": {"usage": {"input_tokens": 9, "output_tokens": 1}},
    }
    with make_client().call(**ASKED) as call:
        stream = call.stream(pieces(start, DELTA))
    next(stream)
    next(stream)
    stream.close()
    assert ends(fake) == [("settle", "cancelled", None)]


def test_the_two_halves_of_an_anthropic_stream_make_one_usage(
    make_client: Make, fake: Fake
) -> None:
    start = {
        "type": "message_start",
        "message": {
            "model": "claude",
            "usage": {"input_tokens": 9, "cache_read_input_tokens": 100, "output_tokens": 1},
        },
    }
    last = {"type": "message_delta", "usage": {"output_tokens": 42}}
    with make_client().call(**ASKED) as call:
        list(call.stream(pieces(start, DELTA, last)))
    (body,) = fake.bodies("/settle")
    assert body["usage"]["input_tokens"] == 109
    assert body["usage"]["cached_input_tokens"] == 100
    assert body["usage"]["output_tokens"] == 42
    assert body["model"] == "claude"


def test_a_guarded_function_is_a_call(make_client: Make, fake: Fake) -> None:
    client = make_client()

    @client.guarded(use_case="support", input_tokens=lambda text: len(text))
    def ask(text: str, *, call: Any) -> Any:
        assert call.max_output_tokens == 800
        return ANSWER

    assert ask("hello") is ANSWER
    assert fake.bodies("/authorize")[0]["input_tokens"] == 5
    assert ends(fake) == [("settle", "ok", 4)]

    @client.guarded(use_case="support")
    def fail() -> None:
        raise ProviderError(503)

    with pytest.raises(ProviderError):
        fail()
    assert ends(fake)[-1] == ("release", "", None)

    @client.guarded(use_case="support")
    def talk() -> Iterator[Any]:
        yield from (DELTA, LAST)

    assert list(talk()) == [DELTA, LAST]
    assert ends(fake)[-1] == ("settle", "ok", 2)


def test_each_client_guards_its_own_kind_of_function(
    make_client: Make, fake: Fake, state: Path
) -> None:
    async def later() -> None:
        pass

    with pytest.raises(TypeError, match="AsyncClient"):
        make_client().guarded(use_case="support")(later)
    with pytest.raises(TypeError, match="Client guards ordinary"):
        make_async(fake, state).guarded(use_case="support")(lambda: None)


def run_async(fake: Fake, state: Path, work: Callable[[AsyncClient], Any]) -> None:
    async def run() -> None:
        async with make_async(fake, state) as client:
            await work(client)

    asyncio.run(run())


async def apieces(*each: Any, wait: bool = False) -> AsyncIterator[Any]:
    for piece in each:
        yield piece
    if wait:
        await asyncio.sleep(60)


def test_async_calls_end_as_the_others(fake: Fake, state: Path) -> None:
    async def work(client: AsyncClient) -> None:
        async with client.call(**ASKED) as call:
            call.used(ANSWER)
        with pytest.raises(ProviderError):
            async with client.call(**ASKED):
                raise ProviderError(500)
        async with client.call(**ASKED) as call:
            stream = call.stream(apieces(DELTA, LAST))
        assert [piece async for piece in stream] == [DELTA, LAST]

        @client.guarded(use_case="support")
        async def ask() -> Any:
            return ANSWER

        @client.guarded(use_case="support")
        async def talk() -> AsyncIterator[Any]:
            for piece in (DELTA, LAST):
                yield piece

        assert await ask() is ANSWER
        assert [piece async for piece in talk()] == [DELTA, LAST]

    run_async(fake, state, work)
    assert ends(fake) == [
        ("settle", "ok", 4),
        ("release", "", None),
        ("settle", "ok", 2),
        ("settle", "ok", 4),
        ("settle", "ok", 2),
    ]


def test_a_cancelled_task_settles_without_waiting(fake: Fake, state: Path) -> None:
    async def work(client: AsyncClient) -> None:
        async def serve() -> None:
            async with client.call(**ASKED):
                await asyncio.sleep(60)

        async def stream() -> None:
            async with client.call(**ASKED) as call:
                answer = call.stream(apieces(DELTA, LAST, wait=True))
            async for _ in answer:
                pass

        for each in (serve, stream):
            task = asyncio.create_task(each())
            before = len(fake.bodies("/authorize"))
            while len(fake.bodies("/authorize")) == before:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    run_async(fake, state, work)
    # The stream had told its usage before it was cut off: that is what is booked.
    assert sorted(ends(fake), key=str) == [
        ("settle", "cancelled", 2),
        ("settle", "cancelled", None),
    ]


def test_a_plane_that_is_away_raises_and_calls_nobody(make_client: Make, fake: Fake) -> None:
    fake.otherwise = told.AWAY
    with pytest.raises(DecisionPlaneAway):
        with make_client().call(**ASKED):
            raise AssertionError("the provider was called")
