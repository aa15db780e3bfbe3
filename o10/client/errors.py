"""What can go wrong between a router and o10? Typed errors with the codes of the server.

A problem+json becomes the class of `o10.kernel.errors` with its code; `status`, `detail`,
`title` and `retry_after_s` are fields of it. That o10 could not decide at all is
`DecisionPlaneAway`, whatever the cause. A decision that says no is no failure of o10: `Denied`
is raised by `call(...)` only, so that the provider cannot be called by mistake.
"""

from types import MappingProxyType
from typing import Any

import msgspec

from o10.client.exchange import Reply
from o10.kernel import errors
from o10.kernel.errors import FieldError, O10Error, ServiceUnavailable, Unavailable
from o10.wire.decisions import Decision
from o10.wire.reasons import Reason

_LONGEST_KEPT = 300


class Denied(Exception):
    """Did the policy say no, or wait? The call must not be sent; `decision` says why."""

    def __init__(self, decision: Decision) -> None:
        self.decision = decision
        first = decision.reasons[0]
        super().__init__(f"{decision.decision.value}: {first.code.value}: {first.detail}")

    @property
    def reason(self) -> Reason:
        """Which reason is to be shown?"""
        return self.decision.reasons[0].code

    @property
    def retry_after_s(self) -> int | None:
        """After how many seconds may the same call be asked again? None: not known."""
        told = self.decision.retry_after_s
        return None if told is msgspec.UNSET else told


class DecisionPlaneAway(ServiceUnavailable):
    """Could o10 not decide, and is the use case fail-closed or its allowance used up?

    Shape: `decision` a denial with POLICY_UNAVAILABLE for a router that answers 402; fields
    `what`, `cause`, `retry_after_s`. A router that answers 503 needs nothing else.
    """

    decision: Decision | None = None


class AnswerUnreadable(DecisionPlaneAway):
    """Did something answer that is not o10, or not this version of it?"""


class StateUnusable(Unavailable):
    """Can the folder for what must not be lost not be written, or is it full?

    Fields: `what`, `path`, `cause`.
    """

    code = "unavailable"


_BY_CODE = MappingProxyType(
    {
        kind.code: kind
        for kind in (
            errors.Conflict,
            errors.Forbidden,
            errors.IdempotencyMismatch,
            errors.MalformedBody,
            errors.NotFound,
            errors.PeriodClosed,
            errors.PreconditionFailed,
            errors.RateLimited,
            errors.ReservationFinalized,
            errors.ReservationUnknown,
            errors.TokenInvalid,
            errors.TooLarge,
            errors.Unauthorized,
            errors.UnitMismatch,
            errors.UnsupportedMediaType,
            errors.ValidationFailed,
        )
    }
)
_BY_STATUS: MappingProxyType[int, type[O10Error]] = MappingProxyType(
    {
        401: errors.Unauthorized,
        403: errors.Denied,
        404: errors.Missing,
        409: errors.Conflict,
        412: errors.Conflict,
        429: errors.RateLimited,
    }
)


def error_of(reply: Reply) -> O10Error:
    """Which error does this answer tell? Never raises; an HTML page of a proxy is one too.

    Shape: 5xx is `DecisionPlaneAway`: o10 could not decide. 4xx is the class of its code, else
    of its status: a fault of the request or the key, which no fail mode opens.
    """
    told = _problem(reply.body)
    code = str(told.get("code", ""))
    fields: dict[str, Any] = {
        "status": reply.status,
        "detail": _short(told.get("detail", "")),
        "title": _short(told.get("title", "")),
    }
    if reply.retry_after_s is not None:
        fields["retry_after_s"] = reply.retry_after_s
    if reply.status >= 500:
        cause = code or f"status {reply.status}"
        return DecisionPlaneAway(what="decision plane", cause=cause, **fields)
    kind = _BY_CODE.get(code) or _BY_STATUS.get(reply.status, errors.Rejected)
    error = kind(errors=_field_errors(told.get("errors")), **fields)
    if code and code != kind.code:
        # A code this release does not know keeps its name, in the family of its status.
        error.code = code  # type: ignore[misc]
    return error


def _problem(body: bytes) -> dict[str, Any]:
    try:
        told = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _field_errors(told: Any) -> list[FieldError]:
    if not isinstance(told, list):
        return []
    return [
        FieldError(
            _short(each.get("field", each.get("pointer", ""))),
            _short(each.get("code", "")),
            _short(each.get("message", each.get("detail", ""))),
        )
        for each in told[:100]
        if isinstance(each, dict)
    ]


def _short(text: Any) -> str:
    return str(text)[:_LONGEST_KEPT]
