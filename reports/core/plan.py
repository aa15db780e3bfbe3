"""How far is spending from plan, and does it matter?

Source: docs/design-system.md (figures) and docs/algorithms/plan.md.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from o10.kernel.figures import is_material
from o10.kernel.money import Nanos, half_even

_MICROSECOND = timedelta(microseconds=1)


class Stance(StrEnum):
    """On which side of plan does an amount stand?"""

    OVER = "over"
    UNDER = "under"
    ON_PLAN = "on_plan"
    """Within the materiality band: a difference too small to act on."""
    NO_PLAN = "no_plan"
    NO_SPEND = "no_spend"
    """Nothing was planned and nothing was spent."""


@dataclass(frozen=True, slots=True)
class Variance:
    """How far is an amount from plan? Units: nanos; `plan` None = none was entered."""

    actual: Nanos
    plan: Nanos | None

    @property
    def delta(self) -> Nanos | None:
        """ΔPL: actual minus plan. None without a plan."""
        return None if self.plan is None else self.actual - self.plan

    @property
    def stance(self) -> Stance:
        """On which side of plan, by the materiality band?"""
        if self.plan is None:
            return Stance.NO_PLAN if self.actual else Stance.NO_SPEND
        if not is_material(new=self.actual, base=self.plan):
            return Stance.ON_PLAN
        return Stance.OVER if self.actual > self.plan else Stance.UNDER


def plan_to_date(*, plan: Nanos, start: datetime, end: datetime, at: datetime) -> Nanos:
    """How much of a period's plan is due by this instant? Linear in time, rounded half even.

    Units: nanos; [start, end) UTC instants. All of it from `end` on, none before `start`.
    """
    if at <= start:
        return 0
    if at >= end:
        return plan
    return half_even(plan * ((at - start) // _MICROSECOND), (end - start) // _MICROSECOND)


def sum_variances(parts: Iterable[Variance]) -> Variance:
    """How far is the whole from plan? Spend without a plan counts in full.

    The whole has no plan only when none of its parts has one.
    """
    listed = list(parts)
    planned = [part.plan for part in listed if part.plan is not None]
    return Variance(
        actual=sum(part.actual for part in listed),
        plan=sum(planned) if planned else None,
    )


@dataclass(frozen=True, slots=True)
class Contribution:
    """Which parts explain a difference, and what do all others add up to?

    `names` in order of size; `explained` their ΔPL together; `rest` that of the `others`.
    """

    names: tuple[str, ...]
    explained: Nanos
    others: int
    rest: Nanos


def contributions(parts: Iterable[tuple[str, Variance]]) -> Contribution:
    """Which are the fewest parts that together explain the whole difference or more?

    Parts against the direction of the whole never explain it; the rest is net.
    """
    deltas = [(name, part.actual - (part.plan or 0)) for name, part in parts]
    whole = sum(delta for _, delta in deltas)
    sign = 1 if whole >= 0 else -1
    with_it = sorted(
        ((name, delta) for name, delta in deltas if delta * sign > 0),
        key=lambda each: (-each[1] * sign, each[0]),
    )
    names: list[str] = []
    explained = 0
    for name, delta in with_it:
        if explained * sign >= whole * sign:
            break
        names.append(name)
        explained += delta
    return Contribution(tuple(names), explained, len(deltas) - len(names), whole - explained)
