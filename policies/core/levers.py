"""What do the levers of tripped kill criteria do to a call? From a note to no call at all.

The ladder is ordered by strictness. Of several levers of one kind the tightest holds; the
strictest kind is told first, and all are told. A use case without levers pays nothing here.
Source: product.md section 7.3; docs/algorithms/kill-criteria.md.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from o10.kernel.money import amount_text
from policies.core.rules import LeverRule, UseCaseRule


class Lever(StrEnum):
    """Which lever is it? From the mildest to the strictest."""

    NOTIFY = "notify"
    CAP_OUTPUT = "cap_output"
    CAP_STEPS = "cap_steps"
    RIGHTSIZING = "rightsizing"
    THROTTLE = "throttle"
    FREEZE = "freeze"
    SUNSET = "sunset"

    @property
    def rank(self) -> int:
        """Where does it stand on the ladder? Higher is stricter."""
        return _RANKS[self]


_RANKS: Final = {lever: rank for rank, lever in enumerate(Lever)}
IN_CALLS: Final = frozenset(Lever) - {Lever.NOTIFY}
"""Levers that calls obey: they stand in the policy."""
TWO_PEOPLE: Final = frozenset({Lever.FREEZE, Lever.SUNSET})
"""Levers that nothing lifts but two people."""
NEEDS_AMOUNT: Final = frozenset(
    {Lever.CAP_OUTPUT, Lever.CAP_STEPS, Lever.THROTTLE, Lever.SUNSET}
)
"""Levers with a number: tokens, steps, nanos an hour, days."""


def strictest_first(levers: Sequence[LeverRule]) -> list[LeverRule]:
    """In which order are these levers told? The strictest first, then by criterion."""
    return sorted(levers, key=lambda each: (-Lever(each.lever).rank, each.criterion))


def freezing(rule: UseCaseRule) -> LeverRule | None:
    """Which lever stops every call of this use case? None = none does."""
    return next((each for each in rule.levers if each.lever == Lever.FREEZE), None)


def output_cap(rule: UseCaseRule) -> int | None:
    """How many output tokens do its levers allow at most? None = any number."""
    return _least(rule.levers, Lever.CAP_OUTPUT)


def step_cap(rule: UseCaseRule) -> int | None:
    """Up to which step of a run, and which attempt of a call, may it go? None = any."""
    return _least(rule.levers, Lever.CAP_STEPS)


def rightsizing(rule: UseCaseRule) -> bool:
    """Does a lever force the cheapest model that is permitted?"""
    return any(each.lever == Lever.RIGHTSIZING for each in rule.levers)


def forced_models(rule: UseCaseRule) -> tuple[str, ...]:
    """Among which models is the cheapest forced? Those that were named, and where a lever
    names none, all that were approved for the use case, or its own where none was approved.
    """
    forcing = [each for each in rule.levers if each.lever == Lever.RIGHTSIZING]
    names = [each.model for each in forcing if each.model]
    if len(names) < len(forcing):
        names += [each.name for each in rule.models or ()]
        names += [rule.default_model] if rule.models is None and rule.default_model else []
    return tuple(dict.fromkeys(names))


def throttles(rule: UseCaseRule) -> tuple[LeverRule, ...]:
    """Which levers limit its money by the hour?"""
    return tuple(each for each in rule.levers if each.lever == Lever.THROTTLE)


def sunset(rule: UseCaseRule) -> LeverRule | None:
    """Which lever winds the use case down? The one that ends first."""
    ends = [each for each in rule.levers if each.lever == Lever.SUNSET and each.until]
    return min(ends, key=lambda each: (str(each.until), each.criterion), default=None)


def told(levers: Sequence[LeverRule]) -> str:
    """How are these levers told in one sentence? The strictest first, with its criterion."""
    ordered = strictest_first(levers)
    texts = [
        f"{_words(each)} by kill criterion {each.name} ({each.criterion})" for each in ordered
    ]
    text = "; ".join(texts)
    return f"{text[:1].upper()}{text[1:]}."


def _words(lever: LeverRule) -> str:
    amount = lever.amount or 0
    match Lever(lever.lever):
        case Lever.CAP_OUTPUT:
            return f"at most {amount:,} output tokens"
        case Lever.CAP_STEPS:
            return f"at most {amount:,} steps or attempts"
        case Lever.RIGHTSIZING:
            return f"moved to {lever.model or 'the cheapest permitted model'}"
        case Lever.THROTTLE:
            return f"at most {amount_text(amount)} an hour"
        case Lever.SUNSET:
            return f"wound down until {lever.until:%Y-%m-%d}" if lever.until else "wound down"
        case Lever.FREEZE:
            return "frozen"
    return "watched"


def _least(levers: Sequence[LeverRule], kind: Lever) -> int | None:
    amounts = [each.amount for each in levers if each.lever == kind and each.amount is not None]
    return min(amounts, default=None)
