"""How fast do answers come back over HTTP? Keep-alive connections that cost next to nothing.

One process, one epoll, raw sockets, requests built beforehand. What a connection asks next is
a generator: it yields the bytes of a request and gets `(status, body, nanoseconds)` back, or
yields seconds to rest.
"""

import heapq
import itertools
import json
import select
import socket
import time
from array import array
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

Answer = tuple[int, bytes, int]
"""Status (0 = no answer came), body, nanoseconds from the first try to the last byte."""
Script = Generator[bytes | float, Answer, None]
OpenSocket = Callable[[], socket.socket]

CHUNK = 1 << 16
CONNECT_S = 5.0
STALLED_S = 60.0
BACK_OFF_NS = (20_000_000, 40_000_000, 80_000_000, 160_000_000, 320_000_000)


class Stalled(TimeoutError):
    """Nobody answered for a minute: a hang, which is never an answer."""


@dataclass(frozen=True, slots=True)
class Request:
    """Which bytes ask this, with a number of fixed width where `NUMBER` stood in the body?"""

    before: bytes
    after: bytes

    NUMBER = "000000000000"

    def numbered(self, number: int) -> bytes:
        """The request that nobody else has sent."""
        return b"%b%012d%b" % (self.before, number, self.after)

    @property
    def plain(self) -> bytes:
        """The request without a number in it."""
        return self.before


def build_request(
    *, path: str, key: str = "", body: dict[str, Any] | None = None, method: str = "POST"
) -> Request:
    """Which bytes are this request? A `Request.NUMBER` in the body is left open."""
    sent = b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1"]
    if key:
        lines.append(f"Authorization: Bearer {key}")
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(sent)}"]
    whole = "\r\n".join([*lines, "", ""]).encode() + sent
    before, found, after = whole.partition(Request.NUMBER.encode())
    return Request(before, after) if found else Request(whole, b"")


@dataclass(slots=True)
class Driven:
    """What came of it? Seconds are from the first request to the last answer."""

    answers: int
    seconds: float
    broken: int
    """Connections that broke or were answered 503 and asked again with the same bytes."""
    cpu_s: float
    """Processor time of the driver itself."""

    @property
    def rate(self) -> float:
        """Answers per second."""
        return self.answers / self.seconds


@dataclass(slots=True, eq=False)
class _Line:
    """One connection: its script, what it waits for and since when."""

    script: Script
    link: socket.socket | None = None
    sent: bytes = b""
    since: int = 0
    tries: int = 0
    got: bytes = b""
    rests: bool = False
    """It is put off: for a rest, or until it asks again."""


def drive(
    *,
    port: int,
    scripts: Sequence[Script],
    seconds: float | None = None,
    sockets: Sequence[socket.socket] = (),
    retries: int = 0,
    stalled_s: float = STALLED_S,
    whole: bool = False,
) -> Driven:
    """What do these scripts get to hear, all at once, one connection each?

    `whole` = the body of an answer is preceded by its status line and headers.

    Ends when all scripts have ended, or after `seconds`: then no new request is sent and the
    open ones are awaited. `retries` = how often a request is sent again with the same bytes
    when its connection breaks or a 503 comes back; without any, the script hears of it.

    Raises: Stalled.
    """
    run = _Run(port=port, retries=retries, stalled_s=stalled_s, whole=whole)
    return run.through(scripts, sockets=list(sockets), seconds=seconds)


class _Run:
    def __init__(self, *, port: int, retries: int, stalled_s: float, whole: bool) -> None:
        self.port, self.retries, self.stalled_s = port, retries, stalled_s
        self.whole = whole
        self.poll = select.epoll()
        self.lines: dict[int, _Line] = {}
        self.waiting: list[tuple[int, int, _Line]] = []
        self.order = itertools.count()
        self.answers = self.broken = 0
        self.deadline = 1 << 63

    def through(
        self, scripts: Sequence[Script], *, sockets: list[socket.socket], seconds: float | None
    ) -> Driven:
        cpu = time.process_time()
        begun = time.perf_counter_ns()
        if seconds is not None:
            self.deadline = begun + int(seconds * 1e9)
        for script in scripts:
            line = _Line(script, sockets.pop() if sockets else None)
            if line.link is not None:
                self._enter(line, line.link)
            self._ask(line, next(line.script, None), time.perf_counter_ns())
        last = self._loop()
        self.poll.close()
        return Driven(
            answers=self.answers,
            seconds=(last - begun) / 1e9,
            broken=self.broken,
            cpu_s=time.process_time() - cpu,
        )

    def _loop(self) -> int:
        now = heard = time.perf_counter_ns()
        while self.lines or self.waiting:
            timeout = 1.0
            if self.waiting:
                timeout = max(0.0, min(1.0, (self.waiting[0][0] - now) / 1e9))
            for number, _ in self.poll.poll(timeout):
                line = self.lines.get(number)
                if line is not None and self._hear(line):
                    heard = time.perf_counter_ns()
            now = time.perf_counter_ns()
            while self.waiting and self.waiting[0][0] <= now:
                self._go_on(heapq.heappop(self.waiting)[2], now)
                heard = now
            if now - heard > self.stalled_s * 1e9:
                raise Stalled(f"{len(self.lines)} connections heard nothing")
        return heard

    def _hear(self, line: _Line) -> bool:
        """Is a whole answer there?"""
        try:
            data = line.link.recv(CHUNK)  # type: ignore[union-attr]
        except OSError:
            data = b""
        if not data:
            self._break(line)
            return False
        if line.got:
            data = line.got + data
        end = data.find(b"\r\n\r\n") + 4
        if end < 4 or len(data) < end + _length(data, end):
            line.got = data
            return False
        now = time.perf_counter_ns()
        line.got = b""
        status = int(data[9:12])
        if status == 503 and line.tries < self.retries:
            self.broken += 1
            self._later(line)
            return True
        self.answers += 1
        body = data if self.whole else data[end:]
        self._told(line, (status, body, now - line.since), now)
        return True

    def _told(self, line: _Line, answer: Answer, now: int) -> None:
        line.tries = 0
        try:
            asked = line.script.send(answer)
        except StopIteration:
            asked = None
        self._ask(line, asked, now)

    def _ask(self, line: _Line, asked: bytes | float | None, now: int) -> None:
        if asked is None or now > self.deadline:
            line.script.close()
            self._leave(line)
            return
        if isinstance(asked, bytes):
            line.sent, line.since = asked, now
            self._send(line)
            return
        line.sent = b""
        self._put_off(line, now + int(asked * 1e9))

    def _put_off(self, line: _Line, due: int) -> None:
        line.rests = True
        heapq.heappush(self.waiting, (due, next(self.order), line))

    def _go_on(self, line: _Line, now: int) -> None:
        """What was put off is due: the same request again, or the end of a rest."""
        line.rests = False
        if line.sent:
            self._send(line)
        else:
            self._told(line, (0, b"", 0), now)

    def _send(self, line: _Line) -> None:
        try:
            if line.link is None:
                self._enter(line, connect(self.port))
            line.link.sendall(line.sent)  # type: ignore[union-attr]
        except OSError:
            self._break(line)

    def _break(self, line: _Line) -> None:
        self._leave(line)
        line.got = b""
        if line.rests:
            return
        self.broken += 1
        if line.tries < self.retries:
            self._later(line)
            return
        now = time.perf_counter_ns()
        self._told(line, (0, b"", now - line.since), now)

    def _later(self, line: _Line) -> None:
        wait = BACK_OFF_NS[min(line.tries, len(BACK_OFF_NS) - 1)]
        line.tries += 1
        self._put_off(line, time.perf_counter_ns() + wait)

    def _enter(self, line: _Line, opened: socket.socket) -> None:
        line.link = opened
        self.lines[opened.fileno()] = line
        self.poll.register(opened.fileno(), select.EPOLLIN)

    def _leave(self, line: _Line) -> None:
        if line.link is None:
            return
        self.poll.unregister(line.link.fileno())
        del self.lines[line.link.fileno()]
        line.link.close()
        line.link = None


def connect(port: int) -> socket.socket:
    """A connection to this machine's port; waits for nothing but the connection.

    Raises: OSError.
    """
    opened = socket.create_connection(("127.0.0.1", port), timeout=CONNECT_S)
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    opened.settimeout(None)
    return opened


def _length(data: bytes, end: int) -> int:
    at = data.find(b"content-length: ", 0, end)
    if at < 0:
        at = data[:end].lower().find(b"content-length: ")
    if at < 0:
        raise ValueError(f"no Content-Length in {data[:end]!r}")
    return int(data[at + 16 : data.find(b"\r", at)])


def over_and_over(request: Request, *, first: int, waits: "array[int]", good: bytes) -> Script:
    """Asks numbered requests without end and keeps each wait in ns.

    Raises: ValueError at an answer that is not 200 or does not contain `good`.
    """
    for number in itertools.count(first):
        status, body, nanos = yield request.numbered(number)
        if status != 200 or good not in body:
            raise ValueError(f"answered {status}: {body[:300]!r}")
        waits.append(nanos)


def percentile(waits: Sequence[int], share: float) -> float:
    """Which wait is not passed by this share of all? Microseconds, of waits in ns."""
    if not waits:
        return 0.0
    ordered = sorted(waits)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] / 1_000
