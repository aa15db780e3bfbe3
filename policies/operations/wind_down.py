"""How does a sunset come about? Its budget shrinks every day, down to nothing on its last.

Each step is a change of the envelope like any other: a version, an entry, compared under its
lock by every loan. After the last day the use case is wound down, which callers hear as 104.
Source: product.md section 7.3; docs/algorithms/kill-criteria.md.
"""

from datetime import datetime, timedelta
from typing import Final

from o10.access.keys import Caller
from o10.access.roles import ROLE_ACTIONS, Role
from o10.kernel.money import Nanos
from policies.core.drafts import EnvelopeChange, UseCaseChange
from policies.models import KillCriterion
from policies.operations.change_envelope import change_envelope
from policies.operations.create_use_case import change_use_case
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
    return changed
