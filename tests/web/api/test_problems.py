"""Is every failure told as RFC 9457, with a stable code and no word of our insides?"""

import importlib
import json
import pkgutil

import pytest
from django.core import exceptions as django_errors
from django.db import InterfaceError, OperationalError
from django.http import Http404
from rest_framework import exceptions as rest_errors

import ledger
import o10.access
import o10.kernel
import policies
from o10 import problems
from o10.kernel.errors import (
    FieldError,
    IdempotencyMismatch,
    MalformedBody,
    NotFound,
    O10Error,
    PreconditionFailed,
    RateLimited,
    ServiceUnavailable,
    TooLarge,
    Unauthorized,
    UnsupportedMediaType,
    ValidationFailed,
)

# The protocol errors of the specification: code and HTTP status, for good.
PROTOCOL = {
    "idempotency_mismatch": 409,
    "reservation_finalized": 409,
    "reservation_unknown": 404,
    "token_invalid": 401,
    "unit_mismatch": 422,
    "validation_failed": 422,
    "unauthorized": 401,
    "forbidden": 403,
    "not_found": 404,
    "conflict": 409,
    "self_approval": 403,
    "period_closed": 409,
    "not_sealed_yet": 409,
    "precondition_failed": 412,
    "malformed_body": 400,
    "unsupported_media_type": 415,
    "too_large": 413,
    "rate_limited": 429,
    "unavailable": 503,
}


def told(failure, path="/api/v1/settle"):
    rendered = problems.render_problem(failure, path=path)
    return rendered, json.loads(rendered.body)


def every_error():
    for package in (o10.kernel, o10.access, ledger, policies):
        for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            if ".migrations" not in found.name and ".management" not in found.name:
                importlib.import_module(found.name)
    waiting, seen = [O10Error], set()
    while waiting:
        kind = waiting.pop()
        seen.add(kind)
        waiting += kind.__subclasses__()
    return sorted(seen, key=lambda kind: kind.__qualname__)


@pytest.mark.parametrize(("code", "status"), PROTOCOL.items())
def test_protocol_codes_have_their_status(code, status):
    assert problems.ANSWERS[code].status == status


def test_every_error_of_the_code_base_has_something_to_say():
    for kind in every_error():
        error = kind.__new__(kind)
        O10Error.__init__(error)
        rendered, body = told(error)
        assert 400 <= rendered.status <= 599, kind
        assert body["code"] == kind.code
        assert body["detail"]
        assert "{" not in body["detail"], kind
        family = next(code for family, code in problems.FAMILIES if issubclass(kind, family))
        if kind.code not in problems.ANSWERS:
            assert body["title"] == problems.ANSWERS[family].title


def test_every_answer_ends_with_a_sentence_that_needs_no_field():
    for code, answer in problems.ANSWERS.items():
        assert "{" not in answer.sentences[-1], code
        assert answer.sentences[-1].endswith("."), code


def test_the_members_are_those_of_the_convention():
    error = ValidationFailed(errors=[FieldError("/usage/input_tokens", "out_of_range", "No.")])
    rendered, body = told(error)
    assert dict(rendered.headers)["Content-Type"] == "application/problem+json"
    assert body == {
        "type": "http://127.0.0.1:8010/api/docs#problem-validation_failed",
        "title": "A field is not valid",
        "status": 422,
        "detail": problems.ANSWERS["validation_failed"].sentences[0],
        "instance": "/api/v1/settle",
        "code": "validation_failed",
        "retry": "no",
        "errors": [{"field": "/usage/input_tokens", "code": "out_of_range", "message": "No."}],
    }


@pytest.mark.parametrize(
    ("failure", "status", "code"),
    [
        (Http404(), 404, "not_found"),
        (django_errors.PermissionDenied(), 403, "forbidden"),
        (django_errors.RequestDataTooBig(), 413, "too_large"),
        (django_errors.DisallowedHost(), 400, "bad_request"),
        (OperationalError("password=hunter2"), 503, "unavailable"),
        (InterfaceError("gone"), 503, "unavailable"),
        (rest_errors.ParseError(), 400, "malformed_body"),
        (rest_errors.NotAuthenticated(), 401, "unauthorized"),
        (rest_errors.MethodNotAllowed("PUT"), 405, "method_not_allowed"),
        (rest_errors.UnsupportedMediaType("text/html"), 415, "unsupported_media_type"),
        (rest_errors.NotAcceptable(), 406, "not_acceptable"),
        (rest_errors.Throttled(3), 429, "rate_limited"),
        (rest_errors.ValidationError({"a": [{"b": ["no"]}]}), 422, "validation_failed"),
        (KeyError("secret"), 500, "internal"),
        (ZeroDivisionError("o10_secret"), 500, "internal"),
    ],
)
def test_failures_of_others_become_ours(failure, status, code):
    rendered, body = told(failure)
    assert (rendered.status, body["code"]) == (status, code)
    for inside in (b"hunter2", b"secret", b"Traceback", b"gone", b"rest_framework"):
        assert inside not in rendered.body


def test_field_errors_of_serializers_become_json_pointers():
    _, body = told(rest_errors.ValidationError({"a/b": [{"c": ["no"]}, {}]}))
    assert [error["field"] for error in body["errors"]] == ["/a~1b/0/c"]


def test_headers_tell_what_the_client_has_to_do():
    assert dict(told(Unauthorized(reason="missing"))[0].headers)["WWW-Authenticate"] == (
        'Bearer realm="o10"'
    )
    assert (
        "invalid_token"
        in dict(told(Unauthorized(reason="expired"))[0].headers)["WWW-Authenticate"]
    )
    away = ServiceUnavailable(what="database", retry_after_s=2)
    assert dict(told(away)[0].headers)["Retry-After"] == "2"
    assert dict(told(RateLimited(retry_after_s=900))[0].headers)["Retry-After"] == "900"


def test_no_answer_tells_an_unknown_key_from_a_revoked_one():
    bodies = {
        told(Unauthorized(reason=reason))[0].body
        for reason in ("unknown", "revoked", "expired")
    }
    assert len(bodies) == 1


@pytest.mark.parametrize(
    ("error", "detail"),
    [
        (TooLarge(limit_bytes=65536), "The body may have at most 65536 bytes here."),
        (
            UnsupportedMediaType(got="text/xml", accepted=("application/json",)),
            "The content type text/xml is not read here; send application/json.",
        ),
        (NotFound(kind="decision", id="dec_1"), "There is no decision dec_1 for this caller."),
        (NotFound(), "There is nothing here."),
        (
            MalformedBody(expected="a JSON object"),
            "The body cannot be read: expected a JSON object.",
        ),
        (
            ServiceUnavailable(what="database"),
            "The database cannot be reached now; the same request may be sent again.",
        ),
    ],
)
def test_the_sentence_uses_the_fields_that_are_there(error, detail):
    assert told(error)[1]["detail"] == detail


@pytest.mark.parametrize(
    ("error", "retry"),
    [
        (IdempotencyMismatch(), "no"),
        (PreconditionFailed(), "later"),
        (ServiceUnavailable(what="database"), "same"),
    ],
)
def test_retry_says_whether_to_send_it_again(error, retry):
    assert told(error)[1]["retry"] == retry


def test_a_long_field_of_the_caller_is_cut():
    _, body = told(NotFound(kind="entry", id="x" * 10_000))
    assert len(body["detail"]) < 300
