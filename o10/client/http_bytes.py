"""Which bytes are a request of ours, and when is an answer whole?

As much of HTTP/1.1 as one client needs that speaks to one server: a body of known length goes
out, an answer comes back by length, in chunks, or up to the end. No network here, so that the
sync and the async transport read alike. What is not an answer is a ValueError.
Source: RFC 9112 sections 2 to 7; docs/decisions/0031-the-client-speaks-http-itself.md.
"""

import re
from collections.abc import Mapping
from typing import Final

from o10.client.exchange import MAX_ANSWER_BYTES, Ask, Reply, retry_after_of

MAX_HEAD_BYTES: Final = 64 * 1024
KNOWN_HEADS: Final = 64
FINAL: Final = 200
"""Below it more answers follow."""
_END: Final = b"\r\n\r\n"
_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", re.A)
_PATH: Final = re.compile(r"/[!-~]*", re.A)
_HEX: Final = re.compile(rb"[0-9a-fA-F]{1,8}")
_NO_BODY: Final = frozenset({204, 304})


class Requests:
    """How is a request written, beside the headers that all have in common?"""

    def __init__(self, *, host: str, prefix: str, headers: Mapping[str, str]) -> None:
        """Raises: ValueError for a header that would begin another line."""
        self._prefix = prefix
        self._common = _lines({"Host": host, **headers})
        self._heads: dict[tuple[str, str], bytes] = {}

    def bytes_of(self, ask: Ask) -> bytes:
        """Which bytes are sent? Raises: ValueError for a path or header that is none."""
        head = self._heads.get((ask.method, ask.path))
        if head is None:
            head = self._head(ask)
        more = _lines(dict(ask.headers)) if ask.headers else b""
        if ask.method == "GET":
            return b"%b%b\r\n" % (head, more)
        return b"%b%bContent-Length: %d\r\n\r\n%b" % (head, more, len(ask.body), ask.body)

    def _head(self, ask: Ask) -> bytes:
        path = self._prefix + ask.path
        if not _PATH.fullmatch(path) or not _NAME.fullmatch(ask.method):
            raise ValueError("a request has a method and a path of printable characters")
        head = f"{ask.method} {path} HTTP/1.1\r\n".encode() + self._common
        if len(self._heads) >= KNOWN_HEADS:
            self._heads.clear()
        self._heads[ask.method, ask.path] = head
        return head


class Reading:
    """How much of one answer is there? `feed` and `end` say it once it is whole.

    `begun` tells whether anything came, `keeps` whether the connection may be used again.
    """

    __slots__ = (
        "_chunked",
        "_etag",
        "_left",
        "_pieces",
        "_rest",
        "_status",
        "_wait",
        "begun",
        "keeps",
    )

    def __init__(self) -> None:
        self._rest = b""
        self._status = 0
        self._wait: int | None = None
        self._etag = ""
        self._left: int | None = None
        self._chunked: _Chunks | None = None
        self._pieces: list[bytes] = []
        self.begun = False
        self.keeps = False

    def feed(self, piece: bytes) -> Reply | None:
        """What came next; the answer when it is whole.

        Raises: ValueError when it is no answer, or too large.
        """
        self.begun = True
        if self._status >= FINAL:
            return self._feed_body(piece)
        if self._rest:
            piece = self._rest + piece
        at = 0
        while self._status < FINAL:
            end = piece.find(_END, at)
            if end < 0:
                rest = self._rest = piece[at:]
                if len(rest) > MAX_HEAD_BYTES or not b"HTTP/1.".startswith(rest[:7]):
                    raise ValueError("it is no answer of HTTP")
                return None
            self._read_head(piece[at : end + 2])
            at = end + 4
        if self._left == len(piece) - at:
            # All at once, as nearly always.
            return Reply(self._status, piece[at:], self._wait, self._etag)
        return self._feed_body(piece[at:])

    def end(self) -> Reply:
        """The server closes; the answer when that ends it. Raises: ConnectionError."""
        if not self.begun:
            raise ConnectionResetError("closed before an answer")
        if self._status < FINAL or self._left is not None or self._chunked is not None:
            raise ConnectionError("the answer broke off")
        return self._whole()

    def _feed_body(self, piece: bytes) -> Reply | None:
        if self._chunked is not None:
            self._chunked.feed(piece)
            if not self._chunked.whole:
                return None
            self._pieces = self._chunked.pieces
            self.keeps = self.keeps and not self._chunked.rest
            return self._whole()
        self._pieces.append(piece)
        if self._left is None:
            if sum(map(len, self._pieces)) > MAX_ANSWER_BYTES:
                raise ValueError("the answer is too large")
            return None
        if len(piece) > self._left:
            # Something that nobody asked for follows.
            self._pieces[-1], self.keeps = piece[: self._left], False
        self._left -= len(self._pieces[-1])
        return None if self._left else self._whole()

    def _whole(self) -> Reply:
        return Reply(self._status, b"".join(self._pieces), self._wait, self._etag)

    def _read_head(self, head: bytes) -> None:
        """Takes in the status line and those headers that matter."""
        if head[:7] != b"HTTP/1." or head[8:9] != b" " or not head[9:12].isdigit():
            raise ValueError("it is no answer of HTTP")
        self._status = int(head[9:12])
        if self._status < FINAL:
            return
        lower = head.lower()
        self.keeps = head[7:8] == b"1"
        if b"\r\nconnection:" in lower:
            self.keeps = self.keeps and b"close" not in _value(lower, lower, b"connection")
        if b"\r\nretry-after:" in lower:
            self._wait = retry_after_of(_value(head, lower, b"retry-after").decode("latin-1"))
        if b"\r\netag:" in lower:
            self._etag = _value(head, lower, b"etag").decode("latin-1")
        if self._status in _NO_BODY:
            self._left = 0
        elif b"\r\ntransfer-encoding:" in lower:
            if _value(lower, lower, b"transfer-encoding") != b"chunked":
                raise ValueError("the answer is coded in a way nobody asked for")
            self._chunked = _Chunks()
        elif b"\r\ncontent-length:" in lower:
            self._left = _length(_value(lower, lower, b"content-length"))
        else:
            self.keeps = False


class _Chunks:
    """How much of a body in chunks is there?"""

    __slots__ = ("_size", "pieces", "rest", "whole")

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.rest = b""
        self.whole = False
        self._size = 0

    def feed(self, piece: bytes) -> None:
        """Raises: ValueError when these are no chunks, or too many."""
        data = self.rest + piece
        if self._size + len(data) > MAX_ANSWER_BYTES + MAX_HEAD_BYTES:
            raise ValueError("the answer is too large")
        while (line := data.find(b"\r\n")) >= 0:
            size = _chunk_size(data[:line])
            if size == 0:
                end = _trailer_end(data, line)
                if end < 0:
                    break
                self.rest, self.whole = data[end:], True
                return
            begin, end = line + 2, line + 2 + size
            if len(data) < end + 2:
                break
            if data[end : end + 2] != b"\r\n":
                raise ValueError("these are no chunks")
            self.pieces.append(data[begin:end])
            self._size += size
            data = data[end + 2 :]
        self.rest = data


def _trailer_end(data: bytes, line: int) -> int:
    """Where does what follows the last chunk end? -1 = it is not all there."""
    if data.startswith(b"\r\n", line + 2):
        return line + 4
    end = data.find(_END, line)
    return -1 if end < 0 else end + 4


def _chunk_size(line: bytes) -> int:
    size = line.partition(b";")[0].strip()
    if not _HEX.fullmatch(size):
        raise ValueError("these are no chunks")
    return int(size, 16)


def _value(head: bytes, lower: bytes, name: bytes) -> bytes:
    """What does this header say, which is there?"""
    at = lower.index(b"\r\n%b:" % name) + len(name) + 3
    return head[at : head.index(b"\r\n", at)].strip()


def _length(said: bytes) -> int:
    if not said.isdigit() or len(said) > 12:
        raise ValueError("it is no answer of HTTP")
    length = int(said)
    if length > MAX_ANSWER_BYTES:
        raise ValueError("the answer is too large")
    return length


def _lines(headers: Mapping[str, str]) -> bytes:
    for name, value in headers.items():
        if not _NAME.fullmatch(name) or not value.isprintable() or not value.isascii():
            raise ValueError(f"the header {name[:40]!r} cannot be sent")
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode()
