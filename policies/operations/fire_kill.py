"""How does a lever get pulled, and lifted? A ledger entry, an event and a new policy, together.

Whoever looks first fires: the row is locked, and one that moved meanwhile is left alone.
Every decision worker hears of the new policy when the transaction commits.
Locks: the key, governance, the criterion.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
from django.db.models import F

from ledger import facade as ledger
from o10.kernel import ids
from o10.kernel.errors import Conflict
from policies.core.kill import Standing, State, overridden, restored, tripped
from policies.core.kill_spec import Spec
from policies.core.levers import IN_CALLS, Lever
from policies.core.metrics import Measured
from policies.core.record import exact
from policies.models import Envelope, KillCriterion, KillEvent, KillReview
from policies.operations.publish_policy import lock_governance, publish_policy
from policies.operations.questions import actor_number
from policies.operations.tell_kill import tell_trip
from policies.queries.kill_rows import scope_of, spec_of
from policies.queries.kill_sight import envelope_of
from policies.queries.snapshot_rows import Touched

SYSTEM: Final = "system"
KINDS: Final = {
    "trip": ledger.Kind.TRIP,
    "restore": ledger.Kind.RESTORE,
    "rearm": ledger.Kind.RESTORE,
    "override": ledger.Kind.OVERRIDE,
}
"""Which kind of entry tells of it? The others are governance: policy_change."""


class CriterionMoved(Conflict):
    """Does the criterion stand elsewhere by now? Fields: `criterion`, `state`."""

    code = "conflict"


class NothingToDecide(Conflict):
    """Has the board nothing to decide about this criterion? Fields: `criterion`."""

    code = "conflict"


def pull(
    *,
    criterion: str,
    measured: Measured | None,
    at: datetime,
    actor: str = SYSTEM,
    reason: str = "",
    over_since: datetime | None = None,
) -> None:
    """Pulls the lever of an armed criterion; the next call of its scope obeys.

    Raises: CriterionMoved when it is not armed any more.
    """

    def change(row: KillCriterion, uid: UUID) -> None:
        spec, lever = spec_of(row), Lever(spec_of(row).lever)
        _stand(row, tripped(Standing(state=State.ARMED, over_since=over_since), at=at))
        row.acts = lever in IN_CALLS
        if lever is Lever.SUNSET:
            envelope = envelope_of(scope_of(row), at=at)
            row.sunset_until = at + timedelta(days=spec.amount or 1)
            row.sunset_from_nanos = _cap_of(envelope.id) if envelope is not None else None
        if spec.board_review:
            open_review(row, spec=spec, trip=uid, at=at)
        # With the trip, so that no crash in between leaves it untold.
        tell_trip(row, measured=measured, now=at)

    fire(
        criterion=criterion,
        kind="trip",
        expects=(State.ARMED,),
        change=change,
        inputs=inputs_document(measured),
        at=at,
        actor=actor,
        reason=reason,
    )


def open_review(row: KillCriterion, *, spec: Spec, trip: UUID, at: datetime) -> None:
    """Makes the work item of a board review; one that is open already stays the one."""
    zone = ZoneInfo(ledger.ledger_of_company().time_zone)
    KillReview.objects.get_or_create(
        criterion=row,
        decided_at=None,
        defaults={
            "opened_at": at,
            "due": (at + timedelta(days=spec.review_days)).astimezone(zone).date(),
            "owner": spec.owner or row.created_by,
            "cap_nanos": spec.review_cap,
            "trip_uid": trip,
        },
    )


def decide_review(
    *, criterion: str, decision: str, at: datetime, actor: str, reason: str
) -> None:
    """Closes the board review of a criterion; its interim cap holds no longer.

    Raises: NothingToDecide (`conflict`) where none is open.
    """

    def change(row: KillCriterion, _: UUID) -> None:
        decided = KillReview.objects.filter(criterion=row, decided_at=None).update(
            decided_at=at, decided_by=actor, decision=decision[:400]
        )
        if not decided:
            raise NothingToDecide(criterion=criterion)

    fire(
        criterion=criterion,
        kind="review",
        expects=tuple(State),
        change=change,
        inputs={"decision": decision[:400]},
        at=at,
        actor=actor,
        reason=reason,
    )


def lift(
    *,
    criterion: str,
    at: datetime,
    measured: Measured | None = None,
    actor: str = SYSTEM,
    reason: str = "",
) -> None:
    """Lifts the lever; the criterion is armed again and counts anew.

    Raises: CriterionMoved when its lever does not hold.
    """

    def change(row: KillCriterion, _: UUID) -> None:
        _stand(row, restored())

    fire(
        criterion=criterion,
        kind="restore",
        expects=(State.TRIPPED, State.RESTORING),
        change=change,
        inputs=inputs_document(measured),
        at=at,
        actor=actor,
        reason=reason,
    )


def set_aside(
    *, criterion: str, until: datetime, at: datetime, actor: str, reason: str
) -> None:
    """Sets the criterion aside until this instant: it is watched and pulls nothing.

    Raises: CriterionMoved for one that is draft or retired.
    """

    def change(row: KillCriterion, _: UUID) -> None:
        _stand(row, overridden(until=until))

    fire(
        criterion=criterion,
        kind="override",
        expects=(State.ARMED, State.TRIPPED, State.RESTORING, State.OVERRIDDEN),
        change=change,
        inputs={"until": until.isoformat()},
        at=at,
        actor=actor,
        reason=reason,
    )


def rearm(*, criterion: str, at: datetime) -> None:
    """The override has ended: it counts again, from now on.

    Raises: CriterionMoved.
    """

    def change(row: KillCriterion, _: UUID) -> None:
        _stand(row, restored())

    fire(
        criterion=criterion,
        kind="rearm",
        expects=(State.OVERRIDDEN,),
        change=change,
        inputs={},
        at=at,
        actor=SYSTEM,
        reason="the override has ended",
    )


def fire(
    *,
    criterion: str,
    kind: str,
    expects: Sequence[State],
    change: Callable[[KillCriterion, UUID], None],
    inputs: Mapping[str, Any],
    at: datetime,
    actor: str,
    reason: str,
    key: str = "",
) -> None:
    """Changes the state of a criterion: row, event, entry and policy in one transaction.

    Raises: CriterionMoved; whatever `change` raises, then nothing has happened.
    """

    def run(uid: UUID) -> list[ledger.Draft]:
        lock_governance()
        row = (
            KillCriterion.objects.select_for_update(of=("self",))
            .select_related("use_case", "department")
            .get(public=criterion)
        )
        before = State(row.state)
        if before not in expects:
            raise CriterionMoved(criterion=criterion, state=row.state)
        change(row, uid)
        row.updated_at = at
        row.save()
        actor_id = actor_number(actor, now=at)
        document = event_document(row, kind, before, inputs, actor, reason)
        KillEvent.objects.create(
            criterion=row,
            at=at,
            kind=kind,
            before=before.value,
            after=row.state,
            version=row.version,
            actor=actor,
            reason=reason[:400],
            inputs=dict(inputs),
            entry_uid=uid,
        )
        draft = ledger.Draft(
            ledger_id=ledger.COMPANY_LEDGER,
            kind=KINDS.get(kind, ledger.Kind.POLICY_CHANGE),
            uid=uid,
            effective_at=at,
            recorded_at=at,
            use_case_id=row.use_case_id or 0,
            actor_id=actor_id,
            doc=ledger.put_document(document, now=at),
        )
        published = publish_policy(
            change=f"kill criterion {criterion}: {kind}",
            actor=actor,
            actor_id=actor_id,
            reason=reason,
            now=at,
            touched=Touched(use_cases=scope_of(row).use_cases),
        )
        return [draft, *published]

    ledger.write(
        ledger_id=ledger.COMPANY_LEDGER,
        scope="kill",
        key=f"{criterion}#{kind}#{key or ids.new_uuid()}",
        request_hash=sha256(f"{criterion}#{kind}".encode()).digest(),
        run=run,
    )


def event_document(
    row: KillCriterion,
    kind: str,
    before: State,
    inputs: Mapping[str, Any],
    actor: str,
    reason: str,
) -> dict[str, Any]:
    """What does the entry say? Everything that the verdict rests on."""
    return {
        "format": "o10-kill-v1",
        "event": kind,
        "criterion": row.public,
        "name": row.name,
        "scope": {"kind": row.scope_kind, "slug": slug_of(row)},
        "before": before.value,
        "after": row.state,
        "version": row.version,
        "spec": spec_document(spec_of(row)),
        "measured": dict(inputs),
        "actor": actor,
        "reason": reason,
    }


def spec_document(spec: Spec) -> dict[str, Any]:
    """How does a spec stand in a document? Integers and texts."""
    said: dict[str, Any] = msgspec.to_builtins(spec)
    return {
        name: int(value)
        if isinstance(value, bool)
        else exact(value)
        if isinstance(value, int)
        else value
        for name, value in said.items()
        if value is not None
    }


def inputs_document(measured: Measured | None) -> dict[str, Any]:
    """Which numbers led to it? Deciding again by them gives the same verdict."""
    if measured is None:
        return {}
    value = measured.value
    found: dict[str, Any] = {
        "sample": exact(measured.sample),
        "inputs": {name: exact(each) for name, each in sorted(measured.inputs.items())},
        "missing": list(measured.missing),
        "ledger_seq": ledger.position_of(ledger_id=ledger.COMPANY_LEDGER).seq,
    }
    if value is not None:
        found["value"] = {"over": str(value.numerator), "under": str(value.denominator)}
    return found


def slug_of(row: KillCriterion) -> str:
    """What is the criterion about, in a word?"""
    if row.use_case is not None:
        return str(row.use_case.slug)
    return str(row.department.slug) if row.department is not None else ""


def note_look(
    row: KillCriterion, *, standing: Standing, last: Mapping[str, Any], at: datetime
) -> None:
    """Keeps what a look saw, where nothing follows from it: counters, no history."""
    KillCriterion.objects.filter(id=row.id, state=row.state, version=row.version).filter(
        updated_at=row.updated_at
    ).update(
        state=standing.state.value,
        over_since=standing.over_since,
        inside_since=standing.inside_since,
        restorable_at=standing.restorable_at,
        proposed_at=standing.proposed_at,
        looked_at=at,
        last=dict(last),
        updated_at=F("updated_at"),
    )


def _stand(row: KillCriterion, standing: Standing) -> None:
    row.state = standing.state.value
    row.over_since = standing.over_since
    row.inside_since = standing.inside_since
    row.tripped_at = standing.tripped_at
    row.restorable_at = standing.restorable_at
    row.override_until = standing.override_until
    row.proposed_at = standing.proposed_at
    row.acts = False
    row.sunset_until = row.sunset_from_nanos = None


def _cap_of(envelope: int) -> int | None:
    found: int | None = (
        Envelope.objects.filter(id=envelope).values_list("amount_nanos", flat=True).first()
    )
    return found
