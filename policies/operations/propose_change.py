"""How is a change asked for that needs a second person? Bound to exactly what it says now.

Nothing is changed by asking. The request keeps the approval policy it was made under, so that
a later change of the policy neither eases nor hardens it.
"""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

import msgspec

from ledger import facade as ledger
from o10.access.keys import Caller
from o10.kernel import ids
from o10.kernel.errors import FieldError, ValidationFailed
from policies.core import approvals as core
from policies.core.instants import instant_text
from policies.models import Approval, ApprovalStep
from policies.operations.approval_steps import Step, check_reason, write_step
from policies.operations.change_kinds import ChangeText, get_kind
from policies.queries.approval_policy import approval_policy
from policies.queries.approvals import SYSTEM, ApprovalView, view_of

SUBJECT_MOST = 160
SCOPE = "approval-request"
"""Scope of the keys under which requests are made."""


def propose_change(
    *,
    kind: str,
    subject: str,
    change: Mapping[str, Any],
    actor: Caller | None,
    now: datetime,
    reason: str = "",
    key: str = "",
    until: datetime | None = None,
) -> ApprovalView:
    """Which request was made? Its `needs` say whose agreement it waits for.

    `actor` None = a job of the system. `until` lets the change hold before that instant only,
    where its kind knows an end. A repeat with the same `key` and change is the same request.
    Raises: Forbidden (`forbidden`) when the role may not ask for this kind; NotFound for a kind
    nobody registered; ValidationFailed; IdempotencyMismatch; what the kind's check raises.
    Locks: the key.
    """
    core.check_may_make(kind=kind, role=actor.role if actor else None)
    what = get_kind(kind)
    said = check_reason(reason, required=False)
    exact = plain(change)
    check_until(until, takes=what.takes_until, now=now)
    if not 1 <= len(subject) <= SUBJECT_MOST:
        message = f"1 to {SUBJECT_MOST} characters."
        raise ValidationFailed(errors=[FieldError("/subject", "too_long", message)])
    maker = actor.principal if actor else SYSTEM

    def run(uid: UUID) -> list[ledger.Draft]:
        if what.check is not None:
            what.check(exact, actor, now)
        current = approval_policy()
        text = what.text_at(exact, now)
        base = what.base_of(exact)
        needs = core.needs_of(kind=kind, weight=what.weight_of(exact), policy=current.policy)
        row = Approval.objects.create(
            public=ids.new_id("apr"),
            kind=kind,
            subject=subject,
            change=exact,
            change_hash=hash_of(
                kind=kind, subject=subject, change=exact, base=base, until=until
            ),
            base=base,
            text=_frozen(text),
            reason=said,
            maker=maker,
            maker_actor=actor.actor if actor else SYSTEM,
            maker_role=actor.role.value if actor else SYSTEM,
            needs=[sorted(need) for need in needs],
            money_nanos=text.money_nanos,
            policy_version=current.version,
            raised_at=now,
            expires_at=core.expires_at(kind=kind, policy=current.policy, now=now),
            until=until,
        )
        step = Step(
            act="raised",
            actor=row.maker_actor,
            principal=maker,
            role=row.maker_role,
            at=now,
            reason=said,
            until=until,
        )
        return [write_step(row, step, uid)]

    written = ledger.write(
        ledger_id=ledger.COMPANY_LEDGER,
        scope=SCOPE,
        key=_key(actor, kind, subject, key),
        request_hash=sha256(
            msgspec.json.encode([kind, subject, exact, said, until], order="sorted")
        ).digest(),
        run=run,
    )
    raised = ApprovalStep.objects.select_related("approval").get(
        entry_uid=written.uid, number=1
    )
    return view_of(raised.approval, now=now)


def find_proposed(*, actor: Caller, key: str, now: datetime) -> ApprovalView | None:
    """Which request did this caller make with this key before, if any?"""
    uid = ids.uid(scope=SCOPE, key=_key(actor, "", "", key), origin_ms=0)
    step = (
        ApprovalStep.objects.select_related("approval").filter(entry_uid=uid, number=1).first()
        if key
        else None
    )
    return None if step is None else view_of(step.approval, now=now)


def _key(actor: Caller | None, kind: str, subject: str, key: str) -> str:
    """A caller's key stands for one request, whatever it is about; a job's for its subject."""
    said = key or str(ids.new_uuid())
    return f"{actor.key_id}#{said}" if actor else f"{SYSTEM}#{kind}#{subject}#{said}"


def hash_of(
    *,
    kind: str,
    subject: str,
    change: Mapping[str, Any],
    base: str,
    until: datetime | None,
) -> str:
    """Which SHA-256 binds a request to its change? Hex, of canonical JSON with sorted keys."""
    end = instant_text(until) if until else ""
    return sha256(
        msgspec.json.encode([kind, subject, change, base, end], order="sorted")
    ).hexdigest()


def plain(change: Mapping[str, Any]) -> dict[str, Any]:
    """Which plain JSON is this change? Never a fraction: money and shares are whole numbers.

    Raises: ValidationFailed (`validation_failed`) with the place of what has no exact form.
    """
    exact = msgspec.json.decode(msgspec.json.encode(change))
    _check_exact(exact, "")
    return dict(exact)


def _check_exact(value: Any, place: str) -> None:
    if isinstance(value, float):
        message = "A whole number or a text; a fraction has no exact form."
        raise ValidationFailed(errors=[FieldError(place or "/", "bad_format", message)])
    if isinstance(value, str) and "\0" in value:
        message = "Plain text."
        raise ValidationFailed(errors=[FieldError(place or "/", "bad_format", message)])
    if isinstance(value, dict):
        for name, each in value.items():
            _check_exact(each, f"{place}/{name}")
    elif isinstance(value, list):
        for number, each in enumerate(value):
            _check_exact(each, f"{place}/{number}")


def check_until(until: datetime | None, *, takes: bool, now: datetime) -> None:
    """Can a change of this kind end then?

    Raises: ValidationFailed (`validation_failed`) for a kind without an end, or a past one.
    """
    if until is None:
        return
    if not takes:
        message = "A change of this kind has no end; leave `until` out."
        raise ValidationFailed(errors=[FieldError("/until", "not_possible", message)])
    if until <= now:
        message = "The end lies ahead."
        raise ValidationFailed(errors=[FieldError("/until", "past", message)])


def _frozen(text: ChangeText) -> dict[str, Any]:
    said = asdict(text)
    said["money_nanos"] = None if text.money_nanos is None else str(text.money_nanos)
    return dict(msgspec.json.decode(msgspec.json.encode(said)))
