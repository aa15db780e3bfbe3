"""How are many calls put to a proxy at once, and what do they hear? Over kept connections."""

import asyncio
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

MAX_ANSWER = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Said:
    """What did the proxy answer, after how many seconds?"""

    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float


def put(
    port: int,
    bodies: Sequence[dict[str, Any]],
    *,
    keys: Iterable[str],
    concurrency: int,
    path: str = "/v1/chat/completions",
) -> list[Said]:
    """What does each of these requests hear? So many are under way at a time.

    `keys` are dealt out to the callers, one each, again from the start when they run out.
    """
    return asyncio.run(_put(port, bodies, tuple(keys), concurrency, path))


async def _put(
    port: int,
    bodies: Sequence[dict[str, Any]],
    keys: tuple[str, ...],
    concurrency: int,
    path: str,
) -> list[Said]:
    answers: list[Said | None] = [None] * len(bodies)
    waiting = iter(enumerate(bodies))

    async def caller(key: str) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=MAX_ANSWER)
        try:
            for place, body in waiting:
                raw = json.dumps(body).encode()
                begun = time.perf_counter()
                writer.write(_head(path, key, len(raw)) + raw)
                status, headers, read = await _read(reader)
                spent = time.perf_counter() - begun
                answers[place] = Said(status, headers, read, spent)
        finally:
            writer.close()

    callers = min(concurrency, max(len(bodies), 1))
    await asyncio.gather(*(caller(keys[place % len(keys)]) for place in range(callers)))
    return [each for each in answers if each is not None]


def _head(path: str, key: str, length: int) -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {key}\r\n"
        f"content-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    ).encode()


async def _read(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {}
    for line in head[1:]:
        name, colon, value = line.partition(":")
        if colon:
            headers[name.lower()] = value.strip()
    if "chunked" in headers.get("transfer-encoding", ""):
        pieces = []
        while size := int((await reader.readline()).strip() or b"0", 16):
            pieces.append(await reader.readexactly(size))
            await reader.readline()
        await reader.readline()
        body = b"".join(pieces)
    else:
        body = await reader.readexactly(int(headers.get("content-length", "0")))
    return int(head[0].split()[1]), headers, body
