"""What does capacity cost that is paid whether used or not? Drawdown, waste and advice.

A commitment buys so many units for so much an hour; each unit serves so many tokens an hour.
What is used within the hour's capacity costs nothing more at the margin (routing price 0), what
exceeds it is bought on demand. The accounting price is the charge over the tokens served; what
was paid for and not used is waste, a line of its own that nobody's unit price hides.
Source: product.md section 13; docs/algorithms/commitments.md. Golden: product.md G9.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Final

from o10.kernel.money import Nanos, ceil_div, half_even
from o10.kernel.money import split as split_by_weight

MILLION: Final = 1_000_000
PPM: Final = 1_000_000
SHRINK_BELOW_PPM: Final = 500_000
"""Utilisation under this at term: fewer units (product.md section 13)."""
SPARE_PPM: Final = 100_000
"""Capacity kept free when units are counted."""
SAVING_LEAST_PPM: Final = 50_000
"""A saving of less than this share of the charge is not worth a change."""


class Line(StrEnum):
    """Which part of a charge does an entry book?"""

    USED = "used"
    WASTE = "waste"
    ON_DEMAND = "on_demand"
    """Tokens beyond the capacity of their hour: no part of the charge, bought beside it."""


@dataclass(frozen=True, slots=True)
class Drawdown:
    """How much of the capacity of some hours was drawn, and what lay beyond it?

    Units: tokens. `used` never exceeds `capacity`; `beyond` was bought on demand or refused.
    """

    hours: int
    capacity: int
    used: int
    beyond: int

    @property
    def left(self) -> int:
        """How many tokens of the capacity were not drawn?"""
        return self.capacity - self.used


@dataclass(frozen=True, slots=True)
class Split:
    """How does a charge divide into what was used and what was not? Their sum is the charge."""

    charge: Nanos
    used: Nanos
    waste: Nanos


class Step(StrEnum):
    """What should be done about a commitment?"""

    KEEP = "keep"
    SHRINK = "shrink"
    END = "end"
    """Even one unit with its spare capacity would cost more than buying on demand."""
    WATCH = "watch"
    """A change would save less than 5 %."""
    NOT_ENOUGH = "not_enough_evidence"


@dataclass(frozen=True, slots=True)
class Shift:
    """Which use case could move its on-demand calls into the free capacity?

    Units: tokens an hour on average; nanos it pays on demand over the hours looked at.
    """

    use_case: str
    tokens_an_hour: int
    on_demand: Nanos


@dataclass(frozen=True, slots=True)
class Advice:
    """What should be done at term, to how many units, with which saving, and who shifts in?

    Units: `saving` nanos over the hours looked at, against today's charge, 0 when kept.
    """

    step: Step
    units: int
    saving: Nanos
    saving_ppm: int
    shifts: tuple[Shift, ...]


def charge_of(*, units: int, hourly_rate: Nanos, hours: int) -> Nanos:
    """What do so many units cost for so many hours? Units: nanos; the rate is for one unit."""
    return units * hourly_rate * hours


def draw(*, tokens_by_hour: Mapping[int, int], hours: int, capacity_an_hour: int) -> Drawdown:
    """How much of each hour's capacity was drawn? Capacity left in one hour serves no other.

    `tokens_by_hour` maps the number of an hour, 0 to `hours` - 1, to the tokens asked for.
    Raises: ValueError for an hour outside.
    """
    if any(not 0 <= hour < hours for hour in tokens_by_hour):
        raise ValueError("an hour lies outside")
    used = sum(min(each, capacity_an_hour) for each in tokens_by_hour.values())
    beyond = sum(max(0, each - capacity_an_hour) for each in tokens_by_hour.values())
    return Drawdown(hours, hours * capacity_an_hour, used, beyond)


def routing_price(
    *, tokens_this_hour: int, capacity_an_hour: int, wanted: int, on_demand: Nanos
) -> Nanos:
    """What does the next call cost at the margin: 0 while the hour has room for all of it.

    Units: tokens; `on_demand` is the price per million a call beyond the capacity pays.
    """
    return 0 if tokens_this_hour + wanted <= capacity_an_hour else on_demand


def split(*, charge: Nanos, used: int, capacity: int) -> Split:
    """How does the charge divide? Waste = charge x (1 - used / capacity), rounded once.

    Units: nanos, half even; tokens.
    """
    if capacity <= 0:
        return Split(charge, 0, charge)
    waste = half_even(charge * (capacity - used), capacity)
    return Split(charge, charge - waste, waste)


def accounting_price(*, charge: Nanos, tokens: int) -> Nanos | None:
    """What did a million served tokens cost? Nanos per million; None when none was served."""
    return half_even(charge * MILLION, tokens) if tokens else None


def break_even_tokens(*, charge: Nanos, on_demand: Nanos) -> int | None:
    """From how many tokens on is the commitment not dearer than buying on demand?

    `on_demand` is the blended price in nanos per million; None when on demand is free.
    """
    return ceil_div(charge * MILLION, on_demand) if on_demand > 0 else None


def break_even_ppm(*, charge: Nanos, on_demand: Nanos, capacity: int) -> int | None:
    """Which utilisation is that, in parts per million of the capacity? None as above."""
    if on_demand <= 0 or capacity <= 0:
        return None
    return half_even(charge * MILLION * PPM, on_demand * capacity)


def beyond_costs(
    *, asked: Mapping[str, int], costs: Mapping[str, Nanos], capacity: int
) -> dict[str, Nanos]:
    """What do the tokens of one hour beyond its capacity cost on demand, by who asked for them?

    `asked` tokens and `costs` nanos on demand of everybody in that hour. In a full hour all are
    beyond it by the same share, since reports of many calls do not say which came last:
    cost = costs of all x beyond / asked, half even, once an hour; shared by what each costs.
    """
    whole = sum(asked.values())
    beyond = max(0, whole - capacity)
    if not beyond:
        return {}
    return share_out(half_even(sum(costs.values()) * beyond, whole), costs)


def share_out(amount: Nanos, weights: Mapping[str, int]) -> dict[str, Nanos]:
    """How is an amount shared by weight, so that the parts add up to it exactly?

    Shape: largest remainder; of equal remainders the lesser key gets the nano. No weight at
    all leaves nothing to share: an empty answer.
    """
    keys = sorted(key for key, weight in weights.items() if weight > 0)
    if not keys:
        return {}
    parts = split_by_weight(amount, [weights[key] for key in keys])
    return dict(zip(keys, parts, strict=True))


def advise(
    *,
    units: int,
    hourly_rate: Nanos,
    tokens_an_hour_per_unit: int,
    tokens_by_hour: Sequence[int],
    on_demand: Nanos | None,
    candidates: Sequence[Shift] = (),
    hours_least: int = 168,
) -> Advice:
    """What should be done with this commitment at its term?

    Units: `tokens_by_hour` are the tokens asked for in each hour looked at, zeros included;
    `on_demand` nanos per million, None = not known. Every number of units from 0 up to today's
    is priced on the same hours: its charge, and on demand what does not fit below its spare.
    """
    hours = len(tokens_by_hour)
    capacity = units * tokens_an_hour_per_unit
    asked = sum(tokens_by_hour)
    today = _cost(units, hourly_rate, tokens_an_hour_per_unit, tokens_by_hour, on_demand, 0)
    if hours < hours_least or units <= 0 or on_demand is None:
        return Advice(Step.NOT_ENOUGH, units, 0, 0, ())
    used = sum(min(each, capacity) for each in tokens_by_hour)
    if used * PPM >= SHRINK_BELOW_PPM * capacity * hours:
        return Advice(Step.KEEP, units, 0, 0, ())
    costs = {
        number: _cost(
            number,
            hourly_rate,
            tokens_an_hour_per_unit,
            tokens_by_hour,
            on_demand,
            SPARE_PPM,
        )
        for number in range(units)
    }
    best = min(costs, key=lambda number: (costs[number], number))
    saving = today - costs[best]
    ppm = half_even(saving * PPM, today) if today else 0
    shifts = _fitting(candidates, free=(capacity * hours - asked) // hours)
    if saving <= 0 or ppm < SAVING_LEAST_PPM:
        return Advice(Step.WATCH, units, max(0, saving), max(0, ppm), shifts)
    return Advice(Step.SHRINK if best else Step.END, best, saving, ppm, shifts)


def _cost(
    units: int,
    hourly_rate: Nanos,
    per_unit: int,
    tokens_by_hour: Sequence[int],
    on_demand: Nanos | None,
    spare_ppm: int,
) -> Nanos:
    usable = units * per_unit * (PPM - spare_ppm) // PPM
    beyond = sum(max(0, each - usable) for each in tokens_by_hour)
    bought = Fraction(beyond * (on_demand or 0), MILLION)
    return charge_of(units=units, hourly_rate=hourly_rate, hours=len(tokens_by_hour)) + (
        half_even(bought.numerator, bought.denominator)
    )


def _fitting(candidates: Sequence[Shift], *, free: int) -> tuple[Shift, ...]:
    """The candidates that pay most and fit, together, into what is free on average."""
    kept: list[Shift] = []
    left = free * (PPM - SPARE_PPM) // PPM
    for each in sorted(candidates, key=lambda shift: (-shift.on_demand, shift.use_case)):
        if 0 < each.tokens_an_hour <= left and each.on_demand > 0:
            kept.append(each)
            left -= each.tokens_an_hour
    return tuple(kept)
