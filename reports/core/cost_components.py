"""Of which parts is fully loaded cost made, and to which part does an entry belong?

One table. Parts of the family `calls` are counted from entries of model calls, those of `books`
from other entries, and finance states the amounts of `stated` parts.
Source: product.md section 14; docs/algorithms/fully-loaded-cost.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Family(StrEnum):
    """Where does a part come from?"""

    CALLS = "calls"
    BOOKS = "books"
    STATED = "stated"


class Grade(StrEnum):
    """How well is an amount known? Source: product.md section 14."""

    MEASURED = "measured"
    DERIVED = "derived"
    ATTESTED = "attested"
    ASSUMED = "assumed"


GRADE_ORDER: Final = (Grade.MEASURED, Grade.DERIVED, Grade.ATTESTED, Grade.ASSUMED)


class Component(StrEnum):
    """Which part of fully loaded cost? In the order in which a page shows them."""

    DIRECT = "direct"
    RETRIES = "retries"
    HEDGES = "hedges"
    FALLBACKS = "fallbacks"
    CLASSIFIER = "classifier"
    EVALS = "evals"
    SHADOW = "shadow"
    GATEWAY = "gateway"
    TOOLS = "tools"
    COMMITMENT_USED = "commitment_used"
    COMMITMENT_WASTE = "commitment_waste"
    HARDWARE = "hardware"
    HARDWARE_WASTE = "hardware_waste"
    OBSERVABILITY = "observability"
    HUMAN_REVIEW = "human_review"
    PLATFORM = "platform"
    ADJUSTMENTS = "adjustments"


@dataclass(frozen=True, slots=True)
class About:
    """How is a part called, what is in it, and where does it come from?"""

    label: str
    what: str
    family: Family


ABOUT: Final[Mapping[Component, About]] = MappingProxyType(
    {
        Component.DIRECT: About("Direct tokens", "calls that served", Family.CALLS),
        Component.RETRIES: About(
            "Retries and failures", "billed attempts that did not serve", Family.CALLS
        ),
        Component.HEDGES: About("Hedge losers", "parallel attempts not used", Family.CALLS),
        Component.FALLBACKS: About("Fallbacks", "calls another offer took over", Family.CALLS),
        Component.CLASSIFIER: About("Classifier", "calls that choose a route", Family.CALLS),
        Component.EVALS: About("Evals", "calls that measure quality", Family.CALLS),
        Component.SHADOW: About("Shadow", "calls of a candidate beside", Family.CALLS),
        Component.GATEWAY: About(
            "Gateway and aggregator fees", "what routers and resellers charge", Family.STATED
        ),
        Component.TOOLS: About(
            "Tools and APIs", "search, vector, other services", Family.STATED
        ),
        Component.COMMITMENT_USED: About(
            "Commitment, used", "the used share of committed capacity", Family.BOOKS
        ),
        Component.COMMITMENT_WASTE: About(
            "Commitment, waste", "the unused share of committed capacity", Family.BOOKS
        ),
        Component.HARDWARE: About(
            "Owned hardware", "amortisation, power, hosting, staff", Family.STATED
        ),
        Component.HARDWARE_WASTE: About(
            "Owned hardware, waste", "hours paid and not used", Family.STATED
        ),
        Component.OBSERVABILITY: About(
            "Observability and storage", "traces, logs, retention", Family.STATED
        ),
        Component.HUMAN_REVIEW: About(
            "Human review", "people who check or repair answers", Family.STATED
        ),
        Component.PLATFORM: About("Platform share", "shared teams and licences", Family.STATED),
        Component.ADJUSTMENTS: About(
            "Adjustments", "credits, discounts, FX, tax, differences of bills", Family.BOOKS
        ),
    }
)
STATED: Final = tuple(each for each in Component if ABOUT[each].family is Family.STATED)
CALLS: Final = tuple(each for each in Component if ABOUT[each].family is Family.CALLS)

_OF_PURPOSE: Final[Mapping[str, Component]] = MappingProxyType(
    {
        "serve": Component.DIRECT,
        "retry": Component.RETRIES,
        "hedge_loser": Component.HEDGES,
        "fallback": Component.FALLBACKS,
        "classify": Component.CLASSIFIER,
        "eval": Component.EVALS,
        "shadow": Component.SHADOW,
    }
)
_UNSERVED: Final = frozenset({"error", "cancelled"})


def component_of(
    *, kind: str, of_a_call: bool, purpose: str, finish: str, stated: str
) -> Component:
    """To which part of fully loaded cost does an entry belong?

    Shape: `kind`, `purpose`, `finish` are names of the ledger's words in lower case; `stated`
    the component that the entry's attribution set names, empty when it names none. A call that
    failed and was billed is a failure whatever it was for.
    """
    if stated in Component.__members__.values():
        return Component(stated)
    if kind == "commitment":
        return Component.COMMITMENT_USED
    if not of_a_call:
        return Component.ADJUSTMENTS
    if purpose == "serve" and finish in _UNSERVED:
        return Component.RETRIES
    return _OF_PURPOSE[purpose]
