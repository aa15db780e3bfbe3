"""How does a criterion come to be, get armed, loosened, set aside, lifted, retired?

A draft is anybody's who may make criteria; it watches and pulls nothing. Whatever arms, loosens
or lifts needs a second person: those operations are named `apply_` and run once approved.
Tightening and a criterion's own mild levers need one.
"""

from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

import msgspec

from ledger import facade as ledger
from o10.access.checks import check, check_see_use_case
from o10.access.keys import Caller
from o10.access.roles import Action
from o10.kernel import ids
from o10.kernel.errors import Conflict, FieldError, NotFound, ValidationFailed
from policies.core.kill import ACTING, State
from policies.core.kill_spec import OVERRIDE_MOST, Spec, check_spec, loosens
from policies.core.levers import Lever
from policies.models import Department, KillCriterion, KillEvent, KillVersion, UseCase
from policies.operations.fire_kill import (
    event_document,
    fire,
    lift,
    pull,
    set_aside,
)
from policies.operations.publish_policy import lock_governance
from policies.operations.questions import actor_number
from policies.queries.kill_rows import get_criterion, open_review_of, scope_of, spec_of
from policies.queries.kill_sight import envelope_of

NAME_MOST: Final = 120
REASON_MOST: Final = 400
ALIVE: Final = (State.ARMED, State.TRIPPED, State.RESTORING, State.OVERRIDDEN)


class CriterionDraft(msgspec.Struct, frozen=True, kw_only=True):
    """Which criterion shall be made, of what?"""

    name: str
    scope_kind: str
    scope_slug: str = ""
    spec: Spec


class VersionBehind(Conflict):
    """Was the criterion changed since it was read? Fields: `criterion`, `version`."""

    code = "conflict"


class NeedsApproval(Conflict):
    """Does this change need a second person? Fields: `criterion`."""

    code = "conflict"


def create_criterion(
    *, draft: CriterionDraft, actor: Caller, now: datetime, key: str = ""
) -> str:
    """Which criterion was made? A draft, kil_…: it watches, and pulls nothing.

    Raises: Forbidden; ValidationFailed; NotFound for a scope that is not there;
    IdempotencyMismatch.
    Locks: the key, governance.
    """
    check(caller=actor, action=Action.CHANGE_KILL_CRITERION)
    check_draft(draft)
    if draft.scope_kind == "use_case":
        check_see_use_case(caller=actor, slug=draft.scope_slug)
    made: list[str] = []

    def run(uid: UUID) -> list[ledger.Draft]:
        lock_governance()
        use_case, department = _scope_rows(draft)
        row = KillCriterion.objects.create(
            public=ids.new_id("kil"),
            name=draft.name,
            scope_kind=draft.scope_kind,
            use_case=use_case,
            department=department,
            spec=msgspec.to_builtins(draft.spec),
            created_at=now,
            updated_at=now,
            created_by=actor.actor,
        )
        made.append(row.public)
        return [_write_version(row, "create", State.DRAFT, uid, actor.actor, "", now)]

    written = ledger.write(
        ledger_id=ledger.COMPANY_LEDGER,
        scope="kill",
        key=f"{actor.key_id}#{key or ids.new_uuid()}",
        request_hash=sha256(msgspec.json.encode(draft)).digest(),
        run=run,
    )
    if written.replayed is None:
        return made[0]
    first = KillVersion.objects.select_related("criterion").get(entry_uid=written.uid)
    return str(first.criterion.public)


def change_criterion(
    *,
    criterion: str,
    spec: Spec,
    name: str = "",
    actor: Caller,
    now: datetime,
    reason: str = "",
    expected_version: int | None = None,
) -> None:
    """Reads a draft, or an armed criterion that gets stricter, otherwise from now on.

    Raises: NeedsApproval (`conflict`) when it would let more happen; Forbidden;
    ValidationFailed; NotFound; VersionBehind; CriterionMoved for one that is retired.
    """
    row = _mine(criterion, actor)
    check_draft(
        CriterionDraft(
            name=name or row.name, scope_kind=row.scope_kind, scope_slug=".", spec=spec
        )
    )
    if row.state != State.DRAFT and loosens(before=spec_of(row), after=spec):
        raise NeedsApproval(criterion=criterion)
    _rewrite(criterion, spec, name, actor.actor, now, reason, expected_version, "change")


def apply_loosen(
    *, criterion: str, spec: Spec, actor: str, now: datetime, reason: str, version: int
) -> None:
    """Reads a criterion otherwise, approved by a second person.

    Raises: as `change_criterion`.
    """
    _rewrite(criterion, spec, "", actor, now, reason, version, "loosen")


def apply_arm(*, criterion: str, actor: str, now: datetime, version: int, reason: str) -> None:
    """Arms a draft, approved by a second person: from now on it may trip.

    Raises: CriterionMoved; VersionBehind; ValidationFailed for a sunset without an envelope
    of its own.
    """

    def change(row: KillCriterion, _: UUID) -> None:
        _expect(row, version)
        _check_sunset(row, now)
        row.state = State.ARMED.value
        row.over_since = row.inside_since = None

    fire(
        criterion=criterion,
        kind="arm",
        expects=(State.DRAFT,),
        change=change,
        inputs={},
        at=now,
        actor=actor,
        reason=reason,
    )


def apply_retire(*, criterion: str, actor: str, now: datetime, reason: str) -> None:
    """Ends a criterion for good; its history stays.

    Raises: CriterionMoved when it is retired already.
    """

    def change(row: KillCriterion, _: UUID) -> None:
        row.state = State.RETIRED.value
        row.acts = False
        row.override_until = row.restorable_at = row.sunset_until = None

    fire(
        criterion=criterion,
        kind="retire",
        expects=(State.DRAFT, *ALIVE),
        change=change,
        inputs={},
        at=now,
        actor=actor,
        reason=reason,
    )


def apply_override(
    *, criterion: str, until: datetime, actor: str, now: datetime, reason: str
) -> None:
    """Sets a criterion aside until a date, approved by a second person.

    Raises: ValidationFailed beyond 14 days or without a reason; CriterionMoved.
    """
    check_override(until=until, now=now, reason=reason)
    set_aside(criterion=criterion, until=until, at=now, actor=actor, reason=reason)


def apply_restore(*, criterion: str, actor: str, now: datetime, reason: str) -> None:
    """Lifts the lever of a tripped criterion; from a freeze up approved by a second person.

    Raises: CriterionMoved.
    """
    lift(criterion=criterion, at=now, actor=actor, reason=reason)


def apply_trip(*, criterion: str, actor: str, now: datetime, reason: str) -> None:
    """Pulls the lever that a criterion had asked people for.

    Raises: CriterionMoved.
    """
    pull(criterion=criterion, measured=None, at=now, actor=actor, reason=reason)


def restore_alone(*, criterion: str, actor: Caller, now: datetime, reason: str) -> None:
    """Lifts a mild lever; one person may.

    Raises: NeedsApproval (`conflict`) from a freeze up; Forbidden; NotFound;
    CriterionMoved.
    """
    row = _mine(criterion, actor)
    if needs_two_to_restore(row):
        raise NeedsApproval(criterion=criterion)
    apply_restore(criterion=criterion, actor=actor.actor, now=now, reason=reason)


def retire_draft(*, criterion: str, actor: Caller, now: datetime, reason: str) -> None:
    """Throws a draft away; one person may.

    Raises: NeedsApproval (`conflict`) for one that was armed; Forbidden; NotFound.
    """
    row = _mine(criterion, actor)
    if row.state != State.DRAFT:
        raise NeedsApproval(criterion=criterion)
    apply_retire(criterion=criterion, actor=actor.actor, now=now, reason=reason)


def needs_two_to_restore(row: KillCriterion) -> bool:
    """Does lifting its lever take two people? From a freeze up, and with a board review."""
    spec = spec_of(row)
    return Lever(spec.lever).rank >= Lever.FREEZE.rank or spec.board_review


def check_override(*, until: datetime, now: datetime, reason: str) -> None:
    """May a criterion be set aside until then?

    Raises: ValidationFailed (`validation_failed`).
    """
    errors = []
    if not now < until <= now + OVERRIDE_MOST:
        message = "At most 14 days from now, and not in the past."
        errors.append(FieldError("/until", "out_of_range", message))
    if not reason.strip():
        errors.append(FieldError("/reason", "required", "Say why: the board reads it."))
    if errors:
        raise ValidationFailed(errors=errors)


def check_draft(draft: CriterionDraft) -> None:
    """Can this criterion be made?

    Raises: ValidationFailed (`validation_failed`).
    """
    errors = []
    if not 0 < len(draft.name.strip()) <= NAME_MOST:
        errors.append(FieldError("/name", "required", "A name of at most 120 characters."))
    if draft.scope_kind != "company" and not draft.scope_slug:
        errors.append(FieldError("/scope/slug", "required", "Name the use case or department."))
    if errors:
        raise ValidationFailed(errors=errors)
    check_spec(draft.spec, scope_kind=draft.scope_kind)


def base_of_review(criterion: str) -> str:
    """Which open review of this criterion is it? Once it is decided, another."""
    found = open_review_of(get_criterion(criterion))
    return f"{criterion}#review#{found.id if found else 0}"


def base_of(criterion: str) -> str:
    """Against what was a change of this criterion made? Another answer voids it."""
    row = get_criterion(criterion)
    phase = "acting" if State(row.state) in ACTING else row.state
    return f"{row.public}#{row.version}#{phase}"


def _mine(criterion: str, actor: Caller) -> KillCriterion:
    check(caller=actor, action=Action.CHANGE_KILL_CRITERION)
    row = get_criterion(criterion)
    if row.use_case is not None:
        check_see_use_case(caller=actor, slug=row.use_case.slug)
    return row


def _rewrite(
    criterion: str,
    spec: Spec,
    name: str,
    actor: str,
    now: datetime,
    reason: str,
    version: int | None,
    kind: str,
) -> None:
    def change(row: KillCriterion, _: UUID) -> None:
        if version is not None:
            _expect(row, version)
        row.spec = msgspec.to_builtins(spec)
        row.name = name or row.name
        row.version += 1
        row.over_since = row.inside_since = None
        _check_sunset(row, now) if row.state != State.DRAFT else None
        KillVersion.objects.create(
            criterion=row,
            version=row.version,
            spec=row.spec,
            at=now,
            actor=actor,
            reason=reason[:REASON_MOST],
            entry_uid=ids.new_uuid(),
        )

    fire(
        criterion=criterion,
        kind=kind,
        expects=(State.DRAFT, *ALIVE),
        change=change,
        inputs={},
        at=now,
        actor=actor,
        reason=reason,
    )


def _write_version(
    row: KillCriterion,
    kind: str,
    before: State,
    uid: UUID,
    actor: str,
    reason: str,
    now: datetime,
) -> ledger.Draft:
    KillVersion.objects.create(
        criterion=row,
        version=row.version,
        spec=row.spec,
        at=now,
        actor=actor,
        reason=reason,
        entry_uid=uid,
    )
    KillEvent.objects.create(
        criterion=row,
        at=now,
        kind=kind,
        before=before.value,
        after=row.state,
        version=row.version,
        actor=actor,
        reason=reason,
        entry_uid=uid,
    )
    document: Mapping[str, Any] = event_document(row, kind, before, {}, actor, reason)
    return ledger.Draft(
        ledger_id=ledger.COMPANY_LEDGER,
        kind=ledger.Kind.POLICY_CHANGE,
        uid=uid,
        effective_at=now,
        recorded_at=now,
        use_case_id=row.use_case_id or 0,
        actor_id=actor_number(actor, now=now),
        doc=ledger.put_document(document, now=now),
    )


def _scope_rows(draft: CriterionDraft) -> tuple[UseCase | None, Department | None]:
    if draft.scope_kind == "use_case":
        use_case = UseCase.objects.filter(slug=draft.scope_slug).first()
        if use_case is None:
            raise NotFound(kind="use_case", id=draft.scope_slug)
        return use_case, None
    if draft.scope_kind == "department":
        department = Department.objects.filter(slug=draft.scope_slug).first()
        if department is None:
            raise NotFound(kind="department", id=draft.scope_slug)
        return None, department
    return None, None


def _expect(row: KillCriterion, version: int) -> None:
    if row.version != version:
        raise VersionBehind(criterion=row.public, version=row.version)


def _check_sunset(row: KillCriterion, now: datetime) -> None:
    if spec_of(row).lever != Lever.SUNSET:
        return
    found = envelope_of(scope_of(row), at=now)
    if row.scope_kind != "use_case" or found is None or found.amount_nanos is None:
        message = "A sunset shrinks the budget of a use case that has one of its own."
        raise ValidationFailed(errors=[FieldError("/spec/lever", "needs_envelope", message)])
