"""What is kept of a decision, and how is its content bound into the ledger?

The record holds what was asked (never the prompt), what was known and what was decided; the
same inputs give the same bytes. Entries carry the first 16 bytes of its SHA-256. It is a ledger
document: objects, texts, integers and null, integers beyond 2^53 as text.
"""

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any
from uuid import UUID

from o10.wire.requests import Authorize
from policies.core.decide import Ruling
from policies.core.envelope import binding, left
from policies.core.question import Left, Price, Question
from policies.core.snapshot import Place, Snapshot

FORMAT = "o10-decision-v1"
_EXACT = 2**53
_FACTS = (
    "model",
    "venue",
    "region",
    "input_tokens",
    "cached_input_tokens",
    "max_output_tokens",
    "n",
    "attempt",
    "run_id",
    "step",
    "step_kind",
    "step_fingerprint",
    "customer",
    "environment",
    "service_class",
    "data_class",
    "task_type",
    "mode",
    "prompt_version",
    "ttl_s",
)


def facts_of(request: Authorize, *, input_tokens: int | None) -> dict[str, Any]:
    """What was asked, without prompt and without what was not said?

    `input_tokens` is the bound used; it replaces a prompt, which is never kept.
    """
    facts = {name: getattr(request, name) for name in _FACTS}
    facts["input_tokens"] = input_tokens
    said = {name: _plain(value) for name, value in facts.items() if value is not None}
    return {**said, "tags": dict(request.tags)} if request.tags else said


def decision_record(
    *, question: Question, ruling: Ruling, snapshot: Snapshot, left_now: Left, bound: int | None
) -> dict[str, Any]:
    """What was asked, known and decided?"""
    tightest = binding(left_now.path) if ruling.place else None
    by_hour = {} if left_now.hour is None else {"hour_left_nanos": exact(left_now.hour)}
    return {
        **by_hour,
        "format": FORMAT,
        "decision": ruling.outcome.value,
        "would_decision": ruling.would.value,
        "mode": ruling.mode.value,
        "use_case": question.request.use_case,
        "reasons": [
            {"code": reason.code.value, "detail": reason.detail} for reason in ruling.reasons
        ],
        "request": facts_of(question.request, input_tokens=bound),
        "route": _route(question.price),
        "price_version": question.price.price_version if question.price else 0,
        "policy": {"version": snapshot.version, "hash": snapshot.hash},
        "worst": _worst(ruling),
        "envelopes": _envelopes(ruling.place, left_now),
        "binding": ruling.place.path[tightest.index].public
        if ruling.place and tightest
        else "",
        "retry_after_s": ruling.retry_after_s or 0,
    }


def content_hash(record: Mapping[str, Any]) -> UUID:
    """Which 16 bytes bind this content in entries?"""
    text = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return UUID(bytes=sha256(text.encode()).digest()[:16])


def _route(price: Price | None) -> dict[str, Any] | None:
    if price is None:
        return None
    return {
        "offer": price.offer,
        "model": price.model,
        "venue": price.venue,
        "region": price.region,
    }


def _worst(ruling: Ruling) -> dict[str, Any] | None:
    if ruling.worst is None:
        return None
    return {
        "nanos": exact(ruling.worst.nanos),
        "input_bound": ruling.worst.input_bound,
        "max_output_tokens": ruling.worst.max_output_tokens,
        "n": ruling.worst.n,
    }


def _envelopes(place: Place | None, left_now: Left) -> list[dict[str, Any]]:
    if place is None or len(left_now.path) != len(place.path):
        return []
    return [
        {
            "id": rule.public,
            "name": rule.name,
            "start": period.start.isoformat(),
            "end": period.end.isoformat(),
            "cap_nanos": exact(balance.cap),
            "settled_nanos": exact(balance.settled),
            "held_nanos": exact(balance.held),
            "unsettled_nanos": exact(balance.unsettled),
            "available_nanos": exact(left(balance)),
        }
        for rule, period, balance in zip(place.path, place.periods, left_now.path, strict=True)
    ]


def exact(number: int | None) -> int | str | None:
    """How does this integer stand in a document?"""
    if number is None or -_EXACT <= number <= _EXACT:
        return number
    return str(number)


def _plain(value: object) -> object:
    return value if type(value) in (int, str) else str(value)
