"""How is one step of a request written down? A row, a ledger entry, the state it leaves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from ledger import facade as ledger
from o10.kernel.errors import FieldError, ValidationFailed
from policies.core.instants import instant_text
from policies.models import Approval, ApprovalStep
from policies.operations.questions import actor_number

REASON_MOST = 400
ROWS_MOST = 50
"""Lines of the change kept in a ledger document; the rest is bound by its hash."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Which step is it, and who takes it?"""

    act: str
    actor: str
    principal: str
    role: str
    at: datetime
    reason: str = ""
    names: Sequence[str] = ()
    for_whom: str = ""
    to_whom: str = ""
    until: datetime | None = None
    state: str = "open"


def check_reason(reason: str, *, required: bool) -> str:
    """What is said, without space around it?

    Raises: ValidationFailed (`validation_failed`) when it is missing or too long.
    """
    said = reason.strip()
    if required and not said:
        message = "Say why: the reason is kept with the request."
        raise ValidationFailed(errors=[FieldError("/reason", "required", message)])
    if len(said) > REASON_MOST or "\0" in said:
        message = f"At most {REASON_MOST} characters of plain text."
        raise ValidationFailed(errors=[FieldError("/reason", "too_long", message)])
    return said


def write_step(row: Approval, step: Step, uid: UUID) -> ledger.Draft:
    """Writes the step's row; its entry is for the caller to append, `move_on` follows.

    Run under the lock of the request's row.
    """
    number = row.steps.count() + 1
    ApprovalStep.objects.create(
        approval=row,
        number=number,
        act=step.act,
        actor=step.actor,
        principal=step.principal,
        role=step.role,
        names=sorted(step.names),
        for_whom=step.for_whom,
        to_whom=step.to_whom,
        reason=step.reason,
        until=step.until,
        at=step.at,
        entry_uid=uid,
    )
    return _draft(row, step, uid, number)


def move_on(row: Approval, step: Step, *, result: Mapping[str, str] | None = None) -> None:
    """Puts the request into the state that this step leaves it in. Once for each step."""
    row.version += 1
    row.state = step.state
    row.decided_at = None if step.state == "open" else step.at
    row.result = None if result is None else dict(result)
    row.save(update_fields=["version", "state", "decided_at", "result"])


def _draft(row: Approval, step: Step, uid: UUID, number: int) -> ledger.Draft:
    body: dict[str, Any] = {
        "approval": row.public,
        "kind": row.kind,
        "subject": row.subject,
        "step": number,
        "act": step.act,
        "by": step.principal,
        "actor": step.actor,
        "role": step.role,
        "maker": row.maker,
        "reason": step.reason,
        "change_hash": row.change_hash,
        "base": row.base,
        "needs": [sorted(need) for need in row.needs],
        "before": "" if number == 1 else row.state,
        "after": step.state,
        "expires_at": instant_text(row.expires_at),
        "until": instant_text(step.until) if step.until else "",
        "for_whom": step.for_whom,
        "to_whom": step.to_whom,
        "approval_policy": row.policy_version,
    }
    if number == 1:
        rows = row.text.get("rows", [])
        body["title"] = row.text.get("title", "")
        body["rows"] = [[each["label"], each["old"], each["new"]] for each in rows[:ROWS_MOST]]
        body["rows_in_all"] = len(rows)
    return ledger.Draft(
        ledger_id=ledger.COMPANY_LEDGER,
        kind=ledger.Kind.APPROVAL,
        uid=uid,
        effective_at=step.at,
        recorded_at=step.at,
        actor_id=actor_number(step.actor, now=step.at),
        doc=ledger.put_document(body, now=step.at),
    )
