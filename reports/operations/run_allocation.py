"""How do shared costs of a month get into the ledger? As `adjust` entries that add up exactly.

Nothing is booked twice: what stands as it should is left alone, what changed is reversed and
booked anew in the same transaction. The lines belong to no envelope and move no cap.
Source: docs/algorithms/fully-loaded-cost.md.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from typing import Final
from uuid import UUID

from django.db import connection, transaction

from ledger import facade as ledger
from o10.kernel import ids
from o10.kernel.errors import PeriodClosed, PreconditionFailed, SelfApproval
from o10.kernel.money import Nanos
from o10.kernel.periods import day_start, zone_of
from reports.models import AllocationLine
from reports.queries.allocations import (
    AllocationPlan,
    PlannedLine,
    next_month,
    plan_allocation,
)

_LOCK_CLASS: Final = 7_122


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocated:
    """What did an allocation do? Nanos; `run` 0 = nothing had to be booked."""

    month: date
    run: int
    booked: int
    reversed: int
    total: Nanos
    unallocated: Nanos


def run_allocation(
    *,
    month: date,
    requested_by: str,
    approved_by: str,
    actor: str,
    now: datetime,
    digest: str = "",
) -> Allocated:
    """What was booked for this month? Again with nothing changed: nothing.

    `digest` is that of the plan two people looked at; empty = whatever the plan is now.
    Raises: SelfApproval (`self_approval`); PeriodClosed (`period_closed`); PreconditionFailed
    (`precondition_failed`) when amounts, rules or weights changed since.
    Locks: an advisory lock until commit; then what the ledger locks.
    """
    if requested_by == approved_by:
        raise SelfApproval(action="allocation.run", person=requested_by)
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s, 1)", [_LOCK_CLASS])
        plan = plan_allocation(month=month)
        if digest and digest != plan.digest:
            raise PreconditionFailed(month=f"{plan.month:%Y-%m}")
        changes = plan.changes
        if changes:
            _check_open(plan.month)
            for line in changes:
                _book(line, plan, (requested_by, approved_by), actor=actor, now=now)
    return Allocated(
        month=plan.month,
        run=plan.run + 1 if changes else 0,
        booked=sum(line.nanos != 0 for line in changes),
        reversed=sum(bool(line.entry) for line in changes),
        total=plan.total,
        unallocated=plan.unallocated,
    )


def _check_open(month: date) -> None:
    found = ledger.find_period(f"{month:%Y-%m}")
    if found is not None and found.status == "closed":
        raise PeriodClosed(period=found.period, closed_at=found.closed_at)


def _book(
    line: PlannedLine,
    plan: AllocationPlan,
    people: tuple[str, str],
    *,
    actor: str,
    now: datetime,
) -> None:
    company = ledger.ledger_of_company()
    number = ledger.intern(
        ledger.Domain.ACTOR, {"id": actor}, ledger_id=company.id, actor=0, now=now
    )
    key = f"{plan.month:%Y-%m}/{line.component}/{line.use_case}/{plan.run + 1}"
    if line.entry:
        ledger.reverse(
            uid=UUID(line.entry),
            key=f"allocation/{key}",
            reason=f"{line.component} of {plan.month:%Y-%m} is shared out anew",
            requested_by=people[0],
            approved_by=people[1],
            actor_id=number,
            now=now,
        )
    uid = _adjust(line, plan, people, key=key, actor_number=number, now=now)
    AllocationLine.objects.create(
        month=plan.month,
        component=line.component.value,
        use_case=line.use_case,
        amount_nanos=line.nanos,
        rule_version=line.rule_version,
        run=plan.run + 1,
        entry_uid=uid,
        booked_at=now,
    )


def _adjust(
    line: PlannedLine,
    plan: AllocationPlan,
    people: tuple[str, str],
    *,
    key: str,
    actor_number: int,
    now: datetime,
) -> UUID | None:
    if not line.nanos:
        return None
    company = ledger.ledger_of_company()
    body = {
        "allocation": line.component.value,
        "approved_by": people[1],
        "month": f"{plan.month:%Y-%m}",
        "plan": plan.digest,
        "requested_by": people[0],
        "rule_version": line.rule_version,
        "use_case": line.use_case,
        "amount_nanos": str(line.nanos),
    }
    dims = ledger.intern(
        ledger.Domain.DIMS,
        ledger.allocation_meaning(line.component.value),
        ledger_id=company.id,
        actor=actor_number,
        now=now,
    )

    def run(uid: UUID) -> list[ledger.Draft]:
        draft = ledger.Draft(
            ledger_id=company.id,
            kind=ledger.Kind.ADJUST,
            uid=uid,
            effective_at=_instant(plan.month, company.time_zone, now),
            recorded_at=now,
            use_case_id=line.use_case,
            dims_id=dims,
            actor_id=actor_number,
            amount_nanos=line.nanos,
            flags=ledger.pack_flags(
                basis=ledger.Basis.ATTESTED,
                marks=ledger.Flag.UNGUARDED if line.nanos > 0 else ledger.Flag(0),
            ),
            doc=ledger.put_document(body, now=now),
        )
        return ledger.with_versions([draft])

    ledger.write(
        ledger_id=company.id,
        scope="allocation",
        key=key,
        request_hash=sha256(ledger.canonical_json(body)).digest(),
        run=run,
    )
    return ids.uid(scope="allocation", key=key, origin_ms=0)


def _instant(month: date, time_zone: str, now: datetime) -> datetime:
    """The last second of the month, or now while it runs; its first for a month ahead."""
    zone = zone_of(time_zone)
    start, end = day_start(month, zone), day_start(next_month(month), zone)
    return max(start, min(end - timedelta(seconds=1), now)).astimezone(UTC)
