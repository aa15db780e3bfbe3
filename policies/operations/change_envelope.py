"""How is an envelope made, raised, lowered, frozen, closed? A new version from now on.

This carries a change out. Doors call `ask_envelope`, which decides whether it may happen at
once or waits for a second person; directly it is called at set-up, by approvals and by jobs.
Every change is a row of `envelope_version`, an `envelope_change` entry for each period it
touches, and a new policy version, in one transaction. Past periods keep the cap they had.
Locks: governance, the key, the tree, balances in order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

import msgspec

from ledger import facade as ledger
from o10.access.checks import check
from o10.access.keys import Caller
from o10.access.roles import Action, Role
from o10.kernel import ids
from o10.kernel.errors import Conflict, Forbidden, NotFound, PreconditionFailed
from policies.core.drafts import EnvelopeChange, check_envelope
from policies.core.envelope import Balance, limit_after
from policies.core.instants import instant_text, unix_ms
from policies.core.record import exact
from policies.models import Envelope, EnvelopeBalance, EnvelopeVersion
from policies.operations.balances import Cells, Locked, lock, raise_version
from policies.operations.leases import lent_until
from policies.operations.open_periods import cap_of, period_document
from policies.operations.publish_policy import lock_governance, publish_policy
from policies.operations.questions import actor_number
from policies.operations.tree_rules import check_amount_fits, check_null_cap
from policies.queries.envelopes import EnvelopeView, get_envelope
from policies.queries.snapshot_rows import Touched, envelope_rule

DECIDES_MONEY = frozenset({Role.FINOPS, Role.CONTROLLER})
"""Roles that change amounts directly; approvals by a second person come on top."""
RECALLS = frozenset({"state", "amount_nanos", "hard", "end_at"})
"""Changes that must reach a decision already under way: they raise the epoch."""


@dataclass(frozen=True, slots=True)
class Approved:
    """By which request was a change allowed: who asked, and who agreed?"""

    approval: str
    maker: str
    checkers: tuple[str, ...]

    @property
    def body(self) -> dict[str, Any]:
        """How does it stand in the entry's document?"""
        return {
            "id": self.approval,
            "maker": self.maker,
            "checkers": list(self.checkers),
        }


class EnvelopeEnded(Conflict):
    """Is the envelope closed, which is for ever? Fields: `envelope`."""

    code = "conflict"


def change_envelope(
    *,
    envelope: str,
    change: EnvelopeChange,
    actor: Caller,
    now: datetime,
    key: str = "",
    expected_version: int | None = None,
    approved: Approved | None = None,
    may: bool = False,
) -> EnvelopeView:
    """How does this envelope read from now on? The next call obeys it.

    A repeat with the same `key` and change does nothing more. `approved` says who asked and
    who agreed; then, or where the caller has asked the table of approvals (`may`), the role is
    not asked again.
    Raises: Forbidden; ValidationFailed; NotFound; EnvelopeEnded (`conflict`);
    PreconditionFailed when its version is not the expected one; IdempotencyMismatch.
    """
    if approved is None and not may:
        check_may_change(actor, change)
    check_envelope(change, now=now)
    row = find_envelope(envelope)

    def run(uid: UUID) -> list[ledger.Draft]:
        lock_governance()
        fresh = Envelope.objects.select_related("use_case", "parent").get(id=row.id)
        if expected_version is not None and fresh.version != expected_version:
            raise PreconditionFailed(envelope=envelope, version=fresh.version)
        # Here, so that a refused change leaves no number of its caller behind.
        actor_id = actor_number(actor.actor, now=now)
        return _apply(fresh, change, uid, actor, actor_id, now, approved)

    ledger.write(
        ledger_id=ledger.COMPANY_LEDGER,
        scope="envelope",
        key=f"{envelope}#{key or ids.new_uuid()}",
        request_hash=sha256(msgspec.json.encode(change)).digest(),
        run=run,
    )
    return get_envelope(envelope=envelope, now=now)


def check_may_change(actor: Caller, change: EnvelopeChange) -> None:
    """May this caller make this change?

    Freezing needs no authority over money; everything else does, thawing too.
    Raises: Forbidden (`forbidden`).
    """
    only_freezes = change.state == "frozen" and _named(change) == {"state"}
    if only_freezes:
        check(caller=actor, action=Action.FREEZE_ENVELOPE)
        return
    check(caller=actor, action=Action.CHANGE_ENVELOPE)
    if actor.role not in DECIDES_MONEY:
        raise Forbidden(action=Action.CHANGE_ENVELOPE.value, role=actor.role.value)


def check_possible(*, envelope: str, change: EnvelopeChange, now: datetime) -> None:
    """Could this change be carried out as things stand? Nothing is changed.

    Raises: as `change_envelope`, but for roles.
    """
    check_envelope(change, now=now)
    row = find_envelope(envelope)
    if row.state == "closed":
        raise EnvelopeEnded(envelope=row.public)
    _set(row, change, now)
    check_null_cap(row)
    check_amount_fits(row)


def find_envelope(envelope: str) -> Envelope:
    """Which envelope has this id?

    Raises: NotFound (`not_found`).
    """
    rows = Envelope.objects.select_related("use_case", "parent")
    row: Envelope | None = rows.filter(public=envelope).first()
    if row is None:
        raise NotFound(kind="envelope", id=envelope)
    return row


def _apply(
    row: Envelope,
    change: EnvelopeChange,
    uid: UUID,
    actor: Caller,
    actor_id: int,
    now: datetime,
    approved: Approved | None,
) -> list[ledger.Draft]:
    if row.state == "closed":
        raise EnvelopeEnded(envelope=row.public)
    before = body_of(row)
    balances = list(
        EnvelopeBalance.objects.filter(envelope_id=row.id, period_end__gt=now).order_by(
            "period_start"
        )
    )
    cells = Cells(
        row.root,
        tuple(row.id for _ in balances),
        tuple(balance.period_start for balance in balances),
    )
    locked = lock(cells)
    _set(row, change, now)
    check_null_cap(row)
    check_amount_fits(row)
    row.save()
    drafts = [
        _carry(
            row,
            balance,
            found,
            uid,
            number,
            before,
            actor_id,
            change.reason,
            now,
            locked,
            approved,
        )
        for number, (balance, found) in enumerate(zip(balances, locked.path, strict=True))
        if found is not None
    ]
    if not drafts:
        drafts = [
            plain_draft(
                row, uid, before, actor_id, change.reason, now, locked.version, approved
            )
        ]
    raise_version(cells=cells, version=locked.version)
    write_version(row, uid, approved.maker if approved else actor.actor, change.reason, now)
    bind_envelope(row, actor_id, now)
    published = publish_policy(
        change=f"envelope {row.public} changed",
        actor=actor.actor,
        actor_id=actor_id,
        reason=change.reason,
        now=now,
        touched=Touched(envelopes=(row.id,)),
    )
    return [*drafts, *published]


def _carry(
    row: Envelope,
    balance: EnvelopeBalance,
    found: Balance,
    uid: UUID,
    number: int,
    before: dict[str, Any],
    actor_id: int,
    reason: str,
    now: datetime,
    locked: Locked,
    approved: Approved | None,
) -> ledger.Draft:
    """Takes the change into one period that has begun and not ended."""
    cap = cap_of(row)
    limit = limit_after(cap=cap, limit=found.limit, guarded=found.guarded_exposure)
    end = balance.period_end
    if row.period_kind == "fixed" and row.end_at is not None:
        # Whoever holds a lease may not have heard yet: its calls still need their period.
        end = max(row.end_at, lent_until(row.id) or row.end_at)
    EnvelopeBalance.objects.filter(
        envelope_id=row.id, period_start=balance.period_start
    ).update(
        cap_nanos=cap,
        limit_nanos=limit,
        period_end=end,
        epoch=row.epoch,
        version=locked.version,
    )
    document = period_document(row, start=balance.period_start, end=end, cap=cap, limit=limit)
    own = uid
    if number:
        own = ids.uid(scope="envelope-period", key=f"{uid}#{number}", origin_ms=unix_ms(now))
    return _draft(row, own, document, before, actor_id, reason, now, locked.version, approved)


def plain_draft(
    row: Envelope,
    uid: UUID,
    before: dict[str, Any] | None,
    actor_id: int,
    reason: str,
    now: datetime,
    version: int,
    approved: Approved | None = None,
) -> ledger.Draft:
    """Which entry tells of a change while no period has begun? It names the next one."""
    rule = envelope_rule(row)
    at = now if row.start_at is None else max(now, row.start_at)
    if row.end_at is not None and at >= row.end_at:
        at = row.start_at or row.created_at
    period = rule.calendar_period_at(at)
    cap = cap_of(row)
    document = period_document(row, start=period.start, end=period.end, cap=cap, limit=cap)
    return _draft(row, uid, document, before, actor_id, reason, now, version, approved)


def _draft(
    row: Envelope,
    uid: UUID,
    document: dict[str, object],
    before: dict[str, Any] | None,
    actor_id: int,
    reason: str,
    now: datetime,
    version: int,
    approved: Approved | None,
) -> ledger.Draft:
    body = {
        "change": "changed" if before else "created",
        "before": before,
        "after": body_of(row),
        "reason": reason,
        **({"approval": approved.body} if approved else {}),
        **document,
    }
    return ledger.Draft(
        ledger_id=ledger.COMPANY_LEDGER,
        kind=ledger.Kind.ENVELOPE_CHANGE,
        uid=uid,
        effective_at=now,
        recorded_at=now,
        envelope_id=row.id,
        use_case_id=row.use_case_id or 0,
        actor_id=actor_id,
        env_version=version,
        doc=ledger.put_document(body, now=now),
    )


def body_of(row: Envelope) -> dict[str, Any]:
    """How does the envelope read, field by field, in a document?"""
    return {
        "id": row.public,
        "number": row.id,
        "name": row.name,
        "scope": {"kind": row.scope_kind, "slug": row.slug},
        "parent": row.parent.public if row.parent else "",
        "period": _period_body(row),
        "amount_nanos": exact(row.amount_nanos),
        "hard": int(row.hard),
        "soft_thresholds_ppm": list(row.soft_thresholds_ppm),
        "per_call_nanos": exact(row.per_call_nanos),
        "per_run_nanos": exact(row.per_run_nanos),
        "allow_overallocation": int(row.allow_overallocation),
        "state": row.state,
        "version": row.version,
    }


def bind_envelope(row: Envelope, actor_id: int, now: datetime) -> None:
    """Says in the ledger what the number of this envelope means."""
    ledger.bind(
        ledger.Domain.ENVELOPE,
        row.id,
        meaning_of(row),
        ledger_id=ledger.COMPANY_LEDGER,
        actor=actor_id,
        now=now,
    )


def meaning_of(row: Envelope) -> dict[str, Any]:
    """What does the number of this envelope mean in the ledger?"""
    return {
        "id": row.public,
        "name": row.name,
        "scope": row.scope_kind,
        "slug": row.slug,
        "parent": row.parent.public if row.parent else "",
    }


def write_version(row: Envelope, uid: UUID, actor: str, reason: str, now: datetime) -> None:
    """Writes this version down beside all earlier ones. `actor` is who asked for it."""
    EnvelopeVersion.objects.create(
        envelope=row,
        version=row.version,
        body=body_of(row),
        at=now,
        actor=actor,
        reason=reason,
        entry_uid=uid,
    )


def _period_body(row: Envelope) -> dict[str, Any]:
    return {
        "kind": row.period_kind,
        "time_zone": row.time_zone,
        "start": instant_text(row.start_at) if row.start_at else None,
        "end": instant_text(row.end_at) if row.end_at else None,
        "week_start": row.week_start,
        "days": row.days,
        "fiscal": row.fiscal,
    }


def _set(row: Envelope, change: EnvelopeChange, now: datetime) -> None:
    named = _named(change)
    for name in named:
        value = getattr(change, name)
        setattr(row, name, sorted(value) if isinstance(value, tuple) else value)
    row.version += 1
    row.updated_at = now
    if named & RECALLS:
        row.epoch += 1


def _named(change: EnvelopeChange) -> set[str]:
    fields: Sequence[str] = change.__struct_fields__
    return {
        name
        for name in fields
        if name != "reason" and getattr(change, name) is not msgspec.UNSET
    }
