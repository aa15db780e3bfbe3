"""How does a rule of alerts come to be, change, pause, and get fired to try it?

Owners of use cases and finance write rules; built-in ones are changed and paused, never
retired. Each change is a ledger entry with the rule before and after.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from msgspec import UNSET

from o10.access.checks import check
from o10.access.keys import Caller
from o10.access.roles import Action
from o10.kernel import ids
from o10.kernel.errors import (
    Conflict,
    FieldError,
    Forbidden,
    NotFound,
    PreconditionFailed,
    ValidationFailed,
)
from policies.core.alert_drafts import (
    AlertRuleChange,
    AlertRuleDraft,
    check_rule,
    threshold_of,
    threshold_text,
)
from policies.core.alert_kinds import KINDS, AlertKind, title_of
from policies.models import AlertChannel, AlertRule, Department, Envelope, UseCase
from policies.operations.audit_rule import Told, write_rule_change
from policies.operations.raise_alert import Raised, raise_alert

RULES_MOST: Final = 500


class RuleStays(Conflict):
    """Is the rule built in, or retired for ever? Fields: `rule`, `state`."""

    code = "conflict"


def create_alert_rule(
    *, draft: AlertRuleDraft, actor: Caller, now: datetime, key: str = ""
) -> str:
    """Which rule is new (alr_…)? It is looked at from the next evaluation on.

    Raises: Forbidden; ValidationFailed; IdempotencyMismatch.
    """
    check(caller=actor, action=Action.CHANGE_ALERT_RULES)
    check_rule(draft, kind=KINDS.get(draft.kind))
    kind = KINDS[draft.kind]
    _check_scope(draft, actor)

    def run(uid: UUID) -> Told:
        if AlertRule.objects.exclude(state="retired").count() >= RULES_MOST:
            message = f"There are {RULES_MOST} rules already; retire one first."
            raise ValidationFailed(errors=[FieldError("", "too_many", message)])
        row = AlertRule.objects.create(
            public=ids.id_of("alr", uid),
            name=draft.name.strip(),
            kind=kind.name,
            scope_kind=draft.scope_kind,
            scope_slug=draft.scope_slug,
            threshold=None if draft.threshold is None else threshold_of(kind, draft.threshold),
            window=draft.window or kind.windows[0].value,
            severity=draft.severity or kind.severity.value,
            channels=_channel_numbers(draft.channels),
            created_at=now,
            created_by=actor.actor,
            updated_at=now,
        )
        return f"alert rule {row.public} created", None, facts_of(row)

    written = write_rule_change(
        scope="alert_rule", key=key, asked=draft, actor=actor, now=now, run=run
    )
    if written is None:
        raise NotFound(kind="alert_rule", id="")
    return ids.id_of("alr", written.uid)


def change_alert_rule(
    *,
    rule: str,
    change: AlertRuleChange,
    actor: Caller,
    now: datetime,
    key: str = "",
    expected_version: int | None = None,
) -> None:
    """How does this rule read from now on?

    Raises: Forbidden; NotFound; ValidationFailed; RuleStays (`conflict`);
    PreconditionFailed; IdempotencyMismatch.
    Locks: the key, the rule.
    """
    check(caller=actor, action=Action.CHANGE_ALERT_RULES)
    found = _find(rule)
    _check_in_scope(found, actor)
    kind = KINDS.get(found.kind)
    check_rule(change, kind=kind)

    def run(uid: UUID) -> Told | None:
        row = AlertRule.objects.select_for_update().get(public=rule)
        if row.state == "retired" or (row.built_in and change.state == "retired"):
            raise RuleStays(rule=rule, state=row.state)
        if expected_version is not None and row.version != expected_version:
            raise PreconditionFailed(rule=rule, version=row.version)
        before = facts_of(row)
        _set(row, change, kind)
        if facts_of(row) == before:
            return None
        row.version += 1
        row.updated_at = now
        row.save()
        return f"alert rule {row.public} changed", before, facts_of(row)

    write_rule_change(
        scope=f"alert_rule/{rule}",
        key=key,
        asked=change,
        actor=actor,
        now=now,
        run=run,
        reason=change.reason,
    )


def test_alert_rule(*, rule: str, actor: Caller, now: datetime, key: str = "") -> Raised:
    """Which alert tries this rule's channels? Fired by hand and marked as a test.

    Raises: Forbidden; NotFound.
    """
    check(caller=actor, action=Action.CHANGE_ALERT_RULES)
    row = _find(rule)
    _check_in_scope(row, actor)
    return raise_alert(
        kind=row.kind,
        subject=f"test#{row.public}",
        window=key[:64] or str(ids.new_uuid()),
        title=f"The rule {row.name} is told here.",
        detail=f"Fired by hand to try it; nothing was found. It watches: {title_of(row.kind)}.",
        severity=row.severity,
        now=now,
        evidence={"rule": row.public},
        rule=row.id,
        test=True,
    )


def facts_of(row: AlertRule) -> dict[str, Any]:
    """How does the rule read in a document?"""
    return {
        "id": row.public,
        "name": row.name,
        "kind": row.kind,
        "scope": {"kind": row.scope_kind, "slug": row.scope_slug},
        "threshold": threshold_text(KINDS.get(row.kind), row.threshold) or "",
        "window": row.window,
        "severity": row.severity,
        "channels": list(row.channels),
        "state": row.state,
        "version": row.version,
    }


def _set(row: AlertRule, change: AlertRuleChange, kind: AlertKind | None) -> None:
    if change.name is not UNSET:
        row.name = change.name.strip()
    if change.severity is not UNSET:
        row.severity = change.severity
    if change.state is not UNSET:
        row.state = change.state
    if change.channels is not UNSET:
        row.channels = _channel_numbers(change.channels)
    if change.threshold is None:
        row.threshold = None
    elif change.threshold is not UNSET and kind is not None:
        row.threshold = threshold_of(kind, change.threshold)
    if row.threshold is None and not row.built_in and kind and kind.threshold is None:
        message = "This kind needs a threshold."
        raise ValidationFailed(errors=[FieldError("/threshold", "required", message)])


def _find(rule: str) -> AlertRule:
    row = AlertRule.objects.filter(public=rule).first()
    if row is None:
        raise NotFound(kind="alert_rule", id=rule)
    return row


def _channel_numbers(channels: Sequence[str]) -> list[int]:
    found = dict(
        AlertChannel.objects.filter(public__in=channels)
        .exclude(state="retired")
        .values_list("public", "id")
    )
    missing = [each for each in channels if each not in found]
    if missing:
        message = f"No channel {missing[0][:40]}."
        raise ValidationFailed(errors=[FieldError("/channels", "unknown", message)])
    return sorted(found.values())


def _check_in_scope(rule: AlertRule, actor: Caller) -> None:
    """A key of some use cases changes the rules of those alone."""
    scope = actor.use_case_slugs
    if scope is None or (rule.scope_kind == "use_case" and rule.scope_slug in scope):
        return
    raise Forbidden(action=Action.CHANGE_ALERT_RULES.value, role=actor.role.value)


def _check_scope(draft: AlertRuleDraft, actor: Caller) -> None:
    """Is there such a thing, and within the caller's use cases?"""
    slug = draft.scope_slug
    match draft.scope_kind:
        case "department":
            there = Department.objects.filter(slug=slug).exists()
        case "use_case":
            there = UseCase.objects.filter(slug=slug).exists()
        case "envelope":
            there = Envelope.objects.filter(public=slug).exists()
        case _:
            there = True
    scope = actor.use_case_slugs
    if scope is not None and not (draft.scope_kind == "use_case" and slug in scope):
        there = False
    if not there:
        message = f"No {draft.scope_kind.replace('_', ' ')} of that name."
        raise ValidationFailed(errors=[FieldError("/scope/slug", "unknown", message)])
