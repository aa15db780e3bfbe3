"""How does the approval policy change? By two people: a controller asks, a cfo agrees.

Once, at set-up, it can be laid down from the command line; from then on only by approval.
Requests that are running keep the version they were made under.
Locks: an advisory lock until commit, so that versions are a line.
"""

from datetime import datetime
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

import msgspec
from django.db import connection

from ledger import facade as ledger
from o10.access import queries as access
from o10.access.keys import Caller
from o10.access.roles import Role
from o10.kernel import figures
from o10.kernel.errors import Conflict, FieldError, ValidationFailed
from policies.core.approvals import ApprovalPolicy, Tier, check_policy
from policies.models import ApprovalPolicyVersion
from policies.operations.approved import approved_by
from policies.operations.change_envelope import Approved
from policies.operations.change_kinds import (
    Applied,
    Change,
    ChangeKind,
    ChangeText,
    DiffRow,
    EffectRow,
    register,
)
from policies.operations.propose_change import propose_change
from policies.operations.questions import actor_number
from policies.queries.approval_policy import ApprovalPolicyView, approval_policy
from policies.queries.approvals import ApprovalView

KIND: Final = "approval.policy"
SUBJECT: Final = "approval-policy"
_LOCK: Final = 0x6F3131


class PolicyStands(Conflict):
    """Is there an approval policy already? Then two people change it. Fields: `version`."""

    code = "conflict"


def found_approval_policy(
    *, policy: ApprovalPolicy, actor: str, now: datetime
) -> ApprovalPolicyView:
    """Which approval policy has the company from the start? Laid down once, at set-up.

    Raises: PolicyStands (`conflict`) when one stands; ValidationFailed.
    """
    check_policy(policy)
    _write(policy, actor=actor, now=now, key="set-up", reason="set-up", approved=None)
    return approval_policy()


def ask_approval_policy(
    *, policy: ApprovalPolicy, actor: Caller, now: datetime, reason: str, key: str = ""
) -> ApprovalView:
    """Which request asks for this approval policy?

    Raises: Forbidden; ValidationFailed; IdempotencyMismatch.
    """
    check_policy(policy)
    if not reason.strip():
        message = "Say why: the reason is kept with the change."
        raise ValidationFailed(errors=[FieldError("/reason", "required", message)])
    return propose_change(
        kind=KIND,
        subject=SUBJECT,
        change=policy_body(policy),
        actor=actor,
        now=now,
        reason=reason,
        key=key,
    )


def register_policy_kind() -> None:
    """Makes a change of the approval policy possible. Called when spend control starts."""
    register(
        ChangeKind(
            name=KIND,
            apply=_apply,
            base_of=lambda _: f"v{approval_policy().version}",
            describe=_describe,
            check=_check,
        )
    )


def policy_body(policy: ApprovalPolicy) -> dict[str, Any]:
    """How is a policy kept: every field, amounts as text?"""
    body = msgspec.to_builtins(policy)
    body["materiality_nanos"] = str(policy.materiality_nanos)
    body["tiers"] = [
        {"above_nanos": str(tier.above_nanos), "people": tier.people} for tier in policy.tiers
    ]
    return dict(body)


def policy_from(body: Change) -> ApprovalPolicy:
    """Which policy was kept like this?"""
    return msgspec.convert(dict(body), ApprovalPolicy, strict=False)


def _check(change: Change, _: Caller | None, __: datetime) -> None:
    policy = policy_from(change)
    check_policy(policy)
    wrong = []
    for place, who in enumerate(policy.compliance_approvers):
        person = access.find_person(who)
        if person is None or not person.is_active or person.role == Role.ADMIN.value:
            message = "An active person, and not one with the role admin."
            wrong.append(FieldError(f"/compliance_approvers/{place}", "not_allowed", message))
    if policy == approval_policy().policy:
        wrong.append(FieldError("/", "nothing_changes", "The policy reads like this already."))
    if wrong:
        raise ValidationFailed(errors=wrong)


def _apply(change: Change, approval: ApprovalView, actor: Caller, now: datetime) -> Applied:
    entry = _write(
        policy_from(change),
        actor=actor.actor,
        now=now,
        key=approval.id,
        reason=approval.reason,
        approved=approved_by(approval),
    )
    version = approval_policy().version
    return Applied(ids={"approval_policy": str(version)}, entries=(entry,))


def _write(
    policy: ApprovalPolicy,
    *,
    actor: str,
    now: datetime,
    key: str,
    reason: str,
    approved: Approved | None,
) -> UUID:
    def run(uid: UUID) -> list[ledger.Draft]:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        before = approval_policy()
        if approved is None and before.version > 0:
            raise PolicyStands(version=before.version)
        ApprovalPolicyVersion.objects.create(
            version=before.version + 1,
            body=msgspec.to_builtins(policy),
            at=now,
            actor=actor,
            approval=approved.approval if approved else "",
            entry_uid=uid,
        )
        document = {
            "change": "approval policy",
            "version": before.version + 1,
            "before": _digest(before.policy),
            "after": _digest(policy),
            "rows": [[row.label, row.old, row.new] for row in _rows(before.policy, policy)],
            "actor": actor,
            "reason": reason,
            **({"approval": approved.body} if approved else {}),
        }
        return [
            ledger.Draft(
                ledger_id=ledger.COMPANY_LEDGER,
                kind=ledger.Kind.POLICY_CHANGE,
                uid=uid,
                effective_at=now,
                recorded_at=now,
                actor_id=actor_number(actor, now=now),
                doc=ledger.put_document(document, now=now),
            )
        ]

    written = ledger.write(
        ledger_id=ledger.COMPANY_LEDGER,
        scope="approval-policy",
        key=key,
        request_hash=sha256(msgspec.json.encode(policy)).digest(),
        run=run,
    )
    return written.uid


def _digest(policy: ApprovalPolicy) -> str:
    return sha256(msgspec.json.encode(policy)).hexdigest()


def _describe(change: Change) -> ChangeText:
    before, after = approval_policy().policy, policy_from(change)
    return ChangeText(
        title="Change the approval policy",
        rows=_rows(before, after),
        effect=(
            EffectRow("New requests", "follow the new policy", "as before", "as before"),
            EffectRow("Running requests", "as they were made", "as before", "as before"),
        ),
        url="/approvals/policy/",
    )


def _rows(before: ApprovalPolicy, after: ApprovalPolicy) -> tuple[DiffRow, ...]:
    names = {
        "materiality_nanos": "Material above",
        "materiality_parent_ppm": "Material above this share of the parent",
        "expiry_days": "A request expires after",
        "confirm_hours": "A limit is confirmed within",
        "keys_may_approve": "Service keys may approve",
        "compliance_approvers": "Compliance approvers",
        "tiers": "Number of approvers",
    }
    return tuple(
        DiffRow(label, _value(name, getattr(before, name)), _value(name, getattr(after, name)))
        for name, label in names.items()
        if getattr(before, name) != getattr(after, name)
    )


def _value(name: str, value: Any) -> str:
    currency = ledger.ledger_of_company().currency
    if name == "materiality_nanos":
        return figures.money(value, currency).text
    if name == "materiality_parent_ppm":
        return figures.percent(part=value, whole=1_000_000).text
    if name == "keys_may_approve":
        return "yes" if value else "no"
    if name == "expiry_days":
        return f"{value} days"
    if name == "confirm_hours":
        return f"{value} hours"
    if name == "compliance_approvers":
        return ", ".join(value) or "nobody"
    return ", ".join(_tier(tier, currency) for tier in value) or "one"


def _tier(tier: Tier, currency: str) -> str:
    return f"{tier.people} above {figures.money(tier.above_nanos, currency).text}"
