"""May this change of an envelope happen at once, or does it wait for a second person?

What doors call. More money waits: nothing changes until others have agreed. Less holds from
the next call on, and a second person confirms it within a day; if nobody does it stays, and an
alert says so. What moves no money needs nobody.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from django.db import transaction

from ledger import facade as ledger
from o10.access.checks import check_see_use_case
from o10.access.keys import Caller
from o10.access.roles import ROLE_ACTIONS, Action, Role
from o10.kernel import ids
from o10.kernel.errors import FieldError, Forbidden, PreconditionFailed, ValidationFailed
from o10.kernel.money import MAX_NANOS, Nanos
from policies.core.approvals import can_make, check_may_make
from policies.core.drafts import EnvelopeChange, EnvelopeDraft, check_envelope
from policies.core.envelope_changes import kind_of, needs_confirmation
from policies.models import Envelope, TemporaryRaise
from policies.operations.change_envelope import change_envelope, find_envelope
from policies.operations.envelope_kinds import change_body, draft_body, limits_of
from policies.operations.propose_change import find_proposed, propose_change
from policies.queries.approvals import SYSTEM, ApprovalView
from policies.queries.envelopes import EnvelopeView

CONFIRM = "envelope.confirm"
_CLOCK = Caller(SYSTEM, SYSTEM, SYSTEM, Role.CONTROLLER, None, ROLE_ACTIONS[Role.CONTROLLER])
"""Who lets a temporary raise end: nobody asks for it, its end was approved with it."""


def ask_envelope_change(
    *,
    envelope: str,
    change: EnvelopeChange,
    actor: Caller,
    now: datetime,
    key: str = "",
    expected_version: int | None = None,
    until: datetime | None = None,
) -> EnvelopeView | ApprovalView:
    """How does the envelope read now, or which request waits for others?

    `until` ends a raise of the amount then. A repeat with the same key does nothing more and
    has the same answer, also when what it asked for was carried out meanwhile.
    Raises: Forbidden; ValidationFailed; NotFound; EnvelopeEnded, Overallocated (`conflict`);
    PreconditionFailed when its version is not the expected one; IdempotencyMismatch.
    """
    check_envelope(change, now=now)
    row = find_envelope(envelope)
    _check_scope(row, actor)
    asked = find_proposed(actor=actor, key=key, now=now)
    if asked is None and _was_done_at_once(envelope, key):
        kind = ""
    else:
        kind = asked.kind if asked else kind_of(limits_of(row), change)
    if kind in ("", CONFIRM):
        _check_no_end(until)
        return _change_at_once(row, change, actor, now, key, expected_version)
    if asked is None and expected_version is not None and row.version != expected_version:
        check_may_make(kind=kind, role=actor.role)
        raise PreconditionFailed(envelope=envelope, version=row.version)
    return propose_change(
        kind=kind,
        subject=envelope,
        change=change_body(envelope, change),
        actor=actor,
        now=now,
        reason=change.reason,
        key=key,
        until=until,
    )


def ask_top_up(
    *, envelope: str, add_nanos: Nanos, reason: str, actor: Caller, now: datetime, key: str = ""
) -> ApprovalView:
    """Which request asks for more money in the current period alone?

    Raises: as `ask_envelope_change`; ValidationFailed for an envelope without a cap.
    """
    row = find_envelope(envelope)
    _check_scope(row, actor)
    errors = []
    if not 0 < add_nanos <= MAX_NANOS:
        errors.append(FieldError("/top_up", "out_of_range", "An amount above zero."))
    if row.amount_nanos is None:
        message = "This envelope has no cap of its own that could be raised."
        errors.append(FieldError("/top_up", "not_possible", message))
    if not reason.strip():
        errors.append(FieldError("/reason", "required", "A change says why."))
    if errors:
        raise ValidationFailed(errors=errors)
    return propose_change(
        kind="envelope.top_up",
        subject=envelope,
        change={"envelope": envelope, "add_nanos": str(add_nanos), "reason": reason},
        actor=actor,
        now=now,
        reason=reason,
        key=key,
    )


def ask_envelope(
    *, draft: EnvelopeDraft, actor: Caller, now: datetime, key: str = ""
) -> ApprovalView:
    """Which request asks for this new envelope? It is made once others have agreed.

    Raises: Forbidden; ValidationFailed; what `create_envelope` would refuse; also
    IdempotencyMismatch.
    """
    check_may_make(kind="envelope.create", role=actor.role)
    _check_no_scope(actor)
    check_envelope(draft, now=now)
    return propose_change(
        kind="envelope.create",
        subject=f"{draft.scope_kind}/{draft.scope_slug or 'company'}"[:160],
        change={"draft": draft_body(draft)},
        actor=actor,
        now=now,
        reason=draft.reason,
        key=key,
    )


def ask_envelopes(
    *, drafts: Sequence[EnvelopeDraft], actor: Caller, now: datetime, key: str = ""
) -> ApprovalView:
    """Which request asks for these envelopes below a use case? All are made, or none.

    Raises: as `ask_envelope`, with every mistake of every row.
    """
    check_may_make(kind="envelope.create", role=actor.role)
    _check_no_scope(actor)
    parents = {draft.parent for draft in drafts}
    return propose_change(
        kind="envelope.create",
        subject=parents.pop() if len(parents) == 1 else f"{len(drafts)} envelopes",
        change={"drafts": [draft_body(draft) for draft in drafts]},
        actor=actor,
        now=now,
        reason=drafts[0].reason if drafts else "",
        key=key,
    )


def end_raises(*, now: datetime) -> int:
    """How many temporary raises ended? The cap falls back from the next call on."""
    due = TemporaryRaise.objects.filter(state="running", until__lte=now)
    return sum(_end_raise(each.id, now) for each in due.order_by("until", "id")[:200])


def can_ask(*, actor: Caller, kind: str) -> bool:
    """May this caller ask for a change of this kind? For buttons and forms."""
    return can_make(kind=kind, role=actor.role)


def _change_at_once(
    row: Envelope,
    change: EnvelopeChange,
    actor: Caller,
    now: datetime,
    key: str,
    expected_version: int | None,
) -> EnvelopeView:
    """Less, or no money at all: in force now, and less is looked at by a second person."""
    check_may_make(kind=CONFIRM, role=actor.role)
    less = needs_confirmation(limits_of(row), change)
    key = key or str(ids.new_uuid())
    with transaction.atomic():
        view = change_envelope(
            envelope=row.public,
            change=change,
            actor=actor,
            now=now,
            key=key,
            expected_version=expected_version,
            may=True,
        )
        if less:
            _ask_to_confirm(row, change, actor, now, key, view.version)
        if change.amount_nanos is not msgspec.UNSET:
            TemporaryRaise.objects.filter(envelope=row, state="running").update(
                state="replaced", ended_at=now
            )
    return view


def _ask_to_confirm(
    row: Envelope,
    change: EnvelopeChange,
    actor: Caller,
    now: datetime,
    key: str,
    version: int,
) -> None:
    body = change_body(row.public, change)
    before = {name: _plain(getattr(row, name)) for name in body["fields"]}
    propose_change(
        kind=CONFIRM,
        subject=row.public,
        change={**body, "before": before, "version": version},
        actor=actor,
        now=now,
        reason=change.reason,
        key=f"confirm#{row.public}#{key}",
    )


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _was_done_at_once(envelope: str, key: str) -> bool:
    """Was a change with this key entered before? Then a repeat answers and asks nothing."""
    uid = ids.uid(scope="envelope", key=f"{envelope}#{key}", origin_ms=0)
    return bool(key) and (
        ledger.find_by_uid(ledger_id=ledger.COMPANY_LEDGER, uid=uid) is not None
    )


def _check_scope(row: Envelope, actor: Caller) -> None:
    """A key of some use cases touches their envelopes only.

    Raises: Forbidden (`forbidden`).
    """
    if actor.use_case_slugs is None:
        return
    check_see_use_case(caller=actor, slug=row.use_case.slug if row.use_case else "")


def _check_no_scope(actor: Caller) -> None:
    if actor.use_case_slugs is not None:
        raise Forbidden(action=Action.CHANGE_ENVELOPE.value, reason="use_case_scope")


def _check_no_end(until: datetime | None) -> None:
    if until is not None:
        message = "Only a raise of the amount can end by itself."
        raise ValidationFailed(errors=[FieldError("/until", "not_possible", message)])


def _end_raise(number: int, now: datetime) -> int:
    with transaction.atomic():
        running = (
            TemporaryRaise.objects.select_for_update()
            .filter(id=number, state="running", until__lte=now)
            .first()
        )
        if running is None:
            return 0
        row = Envelope.objects.get(id=running.envelope_id)
        if row.state != "closed":
            change_envelope(
                envelope=row.public,
                change=EnvelopeChange(
                    amount_nanos=running.back_to_nanos,
                    reason=f"the raise of {running.approval} ended",
                ),
                actor=_CLOCK,
                now=now,
                key=f"end-of-raise#{running.id}",
            )
        running.state, running.ended_at = "ended", now
        running.save(update_fields=["state", "ended_at"])
    return 1
