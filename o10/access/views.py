"""What do the views of the ordinary API share: bodies, query, versions, answers?

A view is parse, one facade call, render.
"""

import re
from collections.abc import Mapping, Sequence
from typing import ClassVar, Protocol, TypeVar

import msgspec
from django.http import HttpResponse
from rest_framework.request import Request
from rest_framework.views import APIView

from o10.access.body import idempotency_key_of, read_body
from o10.access.doors import Operation
from o10.kernel.errors import FieldError, ValidationFailed
from o10.wire.decoding import decode

MAX_LIMIT = 200
_DEFAULT_LIMIT = 50
_ENCODER = msgspec.json.Encoder()

Body = TypeVar("Body", bound=msgspec.Struct)


class Door(APIView):
    """What do all views of the ordinary API have in common? Operations by method, a limit."""

    operations: ClassVar[Mapping[str, Operation]] = {}
    max_bytes: ClassVar[int] = 64 * 1024

    def read(self, request: Request) -> bytes:
        """Which bytes did the caller send? Raises: as `read_body`."""
        media_types = tuple(self.operations[request.method or ""].takes)
        return read_body(request.META, max_bytes=self.max_bytes, media_types=media_types)

    def parse(self, request: Request, kind: type[Body]) -> Body:
        """Which value did the caller send? Raises: as `read_body` and `decode`."""
        return decode(kind, self.read(request), max_bytes=self.max_bytes)


class Repeatable(Protocol):
    """Which bodies may be sent again?"""

    @property
    def request_id(self) -> str | None:
        """Under which key, if the header names none?"""
        ...


def key_of(request: Request, body: Repeatable) -> str:
    """Under which key is this write repeated safely? "" = under none. Raises: as
    `idempotency_key_of`.
    """
    return idempotency_key_of(request.META, request_id=body.request_id) or ""


def answer(
    payload: object, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> HttpResponse:
    """How is this value sent? As JSON; instants in RFC 3339, UTC."""
    return HttpResponse(
        _ENCODER.encode(payload),
        status=status,
        headers=dict(headers or {}),
        content_type="application/json",
    )


class Waiting(msgspec.Struct, frozen=True):
    """Which request waits, and whom does it need? `controller|cfo` = either will do."""

    id: str
    needs: tuple[str, ...]


class Awaits(msgspec.Struct, frozen=True):
    """What does a write answer that other people must agree to first?"""

    approval: Waiting


def awaits(approval_id: str, needs: Sequence[str]) -> HttpResponse:
    """How is a write told that waits for other people? 202: the request and whom it needs."""
    location = {"Location": f"/api/v1/approvals/{approval_id}"}
    return answer(Awaits(Waiting(approval_id, tuple(needs))), status=202, headers=location)


def query_of(request: Request, *, allowed: frozenset[str]) -> dict[str, str]:
    """Which query parameters came? A misspelt filter must not become no filter.

    Raises: ValidationFailed (`validation_failed`) for an unknown or repeated one, or one with
    control characters.
    """
    wrong = []
    found = {}
    for name, values in request.query_params.lists():
        if name not in allowed:
            message = f"Known parameters: {', '.join(sorted(allowed))}."
            wrong.append(FieldError(f"/{name[:64]}", "unknown_field", message))
        elif len(values) > 1:
            wrong.append(FieldError(f"/{name}", "repeated", "Send it once."))
        elif len(values[0]) > 512 or any(ord(letter) < 32 for letter in values[0]):
            wrong.append(FieldError(f"/{name}", "bad_format", "Too long, or not plain text."))
        else:
            found[name] = values[0]
    if wrong:
        raise ValidationFailed(errors=wrong[:MAX_LIMIT])
    return found


def limit_of(query: Mapping[str, str]) -> int:
    """How many items may one page hold? 1 to 200, default 50.

    Raises: ValidationFailed (`validation_failed`).
    """
    stated = query.get("limit", str(_DEFAULT_LIMIT))
    if stated.isascii() and stated.isdigit() and len(stated) <= 4:
        limit = int(stated)
        if 1 <= limit <= MAX_LIMIT:
            return limit
    message = f"A whole number from 1 to {MAX_LIMIT}."
    raise ValidationFailed(errors=[FieldError("/limit", "out_of_range", message)])


def version_of(request: Request) -> int | None:
    """Which version does If-Match name? None when it is absent or `*`.

    Raises: ValidationFailed (`validation_failed`) when it is no version we gave.
    """
    stated = request.headers.get("If-Match", "*").strip()
    if stated == "*":
        return None
    found = re.fullmatch(r'"?v?([0-9]{1,9})"?', stated, re.A)
    if found is None:
        message = "If-Match takes the ETag of the last answer."
        raise ValidationFailed(errors=[FieldError("", "bad_format", message)])
    return int(found[1])
