"""How does a failure look outside? The only place with HTTP codes and sentences.

Errors carry data (o10.kernel.errors); here a code becomes a status, a title and one sentence,
as RFC 9457 `application/problem+json` under the API and as a page elsewhere. Never a
traceback. Longer than most modules on purpose: half of it is the table of answers.
"""

import json
import re
import string
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import structlog
from django.conf import settings
from django.core import exceptions as django_errors
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.http.multipartparser import MultiPartParserError
from django.shortcuts import render
from rest_framework import exceptions as rest_errors

from o10.access.body import MethodNotAllowed
from o10.kernel.errors import (
    Conflict,
    Corrupt,
    Denied,
    FieldError,
    Forbidden,
    MalformedBody,
    Missing,
    NotFound,
    O10Error,
    RateLimited,
    Rejected,
    ServiceUnavailable,
    TooLarge,
    Unauthorized,
    Unavailable,
    UnsupportedMediaType,
    ValidationFailed,
)

MEDIA_TYPE = "application/problem+json"
_API_PREFIXES = ("/api/", "/v1/", "/access/", "/beta/", "/healthz", "/readyz", "/metrics")
_LONGEST_FIELD = 120
_log = structlog.get_logger("o10.problems")


class BadRequest(Rejected):
    """Is the request unreadable before its body: host, path, header?"""

    code = "bad_request"


class NotAcceptable(Rejected):
    """Is the answer not available in a type the caller accepts?"""

    code = "not_acceptable"


class Internal(O10Error):
    """Did something break that is not the caller's doing? The log has the details."""

    code = "internal"


@dataclass(frozen=True, slots=True)
class Answer:
    """What is said about one code: HTTP status, title, and sentences, most specific first.

    The first sentence whose fields the error carries is used; the last one needs none.
    """

    status: int
    title: str
    sentences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rendered:
    """What goes over the wire: status, headers with their values, body."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


ANSWERS: Mapping[str, Answer] = MappingProxyType(
    {
        "validation_failed": Answer(
            422,
            "A field is not valid",
            ("The request was understood, but at least one field breaks a rule; see errors.",),
        ),
        "malformed_body": Answer(
            400,
            "The body cannot be read",
            (
                "The body cannot be read: {reason}.",
                "The body cannot be read: expected {expected}.",
                "The body must be one JSON object in UTF-8.",
            ),
        ),
        "bad_request": Answer(
            400, "The request cannot be read", ("The request is malformed.",)
        ),
        "method_not_allowed": Answer(
            405,
            "Method not allowed",
            (
                "{method} is not answered here; allowed: {allowed}.",
                "{method} is not answered here.",
                "Use another method.",
            ),
        ),
        "not_acceptable": Answer(
            406, "Not acceptable", ("The answer is not available in a type you accept.",)
        ),
        "too_large": Answer(
            413,
            "The body is too large",
            ("The body may have at most {limit_bytes} bytes here.", "Send a smaller body."),
        ),
        "unsupported_media_type": Answer(
            415,
            "Content type not read here",
            (
                "The content type {got} is not read here; send {accepted}.",
                "Send application/json.",
            ),
        ),
        "unit_mismatch": Answer(
            422,
            "Units differ",
            ("Expected {expected}, got {got}.", "Two amounts have different units."),
        ),
        "unauthorized": Answer(
            401,
            "Not signed in",
            ("Send a valid key as `Authorization: Bearer o10_…`, or sign in.",),
        ),
        "token_invalid": Answer(
            401, "Token not valid", ("The reservation token is not one we signed.",)
        ),
        "forbidden": Answer(
            403,
            "Not allowed",
            (
                "The use case {use_case} is outside this key's scope.",
                "The role {role} does not include {action}.",
                "This caller may not do this.",
            ),
        ),
        "self_approval": Answer(
            403, "Maker and checker are one person", ("Another person has to decide this.",)
        ),
        "not_found": Answer(
            404,
            "Not found",
            ("There is no {kind} {id} for this caller.", "There is nothing here."),
        ),
        "tile_path_invalid": Answer(
            404, "No such tile", ("{path} names no tile.", "That is no path of a tile.")
        ),
        "reservation_unknown": Answer(
            404,
            "Reservation unknown",
            ("There is no reservation {id}.", "There is no such reservation."),
        ),
        "conflict": Answer(
            409, "The present state forbids it", ("Read the present state, then decide again.",)
        ),
        "already_approved": Answer(
            409,
            "Counted already",
            (
                "This person has agreed to {approval} already, or somebody has for them.",
                "This person has agreed already, or somebody has for them.",
            ),
        ),
        "approval_closed": Answer(
            409,
            "The request has ended",
            ("The request {approval} has ended as {state}.", "The request has ended."),
        ),
        "base_changed": Answer(
            409,
            "What the change was made against has changed",
            (
                "The request {approval} is void: what it was made against has changed"
                " meanwhile. Ask again against what holds now.",
                "What it was made against has changed. Ask again against what holds now.",
            ),
        ),
        "idempotency_mismatch": Answer(
            409,
            "Key used with another body",
            ("This idempotency key was used before with another body; send a new key.",),
        ),
        "reservation_finalized": Answer(
            409,
            "Reservation has ended",
            (
                "The reservation {id} has ended as {state}.",
                "The reservation has been settled or released already.",
            ),
        ),
        "period_not_over": Answer(
            409,
            "The month is not over",
            ("{period} is still running; it can be closed after its end.", "Wait for its end."),
        ),
        "period_out_of_order": Answer(
            409,
            "Another month comes first",
            (
                "Months close one after the other: {period} comes first.",
                "Months close one after the other: an earlier one comes first.",
            ),
        ),
        "period_not_closing": Answer(
            409,
            "Nobody prepared this close",
            ("{period} is {status}; prepare its close first.", "Prepare the close first."),
        ),
        "close_blocked": Answer(
            409,
            "The month can't be closed yet",
            ("{found}", "A condition of the close does not hold."),
        ),
        "file_rejected": Answer(
            422,
            "The file is none of this source",
            ("The file was not read as {source}: {what}.", "The file can't be read."),
        ),
        "period_closed": Answer(
            409,
            "Period closed",
            ("The period {period} was closed at {closed_at}.", "The period is closed."),
        ),
        "not_sealed_yet": Answer(
            409,
            "Not sealed yet",
            ("The entry has no position yet; ask again in a second.",),
        ),
        "precondition_failed": Answer(
            412,
            "Changed in the meantime",
            ("It has changed since you read it; read it again and repeat your change.",),
        ),
        "rate_limited": Answer(
            429,
            "Too many requests",
            ("Wait {retry_after_s} s and try again.", "Wait and try again."),
        ),
        "unavailable": Answer(
            503,
            "Not available now",
            (
                "The {what} cannot be reached now; the same request may be sent again.",
                "A part of o10 is away; the same request may be sent again.",
            ),
        ),
        "internal": Answer(
            500,
            "Something broke on our side",
            ("It was logged and nothing was half done; the same request may be sent again.",),
        ),
        "corrupt": Answer(
            500,
            "An invariant is broken",
            ("o10 stopped here because its own books disagree; an alarm was raised.",),
        ),
    }
)
"""What is said per code. Codes are never renamed or reused."""

CONFLICTS: Mapping[str, str] = MappingProxyType(
    {
        "AlreadyReversed": "The entry was reversed before; an entry is reversed once.",
        "ChildrenFirst": "{envelope} would have to move below it, and envelopes never move.",
        "EnvelopeEnded": "{envelope} is closed, and closed is for good.",
        "EnvelopeExists": "{envelope} covers this scope at that time; change that one.",
        "KeyReplaced": "{id} was rotated or revoked before.",
        "Overallocated": "{parent} has {left} left to promise to those below it.",
        "ParentTakesNoChild": "Nothing of this scope may stand below {parent}: {reason}.",
        "PersonExists": "This e-mail address belongs to someone already.",
        "SlugTaken": "{slug} is taken.",
    }
)
"""What is said about `conflict`, by the class of the error: the code is the same for all."""

FAMILIES: tuple[tuple[type[O10Error], str], ...] = (
    (Corrupt, "corrupt"),
    (Rejected, "validation_failed"),
    (Denied, "forbidden"),
    (Missing, "not_found"),
    (Conflict, "conflict"),
    (Unavailable, "unavailable"),
    (O10Error, "internal"),
)
"""What is said for a code without an answer of its own, by family."""


def render_problem(failure: Exception, *, path: str) -> Rendered:
    """How is this failure written as problem+json? Logs what is ours to mend.

    Source: RFC 9457; members beyond it: `code`, `retry`, and `errors` whose `field` is a JSON
    pointer (RFC 6901).
    """
    error = as_error(failure)
    _note(failure, error, path=path)
    answer = answer_of(error)
    body: dict[str, object] = {
        "type": f"{settings.O10_BASE_URL}/api/docs#problem-{error.code}",
        "title": answer.title,
        "status": answer.status,
        "detail": _sentence(answer, error),
        "instance": path,
        "code": error.code,
        "retry": str(error.retry),
    }
    if error.errors:
        body["errors"] = [
            {"field": wrong.pointer, "code": wrong.code, "message": wrong.message}
            for wrong in error.errors
        ]
    headers = [("Content-Type", MEDIA_TYPE), ("Cache-Control", "no-store")]
    headers += _headers(error, answer.status)
    return Rendered(answer.status, tuple(headers), json.dumps(body).encode())


def answer_of(error: O10Error) -> Answer:
    """What is said about this error: by its code, else by its family?"""
    if error.code in ANSWERS:
        return ANSWERS[error.code]
    family = next(name for kind, name in FAMILIES if isinstance(error, kind))
    return ANSWERS[family]


def as_error(failure: Exception) -> O10Error:
    """Which of our errors is this exception, whoever raised it?

    Unknown ones become `internal`: they are ours to mend, never the caller's to read.
    """
    if isinstance(failure, O10Error):
        return failure
    if isinstance(failure, rest_errors.APIException):
        return _of_rest(failure)
    if isinstance(failure, Http404):
        return NotFound()
    if isinstance(failure, django_errors.PermissionDenied):
        return Forbidden()
    if isinstance(failure, django_errors.RequestDataTooBig):
        return TooLarge(limit_bytes=settings.DATA_UPLOAD_MAX_MEMORY_SIZE)
    if isinstance(failure, django_errors.SuspiciousOperation | MultiPartParserError):
        return BadRequest()
    if is_away(failure):
        return ServiceUnavailable(what="database", retry_after_s=1)
    return Internal()


def is_away(failure: BaseException) -> bool:
    """Does this exception say that the database cannot answer now (away, locked, timed out)?"""
    return isinstance(failure, OperationalError | InterfaceError)


def drf_exception_handler(failure: Exception, context: Mapping[str, object]) -> HttpResponse:
    """What does the ordinary API answer to this exception? (setting EXCEPTION_HANDLER)"""
    request = context.get("request")
    path = getattr(request, "path", "")
    return problem_response(failure, path=path)


def problem_response(failure: Exception, *, path: str) -> HttpResponse:
    """Which response tells this failure as problem+json?"""
    rendered = render_problem(failure, path=path)
    response = HttpResponse(rendered.body, status=rendered.status)
    for name, value in rendered.headers:
        response.headers[name] = value
    return response


def page_response(request: HttpRequest, failure: Exception) -> HttpResponse:
    """Which page tells a person about this failure?"""
    error = as_error(failure)
    _note(failure, error, path=request.path)
    answer = answer_of(error)
    told = {
        "status": answer.status,
        "title": answer.title,
        "detail": _sentence(answer, error),
        "code": error.code,
        "errors": error.errors,
        "request_id": structlog.contextvars.get_contextvars().get("request_id"),
    }
    try:
        response = render(request, "problem.html", {"problem": told}, status=answer.status)
    except Exception:  # noqa: BLE001 - the page about a failure must not fail itself
        text = f"{answer.title}. {told['detail']}\n"
        response = HttpResponse(text, status=answer.status, content_type="text/plain")
    for name, value in _headers(error, answer.status):
        if name != "WWW-Authenticate":
            response.headers[name] = value
    return response


def answer_failure(request: HttpRequest, failure: Exception) -> HttpResponse:
    """Problem+json under the API, a page elsewhere?"""
    if is_api(request.path):
        return problem_response(failure, path=request.path)
    return page_response(request, failure)


def is_api(path: str) -> bool:
    """Is this a path that programs read?"""
    return path.startswith(_API_PREFIXES)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """handler400."""
    return answer_failure(request, exception)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """handler403."""
    return answer_failure(request, exception)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """handler404."""
    return answer_failure(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """handler500: Django has logged the traceback; the answer has none."""
    return answer_failure(request, Internal())


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """CSRF_FAILURE_VIEW: a form from another site, or an old tab."""
    return answer_failure(request, Forbidden())


def _note(failure: Exception, error: O10Error, *, path: str) -> None:
    if isinstance(error, Corrupt):
        _log.critical("invariant_broken", code=error.code, path=path, error=str(error))
    elif isinstance(error, Internal) and not isinstance(failure, Internal):
        _log.error("request_failed", path=path, exc_info=failure)
    elif is_away(failure):
        _log.error("database_away", path=path, error=_first_line(failure))


def _first_line(failure: BaseException) -> str:
    return str(failure).partition("\n")[0][:200]


def _sentence(answer: Answer, error: O10Error) -> str:
    told = {name: _short(value) for name, value in error.fields.items() if value is not None}
    own = CONFLICTS.get(type(error).__name__)
    for sentence in (*([own] if own else []), *answer.sentences):
        wanted = {name for _, name, _, _ in string.Formatter().parse(sentence) if name}
        if wanted <= told.keys():
            return sentence.format_map(told)
    return answer.title + "."


def _short(value: object) -> str:
    if isinstance(value, list | tuple | set | frozenset):
        value = ", ".join(str(item) for item in value)
    text = str(value)
    return text if len(text) <= _LONGEST_FIELD else text[: _LONGEST_FIELD - 1] + "…"


def _headers(error: O10Error, status: int) -> list[tuple[str, str]]:
    if status == 401:
        invalid = "" if error.fields.get("reason") == "missing" else ', error="invalid_token"'
        return [("WWW-Authenticate", f'Bearer realm="o10"{invalid}')]
    if isinstance(error, Unavailable):
        return [("Retry-After", str(error.fields.get("retry_after_s", 1)))]
    if isinstance(error, MethodNotAllowed) and "allowed" in error.fields:
        return [("Allow", _short(error.fields["allowed"]))]
    return []


def _of_rest(failure: rest_errors.APIException) -> O10Error:
    if isinstance(failure, rest_errors.ValidationError):
        return ValidationFailed(errors=list(_field_errors(failure.detail, "")))
    if isinstance(failure, rest_errors.ParseError):
        return MalformedBody()
    if isinstance(failure, rest_errors.UnsupportedMediaType):
        got = re.sub(r'^Unsupported media type "|" in request\.$', "", str(failure.detail))
        return UnsupportedMediaType(got=got or "(none)", accepted="application/json")
    if isinstance(failure, rest_errors.MethodNotAllowed):
        method = re.sub(r'^Method "|" not allowed\.$', "", str(failure.detail))
        return MethodNotAllowed(method=method)
    if isinstance(failure, rest_errors.Throttled):
        return RateLimited(retry_after_s=int(failure.wait or 1) + 1)
    kinds: tuple[tuple[type[Exception], type[O10Error]], ...] = (
        (rest_errors.NotAuthenticated, Unauthorized),
        (rest_errors.AuthenticationFailed, Unauthorized),
        (rest_errors.PermissionDenied, Forbidden),
        (rest_errors.NotFound, NotFound),
        (rest_errors.NotAcceptable, NotAcceptable),
    )
    for theirs, ours in kinds:
        if isinstance(failure, theirs):
            return ours()
    return Internal()


def _field_errors(detail: object, pointer: str) -> "list[FieldError]":
    if isinstance(detail, dict):
        return [
            wrong
            for name, below in detail.items()
            for wrong in _field_errors(below, _below(pointer, str(name)))
        ]
    if isinstance(detail, list) and any(isinstance(item, dict | list) for item in detail):
        return [
            wrong
            for place, below in enumerate(detail)
            for wrong in _field_errors(below, _below(pointer, str(place)))
        ]
    if isinstance(detail, list):
        return [wrong for item in detail for wrong in _field_errors(item, pointer)]
    code = str(getattr(detail, "code", "invalid"))
    return [FieldError(pointer, code, str(detail))]


def _below(pointer: str, name: str) -> str:
    if name == "non_field_errors":
        return pointer
    return pointer + "/" + name.replace("~", "~0").replace("/", "~1")
