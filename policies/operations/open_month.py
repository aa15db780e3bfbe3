"""Where is a call booked whose month is closed? In the periods that run now, marked as late.

Its hold was written off before the close, so nothing guards the money any more. The envelopes
are those of its path that still have a period; where none has, no envelope has it.
Source: product.md sections 5 and 18; docs/algorithms/period-close.md.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from ledger import facade as ledger
from o10.kernel.periods import OutsidePeriod
from policies.operations.keep_exposure import NO_TREE
from policies.operations.reservations import Hold
from policies.queries.current_policy import current_policy

NEVER_CLOSED: Final = timedelta(hours=1)
"""So young a call is in no closed month: its hold would have kept the month open."""


@dataclass(frozen=True, slots=True)
class Housed:
    """Under which hold is it booked, and what does its document say beside?

    `told` is empty for a call of an open month.
    """

    hold: Hold
    told: dict[str, Any]

    def flags(self, flags: int) -> int:
        """Which flags has its entry?"""
        return flags | int(ledger.Flag.PRIOR_PERIOD) if self.told else flags


def house(hold: Hold, *, now: datetime) -> Housed:
    """Under which periods is this call booked now?"""
    if now - hold.authorized_at < NEVER_CLOSED:
        return Housed(hold, {})
    placement = ledger.placed(at=hold.authorized_at, now=now)
    if not placement.is_prior:
        return Housed(hold, {})
    envelopes, periods = _running(hold, now)
    moved = replace(
        hold,
        root=hold.root if envelopes else NO_TREE,
        path_ids=envelopes,
        path_periods=periods,
        authorized_at=placement.effective_at,
    )
    return Housed(moved, dict(placement.told))


def _running(hold: Hold, now: datetime) -> tuple[tuple[int, ...], tuple[datetime, ...]]:
    rules = current_policy().snapshot.envelopes
    envelopes: list[int] = []
    periods: list[datetime] = []
    for envelope in hold.path_ids:
        rule = rules.get(envelope)
        if rule is None:
            break
        try:
            periods.append(rule.calendar_period_at(now).start)
        except OutsidePeriod:
            break
        envelopes.append(envelope)
    return tuple(envelopes), tuple(periods)
