"""How does an envelope come to be? Placed in the tree, its first period begun, written down.

Parents are made before children: an envelope never moves, since the money it has counted is
counted in all envelopes above it.
Locks: the key, governance, the tree.
"""

from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

import msgspec
from django.db import transaction

from ledger import facade as ledger
from o10.access.checks import check
from o10.access.keys import Caller
from o10.access.roles import Action
from o10.kernel import ids
from o10.kernel.errors import Conflict, FieldError, Forbidden, NotFound, ValidationFailed
from o10.kernel.periods import OutsidePeriod
from policies.core.drafts import BELOW_USE_CASE, EnvelopeDraft, check_envelope
from policies.models import Department, Envelope, EnvelopeVersion, UseCase
from policies.operations.balances import Cells, lock, raise_version
from policies.operations.change_envelope import (
    DECIDES_MONEY,
    Approved,
    bind_envelope,
    body_of,
    plain_draft,
    write_version,
)
from policies.operations.open_periods import open_periods
from policies.operations.publish_policy import lock_governance, publish_policy
from policies.operations.questions import actor_number
from policies.operations.tree_rules import (
    LIVING,
    check_amount_fits,
    check_null_cap,
    check_takes_child,
    overlaps,
)
from policies.queries.envelopes import EnvelopeView, get_envelope
from policies.queries.snapshot_rows import Touched, envelope_rule

COMPANY = "company"


class EnvelopeExists(Conflict):
    """Has this scope an envelope at that time already? Fields: `envelope`."""

    code = "conflict"


class ChildrenFirst(Conflict):
    """Are there envelopes that would have to move below this one? Fields: `envelope`."""

    code = "conflict"


def create_envelope(
    *,
    draft: EnvelopeDraft,
    actor: Caller,
    now: datetime,
    key: str = "",
    approved: Approved | None = None,
) -> EnvelopeView:
    """Which envelope was made? The next call obeys it.

    Doors call `ask_envelope`; directly it is called at set-up and by approvals. `approved` says
    who asked and who agreed; then the role of the last of them is not asked again.
    Raises: Forbidden; ValidationFailed; NotFound for the parent; EnvelopeExists,
    ChildrenFirst, ParentTakesNoChild, Overallocated (`conflict`); IdempotencyMismatch.
    """
    if approved is None:
        check_may_create(actor)
    check_envelope(draft, now=now)

    def run(uid: UUID) -> list[ledger.Draft]:
        lock_governance()
        row = _insert(draft, now)
        # Here, so that a refused change leaves no number of its caller behind.
        actor_id = actor_number(actor.actor, now=now)
        check_null_cap(row)
        check_amount_fits(row)
        drafts = _begin(row, uid, actor_id, draft.reason, now, approved)
        write_version(row, uid, approved.maker if approved else actor.actor, draft.reason, now)
        bind_envelope(row, actor_id, now)
        published = publish_policy(
            change=f"envelope {row.public} created",
            actor=actor.actor,
            actor_id=actor_id,
            reason=draft.reason,
            now=now,
            touched=Touched(envelopes=(row.id,)),
        )
        return [*drafts, *published]

    written = ledger.write(
        ledger_id=ledger.COMPANY_LEDGER,
        scope="envelope",
        key=f"{actor.key_id}#{key or ids.new_uuid()}",
        request_hash=sha256(msgspec.json.encode(draft)).digest(),
        run=run,
    )
    made = EnvelopeVersion.objects.select_related("envelope").get(
        entry_uid=written.uid, version=1
    )
    return get_envelope(envelope=made.envelope.public, now=now)


def check_may_create(actor: Caller) -> None:
    """May this caller make envelopes? Finance decides.

    Raises: Forbidden (`forbidden`).
    """
    check(caller=actor, action=Action.CHANGE_ENVELOPE)
    if actor.role not in DECIDES_MONEY:
        raise Forbidden(action=Action.CHANGE_ENVELOPE.value, role=actor.role.value)


def check_may_be(*, draft: EnvelopeDraft, now: datetime) -> None:
    """Could this envelope be made as things stand? Nothing is made.

    Raises: as `create_envelope`, but for roles.
    """
    check_envelope(draft, now=now)
    with transaction.atomic():
        row = _insert(draft, now)
        check_null_cap(row)
        check_amount_fits(row)
        transaction.set_rollback(True)


def parent_of(draft: EnvelopeDraft) -> Envelope | None:
    """Below which envelope would this one stand? None = it is a root.

    Raises: ValidationFailed; NotFound.
    """
    return _parent(draft, _scope(draft))


def _begin(
    row: Envelope,
    uid: UUID,
    actor_id: int,
    reason: str,
    now: datetime,
    approved: Approved | None,
) -> list[ledger.Draft]:
    """Begins the current period where there is one; the entry carries the whole envelope."""
    try:
        period = envelope_rule(row).period_at(now)
    except OutsidePeriod:
        cells = Cells(row.root, (), ())
        locked = lock(cells)
        raise_version(cells=cells, version=locked.version)
        return [plain_draft(row, uid, None, actor_id, reason, now, locked.version, approved)]
    cells = Cells(row.root, (row.id,), (period.start,))
    locked = lock(cells)
    opened = open_periods(
        cells=cells,
        periods=[period],
        locked=locked,
        actor_id=actor_id,
        now=now,
        more={
            "change": "created",
            "after": body_of(row),
            "reason": reason,
            **({"approval": approved.body} if approved else {}),
        },
        uid=uid,
    )
    raise_version(cells=cells, version=locked.version)
    return list(opened.drafts)


def _insert(draft: EnvelopeDraft, now: datetime) -> Envelope:
    scope = _scope(draft)
    parent = _parent(draft, scope)
    row = envelope_row(
        draft,
        parent=parent,
        name=scope["name"],
        department=scope["department"],
        use_case=scope["use_case"],
        time_zone=ledger.ledger_of_company().time_zone,
        now=now,
    )
    _check_alone(row)
    _check_children_first(row)
    if parent is not None:
        check_takes_child(parent, scope_kind=row.scope_kind)
    row.save()
    if parent is None:
        row.root = row.id
        row.save(update_fields=["root"])
    return row


def envelope_row(
    draft: EnvelopeDraft,
    *,
    parent: Envelope | None,
    name: str,
    department: Department | None,
    use_case: UseCase | None,
    time_zone: str,
    now: datetime,
) -> Envelope:
    """Which row would this draft be, below this parent? Not saved, not checked.

    `name` and `time_zone` are taken where the draft says none.
    """
    start = draft.start_at
    if start is None and draft.period_kind == "rolling":
        start = now
    return Envelope(
        public=ids.new_id("env"),
        parent=parent,
        root=parent.root if parent else 0,
        depth=parent.depth + 1 if parent else 0,
        scope_kind=draft.scope_kind,
        name=draft.name or name,
        slug=draft.scope_slug or COMPANY,
        department=department,
        use_case=use_case,
        period_kind=draft.period_kind,
        time_zone=draft.time_zone or time_zone,
        start_at=start,
        end_at=draft.end_at,
        week_start=draft.week_start,
        days=draft.days,
        fiscal=draft.fiscal,
        amount_nanos=draft.amount_nanos,
        hard=draft.hard,
        soft_thresholds_ppm=sorted(draft.soft_thresholds_ppm),
        per_call_nanos=draft.per_call_nanos,
        per_run_nanos=draft.per_run_nanos,
        allow_overallocation=draft.allow_overallocation,
        created_at=now,
        updated_at=now,
    )


def _scope(draft: EnvelopeDraft) -> dict[str, Any]:
    """Which department or use case does the scope name?"""
    if draft.scope_kind == "department":
        found = Department.objects.filter(slug=draft.scope_slug).first()
        if found is None:
            raise _unknown("department", draft.scope_slug)
        return {"name": found.name, "department": found, "use_case": None}
    if draft.scope_kind == "use_case":
        row = UseCase.objects.select_related("department").filter(slug=draft.scope_slug).first()
        if row is None:
            raise _unknown("use case", draft.scope_slug)
        return {"name": row.name, "department": row.department, "use_case": row}
    name = "Company" if draft.scope_kind == COMPANY else draft.scope_slug
    return {"name": name, "department": None, "use_case": None}


def _parent(draft: EnvelopeDraft, scope: dict[str, Any]) -> Envelope | None:
    if draft.parent:
        named = Envelope.objects.select_related("parent").filter(public=draft.parent)
        row: Envelope | None = named.first()
        if row is None:
            raise NotFound(kind="envelope", id=draft.parent)
        return row
    if draft.scope_kind in BELOW_USE_CASE:
        message = f"An envelope of a {draft.scope_kind} names the envelope above it."
        raise ValidationFailed(errors=[FieldError("/parent", "required", message)])
    for kind, found in _above(draft.scope_kind, scope):
        living = Envelope.objects.select_related("parent").filter(
            scope_kind=kind, state__in=LIVING, **found
        )
        probe = Envelope(start_at=draft.start_at, end_at=draft.end_at)
        for above in living.order_by("id"):
            if overlaps(above, probe):
                nearest: Envelope = above
                return nearest
    return None


def _above(scope_kind: str, scope: dict[str, Any]) -> Sequence[tuple[str, dict[str, Any]]]:
    """Where are parents looked for, the nearest first?"""
    company: tuple[str, dict[str, Any]] = (COMPANY, {})
    if scope_kind == "use_case":
        return (("department", {"department": scope["department"]}), company)
    return (company,) if scope_kind == "department" else ()


def _check_alone(row: Envelope) -> None:
    same = Envelope.objects.filter(scope_kind=row.scope_kind, slug=row.slug, state__in=LIVING)
    if row.scope_kind in BELOW_USE_CASE:
        same = same.filter(parent=row.parent)
    for other in same.order_by("id"):
        if overlaps(other, row):
            raise EnvelopeExists(envelope=other.public)


def _check_children_first(row: Envelope) -> None:
    """Would envelopes that are there already belong below this one?"""
    living = Envelope.objects.filter(state__in=LIVING)
    if row.scope_kind == COMPANY:
        orphan = living.filter(parent__isnull=True).exclude(scope_kind=COMPANY).first()
    elif row.scope_kind == "department":
        members = living.filter(scope_kind="use_case", use_case__department=row.department)
        orphan = members.exclude(parent__scope_kind="department").first()
    else:
        orphan = None
    if orphan is not None:
        raise ChildrenFirst(envelope=orphan.public)


def _unknown(what: str, slug: str) -> ValidationFailed:
    message = f"There is no {what} {slug}."
    return ValidationFailed(errors=[FieldError("/scope/slug", "unknown", message)])
