"""Which approval policy holds, and which held before?"""

from dataclasses import dataclass
from datetime import datetime

import msgspec

from policies.core.approvals import ApprovalPolicy
from policies.models import ApprovalPolicyVersion


@dataclass(frozen=True, slots=True)
class ApprovalPolicyView:
    """What does one version say, since when, by whom? Version 0 = what holds without any."""

    version: int
    policy: ApprovalPolicy
    at: datetime | None = None
    actor: str = ""
    approval: str = ""


def approval_policy() -> ApprovalPolicyView:
    """Which approval policy holds for requests made now?"""
    row = ApprovalPolicyVersion.objects.order_by("-version").first()
    return _view(row) if row is not None else ApprovalPolicyView(0, ApprovalPolicy())


def approval_policy_of(version: int) -> ApprovalPolicy:
    """What did this version say? A running request keeps the one it was made under."""
    row = ApprovalPolicyVersion.objects.filter(version=version).first()
    return _view(row).policy if row is not None else ApprovalPolicy()


def _view(row: ApprovalPolicyVersion) -> ApprovalPolicyView:
    policy = msgspec.convert(row.body, ApprovalPolicy)
    return ApprovalPolicyView(row.version, policy, row.at, row.actor, row.approval)
