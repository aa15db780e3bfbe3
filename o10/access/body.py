"""How much of a request's body is read, of which type, and under which idempotency key?

One reader for the hot door and for Django's views: it looks at the headers before it touches
the stream, and never keeps more than the path's limit.
"""

import re
from collections.abc import Mapping
from typing import Any

from o10.kernel.errors import (
    FieldError,
    MalformedBody,
    Rejected,
    TooLarge,
    UnsupportedMediaType,
    ValidationFailed,
)

JSON = ("application/json",)
MOST_DISCARDED = 32 * 1024 * 1024
"""A client that writes before it reads would see a broken pipe instead of the 413: this much of
its body is read and thrown away, in small pieces, and not a byte more."""
_CHUNK = 64 * 1024
_KEY = re.compile(r"[\x21-\x7e]{1,128}", re.A)
_LONGEST_NAMED_TYPE = 80


class MethodNotAllowed(Rejected):
    """Does this path not answer this method? Fields: `method`, `allowed`."""

    code = "method_not_allowed"


def read_body(
    environ: Mapping[str, Any], *, max_bytes: int, media_types: tuple[str, ...] = JSON
) -> bytes:
    """Which bytes did the caller send?

    Units: `max_bytes` of the body as sent. `environ` is a WSGI environment (PEP 3333).
    Raises: UnsupportedMediaType (`unsupported_media_type`); TooLarge (`too_large`), before
    anything is kept when Content-Length says so; MalformedBody (`malformed_body`) when it ends
    early or is compressed.
    """
    check_media_type(environ, media_types=media_types)
    if environ.get("HTTP_CONTENT_ENCODING", "identity") != "identity":
        raise MalformedBody(reason="a compressed body is not read here")
    length = _length(environ)
    if length is not None and length <= _CHUNK and length <= max_bytes:
        body: bytes = environ["wsgi.input"].read(length)
        if len(body) == length:
            return body
        return _whole(body + _read(environ["wsgi.input"], length - len(body)), length)
    if length is not None and length > max_bytes:
        _discard(environ["wsgi.input"], min(length, MOST_DISCARDED))
        raise TooLarge(limit_bytes=max_bytes)
    wanted = max_bytes + 1 if length is None else length
    body = _read(environ["wsgi.input"], wanted)
    if len(body) > max_bytes:
        raise TooLarge(limit_bytes=max_bytes)
    return body if length is None else _whole(body, length)


def check_media_type(environ: Mapping[str, Any], *, media_types: tuple[str, ...]) -> str:
    """Which of the media types read here is the body's?

    Raises: UnsupportedMediaType (`unsupported_media_type`) with `got` and `accepted`.
    """
    stated = str(environ.get("CONTENT_TYPE") or "")
    if stated in media_types:
        return stated
    media_type = stated.partition(";")[0].strip().lower()
    if media_type not in media_types:
        got = stated[:_LONGEST_NAMED_TYPE] or "(none)"
        raise UnsupportedMediaType(got=got, accepted=", ".join(media_types))
    return media_type


def idempotency_key_of(environ: Mapping[str, Any], *, request_id: str | None) -> str | None:
    """Under which key is this write repeated safely: the header's, else the body's?

    Raises: ValidationFailed (`validation_failed`) when the header is no plain text of 1 to 128
    characters, or differs from `request_id`.
    """
    stated = environ.get("HTTP_IDEMPOTENCY_KEY")
    if stated is None:
        return request_id
    if _KEY.fullmatch(stated) is None:
        message = "The Idempotency-Key header has 1 to 128 visible ASCII characters."
        raise ValidationFailed(errors=[FieldError("/request_id", "bad_format", message)])
    if request_id not in (None, stated):
        message = "The Idempotency-Key header and request_id differ."
        raise ValidationFailed(errors=[FieldError("/request_id", "differs", message)])
    return str(stated)


def _whole(body: bytes, length: int) -> bytes:
    if len(body) < length:
        raise MalformedBody(reason="it ends before its Content-Length")
    return body


def _length(environ: Mapping[str, Any]) -> int | None:
    """None = sent in chunks, whose end the server marks."""
    stated = environ.get("CONTENT_LENGTH")
    if stated in (None, ""):
        chunked = environ.get("HTTP_TRANSFER_ENCODING") or environ.get("wsgi.input_terminated")
        return None if chunked else 0
    if not (str(stated).isascii() and str(stated).isdigit()):
        raise MalformedBody(reason="Content-Length is no number")
    return int(stated)


def _discard(stream: Any, wanted: int) -> None:
    while wanted > 0:
        part = stream.read(min(wanted, _CHUNK))
        if not part:
            return
        wanted -= len(part)


def _read(stream: Any, wanted: int) -> bytes:
    parts = []
    while wanted > 0:
        part = stream.read(min(wanted, _CHUNK))
        if not part:
            break
        parts.append(part)
        wanted -= len(part)
    return b"".join(parts)
