"""How does a request travel over kept connections, with a deadline for every byte?

A small pool of sockets: it costs a router a fraction of the CPU of the usual client libraries
and installs nothing (docs/decisions/0031-the-client-speaks-http-itself.md). One transport may
be used by many threads; a forked child starts with no connections.
"""

import os
import socket
import ssl
from collections import deque
from collections.abc import Mapping
from time import monotonic
from typing import Final
from urllib.parse import urlsplit

from o10.client.exchange import Lost, Outcome, Reply, Send
from o10.client.http_bytes import Reading, Requests

IDLE_KEPT: Final = 32
IDLE_S: Final = 25.0
"""A connection unused for longer is not trusted: proxies drop them silently."""
PIECE_BYTES: Final = 64 * 1024


class Address:
    """Where does o10 listen? Read from a base URL, which may carry a path of a proxy.

    `name` is what the header Host says. Raises: ValueError in one sentence when it is no http
    or https URL.
    """

    def __init__(self, base_url: str) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
            raise ValueError(f"base_url is http://host:port or https://host, got {base_url!r}")
        self.secure = parts.scheme == "https"
        self.host = parts.hostname
        self.port = parts.port or (443 if self.secure else 80)
        self.prefix = parts.path.rstrip("/")
        self.name = parts.netloc.rpartition("@")[2]


class Transport:
    """How does the sync client send?"""

    def __init__(
        self, *, address: Address, headers: Mapping[str, str], tls: ssl.SSLContext | None
    ) -> None:
        """Raises: ValueError for a header that cannot be sent."""
        self._address = address
        self._requests = Requests(host=address.name, prefix=address.prefix, headers=headers)
        self._tls = tls_of(address, tls)
        self._pid = os.getpid()
        self._idle: deque[_Connection] = deque()

    def send(self, step: Send) -> Outcome:
        """Sends once and reads the whole answer; what fails is `Lost`, never an exception."""
        ends = monotonic() + step.timeout_s
        try:
            request = self._requests.bytes_of(step.ask)
        except ValueError as error:
            return Lost(cause_of(error))
        connection = self._kept()
        if connection is not None:
            try:
                return self._answer(connection, request, ends)
            except (OSError, ValueError) as error:
                if connection.begun or isinstance(error, TimeoutError):
                    return Lost(cause_of(error))
                # The server closed it while it lay idle; a fresh one is tried at once.
        connection = _Connection()
        try:
            left = max(ends - monotonic(), 0.001)
            connection.open(self._address, self._tls, min(step.connect_s, left))
            return self._answer(connection, request, ends)
        except (OSError, ValueError) as error:
            return Lost(cause_of(error))

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

    def _answer(self, connection: "_Connection", request: bytes, ends: float) -> Reply:
        try:
            reply = connection.ask(request, ends)
        except BaseException:
            connection.end()
            raise
        if not connection.keeps or len(self._idle) >= IDLE_KEPT:
            connection.end()
        else:
            connection.used_at = monotonic()
            self._idle.append(connection)
        return reply


class _Connection:
    """One connection. `begun` = something of the last answer came; `keeps` = ready for more."""

    def __init__(self) -> None:
        self.sock: socket.socket | None = None
        self.used_at = 0.0
        self.begun = self.keeps = False

    def open(self, address: Address, tls: ssl.SSLContext | None, connect_s: float) -> None:
        self.sock = socket.create_connection((address.host, address.port), timeout=connect_s)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:
            self.sock = tls.wrap_socket(self.sock, server_hostname=address.host)

    def ask(self, request: bytes, ends: float) -> Reply:
        """Sends and reads; every operation has what is left until `ends`."""
        self.begun = self.keeps = False
        reading, sock = Reading(), self.sock
        if sock is None:
            raise ConnectionResetError("closed")
        sock.settimeout(_left(ends))
        sock.sendall(request)
        while True:
            sock.settimeout(_left(ends))
            piece = sock.recv(PIECE_BYTES)
            if not piece:
                return reading.end()
            self.begun = True
            reply = reading.feed(piece)
            if reply is not None:
                self.keeps = reading.keeps
                return reply

    def end(self) -> None:
        """Closes for good."""
        if self.sock is not None:
            self.sock.close()
            self.sock = None


def tls_of(address: Address, tls: ssl.SSLContext | None) -> ssl.SSLContext | None:
    """How is the connection secured? None = not at all, as the URL says."""
    if not address.secure:
        return None
    return ssl.create_default_context() if tls is None else tls


def cause_of(error: Exception) -> str:
    """Why did no answer come, in a few words?"""
    if isinstance(error, TimeoutError):
        return "timeout"
    return f"{type(error).__name__}: {error}"[:200]


def _left(ends: float) -> float:
    left = ends - monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left
