"""What does a model provider answer, and what does it really bill? One of our own, on loopback.

Speaks enough of the OpenAI API for a proxy to take it for one: chat completions (with
streams), completions, responses and embeddings. Fixed usage and delay, so that two runs cost
the same; each model can misbehave in its own way; every call is recorded with what was asked
and what is billed for it. That record is the judge of the tests, hence nothing here knows o10:
standard library only, and it runs as a script in a process of its own.
"""

import argparse
import asyncio
import contextlib
import json
from dataclasses import asdict, dataclass, fields
from typing import Any

CAP_FIELDS = ("max_completion_tokens", "max_tokens", "max_output_tokens")
LIMIT_BYTES = 32 * 1024 * 1024
MODES = ("steady", "deaf", "silent", "drops", "fails", "flaky", "hangs")
"""steady keeps `max_tokens`; deaf ignores it; silent reports no usage; drops ends a stream in
the middle; fails answers an error each time, flaky each first time; hangs never answers."""


@dataclass(slots=True)
class Manner:
    """How does a model behave?

    Units: tokens; milliseconds before the answer and between two chunks of a stream.
    `fail_status` is what `fails` and `flaky` answer with; `chunks` after which `drops` drops.
    """

    mode: str = "steady"
    prompt_tokens: int = 100
    completion_tokens: int = 100
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    audio_tokens: int = 0
    default_max_tokens: int = 16_384
    delay_ms: float = 0.0
    chunk_ms: float = 0.0
    chunks: int = 3
    fail_status: int = 500
    billed_failure: int = 0


@dataclass(slots=True)
class Call:
    """What was asked, and what is billed for it? Tokens."""

    number: int
    path: str
    model: str
    stream: bool
    n: int
    max_tokens: int | None
    cap_field: str
    prompt_bytes: int
    outcome: str = "asked"
    status: int = 0
    billed_input: int = 0
    billed_output: int = 0
    mark: str = ""


class Provider:
    """Which calls came, and how is each answered?"""

    def __init__(self) -> None:
        self.manners: dict[str, Manner] = {}
        self.calls: list[Call] = []

    def manner_of(self, model: str) -> Manner:
        """How does this model behave? Its own manner, else the one called `*`."""
        return self.manners.get(model) or self.manners.get("*") or Manner()

    async def serve(self, *, host: str, port: int) -> asyncio.Server:
        """Listens; the server."""
        return await asyncio.start_server(
            self._connection, host, port, limit=LIMIT_BYTES, backlog=1024
        )

    async def _connection(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while await self._request(reader, writer):
                pass
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    async def _request(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split(" ", 2)
        length = 0
        for line in head[1:]:
            name, _, value = line.partition(":")
            if name.lower() == "content-length":
                length = int(value)
        body = await reader.readexactly(length) if length else b""
        path = path.partition("?")[0]
        if path.startswith("/_"):
            _answer(writer, 200, self._control(method, path, body))
            await writer.drain()
            return True
        asked = json.loads(body or b"{}")
        call = self._note(path, asked, len(body))
        manner = self.manner_of(call.model)
        if await _pause(manner.delay_ms / 1_000, reader):
            call.outcome = "client gone"
            call.billed_input = manner.prompt_tokens
            return False
        return await self._respond(call, manner, asked, reader, writer)

    def _control(self, method: str, path: str, body: bytes) -> Any:
        if path == "/_manners" and method == "POST":
            for model, changes in json.loads(body).items():
                self.manners[model] = Manner(**changes)
            return {"manners": list(self.manners)}
        if path == "/_calls":
            told = [asdict(call) for call in self.calls]
            if method == "DELETE":
                self.calls.clear()
            return {"calls": told}
        return {"ok": True}

    def _note(self, path: str, asked: dict[str, Any], size: int) -> Call:
        field = next((name for name in CAP_FIELDS if asked.get(name)), "")
        call = Call(
            number=len(self.calls),
            path=path,
            model=str(asked.get("model", "")),
            stream=bool(asked.get("stream")),
            n=int(asked.get("n") or 1),
            max_tokens=asked.get(field) if field else None,
            cap_field=field,
            prompt_bytes=size,
            mark=str(asked.get("user") or ""),
        )
        self.calls.append(call)
        return call

    async def _respond(
        self,
        call: Call,
        manner: Manner,
        asked: dict[str, Any],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> bool:
        if manner.mode == "hangs":
            await _pause(3_600, reader)
            call.outcome, call.billed_input = "client gone", manner.prompt_tokens
            return False
        if self._refuses(call, manner):
            call.outcome, call.status = "refused", manner.fail_status
            call.billed_output = manner.billed_failure
            wrong = {"error": {"message": "told to fail", "type": "server_error"}}
            _answer(writer, manner.fail_status, wrong)
            await writer.drain()
            return True
        call.billed_input = manner.prompt_tokens
        if call.path.endswith("/embeddings"):
            call.outcome, call.status = "answered", 200
            _answer(writer, 200, _embeddings(call, asked, manner))
            await writer.drain()
            return True
        limit = call.max_tokens or manner.default_max_tokens
        size = manner.completion_tokens
        output = (size if manner.mode == "deaf" else min(limit, size)) * call.n
        if call.path.endswith("/responses"):
            call.billed_output, call.outcome, call.status = output, "answered", 200
            _answer(writer, 200, _response(call, output))
            await writer.drain()
            return True
        if call.stream:
            return await _stream(call, manner, asked, output, reader, writer)
        call.billed_output, call.outcome, call.status = output, "answered", 200
        _answer(writer, 200, _completion(call, manner, output))
        await writer.drain()
        return True

    def _refuses(self, call: Call, manner: Manner) -> bool:
        if manner.mode == "fails":
            return True
        earlier = [
            other
            for other in self.calls
            if other.model == call.model and other.mark == call.mark and other is not call
        ]
        return manner.mode == "flaky" and len(earlier) % 2 == 0


async def _pause(seconds: float, reader: asyncio.StreamReader) -> bool:
    """Waits; true when the client went away meanwhile."""
    if seconds <= 0:
        return False
    deadline = asyncio.get_running_loop().time() + seconds
    while (left := deadline - asyncio.get_running_loop().time()) > 0:
        if reader.at_eof():
            return True
        await asyncio.sleep(min(left, 0.02))
    return reader.at_eof()


def _answer(writer: asyncio.StreamWriter, status: int, told: Any) -> None:
    body = json.dumps(told).encode()
    writer.write(
        f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n".encode()
        + body
    )


async def _stream(
    call: Call,
    manner: Manner,
    asked: dict[str, Any],
    output: int,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> bool:
    """One token a chunk, billed as it is made."""
    writer.write(
        b"HTTP/1.1 200 X\r\ncontent-type: text/event-stream\r\n"
        b"transfer-encoding: chunked\r\n\r\n"
    )
    call.status, call.outcome = 200, "answered"
    for place in range(output):
        if manner.mode == "drops" and place == manner.chunks:
            call.outcome = "dropped"
            writer.transport.abort()
            return False
        if await _pause(manner.chunk_ms / 1_000, reader) or reader.at_eof():
            call.outcome = "client gone"
            return False
        call.billed_output += 1
        _event(writer, _chunk(call, {"content": "word "}, None))
        if place % 64 == 0:
            await writer.drain()
    _event(writer, _chunk(call, {}, "stop"))
    options = asked.get("stream_options") or {}
    if options.get("include_usage") and manner.mode != "silent":
        last = _chunk(call, None, None)
        _event(writer, {**last, "choices": [], "usage": _usage(call, manner, output)})
    writer.write(_framed(b"data: [DONE]\n\n") + b"0\r\n\r\n")
    await writer.drain()
    return True


def _event(writer: asyncio.StreamWriter, told: Any) -> None:
    writer.write(_framed(b"data: " + json.dumps(told).encode() + b"\n\n"))


def _framed(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def _chunk(call: Call, delta: Any, finish: str | None) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{call.number}",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": call.model,
        "choices": [{"index": 0, "delta": delta or {}, "finish_reason": finish}],
    }


def _completion(call: Call, manner: Manner, output: int) -> dict[str, Any]:
    text = call.path.endswith("/chat/completions")
    each = (
        {"message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}
        if text
        else {"text": "ok", "finish_reason": "stop"}
    )
    told = {
        "id": f"chatcmpl-{call.number}",
        "object": "chat.completion" if text else "text_completion",
        "created": 1_700_000_000,
        "model": call.model,
        "choices": [{"index": place, **each} for place in range(call.n)],
    }
    if manner.mode != "silent":
        told["usage"] = _usage(call, manner, output)
    return told


def _response(call: Call, output: int) -> dict[str, Any]:
    text = {"type": "output_text", "text": "ok", "annotations": []}
    said = {
        "type": "message",
        "id": f"msg_{call.number}",
        "role": "assistant",
        "status": "completed",
        "content": [text],
    }
    return {
        "id": f"resp_{call.number}",
        "object": "response",
        "created_at": 1_700_000_000,
        "status": "completed",
        "model": call.model,
        "output": [said],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": call.billed_input,
            "output_tokens": output,
            "total_tokens": call.billed_input + output,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens_details": {"reasoning_tokens": 0},
        },
    }


def _usage(call: Call, manner: Manner, output: int) -> dict[str, Any]:
    return {
        "prompt_tokens": call.billed_input,
        "completion_tokens": output,
        "total_tokens": call.billed_input + output,
        "prompt_tokens_details": {"cached_tokens": manner.cached_tokens},
        "completion_tokens_details": {
            "reasoning_tokens": manner.reasoning_tokens,
            "audio_tokens": manner.audio_tokens,
        },
    }


def _embeddings(call: Call, asked: dict[str, Any], manner: Manner) -> dict[str, Any]:
    texts = asked.get("input")
    count = len(texts) if isinstance(texts, list) else 1
    told: dict[str, Any] = {
        "object": "list",
        "model": call.model,
        "data": [
            {"object": "embedding", "index": place, "embedding": [0.0, 1.0]}
            for place in range(count)
        ],
    }
    if manner.mode != "silent":
        tokens = manner.prompt_tokens
        told["usage"] = {"prompt_tokens": tokens, "total_tokens": tokens}
    return told


def known_manners() -> tuple[str, ...]:
    """What can be said of a model's manner?"""
    return tuple(field.name for field in fields(Manner))


async def _main(port: int) -> None:
    server = await Provider().serve(host="127.0.0.1", port=port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_main(parser.parse_args().port))
