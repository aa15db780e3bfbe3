"""What does one business outcome cost, how sure is that, and does it pay?

Everything is integers and ratios of sums; the interval is a bootstrap by run with a fixed seed,
so the same facts give the same figures on every machine.
Source: product.md section 15; Efron and Tibshirani 1993, chapter 13 (percentile interval);
docs/algorithms/cost-per-outcome.md (worked example).
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from o10.kernel.money import Nanos, half_even

PPM: Final = 1_000_000
REPEATS: Final = 1_000
BLOCKS_MOST: Final = 200
"""More runs than this are put into so many random blocks, which are drawn whole."""
LOW_RANK: Final = 50
HIGH_RANK: Final = 950
"""Nearest ranks of 5 % and 95 % among REPEATS."""
OUTCOMES_LEAST: Final = 30
MONTHS_FAILING: Final = 3


class Join(StrEnum):
    """How was an outcome joined to calls? The best way that works."""

    RUN = "run"
    """By the run, decision or reservation it names."""
    CUSTOMER = "customer"
    """By its customer, within the attribution window."""
    USE_CASE = "use_case"
    """By its use case and day alone."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """What did one run cost and give? Calls without a run stand together by day. Nanos."""

    nanos: Nanos
    successes: int
    failures: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """Between which costs does the true one lie, with 90 %? `high` None = no upper bound."""

    low: Nanos
    high: Nanos | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitCost:
    """What did one confirmed outcome cost?

    Units: nanos. `per_outcome` and `interval` None = no success, so there is no such cost;
    `failed_cost` what attempts without success cost.
    """

    spent: Nanos
    successes: int
    failures: int
    per_outcome: Nanos | None
    interval: Interval | None
    failed_cost: Nanos

    @property
    def attempts(self) -> int:
        """How many outcomes were told, with and without success?"""
        return self.successes + self.failures

    @property
    def success_ppm(self) -> int | None:
        """Which share succeeded, in parts per million? None without an outcome."""
        return half_even(self.successes * PPM, self.attempts) if self.attempts else None

    @property
    def per_failure(self) -> Nanos | None:
        """What did one failed attempt cost? None when none failed."""
        return half_even(self.failed_cost, self.failures) if self.failures else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Margin:
    """What is left of the approved value after one outcome is paid?

    Units: nanos. `low` uses the upper bound of cost: None without one.
    """

    value: Nanos
    hurdle: Nanos
    margin: Nanos
    low: Nanos | None
    high: Nanos


def unit_cost(clusters: Sequence[Cluster], *, overhead: Nanos, seed: str) -> UnitCost:
    """What did one outcome cost, all in, with its 90 % interval?

    `overhead` is what belongs to no run: shared components. It is divided by the successes of
    each draw, too. Failed attempts are part of the cost of those that succeed.
    """
    spent = sum(each.nanos for each in clusters) + overhead
    successes = sum(each.successes for each in clusters)
    failures = sum(each.failures for each in clusters)
    if not successes:
        return UnitCost(
            spent=spent,
            successes=0,
            failures=failures,
            per_outcome=None,
            interval=None,
            failed_cost=_failed_cost(clusters, overhead),
        )
    return UnitCost(
        spent=spent,
        successes=successes,
        failures=failures,
        per_outcome=half_even(spent, successes),
        interval=_interval(clusters, overhead=overhead, seed=seed),
        failed_cost=_failed_cost(clusters, overhead),
    )


def margin_of(cost: UnitCost, *, value: Nanos, hurdle: Nanos) -> Margin | None:
    """What is left of the value of one outcome? None while no outcome has a cost."""
    if cost.per_outcome is None or cost.interval is None:
        return None
    high = cost.interval.high
    return Margin(
        value=value,
        hurdle=hurdle,
        margin=value - cost.per_outcome,
        low=None if high is None else value - high,
        high=value - cost.interval.low,
    )


def break_even_of_calls(*, successes: int, target: Nanos, beside: Nanos) -> Nanos:
    """What might the calls of a month have cost, for its outcomes to pay?

    Units: nanos. `target` is the approved value less the hurdle, `beside` what the month cost
    beside its calls. Negative = at no cost of calls would it have paid.
    """
    return successes * target - beside


class Verdict(StrEnum):
    """Does a use case pay for itself?"""

    FAILS = "fails"
    """For three months in a row it may cost more than it is worth."""
    AT_RISK = "at risk"
    """In the last month, but not yet for three in a row."""
    PAYS = "pays"
    NOT_ENOUGH = "not enough evidence"
    NO_VALUE = "no approved value"
    NO_OUTCOME = "no outcome"


@dataclass(frozen=True, slots=True, kw_only=True)
class MonthFigures:
    """What is judged of one month? Nanos; `high` None = no upper bound. `value` None = none."""

    successes: int
    attempts: int
    high: Nanos | None
    value: Nanos | None
    hurdle: Nanos


def month_fails(month: MonthFigures) -> bool | None:
    """Is the 90 % upper bound of cost above value minus hurdle? None = it can't be said.

    Without any success among enough attempts there is no upper bound: that fails.
    """
    if month.value is None or month.attempts < OUTCOMES_LEAST:
        return None
    if month.high is None:
        return True
    if month.successes < OUTCOMES_LEAST:
        return None
    return month.high > month.value - month.hurdle


def verdict(months: Sequence[MonthFigures]) -> tuple[Verdict, int]:
    """Does it pay, and for how many months in a row has it failed? Oldest month first.

    Fails: three months in a row, the last one included, each with n of at least 30.
    """
    if not months:
        return Verdict.NO_OUTCOME, 0
    failing = 0
    for month in reversed(months):
        if month_fails(month) is not True:
            break
        failing += 1
    last = months[-1]
    if failing >= MONTHS_FAILING:
        return Verdict.FAILS, failing
    if failing:
        return Verdict.AT_RISK, failing
    if not last.attempts:
        return Verdict.NO_OUTCOME, 0
    if last.value is None:
        return Verdict.NO_VALUE, 0
    return (Verdict.NOT_ENOUGH if month_fails(last) is None else Verdict.PAYS), 0


def _failed_cost(clusters: Sequence[Cluster], overhead: Nanos) -> Nanos:
    """Runs that only failed in full; mixed ones and what is of no run by their attempts."""
    failed, of_no_run, failures, attempts = 0, overhead, 0, 0
    for each in clusters:
        told = each.successes + each.failures
        if told:
            failed += half_even(each.nanos * each.failures, told)
        else:
            of_no_run += each.nanos
        failures += each.failures
        attempts += told
    return failed + (half_even(of_no_run * failures, attempts) if attempts else 0)


def _interval(clusters: Sequence[Cluster], *, overhead: Nanos, seed: str) -> Interval:
    blocks = _blocks(clusters, seed)
    draw = random.Random(seed).random  # noqa: S311 - a fixed seed on purpose
    count = len(blocks)
    costs: list[Nanos] = []
    for _ in range(REPEATS):
        nanos, successes = overhead, 0
        for _ in range(count):
            block = blocks[int(draw() * count)]
            nanos += block[0]
            successes += block[1]
        if successes:
            costs.append(half_even(nanos, successes))
    costs.sort()
    # Draws without a success cost without bound: they stand behind all others.
    low = costs[min(LOW_RANK, len(costs)) - 1]
    high = costs[HIGH_RANK - 1] if len(costs) >= HIGH_RANK else None
    return Interval(low=low, high=high)


def _blocks(clusters: Sequence[Cluster], seed: str) -> list[tuple[Nanos, int]]:
    """Runs as they are, or put into blocks at random when there are very many."""
    if len(clusters) <= BLOCKS_MOST:
        return [(each.nanos, each.successes) for each in clusters]
    order = list(range(len(clusters)))
    random.Random(f"blocks/{seed}").shuffle(order)  # noqa: S311 - a fixed seed on purpose
    sums = [[0, 0] for _ in range(BLOCKS_MOST)]
    for place, index in enumerate(order):
        block, each = sums[place % BLOCKS_MOST], clusters[index]
        block[0] += each.nanos
        block[1] += each.successes
    return [(nanos, successes) for nanos, successes in sums]
