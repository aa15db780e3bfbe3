"""What would real usage have cost at other prices? Every entry priced twice, class by class.

The money effect of a proposal is no blended guess: the token classes of each entry are priced
at the rates in force and at the rates proposed, with the thresholds of its own size, and each
class is rounded as a settle rounds it.
Source: product.md sections 8 and 13; docs/algorithms/price-governance.md.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from ledger.core.price_terms import OfferKey
from ledger.core.pricing import DAY, PriceBook, find_rates, price_usage
from o10.kernel.money import Nanos
from o10.kernel.rates import UnknownPrice
from o10.kernel.usage import Usage


@dataclass(frozen=True, slots=True)
class UsedOffer:
    """What did one entry use, on which offer, when? `calls` it stands for, at least 1.

    Units: `per_call_input` tokens of all input classes of one call (thresholds are per call).
    """

    key: OfferKey
    use_case_id: int
    at: datetime
    calls: int
    per_call_input: int
    usage: Usage


@dataclass(slots=True)
class OfferEffect:
    """What did the usage of one offer cost before and after? Units: nanos, calls, tokens.

    `unpriced` counts calls that one of the two books has no price for; they are in neither sum.
    """

    before: Nanos = 0
    after: Nanos = 0
    calls: int = 0
    tokens: int = 0
    unpriced: int = 0

    @property
    def delta(self) -> Nanos:
        """By how much does the cost move? Positive = dearer."""
        return self.after - self.before


@dataclass(slots=True)
class Effect:
    """What is the effect of a change of prices, in all, by offer and by use case?"""

    total: OfferEffect = field(default_factory=OfferEffect)
    by_offer: dict[str, OfferEffect] = field(default_factory=dict)
    by_use_case: dict[int, OfferEffect] = field(default_factory=dict)


def effect_of(
    uses: Iterable[UsedOffer],
    *,
    before: PriceBook,
    after: PriceBook,
    at: Mapping[str, datetime],
) -> Effect:
    """What would these uses cost under either book?

    `at` names for each offer the instant at which both books are asked, so that a price that
    begins later is weighed as if it held; offers left out are asked at the instant of use. The
    hour of the day is that of the use.
    """
    found = Effect()
    for use in uses:
        stated = at.get(use.key.slug)
        instant = use.at if stated is None else _same_hour(stated, use.at)
        old = cost_at(use, book=before, at=instant)
        new = cost_at(use, book=after, at=instant)
        for sums in (
            found.total,
            found.by_offer.setdefault(use.key.slug, OfferEffect()),
            found.by_use_case.setdefault(use.use_case_id, OfferEffect()),
        ):
            sums.calls += use.calls
            sums.tokens += use.usage.total_input + use.usage.total_output
            if old is None or new is None:
                sums.unpriced += use.calls
            else:
                sums.before += old
                sums.after += new
    return found


def cost_at(use: UsedOffer, *, book: PriceBook, at: datetime) -> Nanos | None:
    """What does this use cost by this book at this instant? None = a class has no price."""
    rated = find_rates(book, key=use.key, at=at, total_input_tokens=use.per_call_input)
    if rated is None:
        return None
    try:
        return price_usage(use.usage, rated).total_nanos
    except UnknownPrice:
        return None


def _same_hour(at: datetime, used_at: datetime) -> datetime:
    """From `at` on, the first instant of the use's hour: prices may have windows of a day."""
    clock = used_at.astimezone(at.tzinfo)
    moved = datetime.combine(at.date(), clock.timetz())
    return moved if moved >= at else moved + DAY
