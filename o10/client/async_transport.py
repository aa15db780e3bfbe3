"""How does the async client send? Over aiohttp, with one session for each event loop.

aiohttp costs a fifth of the CPU of the usual async client on this path and is what routers of
LLM calls have installed (docs/decisions/0030-the-clients-two-transports.md).
"""

import asyncio
import ssl
from collections.abc import Mapping
from typing import Final

from o10.client.errors import ClientExtraMissing
from o10.client.exchange import MAX_ANSWER_BYTES, Lost, Outcome, Reply, Send, retry_after_of
from o10.client.transport import IDLE_S, Address

try:
    import aiohttp
except ImportError as error:
    raise ClientExtraMissing(
        "o10.client.AsyncClient needs aiohttp: pip install 'o10[client]'", name="aiohttp"
    ) from error

CONNECTIONS: Final = 512


class AsyncTransport:
    """How does the async client send?"""

    def __init__(
        self, *, address: Address, headers: Mapping[str, str], tls: ssl.SSLContext | None
    ) -> None:
        self._address = address
        self._headers = dict(headers)
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def send(self, step: Send) -> Outcome:
        """Sends once and reads the whole answer; what fails is `Lost`, never an exception."""
        session = self._of_this_loop()
        limits = aiohttp.ClientTimeout(total=step.timeout_s, sock_connect=step.connect_s)
        try:
            try:
                return await self._answer(session, step, limits)
            except (aiohttp.ServerDisconnectedError, ConnectionResetError):
                # Closed while it lay idle; another connection is tried at once.
                return await self._answer(session, step, limits)
        except TimeoutError:
            return Lost("timeout")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Lost(f"{type(error).__name__}: {error}"[:200])

    async def close(self) -> None:
        """Ends every connection of this loop."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _answer(
        self, session: aiohttp.ClientSession, step: Send, limits: aiohttp.ClientTimeout
    ) -> Outcome:
        ask = step.ask
        async with session.request(
            ask.method,
            self._address.url + self._address.prefix + ask.path,
            data=ask.body if ask.method != "GET" else None,
            headers=dict(ask.headers) or None,
            timeout=limits,
            allow_redirects=False,
        ) as response:
            body = await _read(response)
            if body is None:
                return Lost("the answer is too large")
            return Reply(
                response.status,
                body,
                retry_after_of(response.headers.get("Retry-After")),
                response.headers.get("ETag", ""),
            )

    def _of_this_loop(self) -> aiohttp.ClientSession:
        loop = asyncio.get_running_loop()
        if self._session is None or self._loop is not loop or self._session.closed:
            tls: ssl.SSLContext | bool = True if self._tls is None else self._tls
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=CONNECTIONS, keepalive_timeout=IDLE_S, ssl=tls
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers=self._headers,
                auto_decompress=True,
            )
            self._loop = loop
        return self._session


async def _read(response: aiohttp.ClientResponse) -> bytes | None:
    """Which bytes are the body? None above the limit."""
    known = response.content_length
    if known is not None:
        return await response.read() if known <= MAX_ANSWER_BYTES else None
    pieces, size = [], 0
    async for piece in response.content.iter_any():
        pieces.append(piece)
        size += len(piece)
        if size > MAX_ANSWER_BYTES:
            return None
    return b"".join(pieces)
