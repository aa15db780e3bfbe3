"""How does a use case come to be, and how do its rules change?

Finance, its owners and scripts of theirs may (role × action table); every change is a new
policy version and a ledger entry. Approvals come on top of these operations.
"""

import contextlib
from collections.abc import Callable, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

import msgspec
from django.db import IntegrityError, transaction

from ledger import facade as ledger
from o10.access.checks import check, check_see_use_case
from o10.access.keys import Caller
from o10.access.roles import Action
from o10.kernel import ids
from o10.kernel.errors import Conflict, NotFound
from policies.core.drafts import UseCaseChange, UseCaseDraft, check_use_case
from policies.models import Department, UseCase
from policies.operations.change_envelope import Approved
from policies.operations.publish_policy import lock_governance, publish_policy
from policies.operations.questions import actor_number
from policies.queries.snapshot_rows import Touched
from policies.queries.use_cases import UseCaseView, get_use_case


class NothingChanges(Conflict):
    """Do the rules read the same after the change? Nothing is published then."""


class SlugTaken(Conflict):
    """Is there a use case or department of this slug? Fields: `slug`."""

    code = "conflict"


def create_department(*, slug: str, name: str, actor: Caller, now: datetime) -> str:
    """Which department is it? Made the first time; the slug.

    Raises: Forbidden (`forbidden`); ValidationFailed.
    """
    check(caller=actor, action=Action.CHANGE_USE_CASE)
    check_use_case(UseCaseDraft(slug=slug, name=name, department=slug))
    with transaction.atomic():
        Department.objects.bulk_create(
            [Department(slug=slug, name=name, created_at=now)], ignore_conflicts=True
        )
    return slug


def create_use_case(
    *, draft: UseCaseDraft, actor: Caller, now: datetime, key: str = ""
) -> UseCaseView:
    """Which use case was registered? Its department is made with it when it is new.

    Raises: Forbidden; ValidationFailed; SlugTaken (`conflict`); IdempotencyMismatch.
    Locks: the key, governance.
    """
    check(caller=actor, action=Action.CHANGE_USE_CASE)
    check_use_case(draft)

    def run(uid: UUID) -> Sequence[ledger.Draft]:
        lock_governance()
        row = _insert(draft, now)
        # Here, so that a refused change leaves no number of its caller behind.
        actor_id = actor_number(actor.actor, now=now)
        bind_use_case(row, actor_id, now)
        return publish_policy(
            change=f"use case {row.slug} registered",
            actor=actor.actor,
            actor_id=actor_id,
            reason="",
            now=now,
            uid=uid,
            touched=Touched(use_cases=(row.id,)),
        )

    _write(f"{actor.key_id}#{key or ids.new_uuid()}", draft, run)
    return get_use_case(slug=draft.slug)


def change_use_case(
    *,
    slug: str,
    change: UseCaseChange,
    actor: Caller,
    now: datetime,
    key: str = "",
    approved: Approved | None = None,
    may: bool = False,
) -> UseCaseView:
    """How do the rules of this use case read from now on? The next call obeys them.

    Doors call `ask_use_case_change`. `approved` says who asked and who agreed; then, or where
    the caller has looked at the role (`may`), it is not looked at again.
    Raises: Forbidden; ValidationFailed; NotFound (`not_found`); IdempotencyMismatch.
    Locks: the key, governance.
    """
    if approved is None and not may:
        check(caller=actor, action=Action.CHANGE_USE_CASE)
        check_see_use_case(caller=actor, slug=slug)
    check_use_case(change)

    def run(uid: UUID) -> Sequence[ledger.Draft]:
        lock_governance()
        row = _change(slug, change, now)
        actor_id = actor_number(actor.actor, now=now)
        bind_use_case(row, actor_id, now)
        published = publish_policy(
            change=f"use case {slug} changed",
            actor=actor.actor,
            actor_id=actor_id,
            reason=change.reason,
            now=now,
            uid=uid,
            touched=Touched(use_cases=(row.id,)),
            approval=approved.body if approved else None,
        )
        if not published:
            raise NothingChanges(slug=slug)
        return published

    with contextlib.suppress(NothingChanges):
        _write(f"{actor.key_id}#{slug}#{key or ids.new_uuid()}", change, run)
    return get_use_case(slug=slug)


def bind_use_case(row: UseCase, actor_id: int, now: datetime) -> None:
    """Says in the ledger what the number of this use case means."""
    meaning: dict[str, Any] = {
        "id": row.public,
        "slug": row.slug,
        "name": row.name,
        "department": row.department.slug,
    }
    ledger.bind(
        ledger.Domain.USE_CASE,
        row.id,
        meaning,
        ledger_id=ledger.COMPANY_LEDGER,
        actor=actor_id,
        now=now,
    )


def _write(
    key: str,
    asked: msgspec.Struct,
    run: Callable[[UUID], Sequence[ledger.Draft]],
) -> None:
    ledger.write(
        ledger_id=ledger.COMPANY_LEDGER,
        scope="use_case",
        key=key,
        request_hash=sha256(msgspec.json.encode(asked)).digest(),
        run=run,
    )


def _insert(draft: UseCaseDraft, now: datetime) -> UseCase:
    name = draft.department.replace("-", " ").capitalize()
    department, _ = Department.objects.get_or_create(
        slug=draft.department, defaults={"name": name, "created_at": now}
    )
    fields = {
        name: getattr(draft, name) for name in draft.__struct_fields__ if name != "department"
    }
    try:
        with transaction.atomic():
            return UseCase.objects.create(
                **fields,
                department=department,
                public=ids.new_id("uc"),
                created_at=now,
                updated_at=now,
            )
    except IntegrityError as error:
        raise SlugTaken(slug=draft.slug) from error


def _change(slug: str, change: UseCaseChange, now: datetime) -> UseCase:
    row = UseCase.objects.select_related("department").filter(slug=slug).first()
    if row is None:
        raise NotFound(kind="use_case", id=slug)
    for name in change.__struct_fields__:
        value = getattr(change, name)
        if value is msgspec.UNSET or name == "reason":
            continue
        plain = value if name != "approved_models" else msgspec.to_builtins(value)
        setattr(row, name, plain)
    row.updated_at = now
    row.save()
    return row
