"""What is asked, by whom, at which price, and with how much money left?"""

from dataclasses import dataclass
from datetime import datetime

from o10.kernel.money import Nanos
from o10.kernel.rates import Rates
from o10.wire.reasons import Reason
from o10.wire.requests import Authorize
from policies.core.envelope import Balance
from policies.core.snapshot import Place, UseCaseRule


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """Which offer would serve the call, and at which rates?

    Units: tokens for `max_output_tokens` and `context_tokens` (None = not known).
    """

    offer: str
    venue: str
    model: str
    region: str | None
    tier: str
    rates: Rates
    price_version: int
    stale: bool = False
    max_output_tokens: int | None = None
    context_tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked, by whom, when, and at which price? `scoped` false = not by this key.

    `rightsized` = the price is that of the model a lever forces, instead of the one asked.
    """

    request: Authorize
    scoped: bool
    now: datetime
    currency: str
    price: Price | None
    place: Place | Reason | None
    rightsized: bool = False


@dataclass(frozen=True, slots=True)
class Left:
    """What is known of the money? One balance per envelope of the path, root first.

    Units: nanos; `run` is what the run of the call has spent and holds so far. `hour` is what
    the levers leave for this hour, None where none limits it.
    """

    path: tuple[Balance, ...] = ()
    run: Nanos = 0
    hour: Nanos | None = None


def question_labels(request: Authorize) -> dict[str, str]:
    """Which values choose an envelope below the use case?"""
    labels = {
        "environment": request.environment,
        "customer": request.customer,
        "run": request.run_id,
    }
    return {kind: value for kind, value in labels.items() if value}


def model_of(request: Authorize, rule: UseCaseRule | None) -> str:
    """Which model is meant? The one asked for, else the use case's own; empty = none."""
    return request.model or (rule.default_model if rule else "")
