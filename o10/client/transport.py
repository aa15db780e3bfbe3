"""How does a request travel over kept connections, with a deadline for every byte?

The standard library's HTTP with a pool: it costs a router a quarter of the CPU of the usual
client libraries and installs nothing (docs/decisions/0030-the-clients-two-transports.md). One
transport may be used by many threads; a forked child starts with no connections.
"""

import io
import os
import socket
import ssl
from collections import deque
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException, RemoteDisconnected
from time import monotonic
from typing import Any, Final
from urllib.parse import urlsplit

from o10.client.exchange import MAX_ANSWER_BYTES, Lost, Outcome, Reply, Send, retry_after_of

IDLE_KEPT: Final = 32
IDLE_S: Final = 25.0
"""A connection unused for longer is not trusted: proxies drop them silently."""
_STALE = (RemoteDisconnected, ConnectionResetError, BrokenPipeError)


class Address:
    """Where does o10 listen? Read from a base URL, which may carry a path of a proxy.

    Raises: ValueError in one sentence when it is no http or https URL.
    """

    def __init__(self, base_url: str) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
            raise ValueError(f"base_url is http://host:port or https://host, got {base_url!r}")
        self.secure = parts.scheme == "https"
        self.host = parts.hostname
        self.port = parts.port or (443 if self.secure else 80)
        self.prefix = parts.path.rstrip("/")
        self.url = f"{parts.scheme}://{parts.netloc}"


class Transport:
    """How does the sync client send?"""

    def __init__(
        self, *, address: Address, headers: Mapping[str, str], tls: ssl.SSLContext | None
    ) -> None:
        self._address = address
        self._headers = dict(headers)
        self._tls = tls
        if tls is None and address.secure:
            self._tls = ssl.create_default_context()
        self._pid = os.getpid()
        self._idle: deque[_Connection] = deque()

    def send(self, step: Send) -> Outcome:
        """Sends once and reads the whole answer; what fails is `Lost`, never an exception."""
        ends = monotonic() + step.timeout_s
        connection = self._kept()
        if connection is not None:
            try:
                return self._answer(connection, step, ends)
            except _STALE:
                # The server closed it while it lay idle; a fresh one is tried at once.
                connection.end()
            except (OSError, HTTPException, ValueError) as error:
                connection.end()
                return Lost(_cause(error))
        connection = _Connection(self._address, self._tls)
        try:
            connection.open(min(step.connect_s, max(ends - monotonic(), 0.001)))
            return self._answer(connection, step, ends)
        except (OSError, HTTPException, ValueError) as error:
            connection.end()
            return Lost(_cause(error))
        except BaseException:
            connection.end()
            raise

    def close(self) -> None:
        """Ends every idle connection."""
        while self._idle:
            self._idle.pop().end()

    def _kept(self) -> "_Connection | None":
        if self._pid != os.getpid():
            # The parent's sockets: using them would mix two conversations.
            self._idle, self._pid = deque(), os.getpid()
        now = monotonic()
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return None
            if now - connection.used_at < IDLE_S:
                return connection
            connection.end()

    def _answer(self, connection: "_Connection", step: Send, ends: float) -> Outcome:
        connection.wire.ends = ends
        ask = step.ask
        headers = self._headers | dict(ask.headers)
        body = ask.body if ask.method != "GET" else None
        connection.request(ask.method, self._address.prefix + ask.path, body, headers)
        response = connection.getresponse()
        told = response.read(MAX_ANSWER_BYTES + 1)
        if len(told) > MAX_ANSWER_BYTES:
            connection.end()
            return Lost("the answer is too large")
        missing = response.length
        if missing:
            connection.end()
            return Lost("the answer broke off")
        reply = Reply(
            response.status,
            told,
            retry_after_of(response.headers.get("Retry-After")),
            response.headers.get("ETag", ""),
        )
        if response.will_close or len(self._idle) >= IDLE_KEPT:
            connection.end()
        else:
            connection.used_at = monotonic()
            self._idle.append(connection)
        return reply


class _Connection(HTTPConnection):
    """One connection whose socket keeps the deadline of the request."""

    def __init__(self, address: Address, tls: ssl.SSLContext | None) -> None:
        super().__init__(address.host, address.port)
        self._tls = tls
        self.wire = _Wire()
        self.used_at = 0.0

    def open(self, connect_s: float) -> None:
        sock = socket.create_connection((self.host, self.port), timeout=connect_s)
        self.wire.sock = sock
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._tls is not None:
            self.wire.sock = self._tls.wrap_socket(sock, server_hostname=self.host)
        self.sock = self.wire

    def end(self) -> None:
        """Closes for good. The base class's `close` leaves the socket to us."""
        self.close()
        self.wire.end()


class _Wire:
    """A socket that gives each operation what is left until `ends`."""

    def __init__(self) -> None:
        self.sock: socket.socket | None = None
        self.ends = 0.0

    def ready(self) -> socket.socket:
        if self.sock is None:
            raise ConnectionResetError("closed")
        left = self.ends - monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self.sock.settimeout(left)
        return self.sock

    def sendall(self, content: Any) -> None:
        self.ready().sendall(content)

    def makefile(self, mode: str, *_: Any, **__: Any) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self), 16 * 1024)

    def close(self) -> None:
        """Left to `end`: http.client closes once the headers of a last answer are read."""

    def end(self) -> None:
        if self.sock is not None:
            self.sock.close()
            self.sock = None


class _Reader(io.RawIOBase):
    def __init__(self, wire: _Wire) -> None:
        self._wire = wire

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._wire.ready().recv_into(buffer)


def _cause(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "timeout"
    return f"{type(error).__name__}: {error}"[:200]
