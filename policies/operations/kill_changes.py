"""Which changes of kill criteria need a second person, and how are they asked for and told?

Arming and loosening, setting aside, lifting from a freeze up, and the lever that a criterion
asks for itself. What one person may do alone is done at once; the answer says which it was.
Source: product.md sections 7.2, 7.3 and 8.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from o10.access.checks import check, check_see_use_case
from o10.access.keys import Caller
from o10.access.roles import Action
from o10.kernel import figures
from o10.kernel.errors import FieldError, NotFound, ValidationFailed
from policies.core.kill import State
from policies.core.kill_spec import Spec, loosens
from policies.core.kill_text import LEVER_NAMES, action_text, signal_text, value_text
from policies.core.levers import Lever
from policies.core.metrics import METRICS, Measured
from policies.models import Approval, KillCriterion
from policies.operations.change_kinds import (
    Applied,
    ChangeKind,
    ChangeText,
    DiffRow,
    EffectRow,
    EvidenceRow,
    register,
)
from policies.operations.fire_kill import NothingToDecide, decide_review
from policies.operations.kill_criteria import (
    CriterionDraft,
    apply_arm,
    apply_loosen,
    apply_override,
    apply_restore,
    apply_retire,
    apply_trip,
    base_of,
    base_of_review,
    change_criterion,
    check_draft,
    check_override,
    needs_two_to_restore,
    restore_alone,
    retire_draft,
)
from policies.operations.propose_change import propose_change
from policies.queries.approvals import ApprovalView
from policies.queries.current_policy import current_policy
from policies.queries.kill_drill import DAYS, Drill, drill
from policies.queries.kill_rows import get_criterion, open_review_of, scope_of, spec_of

VIOLATIONS: Final = "violations"


def ask_to_arm(
    *, criterion: str, actor: Caller, now: datetime, reason: str = "", key: str = ""
) -> ApprovalView:
    """Which request waits for a second person, so that this draft is armed?

    Raises: Forbidden; NotFound; CriterionMoved for what is no draft; IdempotencyMismatch.
    """
    row = _mine(criterion, actor)
    return propose_change(
        kind="kill.create",
        subject=criterion,
        change={
            "criterion": criterion,
            "version": row.version,
            "drill": _drill_words(row, spec_of(row), now),
        },
        actor=actor,
        now=now,
        reason=reason,
        key=key,
    )


def ask_to_change(
    *,
    criterion: str,
    spec: Spec,
    name: str = "",
    actor: Caller,
    now: datetime,
    reason: str = "",
    key: str = "",
    expected_version: int | None = None,
) -> ApprovalView | None:
    """Which request waits for a second person? None = it was stricter, and is done.

    Raises: Forbidden; NotFound; ValidationFailed; VersionBehind (`conflict`).
    """
    row = _mine(criterion, actor)
    before = spec_of(row)
    if row.state == State.DRAFT or not loosens(before=before, after=spec):
        change_criterion(
            criterion=criterion,
            spec=spec,
            name=name,
            actor=actor,
            now=now,
            reason=reason,
            expected_version=expected_version,
        )
        return None
    check_draft(
        CriterionDraft(
            name=name or row.name, scope_kind=row.scope_kind, scope_slug=".", spec=spec
        )
    )
    return propose_change(
        kind="kill.loosen",
        subject=criterion,
        change={
            "criterion": criterion,
            "version": expected_version or row.version,
            "spec": msgspec.to_builtins(spec),
            "drill": _drill_words(row, spec, now),
        },
        actor=actor,
        now=now,
        reason=reason,
        key=key,
    )


def ask_to_retire(
    *, criterion: str, actor: Caller, now: datetime, reason: str = "", key: str = ""
) -> ApprovalView | None:
    """Which request waits for a second person? None = it was a draft, and is gone.

    Raises: Forbidden; NotFound; CriterionMoved.
    """
    row = _mine(criterion, actor)
    if row.state == State.DRAFT:
        retire_draft(criterion=criterion, actor=actor, now=now, reason=reason)
        return None
    return propose_change(
        kind="kill.loosen",
        subject=criterion,
        change={"criterion": criterion, "version": row.version, "spec": None, "drill": []},
        actor=actor,
        now=now,
        reason=reason,
        key=key,
    )


def ask_to_restore(
    *, criterion: str, actor: Caller, now: datetime, reason: str = "", key: str = ""
) -> ApprovalView | None:
    """Which request waits for a second person? None = a mild lever, lifted at once.

    Raises: Forbidden; NotFound; CriterionMoved where no lever holds.
    """
    row = _mine(criterion, actor)
    if not needs_two_to_restore(row):
        restore_alone(criterion=criterion, actor=actor, now=now, reason=reason)
        return None
    return propose_change(
        kind="kill.restore",
        subject=criterion,
        change={"criterion": criterion},
        actor=actor,
        now=now,
        reason=reason,
        key=key,
    )


def ask_to_decide(
    *, criterion: str, decision: str, actor: Caller, now: datetime, key: str = ""
) -> ApprovalView:
    """Which request waits for a second person, so that the board review is closed so?

    Raises: Forbidden; NotFound; ValidationFailed without a decision; NothingToDecide
    (`conflict`) where no review is open.
    """
    row = _mine(criterion, actor)
    if not decision.strip():
        message = "Say what the board decided: it is kept with the review."
        raise ValidationFailed(errors=[FieldError("/decision", "required", message)])
    if open_review_of(row) is None:
        raise NothingToDecide(criterion=criterion)
    return propose_change(
        kind="kill.restore",
        subject=criterion,
        change={"criterion": criterion, "decision": decision.strip()[:400]},
        actor=actor,
        now=now,
        reason=decision.strip()[:400],
        key=key,
    )


def ask_to_override(
    *,
    criterion: str,
    until: datetime,
    actor: Caller,
    now: datetime,
    reason: str,
    key: str = "",
) -> ApprovalView:
    """Which request waits for a second person, so that it is set aside until then?

    Raises: Forbidden; NotFound; ValidationFailed beyond 14 days or without a reason.
    """
    row = _mine(criterion, actor)
    check_override(until=until, now=now, reason=reason)
    own = spec_of(row).metric == VIOLATIONS
    return propose_change(
        kind="kill.override_violations" if own else "kill.override",
        subject=criterion,
        change={"criterion": criterion, "until": until.isoformat(), "reason": reason},
        actor=actor,
        now=now,
        reason=reason,
        key=key,
    )


def ask_for_lever(*, row: KillCriterion, measured: Measured, now: datetime) -> str:
    """Which request asks for its lever, as the system? One at a time; one that waits stays."""
    waiting = Approval.objects.filter(kind="kill.trip", subject=row.public, state="open")
    stands = waiting.values_list("public", flat=True).first()
    if stands is not None:
        return str(stands)
    return propose_change(
        kind="kill.trip",
        subject=row.public,
        change={
            "criterion": row.public,
            "value": _value(spec_of(row), measured),
            "sample": measured.sample,
        },
        actor=None,
        now=now,
        key=now.isoformat(),
    ).id


def register_kinds() -> None:
    """Makes these changes possible. At start."""
    kinds = (
        ("kill.create", _apply_arm, _describe_arm),
        ("kill.loosen", _apply_loosen, _describe_loosen),
        ("kill.override", _apply_override, _describe_override),
        ("kill.override_violations", _apply_override, _describe_override),
        ("kill.restore", _apply_restore, _describe_restore),
        ("kill.trip", _apply_trip, _describe_trip),
    )
    for name, apply, describe in kinds:
        register(
            ChangeKind(
                name=name,
                apply=apply,
                base_of=_base_of,
                describe=describe,
            )
        )


def _base_of(change: Mapping[str, Any]) -> str:
    criterion = str(change["criterion"])
    return base_of_review(criterion) if "decision" in change else base_of(criterion)


def _apply_arm(
    change: Mapping[str, Any], approval: ApprovalView, actor: Caller, now: datetime
) -> Applied:
    apply_arm(
        criterion=str(change["criterion"]),
        actor=actor.actor,
        now=now,
        version=int(change["version"]),
        reason=_because(approval),
    )
    return _applied(change)


def _apply_loosen(
    change: Mapping[str, Any], approval: ApprovalView, actor: Caller, now: datetime
) -> Applied:
    criterion, reason = str(change["criterion"]), _because(approval)
    if change["spec"] is None:
        apply_retire(criterion=criterion, actor=actor.actor, now=now, reason=reason)
    else:
        apply_loosen(
            criterion=criterion,
            spec=msgspec.convert(change["spec"], Spec),
            actor=actor.actor,
            now=now,
            reason=reason,
            version=int(change["version"]),
        )
    return _applied(change)


def _apply_override(
    change: Mapping[str, Any], approval: ApprovalView, actor: Caller, now: datetime
) -> Applied:
    apply_override(
        criterion=str(change["criterion"]),
        until=datetime.fromisoformat(str(change["until"])),
        actor=actor.actor,
        now=now,
        reason=str(change["reason"]),
    )
    return _applied(change)


def _apply_restore(
    change: Mapping[str, Any], approval: ApprovalView, actor: Caller, now: datetime
) -> Applied:
    criterion, reason = str(change["criterion"]), _because(approval)
    if "decision" in change:
        decide_review(
            criterion=criterion,
            decision=str(change["decision"]),
            at=now,
            actor=actor.actor,
            reason=reason,
        )
    else:
        apply_restore(criterion=criterion, actor=actor.actor, now=now, reason=reason)
    return _applied(change)


def _apply_trip(
    change: Mapping[str, Any], approval: ApprovalView, actor: Caller, now: datetime
) -> Applied:
    apply_trip(
        criterion=str(change["criterion"]),
        actor=actor.actor,
        now=now,
        reason=_because(approval),
    )
    return _applied(change)


def _applied(change: Mapping[str, Any]) -> Applied:
    return Applied(ids={"kill_criterion": str(change["criterion"])})


def _because(approval: ApprovalView) -> str:
    return f"approval {approval.id}"


def _describe_arm(change: Mapping[str, Any]) -> ChangeText:
    row = get_criterion(str(change["criterion"]))
    spec = spec_of(row)
    return ChangeText(
        title=f"Arm kill criterion {row.name}",
        rows=(
            DiffRow("State", "draft", "armed"),
            DiffRow("If", "", signal_text(spec, currency=_currency())),
            DiffRow("Then", "", action_text(spec, currency=_currency())),
            DiffRow("For", "", _scope_words(row)),
        ),
        effect=(
            EffectRow(
                "When the signal comes",
                action_text(spec, currency=_currency()),
                "Nothing happens.",
                "Nothing happens.",
            ),
        ),
        evidence=_evidence(change),
        url=_url(row),
    )


def _describe_loosen(change: Mapping[str, Any]) -> ChangeText:
    row = get_criterion(str(change["criterion"]))
    before = spec_of(row)
    currency = _currency()
    if change["spec"] is None:
        return ChangeText(
            title=f"Retire kill criterion {row.name}",
            rows=(DiffRow("State", row.state, "retired"),),
            effect=(
                EffectRow("Its signal", "stops nothing any more", "is watched", "is watched"),
            ),
            url=_url(row),
        )
    after = msgspec.convert(change["spec"], Spec)
    rows = [
        DiffRow(
            "If",
            signal_text(before, currency=currency),
            signal_text(after, currency=currency),
        ),
        DiffRow(
            "Then",
            action_text(before, currency=currency),
            action_text(after, currency=currency),
        ),
    ]
    return ChangeText(
        title=f"Loosen kill criterion {row.name}",
        rows=tuple(each for each in rows if each.old != each.new)
        or (DiffRow("Version", str(row.version), str(row.version + 1)),),
        effect=(EffectRow("Its limit", "is the new one", "stays", "stays"),),
        evidence=_evidence(change),
        url=_url(row),
    )


def _describe_override(change: Mapping[str, Any]) -> ChangeText:
    row = get_criterion(str(change["criterion"]))
    until = datetime.fromisoformat(str(change["until"]))
    return ChangeText(
        title=f"Set kill criterion {row.name} aside until {figures.instant(until).text}",
        rows=(DiffRow("State", row.state, f"overridden until {figures.instant(until).text}"),),
        effect=(
            EffectRow(
                "Until then",
                "It is watched and stops nothing; the board pack names who agreed.",
                _holds(row),
                _holds(row),
            ),
        ),
        url=_url(row),
    )


def _describe_restore(change: Mapping[str, Any]) -> ChangeText:
    row = get_criterion(str(change["criterion"]))
    if "decision" in change:
        return _describe_decision(row, str(change["decision"]))
    return ChangeText(
        title=f"Lift the {LEVER_NAMES[Lever(spec_of(row).lever)].lower()} of {row.name}",
        rows=(DiffRow("State", row.state, "armed"),),
        effect=(
            EffectRow(
                "The next call", "is decided without this lever", _holds(row), _holds(row)
            ),
        ),
        evidence=_last_words(row),
        url=_url(row),
    )


def _describe_decision(row: KillCriterion, decision: str) -> ChangeText:
    review = open_review_of(row)
    cap = None if review is None else review.cap_nanos
    holds = "no interim cap"
    if cap is not None:
        holds = f"at most {figures.money_exact(cap, _currency()).text} an hour"
    return ChangeText(
        title=f"Close the board review of {row.name}",
        rows=(DiffRow("Decision", "", decision),),
        effect=(EffectRow("The next call", "has no interim cap", holds, holds),),
        evidence=_last_words(row),
        url=_url(row),
    )


def _describe_trip(change: Mapping[str, Any]) -> ChangeText:
    row = get_criterion(str(change["criterion"]))
    spec = spec_of(row)
    limit = value_text(METRICS[spec.metric], spec.beyond_at, currency=_currency())
    return ChangeText(
        title=f"{row.name} asks for its lever",
        rows=(
            DiffRow("State", "armed", "tripped"),
            DiffRow("Then", "", action_text(spec, currency=_currency())),
        ),
        effect=(
            EffectRow(
                "The next call",
                action_text(spec, currency=_currency()),
                "goes on as before",
                "goes on as before",
            ),
        ),
        evidence=(
            EvidenceRow(
                METRICS[spec.metric].label,
                str(change["value"]),
                note=f"limit {limit}",
            ),
        ),
        url=_url(row),
    )


def _evidence(change: Mapping[str, Any]) -> tuple[EvidenceRow, ...]:
    return tuple(EvidenceRow(str(label), str(value)) for label, value in change["drill"])


def _drill_words(row: KillCriterion, spec: Spec, now: datetime) -> list[list[str]]:
    """What would it have done in the last 90 days, as the approver reads it?"""
    return drill_words(drill(spec=spec, scope=scope_of(row), end=now), currency=_currency())


def drill_words(found: Drill, *, currency: str) -> list[list[str]]:
    """How is a drill told in a few lines?"""
    days = ", ".join(figures.day(each).text for each in found.days[:5]) or "none"
    more = len(found.days) - 5
    words = [
        [
            f"Days it would have tripped in {DAYS}",
            days + (f" and {more} more" if more > 0 else ""),
        ]
    ]
    if found.avoided is not None:
        words.append(["Spend avoided", figures.money(found.avoided, currency).text])
    if found.refused is not None:
        words.append(["Calls refused", f"{found.refused:,}"])
    words.append(["Trips that reversed by themselves", f"{found.false_trips:,}"])
    return words


def _last_words(row: KillCriterion) -> tuple[EvidenceRow, ...]:
    evidence = str(row.last.get("evidence", ""))
    return (EvidenceRow("Last look", evidence.replace("_", " ") or "none yet"),)


def _holds(row: KillCriterion) -> str:
    if not row.acts:
        return "is decided as before"
    return action_text(spec_of(row), currency=_currency())


def _scope_words(row: KillCriterion) -> str:
    if row.use_case is not None:
        return str(row.use_case.name)
    return str(row.department.name) if row.department is not None else "the whole company"


def _value(spec: Spec, measured: Measured) -> str:
    if measured.value is None:
        return "unknown"
    return value_text(METRICS[spec.metric], measured.value, currency=_currency())


def _url(row: KillCriterion) -> str:
    return f"/policies/kill-criteria/{row.public}/"


def _currency() -> str:
    return current_policy().currency


def _mine(criterion: str, actor: Caller) -> KillCriterion:
    check(caller=actor, action=Action.CHANGE_KILL_CRITERION)
    row = get_criterion(criterion)
    if row.use_case is not None:
        check_see_use_case(caller=actor, slug=row.use_case.slug)
    elif actor.use_case_slugs is not None:
        raise NotFound(kind="kill_criterion", id=criterion)
    return row
