"""What does a benchmark say? Ratios with both sides from one run, and their spread."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a ratio: what was measured, how much, in which unit."""

    label: str
    value: float
    unit: str


@dataclass(frozen=True, slots=True)
class Ratio:
    """Median of a / b over interleaved rounds. `goal` reads like `>= 0.50` or `<= 1.5`."""

    name: str
    value: float
    goal: str
    a: Side
    b: Side
    spread: tuple[float, float] = (0.0, 0.0)

    @property
    def met(self) -> bool:
        """Is the goal reached?"""
        sign, _, limit = self.goal.partition(" ")
        return self.value >= float(limit) if sign == ">=" else self.value <= float(limit)


@dataclass(frozen=True, slots=True)
class Bench:
    """The result of one benchmark; `facts` carry sizes, settings and absolute figures."""

    name: str
    ratios: tuple[Ratio, ...]
    facts: dict[str, str | int | float] = field(default_factory=dict)


def interleave(
    *, rounds: int, a: Callable[[], float], b: Callable[[], float]
) -> tuple[list[float], list[float]]:
    """What do both sides measure, turn by turn, after one warm-up each?"""
    a()
    b()
    left: list[float] = []
    right: list[float] = []
    for number in range(rounds):
        # The order turns, so that neither side always runs on the warmer machine.
        if number % 2:
            right.append(b())
            left.append(a())
        else:
            left.append(a())
            right.append(b())
    return left, right


def ratio(
    *,
    name: str,
    goal: str,
    a: tuple[str, Sequence[float]],
    b: tuple[str, Sequence[float]],
    unit: str,
) -> Ratio:
    """What is the median ratio of paired rounds? Spread is the smallest and largest pair."""
    pairs = [one / other for one, other in zip(a[1], b[1], strict=True)]
    return Ratio(
        name=name,
        value=statistics.median(pairs),
        goal=goal,
        a=Side(a[0], statistics.median(a[1]), unit),
        b=Side(b[0], statistics.median(b[1]), unit),
        spread=(min(pairs), max(pairs)),
    )
