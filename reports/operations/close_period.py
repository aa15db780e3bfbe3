"""How is a month closed? Prepared by one, agreed by another, then the ledger seals it.

Preparing ends what can be ended (expired calls, unsettled money), says that the month is being
closed, and asks the second person with the checklist as evidence. Agreeing runs every condition
again, under the same eyes, and seals: there is no way back.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ledger import facade as ledger
from o10.access.keys import Caller
from o10.access.roles import Role
from o10.kernel.errors import Conflict, Forbidden
from policies import facade as policies
from reports.queries.close_checklist import Checklist, read_checklist

KIND = "period.close"


class CloseBlocked(Conflict):
    """Which conditions stand in the way? Fields: `period`, `conditions` (keys), `found`."""

    code = "close_blocked"


@dataclass(frozen=True, slots=True)
class Prepared:
    """What came of it: the list as it stands, and the request that waits, if all holds?"""

    checklist: Checklist
    approval: policies.ApprovalView | None


def prepare_close(
    *,
    period: str,
    actor: Caller,
    now: datetime,
    waivers: Mapping[str, str] | None = None,
    key: str = "",
) -> Prepared:
    """Is this month ready, and whom does it wait for? A second call finds the first request.

    Raises: PeriodClosed; NotOver; OutOfOrder; ValidationFailed; Forbidden when the role may not
    ask for it.
    """
    if actor.role is not Role.FINOPS:
        raise Forbidden(action=KIND, role=actor.role.value)
    ledger.begin_close(period=period, now=now)
    row = ledger.get_period(period)
    policies.expire_due(now=now)
    policies.reconcile_leases(now=now)
    policies.write_off_before(ends_at=row.ends_at, now=now)
    checklist = read_checklist(period=period, now=now, waivers=waivers)
    standing = policies.find_open(subject=subject_of(period), now=now)
    waiting = next((each for each in standing if each.kind == KIND), None)
    if waiting is not None or not checklist.ready:
        return Prepared(checklist, waiting)
    given = {each.key: each.waived for each in checklist.conditions if each.waived}
    view = policies.propose_change(
        kind=KIND,
        subject=subject_of(period),
        change={"period": period, "waivers": given},
        actor=actor,
        now=now,
        key=key,
    )
    return Prepared(checklist, view)


def subject_of(period: str) -> str:
    """Under which subject do requests about this month stand?"""
    return f"period/{period}"


def apply_close(
    change: Mapping[str, Any],
    *,
    requested_by: str,
    actor: Caller,
    now: datetime,
) -> ledger.Closed:
    """What was sealed? Every condition is looked at once more.

    Raises: CloseBlocked (`close_blocked`); as `ledger.seal_period`.
    """
    period = str(change["period"])
    checklist = read_checklist(period=period, now=now, waivers=change.get("waivers"))
    if not checklist.ready:
        missing = checklist.missing
        raise CloseBlocked(
            period=period,
            conditions=[each.key for each in missing],
            found=" ".join(each.found for each in missing),
        )
    actor_id = ledger.intern(
        ledger.Domain.ACTOR,
        {"id": actor.actor},
        ledger_id=ledger.COMPANY_LEDGER,
        actor=0,
        now=now,
    )
    return ledger.seal_period(
        period=period,
        balances=policies.closing_balances,
        evidence={
            "conditions": [
                {
                    "found": each.found,
                    "key": each.key,
                    "ok": int(each.ok),
                    "waived": each.waived,
                }
                for each in checklist.conditions
            ],
        },
        requested_by=requested_by,
        approved_by=actor.principal,
        actor_id=actor_id,
        price_version=ledger.price_book().version,
        policy_version=policies.policy_version(),
        now=now,
    )


def close_base(period: str) -> str:
    """Against which state was the close asked for? Any later entry of the month changes it."""
    row = ledger.get_period(period)
    sums = ledger.sum_period(starts_at=row.starts_at, ends_at=row.ends_at)
    return f"{row.status}:{sums.entries}:{sums.newest}:{sums.amount_nanos}"
