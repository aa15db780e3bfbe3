"""How is an amount of the whole company shared out to use cases, and what is left over?

Parts add up to the amount exactly: largest remainder in nanos, ties to the lower use case
number, which never changes. What a rule can't place stays in a line of its own: unallocated.
Source: product.md section 14; docs/algorithms/fully-loaded-cost.md (worked example).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from o10.kernel.money import Nanos, half_even, split
from reports.core.cost_components import (
    ABOUT,
    GRADE_ORDER,
    Component,
    Family,
    Grade,
)

UNALLOCATED: Final = 0
"""The number of no use case: spend of nobody, and what no rule places."""
PPM: Final = 1_000_000


class Method(StrEnum):
    """By what is an amount shared out?"""

    DIRECT = "direct"
    """Only what is stated for a use case reaches it."""
    BY_TOKENS = "by_tokens"
    BY_CALLS = "by_calls"
    BY_DIRECT_COST = "by_direct_cost"
    BY_HEADCOUNT = "by_headcount"
    """People per use case, stated in the rule."""
    FIXED = "fixed"
    """Parts per million per use case, stated in the rule."""
    BY_DRIVER = "by_driver"
    """Units of the driver that the rule names; confirmed outcomes when it names none."""


STATED_WEIGHTS: Final = frozenset({Method.BY_HEADCOUNT, Method.FIXED})
_NONE: Final[Mapping[int, int]] = MappingProxyType({})
_NO_VOLUMES: Final[Mapping[str, Mapping[int, int]]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How is one component shared out?

    Shape: `weights` use case number to heads (BY_HEADCOUNT) or parts per million (FIXED);
    `driver` whose volumes weigh (BY_DRIVER), empty = confirmed outcomes.
    """

    method: Method
    weights: Mapping[int, int] = field(default_factory=lambda: _NONE)
    driver: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """By what can be measured, per use case number? Key 0 = what nobody answers for.

    Shape: `volumes` driver to units by use case number.
    """

    tokens: Mapping[int, int]
    calls: Mapping[int, int]
    direct_cost: Mapping[int, Nanos]
    outcomes: Mapping[int, int]
    volumes: Mapping[str, Mapping[int, int]] = field(default_factory=lambda: _NO_VOLUMES)


@dataclass(frozen=True, slots=True)
class Share:
    """Which part of an amount belongs to this use case? Number 0 = unallocated."""

    use_case: int
    nanos: Nanos


def find_rule_problem(rule: Rule) -> str:
    """What is wrong with this rule, in one sentence? Empty when it is right."""
    wanted = rule.method in STATED_WEIGHTS
    if rule.driver and rule.method is not Method.BY_DRIVER:
        return "Only a rule by driver names a driver."
    if wanted and not rule.weights:
        return "This method needs a weight for at least one use case."
    if not wanted and rule.weights:
        return "This method measures its weights: it takes none."
    if any(weight < 0 for weight in rule.weights.values()):
        return "A weight is not negative."
    if wanted and not any(rule.weights.values()):
        return "At least one weight is above zero."
    if UNALLOCATED in rule.weights:
        return "Every weight belongs to a use case."
    if rule.method is Method.FIXED and sum(rule.weights.values()) > PPM:
        return "Fixed shares add up to 100% at most; what is left stays unallocated."
    return ""


def weights_of(rule: Rule, measures: Measures) -> dict[int, int]:
    """Which weights has the rule in this month? Number to weight, zero weights left out."""
    found: Mapping[int, int]
    match rule.method:
        case Method.DIRECT:
            found = _NONE
        case Method.BY_TOKENS:
            found = measures.tokens
        case Method.BY_CALLS:
            found = measures.calls
        case Method.BY_DIRECT_COST:
            found = measures.direct_cost
        case Method.BY_DRIVER:
            found = measures.outcomes
            if rule.driver:
                found = measures.volumes.get(rule.driver, _NONE)
        case Method.BY_HEADCOUNT | Method.FIXED:
            found = rule.weights
    weights = {number: weight for number, weight in found.items() if weight > 0}
    if rule.method is Method.FIXED:
        rest = PPM - sum(weights.values())
        if rest:
            weights[UNALLOCATED] = rest
    return weights


def allocate(total: Nanos, rule: Rule, measures: Measures) -> tuple[Share, ...]:
    """How is this amount shared out? In order of use case number; the parts add up to it.

    Units: nanos. Without any weight all of it is unallocated. A negative amount (a refund) is
    the mirror image of the positive one.
    """
    if total == 0:
        return ()
    weights = weights_of(rule, measures)
    if not weights:
        return (Share(UNALLOCATED, total),)
    numbers = sorted(weights)
    parts = split(total, [weights[number] for number in numbers])
    shares = (Share(number, part) for number, part in zip(numbers, parts, strict=True))
    return tuple(share for share in shares if share.nanos)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What do the entries of one component and use case add up to? Nanos; calls; tokens."""

    component: Component
    use_case: int
    nanos: Nanos
    calls: int
    calls_estimated: int
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What did finance state for a component in these months?

    Units: nanos; `coverage_ppm` how much of the company the amount covers. `source` where it
    comes from. `months` = how many of the months asked for have a statement, 0 included.
    """

    component: Component
    nanos: Nanos
    source: str
    basis: str
    grade: Grade
    coverage_ppm: int
    months: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentLine:
    """What does one part of fully loaded cost say, and how well is it known?

    Units: nanos; `nanos` is what entries say, `waiting` what was stated and isn't booked yet.
    `coverage_ppm` None = nothing is known. `known` = it has a source or an explicit zero.
    """

    component: Component
    nanos: Nanos
    waiting: Nanos
    source: str
    basis: str
    grade: Grade | None
    coverage_ppm: int | None
    known: bool

    @property
    def label(self) -> str:
        """How is it called?"""
        return ABOUT[self.component].label


@dataclass(frozen=True, slots=True, kw_only=True)
class FullCost:
    """What does everything cost, part by part and use case by use case?

    Units: nanos. `by_use_case[number][component]`; number 0 is unallocated and unattributed.
    """

    lines: tuple[ComponentLine, ...]
    by_use_case: Mapping[int, Mapping[Component, Nanos]]

    @property
    def total(self) -> Nanos:
        """What is the fully loaded cost of the period?"""
        return sum(line.nanos for line in self.lines)

    @property
    def direct(self) -> Nanos:
        """What did the tokens of calls that served cost?"""
        return self._of(Component.DIRECT)

    @property
    def ratio_ppm(self) -> int | None:
        """How many times direct cost is it, in parts per million? None without direct cost."""
        return ratio_ppm(self.total, self.direct)

    @property
    def unallocated(self) -> Nanos:
        """What does no use case carry?"""
        return sum(self.by_use_case.get(UNALLOCATED, {}).values())

    @property
    def completeness_ppm(self) -> int:
        """Which share of the components has a source or an explicit zero?"""
        return sum(line.known for line in self.lines) * PPM // len(self.lines)

    @property
    def missing(self) -> tuple[Component, ...]:
        """Which components does nobody speak for?"""
        return tuple(line.component for line in self.lines if not line.known)

    @property
    def grade(self) -> Grade | None:
        """How well is the whole known? As its weakest part that isn't zero."""
        found = [line.grade for line in self.lines if line.grade and line.nanos]
        return max(found, key=GRADE_ORDER.index, default=None)

    def of(self, use_case: int) -> Nanos:
        """What is the fully loaded cost of this use case?"""
        return sum(self.by_use_case.get(use_case, {}).values())

    def _of(self, component: Component) -> Nanos:
        return next(line.nanos for line in self.lines if line.component is component)


def ratio_ppm(full: Nanos, direct: Nanos) -> int | None:
    """How many times direct cost is full cost, in parts per million? None without direct."""
    return half_even(full * PPM, direct) if direct > 0 else None


def full_cost(
    counted: Iterable[Counted],
    statements: Mapping[Component, Statement],
    *,
    months: int,
) -> FullCost:
    """What does everything cost? Every counted nano is in one part and one use case.

    A component of calls is known when a call of it was seen or somebody stated a zero; another
    one when there are entries, or a statement for each of the `months`.
    """
    by_use_case: dict[int, dict[Component, Nanos]] = {}
    nothing = (0, 0, 0)
    sums: dict[Component, tuple[int, int, int]] = dict.fromkeys(Component, nothing)
    for cell in counted:
        own = by_use_case.setdefault(cell.use_case, {})
        own[cell.component] = own.get(cell.component, 0) + cell.nanos
        nanos, calls, estimated = sums[cell.component]
        sums[cell.component] = (
            nanos + cell.nanos,
            calls + cell.calls,
            estimated + cell.calls_estimated,
        )
    lines = tuple(
        _line(each, sums[each], statements.get(each), months=months) for each in Component
    )
    return FullCost(lines=lines, by_use_case=by_use_case)


def _line(
    component: Component,
    sums: tuple[Nanos, int, int],
    stated: Statement | None,
    *,
    months: int,
) -> ComponentLine:
    nanos, calls, estimated = sums
    family = ABOUT[component].family
    if family is Family.STATED and stated is not None:
        return ComponentLine(
            component=component,
            nanos=nanos,
            waiting=stated.nanos - nanos,
            source=stated.source,
            basis=stated.basis,
            grade=stated.grade,
            coverage_ppm=stated.coverage_ppm * stated.months // months,
            known=stated.months >= months,
        )
    if family is Family.CALLS and calls > 0:
        measured = calls - estimated
        return ComponentLine(
            component=component,
            nanos=nanos,
            waiting=0,
            source="ledger entries of calls",
            basis="measured" if not estimated else "measured, part estimated",
            grade=Grade.MEASURED if not estimated else Grade.DERIVED,
            coverage_ppm=measured * PPM // calls,
            known=True,
        )
    if family is Family.BOOKS and nanos:
        return ComponentLine(
            component=component,
            nanos=nanos,
            waiting=0,
            source="ledger entries",
            basis="booked",
            grade=Grade.MEASURED,
            coverage_ppm=PPM,
            known=True,
        )
    return ComponentLine(
        component=component,
        nanos=nanos,
        waiting=0,
        source=stated.source if stated else "",
        basis=stated.basis if stated else "",
        grade=stated.grade if stated else None,
        coverage_ppm=stated.coverage_ppm * stated.months // months if stated else None,
        known=stated is not None and stated.months >= months,
    )
