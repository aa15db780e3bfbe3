"""Is an answer read the same however its bytes come? And is nothing taken for one wrongly?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o10.client.exchange import MAX_ANSWER_BYTES, Ask, Reply
from o10.client.http_bytes import Reading, Requests

BODY = b'{"decision": "allow"}\r\n\r\n0\r\n'
HEADS = b'Server: x\r\nETag: W/"Ab"\r\nRetry-After: 7\r\n'
CHUNKED = b"5\r\n" + BODY[:5] + b"\r\n%x;ext=1\r\n" % (len(BODY) - 5) + BODY[5:] + b"\r\n"
ANSWERS = {
    "by length": (
        b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n%b" % (HEADS, len(BODY), BODY),
        True,
    ),
    "in chunks": (
        b"HTTP/1.1 200 OK\r\n%bTransfer-Encoding: Chunked\r\n\r\n%b0\r\n\r\n"
        % (HEADS, CHUNKED),
        True,
    ),
    "in chunks with trailers": (
        b"HTTP/1.1 200\r\n%btransfer-encoding:chunked\r\n\r\n%b0\r\nA: b\r\n\r\n"
        % (HEADS, CHUNKED),
        True,
    ),
    "after a continue": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n%bcontent-length: %d\r\n\r\n%b"
        % (HEADS, len(BODY), BODY),
        True,
    ),
    "that closes": (
        b"HTTP/1.1 200 OK\r\n%bConnection: Close\r\ncontent-length: %d\r\n\r\n%b"
        % (HEADS, len(BODY), BODY),
        False,
    ),
    "up to the end": (b"HTTP/1.0 200 OK\r\n%b\r\n%b" % (HEADS, BODY), False),
}


def read(answer: bytes, cuts: list[int]) -> tuple[Reply, bool]:
    """The answer that comes in these pieces."""
    reading, places = Reading(), sorted({cut % (len(answer) + 1) for cut in cuts})
    pieces = [
        answer[begin:end]
        for begin, end in zip([0, *places], [*places, len(answer)], strict=True)
        if end > begin
    ]
    for number, piece in enumerate(pieces, 1):
        reply = reading.feed(piece)
        if reply is not None:
            assert number == len(pieces), "whole before its end"
            return reply, reading.keeps
    return reading.end(), reading.keeps


@given(how=st.sampled_from(sorted(ANSWERS)), cuts=st.lists(st.integers(0, 400), max_size=6))
def test_an_answer_is_the_same_however_it_is_cut(how: str, cuts: list[int]) -> None:
    answer, keeps = ANSWERS[how]
    assert read(answer, cuts) == (Reply(200, BODY, 7, 'W/"Ab"'), keeps)


@given(how=st.sampled_from(sorted(ANSWERS)), at=st.integers(0, 400))
def test_half_an_answer_is_none(how: str, at: int) -> None:
    answer, _ = ANSWERS[how]
    at %= len(answer)
    if how == "up to the end" and answer[:at].find(b"\r\n\r\n") >= 0:
        return
    reading = Reading()
    assert at == 0 or reading.feed(answer[:at]) is None
    with pytest.raises(ConnectionError):
        reading.end()


@pytest.mark.parametrize(
    "nonsense",
    [
        b"SMTP ready\r\n\r\n",
        b"SMTP",
        b"HTTP/2.0 2",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (MAX_ANSWER_BYTES + 1),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabcd\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n" + b"x" * 99,
        b"HTTP/1.1 200 OK\r\n" + b"x" * 70_000,
    ],
)
def test_what_is_no_answer_is_refused(nonsense: bytes) -> None:
    reading = Reading()
    with pytest.raises((ValueError, ConnectionError)):
        reading.feed(nonsense)
        reading.end()


def test_what_nobody_asked_for_ends_the_connection() -> None:
    answer, _ = ANSWERS["by length"]
    reading = Reading()
    assert reading.feed(answer + b"HTTP/1.1 200 OK\r\n") is not None
    assert not reading.keeps


def test_a_request_is_one_head_and_one_body() -> None:
    requests = Requests(host="h:1", prefix="/o10", headers={"Authorization": "Bearer x"})
    ask = Ask("POST", "/api/v1/settle", b"{}", (("If-None-Match", "a"),))
    assert requests.bytes_of(ask) == (
        b"POST /o10/api/v1/settle HTTP/1.1\r\nHost: h:1\r\nAuthorization: Bearer x\r\n"
        b"If-None-Match: a\r\nContent-Length: 2\r\n\r\n{}"
    )
    assert requests.bytes_of(Ask("GET", "/x")).endswith(b"Bearer x\r\n\r\n")


@pytest.mark.parametrize(
    "headers", [{"Authorization": "Bearer x\r\nHost: y"}, {"A b": "x"}, {"A": "\u2028"}]
)
def test_a_header_never_begins_another_line(headers: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="cannot be sent"):
        Requests(host="h", prefix="", headers=headers)


@pytest.mark.parametrize("path", ["/a b", "/a\r\nHost: y", "", "a"])
def test_a_path_is_one_word(path: str) -> None:
    with pytest.raises(ValueError, match="printable"):
        Requests(host="h", prefix="", headers={}).bytes_of(Ask("POST", path))
