"""What does a denied end client hear? HTTP 402: the reason, whose limit, a way out.

Source: contract.md section 4.4.
"""

from dataclasses import dataclass
from typing import Any, Final

import msgspec

from o10.wire.decisions import Decision
from o10.wire.reasons import Again

STATUS: Final = 402


@dataclass(frozen=True, slots=True)
class Refusal:
    """What goes to the end client? `headers` has Retry-After when time may cure it."""

    status: int
    headers: dict[str, str]
    body: dict[str, Any]


def refusal_of(decision: Decision) -> Refusal:
    """How is this denial (or hold) told to the end client?

    Shape: body `reason` (code), `detail`, `limit_source` (the binding envelope, else the
    policy), `remedy_hint`, `decision_id`, `retry_after_s` or null.
    """
    first = decision.reasons[0]
    row = first.code.row
    told = decision.retry_after_s
    wait = None if told is msgspec.UNSET or row.again is Again.NO else told
    return Refusal(
        status=STATUS,
        headers={} if wait is None else {"Retry-After": str(wait)},
        body={
            "reason": first.code.value,
            "detail": first.detail,
            "limit_source": _limit_source(decision),
            "remedy_hint": row.next_step,
            "decision_id": decision.decision_id,
            "retry_after_s": wait,
        },
    )


def _limit_source(decision: Decision) -> dict[str, Any]:
    for envelope in decision.envelopes:
        if envelope.binding:
            return {
                "kind": "envelope",
                "id": envelope.id,
                "name": envelope.name,
                "cap": envelope.cap,
                "available": envelope.available,
            }
    return {"kind": "policy", "version": decision.policy.version}
