"""Did the cost of a call move after a change, by how much, and how sure is that?

Two samples of calls, before and after; each is its count, its sum and its sum of squares, all
exact integers. The question is the ratio of the two means, since cost per call is skewed and
prices are multiples: the interval is symmetrical on the logarithm (delta method), with Student
quantiles and the degrees of freedom of Welch and Satterthwaite. It is looked at when the second
sample has 50, 100, 200, … 6,400 calls; the error of 5 % is shared out over the eight looks
(Bonferroni), so that looking often finds nothing that is not there.
Money stays integer; floats are used for the interval alone and end as whole millionths.
Source: docs/algorithms/cost-shift.md. Golden: tests/golden/cost_shift.json.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from statistics import NormalDist
from typing import Any, Final

from o10.kernel.money import Nanos, half_even

PPM: Final = 1_000_000
MOVED_PPM: Final = 100_000
"""A tenth: what the whole interval must lie beyond."""
LOOKS: Final = 8
LEAST_CALLS: Final = 50
"""On either side."""
LEVEL_PPM: Final = 950_000
"""Of all looks together."""
MONTH: Final = timedelta(days=30)
_Z: Final = NormalDist().inv_cdf(1 - (1 - LEVEL_PPM / PPM) / LOOKS / 2)


class Verdict(StrEnum):
    """What does the comparison say?"""

    NOT_ENOUGH = "not_enough"
    """Too few calls on one side, or nothing was paid before."""
    DEARER = "dearer"
    CHEAPER = "cheaper"
    STEADY = "steady"
    """Not shown to have moved by more than a tenth."""


@dataclass(frozen=True, slots=True)
class Sample:
    """How many calls, their cost together, and the sum of their squares? Nanos, exact."""

    n: int
    total: Nanos
    squares: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CostShift:
    """How did the cost of a call move?

    Units: nanos a call, rounded half even; millionths of the mean before: 1,400,000 = 1.4
    times. `low_ppm` to `high_ppm` is the interval of the ratio; None = not enough to say.
    """

    verdict: Verdict
    n_before: int
    n_after: int
    mean_before: Nanos
    mean_after: Nanos
    ratio_ppm: int | None
    low_ppm: int | None
    high_ppm: int | None

    def as_document(self) -> Mapping[str, Any]:
        """How does it stand in evidence? Money as text."""
        return {
            "verdict": self.verdict.value,
            "n_before": self.n_before,
            "n_after": self.n_after,
            "mean_before_nanos": str(self.mean_before),
            "mean_after_nanos": str(self.mean_after),
            "ratio_ppm": self.ratio_ppm,
            "low_ppm": self.low_ppm,
            "high_ppm": self.high_ppm,
            "level_ppm": LEVEL_PPM,
        }


def compare(before: Sample, after: Sample, *, moved_ppm: int = MOVED_PPM) -> CostShift:
    """Did the cost of a call move by more than this share, either way?

    The whole interval must lie beyond it: a point estimate alone says nothing.
    """
    enough = min(before.n, after.n) >= LEAST_CALLS and before.total > 0 and after.total >= 0
    ratio = low = high = None
    verdict = Verdict.NOT_ENOUGH
    if enough:
        ratio = half_even(after.total * before.n * PPM, before.total * after.n)
        low, high = _interval(before, after, ratio)
        verdict = Verdict.STEADY
        if low > PPM + moved_ppm:
            verdict = Verdict.DEARER
        elif high < PPM - moved_ppm:
            verdict = Verdict.CHEAPER
    return CostShift(
        verdict=verdict,
        n_before=before.n,
        n_after=after.n,
        mean_before=half_even(before.total, before.n) if before.n else 0,
        mean_after=half_even(after.total, after.n) if after.n else 0,
        ratio_ppm=ratio,
        low_ppm=low,
        high_ppm=high,
    )


def effect_per_month(before: Sample, after: Sample, *, calls: int, span: timedelta) -> Nanos:
    """What does the difference come to in thirty days, at `calls` in `span`? Rounded once.

    Units: nanos; positive = dearer. Raises: ZeroDivisionError for an empty sample or span.
    """
    micros = timedelta(microseconds=1)
    per_call = after.total * before.n - before.total * after.n
    return half_even(
        per_call * calls * (MONTH // micros), before.n * after.n * (span // micros)
    )


def is_due(*, n_after: int, looks: int) -> bool:
    """Has the second sample grown enough for the next look?"""
    return looks < LOOKS and n_after >= LEAST_CALLS << looks


def looks_at(n_after: int) -> int:
    """How many looks are used up once this many calls were looked at?"""
    looks = 0
    while looks < LOOKS and n_after >= LEAST_CALLS << looks:
        looks += 1
    return looks


def student_t(degrees: float) -> float:
    """Which quantile of Student's t belongs to one look? At least that of the normal.

    The Cornish-Fisher expansion to the fourth order; beyond ten degrees of freedom it is right
    to three decimals. Source: Abramowitz and Stegun 26.7.5.
    """
    z = _Z
    g1 = (z**3 + z) / 4
    g2 = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    g3 = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    g4 = (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92_160
    d = max(degrees, 10.0)
    return z + g1 / d + g2 / d**2 + g3 / d**3 + g4 / d**4


def _interval(before: Sample, after: Sample, ratio_ppm: int) -> tuple[int, int]:
    if not after.total:
        return 0, 0
    first, second = _spread(before), _spread(after)
    error = first + second
    if not error:
        return ratio_ppm, ratio_ppm
    degrees = error**2 / (first**2 / (before.n - 1) + second**2 / (after.n - 1))
    width = student_t(degrees) * math.sqrt(error)
    # A ratio of means beyond e^20 is no price; the bound keeps the arithmetic finite.
    factor = math.exp(min(width, 20.0))
    return round(ratio_ppm / factor), round(ratio_ppm * factor)


def _spread(sample: Sample) -> float:
    """Which relative variance has the mean? Exact integers up to the one division."""
    above = sample.n * sample.squares - sample.total**2
    return max(0, above) / ((sample.n - 1) * sample.total**2)
