"""What does the proxy's client hear when a call does not go? The body of the contract.

`Refused` is LiteLLM's own kind of error, so that its status, headers and body reach the client
unchanged on every OpenAI route; other dialects (Anthropic's) show the message and the headers.
No text of the request is in it.
Source: contract.md section 4.4; conventions.md section 7.
"""

from collections.abc import Mapping
from typing import Any, Final

from fastapi import HTTPException
from litellm.proxy._types import ProxyException

from o10.client.refusal import refusal_of
from o10.kernel.errors import O10Error
from o10.wire.decisions import Decision
from o10.wire.reasons import Again, Reason

AWAY_STATUS: Final = 503
_MESSAGES: Mapping[int, str] = {
    400: "o10 could not read this request: {code}.",
    429: "o10 has too many requests: {code}.",
    503: "o10 could not decide: {code}.",
}


class Refused(ProxyException, HTTPException):  # type: ignore[misc]
    """Why does this call not go? `status_code`, `headers` and `body` are what is answered."""

    def __init__(self, *, status: int, headers: dict[str, str], body: dict[str, Any]) -> None:
        ProxyException.__init__(
            self,
            message=body["message"],
            type=body["type"],
            param=None,
            code=status,
            headers=headers,
        )
        self.status_code = status
        self.detail = {"error": body}
        self.body = body

    def to_dict(self) -> dict[str, Any]:
        """The body's `error`, as it is."""
        return self.body


def refused_by(decision: Decision, *, status: int | None = None) -> Refused:
    """How is this denial (or hold) told?"""
    told = refusal_of(decision)
    first = decision.reasons[0]
    metadata = dict(told.body)
    metadata["retryable"] = first.code.row.again is Again.YES
    binding = next((each for each in decision.envelopes if each.binding), None)
    if binding is not None:
        metadata |= {
            "scope": binding.name,
            "limit": binding.cap,
            "spent": binding.settled,
            "held": binding.held,
        }
    return _refused(
        status=status or told.status,
        message=f"{first.code.value}: {first.detail} {told.body['remedy_hint']}",
        headers=dict(told.headers),
        decision=decision.decision.value,
        metadata=metadata,
    )


def refused_here(reason: Reason, detail: str) -> Refused:
    """How is a refusal told that needed no question to o10?"""
    row = reason.row
    return _refused(
        status=402,
        message=f"{reason.value}: {detail}",
        headers={},
        decision="deny",
        metadata={
            "reason": reason.value,
            "detail": detail,
            "limit_source": {"kind": "proxy"},
            "remedy_hint": row.next_step,
            "decision_id": None,
            "retry_after_s": None,
            "retryable": row.again is Again.YES,
        },
    )


def refused_for(error: O10Error) -> Refused:
    """How is it told that o10 did not decide, or would not read the request?

    Never 402: no money was refused. A fault of the guard's own key is no fault of the client.
    """
    status = {"rate_limited": 429, "validation_failed": 400}.get(error.code, AWAY_STATUS)
    wait = error.fields.get("retry_after_s") or (1 if status != 400 else None)
    reason = Reason.POLICY_UNAVAILABLE
    return _refused(
        status=status,
        message=_MESSAGES[status].format(code=error.code),
        headers={} if wait is None else {"Retry-After": str(wait)},
        decision="deny",
        metadata={
            "reason": reason.value,
            "code": error.code,
            "limit_source": {"kind": "o10"},
            "remedy_hint": reason.row.next_step,
            "decision_id": None,
            "retry_after_s": wait,
            "retryable": status != 400,
        },
    )


def _refused(
    *,
    status: int,
    message: str,
    headers: dict[str, str],
    decision: str,
    metadata: dict[str, Any],
) -> Refused:
    headers["x-o10-decision"] = decision
    headers["x-o10-reason"] = str(metadata["reason"])
    body = {
        "code": status,
        "message": message[:1_000],
        "type": "o10_refused",
        "param": None,
        "metadata": metadata,
    }
    return Refused(status=status, headers=headers, body=body)
