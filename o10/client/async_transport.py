"""How does the async client send? Over connections of its event loop, kept for the next call.

One write, one look at what came, one future: that is what a question costs a router's worker
(docs/decisions/0031-the-client-speaks-http-itself.md). Works on every loop of asyncio's kind.
"""

import asyncio
import ssl
from collections.abc import Mapping
from time import monotonic
from typing import Final

from o10.client.exchange import Lost, Outcome, Send
from o10.client.http_bytes import Reading, Requests
from o10.client.transport import IDLE_S, Address, cause_of, tls_of

CONNECTIONS: Final = 512
_CLOSED: Final = Lost("ConnectionResetError: closed before an answer")


class AsyncTransport:
    """How does the async client send?"""

    def __init__(
        self, *, address: Address, headers: Mapping[str, str], tls: ssl.SSLContext | None
    ) -> None:
        """Raises: ValueError for a header that cannot be sent."""
        self._address = address
        self._requests = Requests(host=address.name, prefix=address.prefix, headers=headers)
        self._tls = tls_of(address, tls)
        self._pool: _Pool | None = None

    async def send(self, step: Send) -> Outcome:
        """Sends once and reads the whole answer; what fails is `Lost`, never an exception."""
        loop = asyncio.get_running_loop()
        pool = self._pool
        if pool is None or pool.loop is not loop:
            # Connections of another loop cannot be used, nor closed, from here.
            pool = self._pool = _Pool(loop)
        try:
            request = self._requests.bytes_of(step.ask)
        except ValueError as error:
            return Lost(cause_of(error))
        ends = monotonic() + step.timeout_s
        if pool.turns.locked():
            try:
                await asyncio.wait_for(pool.turns.acquire(), step.timeout_s)
            except TimeoutError:
                return Lost("timeout")
        else:
            await pool.turns.acquire()
        try:
            return await self._send(pool, request, step, ends)
        finally:
            pool.turns.release()

    async def close(self) -> None:
        """Ends every idle connection of this loop."""
        pool, self._pool = self._pool, None
        if pool is not None and pool.loop is asyncio.get_running_loop():
            pool.close()

    async def _send(self, pool: "_Pool", request: bytes, step: Send, ends: float) -> Outcome:
        wire = pool.kept()
        if wire is not None:
            outcome = await wire.ask(request, ends - monotonic())
            if outcome is not None:
                return outcome
            # The server closed it while it lay idle; a fresh one is tried at once.
        left = ends - monotonic()
        if left <= 0:
            return Lost("timeout")
        wire = _Wire(pool)
        address = self._address
        opening = pool.loop.create_connection(
            lambda: wire, address.host, address.port, ssl=self._tls
        )
        try:
            await asyncio.wait_for(opening, min(step.connect_s, left))
        except (OSError, ValueError) as error:
            return Lost(cause_of(error))
        outcome = await wire.ask(request, ends - monotonic())
        return _CLOSED if outcome is None else outcome


class _Pool:
    """Which connections of one event loop lie idle? The one used last is used next."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.turns = asyncio.Semaphore(CONNECTIONS)
        self.idle: list[_Wire] = []

    def kept(self) -> "_Wire | None":
        """A connection that may still be open."""
        while self.idle:
            wire = self.idle.pop()
            if monotonic() - wire.used_at < IDLE_S:
                return wire
            wire.end()
        return None

    def close(self) -> None:
        """Ends them."""
        while self.idle:
            self.idle.pop().end()


class _Wire(asyncio.Protocol):
    """One connection, with one request at a time on it."""

    def __init__(self, pool: _Pool) -> None:
        self._pool = pool
        self._transport: asyncio.Transport | None = None
        self._reading: Reading | None = None
        self._answer: asyncio.Future[Outcome | None] | None = None
        self.used_at = 0.0

    async def ask(self, request: bytes, timeout_s: float) -> Outcome | None:
        """What was answered? None = it was closed before anything came."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return None
        self._reading = Reading()
        answer: asyncio.Future[Outcome | None] = self._pool.loop.create_future()
        self._answer = answer
        clock = self._pool.loop.call_later(timeout_s, self._over, Lost("timeout"))
        transport.write(request)
        try:
            return await answer
        finally:
            # Cancelled: what still comes would be taken for the next answer.
            clock.cancel()
            if self._answer is answer:
                self.end()

    def end(self) -> None:
        """Closes for good."""
        self._answer = None
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        reading = self._reading
        if reading is None:
            # Nobody asked.
            self.end()
            return
        try:
            reply = reading.feed(data)
        except ValueError as error:
            self._over(Lost(cause_of(error)))
            return
        if reply is None:
            return
        self._reading = None
        answer, self._answer = self._answer, None
        if reading.keeps:
            self.used_at = monotonic()
            self._pool.idle.append(self)
        else:
            self.end()
        if answer is not None and not answer.done():
            answer.set_result(reply)

    def eof_received(self) -> bool:
        if self._reading is not None and self._reading.begun:
            try:
                self._over(self._reading.end())
            except ConnectionError as error:
                self._over(Lost(cause_of(error)))
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self in self._pool.idle:
            self._pool.idle.remove(self)
        begun = self._reading is not None and self._reading.begun
        self._over(Lost(cause_of(exc or ConnectionError("closed"))) if begun else None)

    def _over(self, outcome: Outcome | None) -> None:
        """Nothing more is read here."""
        self._reading = None
        answer = self._answer
        self.end()
        if answer is not None and not answer.done():
            answer.set_result(outcome)
