"""How does a sunset come about? Its budget shrinks every day, down to nothing on its last.

Each step is a change of the envelope like any other: a version, an entry, compared under its
lock by every loan. After the last day the use case is wound down, which callers hear as 104,
and the plan is archived: what the caps were and what was spent meanwhile.
Source: product.md section 7.3; docs/algorithms/kill-criteria.md.
"""

import contextlib
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from ledger import facade as ledger
from o10.access.keys import Caller
from o10.access.roles import ROLE_ACTIONS, Role
from o10.kernel.money import Nanos
from policies.core.drafts import EnvelopeChange, UseCaseChange
from policies.core.kill import State
from policies.core.record import exact
from policies.core.rules import EnvelopeRule
from policies.models import EnvelopeVersion, KillCriterion
from policies.operations.change_envelope import change_envelope
from policies.operations.create_use_case import change_use_case
from policies.operations.fire_kill import CriterionMoved, fire
from policies.queries.kill_rows import scope_of
from policies.queries.kill_sight import envelope_of

DAY: Final = timedelta(days=1)
SYSTEM: Final = Caller(
    "system", "system", "system", Role.CONTROLLER, None, ROLE_ACTIONS[Role.CONTROLLER]
)
"""Who acts where a rule that two people agreed on acts by itself."""


def wind_down(*, now: datetime) -> int:
    """How many budgets were cut today, and use cases ended? May run as often as one likes."""
    changed = 0
    rows = KillCriterion.objects.select_related("use_case", "department").filter(
        acts=True, sunset_until__isnull=False
    )
    for row in rows.order_by("id"):
        changed += _step(row, now)
    return changed


def cap_on(*, cap: Nanos, begun: datetime, until: datetime, at: datetime) -> Nanos:
    """Which cap has the budget today? Linear in whole days, rounded down; 0 from the end on.

    Golden: 30 dollars over 30 days: 30 on the first day, 29 on the second, 0 after the last.
    """
    days = max(1, -((begun - until) // DAY))
    gone = max(0, (at - begun) // DAY)
    return cap * max(0, days - gone) // days


def _step(row: KillCriterion, now: datetime) -> int:
    envelope = envelope_of(scope_of(row), at=now)
    begun, until, cap = row.tripped_at, row.sunset_until, row.sunset_from_nanos
    if begun is None or until is None or row.use_case is None:
        return 0
    changed = 0
    if envelope is not None and cap is not None and envelope.amount_nanos is not None:
        target = cap_on(cap=cap, begun=begun, until=until, at=now)
        if target < envelope.amount_nanos:
            change_envelope(
                envelope=envelope.public,
                change=EnvelopeChange(
                    amount_nanos=target, reason=f"sunset by kill criterion {row.public}"
                ),
                actor=SYSTEM,
                now=now,
                key=f"{row.public}#{target}",
            )
            changed = 1
    if now >= until and row.use_case.state == "active":
        change_use_case(
            slug=row.use_case.slug,
            change=UseCaseChange(
                state="sunset", reason=f"wound down by kill criterion {row.public}"
            ),
            actor=SYSTEM,
            now=now,
            key=f"{row.public}#end",
        )
        changed = 1
    if now >= until:
        changed += _end(row, envelope, now)
    return changed


def _end(row: KillCriterion, envelope: EnvelopeRule | None, now: datetime) -> int:
    """Archives the plan and ends its criterion: nothing is left that one could lift.

    The use case comes back only by a change of its own, which two people agree on.
    """

    def change(locked: KillCriterion, _: UUID) -> None:
        locked.state, locked.acts = State.RETIRED.value, False
        locked.restorable_at = None

    with contextlib.suppress(CriterionMoved):
        fire(
            criterion=row.public,
            kind="end",
            expects=(State.TRIPPED, State.RESTORING),
            change=change,
            inputs=archive_of(row, envelope, now=now),
            at=now,
            actor=SYSTEM.actor,
            reason="its last day is over",
            key="end",
        )
        return 1
    return 0


def archive_of(
    row: KillCriterion, envelope: EnvelopeRule | None, *, now: datetime
) -> dict[str, Any]:
    """What is kept of a sunset: its plan, the cap of each day, and what was spent meanwhile?"""
    begun, until = row.tripped_at or now, row.sunset_until or now
    found = ledger.list_call_facts(
        ledger_id=ledger.COMPANY_LEDGER,
        start=begun,
        end=now,
        width=max(DAY, now - begun),
        use_case_ids=list(scope_of(row).use_cases),
    )
    versions = () if envelope is None else _versions(envelope, begun)
    return {
        "begun": begun.isoformat(),
        "until": until.isoformat(),
        "cap_nanos": exact(row.sunset_from_nanos or 0),
        "envelope": "" if envelope is None else envelope.public,
        "caps": [
            {"at": at.isoformat(), "nanos": exact(int(body.get("amount_nanos") or 0))}
            for at, body in versions
        ],
        "spent_nanos": exact(sum(each.spent for each in found)),
        "calls": sum(each.calls for each in found),
    }


def _versions(envelope: EnvelopeRule, begun: datetime) -> list[tuple[datetime, Any]]:
    rows = EnvelopeVersion.objects.filter(envelope_id=envelope.id, at__gte=begun)
    return list(rows.order_by("version").values_list("at", "body"))
