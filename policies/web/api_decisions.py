"""What was decided, and what became of it? `/decisions` and `/decisions/{id}`."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar

import msgspec
from django.http import HttpResponse
from rest_framework.request import Request

from o10.access.doors import JSON, PAGED, Operation
from o10.access.keys import Caller
from o10.access.rest import caller_of
from o10.access.roles import Action
from o10.access.views import Door, answer, limit_of, query_of
from o10.kernel.errors import FieldError, NotFound, Rejected, ValidationFailed
from o10.kernel.ids import id_of
from o10.kernel.money import amount_text
from o10.wire.decisions import Outcome
from o10.wire.reasons import Reason
from policies import facade

_FILTERS = {
    **PAGED,
    "use_case": "Slug.",
    "decision": "allow, allow_with_caps, reroute, hold or deny.",
    "reason": "First reason code.",
    "from": "Decided at or after this instant.",
    "to": "Decided before this instant.",
}
_NOBODY = ("",)
"""The filter of a key that may see no use case: none has an empty slug."""


class DecisionLine(msgspec.Struct, frozen=True, kw_only=True):
    """What was decided about one call? `folded`: one of many that share a ledger entry."""

    id: str
    decided_at: datetime
    use_case: str
    decision: str
    would_decision: str
    mode: str
    reasons: tuple[str, ...]
    model: str
    worst_case: str
    worst_case_nanos: str
    reservation: str | None
    entry_id: str | None
    folded: bool
    policy_version: int
    price_version: int


class DecisionList(msgspec.Struct, frozen=True, kw_only=True):
    """Which decisions match, newest first?"""

    items: list[DecisionLine]
    next: str | None
    as_of: facade.AsOf


class HoldView(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the hold?"""

    id: str
    state: str
    amount: str
    open: str
    settled: str
    attempts: int
    expires_at: datetime
    ended_at: datetime | None


class DecisionView(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked and answered, and what became of it?

    `answer` is what the router got, without the token that settles money.
    """

    decision: DecisionLine
    key_id: str
    request_id: str
    answer: dict[str, Any]
    hold: HoldView | None


class Decisions(Door):
    """The decision log."""

    operations: ClassVar = {
        "GET": Operation(
            action=Action.READ_DECISIONS, gives={JSON: DecisionList}, query=_FILTERS
        )
    }

    def get(self, request: Request) -> HttpResponse:
        """One page, newest first."""
        query = query_of(request, allowed=frozenset(_FILTERS))
        page = facade.list_decision_rows(
            where=_filter(query, caller_of(request)),
            cursor=query.get("cursor"),
            limit=limit_of(query),
        )
        return answer(
            DecisionList(
                items=[_line(row) for row in page.items],
                next=page.next,
                as_of=facade.AsOf(ledger_seq=facade.ledger_position()),
            )
        )


class OneDecision(Door):
    """One decision: the answer as sent, and the state of its hold."""

    operations: ClassVar = {
        "GET": Operation(action=Action.READ_DECISIONS, gives={JSON: DecisionView})
    }

    def get(self, request: Request, decision: str) -> HttpResponse:
        """By its public id."""
        query_of(request, allowed=frozenset())
        detail = _get(decision, caller_of(request))
        sent = msgspec.json.decode(detail.answer)
        if isinstance(sent.get("reservation"), dict):
            sent["reservation"].pop("token", None)
        return answer(
            DecisionView(
                decision=_line(detail.row),
                key_id=detail.caller,
                request_id=detail.request_id,
                answer=sent,
                hold=None if detail.hold is None else _hold(detail.hold),
            )
        )


def _get(public_id: str, caller: Caller) -> facade.DecisionDetail:
    try:
        detail = facade.get_decision_detail(decision=public_id)
    except Rejected as error:
        raise NotFound(kind="decision", id=public_id) from error
    scope = caller.use_case_slugs
    if scope is not None and detail.row.use_case not in scope:
        raise NotFound(kind="decision", id=public_id)
    return detail


def _filter(query: Mapping[str, str], caller: Caller) -> facade.DecisionLogFilter:
    wrong: list[FieldError] = []
    outcomes = _choice(query, "decision", frozenset(Outcome), wrong)
    reasons = _choice(query, "reason", frozenset(Reason), wrong)
    decided_from = _instant(query, "from", wrong)
    decided_to = _instant(query, "to", wrong)
    if wrong:
        raise ValidationFailed(errors=wrong)
    return facade.DecisionLogFilter(
        outcomes=outcomes,
        reasons=reasons,
        use_cases=_use_cases(query.get("use_case"), caller),
        decided_from=decided_from,
        decided_to=decided_to,
    )


def _use_cases(stated: str | None, caller: Caller) -> tuple[str, ...]:
    scope = caller.use_case_slugs
    if scope is None:
        return () if stated is None else (stated,)
    seen = scope if stated is None else scope & {stated}
    return tuple(sorted(seen)) or _NOBODY


def _choice(
    query: Mapping[str, str], name: str, choices: frozenset[str], wrong: list[FieldError]
) -> tuple[str, ...]:
    if name not in query:
        return ()
    if query[name] not in choices:
        message = f"One of {', '.join(sorted(choices))}."
        wrong.append(FieldError(f"/{name}", "not_a_choice", message))
    return (query[name],)


def _instant(query: Mapping[str, str], name: str, wrong: list[FieldError]) -> datetime | None:
    if name not in query:
        return None
    try:
        at = datetime.fromisoformat(query[name])
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        message = "An instant as in 2026-11-01T00:00:00Z."
        wrong.append(FieldError(f"/{name}", "bad_time", message))
    return at


def _line(row: facade.DecisionRow) -> DecisionLine:
    return DecisionLine(
        id=row.public,
        decided_at=row.decided_at,
        use_case=row.use_case,
        decision=row.outcome,
        would_decision=row.would,
        mode=row.mode,
        reasons=row.codes,
        model=row.model,
        worst_case=amount_text(row.worst),
        worst_case_nanos=str(row.worst),
        reservation=row.reservation or None,
        entry_id=None if row.entry_uid is None else id_of("ent", row.entry_uid),
        folded=row.folded,
        policy_version=row.policy_version,
        price_version=row.price_version,
    )


def _hold(hold: facade.HoldState) -> HoldView:
    return HoldView(
        id=hold.public,
        state=hold.state,
        amount=amount_text(hold.amount),
        open=amount_text(hold.open),
        settled=amount_text(hold.settled),
        attempts=hold.attempts,
        expires_at=hold.expires_at,
        ended_at=hold.ended_at,
    )
