"""How is each signal computed from counted inputs? One formula each, in exact fractions.

None = not known: a base of nothing, never zero. Which metric uses which stands in
policies.core.metrics.
Source: product.md section 7.1. Golden: tests/golden/kill_metrics.json. Units: nanos; parts per
million where a name ends in `_ppm`.
"""

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Final

from o10.kernel.money import NANOS_PER_UNIT

Inputs = Mapping[str, int]
PPM: Final = 1_000_000
JUMP_SHARE_PPM: Final = 200_000
"""A model's share must rise by so much before a dearer mix counts as a switch."""
SUCCESS_STEP_PPM: Final = 10_000
COLLAPSE_PPM: Final = 50_000


def nearest_rank(values: Sequence[int], percent: int) -> int | None:
    """Which value is the percentile by nearest rank? None of none."""
    if not values:
        return None
    rank = max(1, -(-percent * len(values) // 100))
    return sorted(values)[rank - 1]


def over(numerator: str, denominator: str) -> Callable[[Inputs], Fraction | None]:
    """The one by the other; not known where the other is not positive."""

    def formula(inputs: Inputs) -> Fraction | None:
        below = inputs[denominator]
        return Fraction(inputs[numerator], below) if below > 0 else None

    return formula


def plain(name: str) -> Callable[[Inputs], Fraction | None]:
    """The input itself."""
    return lambda inputs: Fraction(inputs[name])


def parts(name: str) -> Callable[[Inputs], Fraction | None]:
    """A share that is handed up in millionths."""
    return lambda inputs: Fraction(inputs[name], PPM)


def mille(name: str) -> Callable[[Inputs], Fraction | None]:
    """A score that is handed up in thousandths."""
    return lambda inputs: Fraction(inputs[name], 1_000)


def count(name: str) -> Callable[[Inputs], int]:
    """How much evidence is there? As many as were counted of this."""
    return lambda inputs: inputs[name]


def one(_: Inputs) -> int:
    """One look is evidence enough."""
    return 1


def utilisation(inputs: Inputs) -> Fraction | None:
    """What may be spent of the cap; a cap of nothing has no share."""
    exposure = inputs["settled"] + inputs["leased"] + inputs["unsettled"]
    return Fraction(exposure, inputs["cap"]) if inputs["cap"] > 0 else None


def margin(inputs: Inputs) -> Fraction | None:
    """What an outcome is worth beyond the most it may cost."""
    return Fraction(inputs["value_nanos"] - inputs["cost_upper_nanos"], NANOS_PER_UNIT)


def per_outcome(inputs: Inputs) -> Fraction | None:
    """Full cost by confirmed outcomes; without any there is no such cost."""
    if inputs["outcomes"] <= 0:
        return None
    return Fraction(inputs["full_cost"], inputs["outcomes"] * NANOS_PER_UNIT)


def week_on_week(inputs: Inputs) -> Fraction | None:
    """The cost of an outcome against the week before; both weeks need outcomes."""
    if inputs["outcomes"] <= 0 or inputs["outcomes_before"] <= 0:
        return None
    now = Fraction(inputs["full_cost"], inputs["outcomes"])
    before = Fraction(inputs["full_cost_before"], inputs["outcomes_before"])
    return now / before - 1 if before > 0 else None


def spend_jump(inputs: Inputs) -> Fraction | None:
    """Only while success has not risen by a point: more success may cost more."""
    if inputs["same_weekdays"] <= 0 or inputs["same_weekday_spend"] <= 0:
        return None
    mean = Fraction(inputs["same_weekday_spend"], inputs["same_weekdays"])
    jump = inputs["spend"] / mean - 1
    risen = inputs.get("success_ppm", 0) - inputs.get("success_before_ppm", 0)
    return min(jump, Fraction(0)) if risen >= SUCCESS_STEP_PPM else jump


def floor_gap(inputs: Inputs) -> Fraction | None:
    """By how many points does the lower bound clear the bar?"""
    return Fraction(inputs["eval_lower_ppm"] - inputs["eval_bar_ppm"], 10_000)


def collapsed(inputs: Inputs) -> Fraction | None:
    """1 = under the bar, or five points under its own median."""
    below = inputs["eval_lower_ppm"] < inputs["eval_bar_ppm"]
    fell = inputs["eval_score_ppm"] < inputs["eval_median_ppm"] - COLLAPSE_PPM
    return Fraction(int(below or fell))


def unsettled(inputs: Inputs) -> Fraction | None:
    """What nobody has settled, of all that was spent or may have been."""
    both = inputs["settled"] + inputs["unsettled"]
    return Fraction(inputs["unsettled"], both) if both > 0 else None


def dearer(inputs: Inputs) -> Fraction | None:
    """Cost per token against the week before; only where another model took over."""
    if min(inputs["tokens"], inputs["tokens_before"], inputs["direct_before"]) <= 0:
        return None
    now = Fraction(inputs["direct"], inputs["tokens"])
    before = Fraction(inputs["direct_before"], inputs["tokens_before"])
    moved = inputs["share_gained_ppm"] >= JUMP_SHARE_PPM
    return now / before - 1 if moved else min(now / before - 1, Fraction(0))
