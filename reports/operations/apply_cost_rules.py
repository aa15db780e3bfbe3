"""How do a rule of allocation and the value of an outcome come into force? By two people.

Each is a version of its own and a `policy_change` entry that names both people and what it was
before; nothing is edited.
"""

from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

from django.db import connection, transaction

from ledger import facade as ledger
from o10.kernel import ids
from o10.kernel.errors import SelfApproval
from policies import facade as policies
from reports.models import AllocationRule, OutcomeValue
from reports.operations.cost_drafts import RuleDraft, ValueDraft, parse_rule, parse_value

_LOCK_CLASS: Final = 7_121


def apply_allocation_rule(
    *,
    change: Mapping[str, Any],
    requested_by: str,
    approved_by: str,
    actor: str,
    now: datetime,
) -> AllocationRule:
    """Which version of the rule is in force now? The same change twice is one version.

    Raises: SelfApproval (`self_approval`); ValidationFailed (`validation_failed`).
    Locks: an advisory lock until commit.
    """
    draft = parse_rule(change)
    _check_two(requested_by, approved_by, "allocation.rule")
    with transaction.atomic():
        _lock()
        newest = _newest_rule(draft.component)
        weights = {str(number): weight for number, weight in sorted(draft.weights.items())}
        asked = _draft_rule_text(draft, weights)
        if newest is not None and _rule_text(newest) == asked:
            return newest
        version = newest.version + 1 if newest else 1
        uid = _change_entry(
            what=f"allocation_rule/{draft.component}",
            version=version,
            before=_rule_text(newest),
            after=asked,
            reason=draft.reason,
            people=(requested_by, approved_by),
            actor=actor,
            now=now,
        )
        return AllocationRule.objects.create(
            component=draft.component,
            version=version,
            method=draft.method.value,
            weights=weights,
            driver=draft.driver,
            from_month=draft.from_month,
            reason=draft.reason,
            entered_at=now,
            requested_by=requested_by,
            approved_by=approved_by,
            entry_uid=uid,
        )


def apply_outcome_value(
    *,
    change: Mapping[str, Any],
    requested_by: str,
    approved_by: str,
    actor: str,
    now: datetime,
) -> OutcomeValue:
    """Which version of the value is in force now? The same change twice is one version.

    Raises: SelfApproval (`self_approval`); ValidationFailed (`validation_failed`).
    Locks: an advisory lock until commit.
    """
    draft = parse_value(change)
    _check_two(requested_by, approved_by, "outcome.value")
    with transaction.atomic():
        _lock()
        rows = OutcomeValue.objects.filter(use_case=draft.use_case)
        newest = rows.order_by("-version").first()
        if newest is not None and _value_text(newest) == _draft_text(draft):
            return newest
        version = newest.version + 1 if newest else 1
        uid = _change_entry(
            what=f"outcome_value/{draft.use_case}",
            version=version,
            before=_value_text(newest) if newest else {},
            after=_draft_text(draft),
            reason=draft.reason,
            people=(requested_by, approved_by),
            actor=actor,
            now=now,
        )
        return OutcomeValue.objects.create(
            use_case=draft.use_case,
            kind=draft.kind,
            version=version,
            value_nanos=draft.value_nanos,
            hurdle_nanos=draft.hurdle_nanos,
            window_days=draft.window_days,
            from_day=draft.from_day,
            reason=draft.reason,
            entered_at=now,
            requested_by=requested_by,
            approved_by=approved_by,
            entry_uid=uid,
        )


def rule_base(change: Mapping[str, Any]) -> str:
    """Which version of the rule was this change made against?"""
    newest = _newest_rule(str(change.get("component", "")))
    return str(newest.version if newest else 0)


def value_base(change: Mapping[str, Any]) -> str:
    """Which version of the value was this change made against?"""
    numbers = {row.slug: row.number for row in policies.list_use_case_rows()}
    number = numbers.get(str(change.get("use_case", "")), 0)
    newest = OutcomeValue.objects.filter(use_case=number).order_by("-version").first()
    return str(newest.version if newest else 0)


def _newest_rule(component: str) -> AllocationRule | None:
    return AllocationRule.objects.filter(component=component).order_by("-version").first()


def _rule_text(row: AllocationRule | None) -> dict[str, object]:
    if row is None:
        return {}
    said = {"from": str(row.from_month), "method": row.method, "weights": row.weights}
    return said | ({"driver": row.driver} if row.driver else {})


def _draft_rule_text(draft: RuleDraft, weights: Mapping[str, int]) -> dict[str, object]:
    said = {
        "from": str(draft.from_month),
        "method": draft.method.value,
        "weights": dict(weights),
    }
    return said | ({"driver": draft.driver} if draft.driver else {})


def _value_text(row: OutcomeValue) -> dict[str, object]:
    return {
        "from": str(row.from_day),
        "hurdle_nanos": str(row.hurdle_nanos),
        "type": row.kind,
        "value_nanos": str(row.value_nanos),
        "window_days": row.window_days,
    }


def _draft_text(draft: ValueDraft) -> dict[str, object]:
    return {
        "from": str(draft.from_day),
        "hurdle_nanos": str(draft.hurdle_nanos),
        "type": draft.kind,
        "value_nanos": str(draft.value_nanos),
        "window_days": draft.window_days,
    }


def _check_two(requested_by: str, approved_by: str, action: str) -> None:
    if requested_by == approved_by:
        raise SelfApproval(action=action, person=requested_by)


def _lock() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, 1)", [_LOCK_CLASS])


def _change_entry(
    *,
    what: str,
    version: int,
    before: Mapping[str, object],
    after: Mapping[str, object],
    reason: str,
    people: tuple[str, str],
    actor: str,
    now: datetime,
) -> UUID:
    company = ledger.ledger_of_company()
    body = {
        "after": dict(after),
        "approved_by": people[1],
        "before": dict(before),
        "reason": reason,
        "requested_by": people[0],
        "what": what,
        "version": version,
    }
    number = ledger.intern(
        ledger.Domain.ACTOR, {"id": actor}, ledger_id=company.id, actor=0, now=now
    )

    def run(uid: UUID) -> list[ledger.Draft]:
        return [
            ledger.Draft(
                ledger_id=company.id,
                kind=ledger.Kind.POLICY_CHANGE,
                uid=uid,
                effective_at=now,
                recorded_at=now,
                actor_id=number,
                doc=ledger.put_document(body, now=now),
            )
        ]

    key = f"{what}/{version}"
    ledger.write(
        ledger_id=company.id,
        scope="cost_rule",
        key=key,
        request_hash=sha256(ledger.canonical_json(body)).digest(),
        run=run,
    )
    return ids.uid(scope="cost_rule", key=key, origin_ms=0)
