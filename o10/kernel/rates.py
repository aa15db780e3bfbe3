"""What does a usage cost at given rates? Usage × rates → nanos per token class. ← THE PRICE

Which rates hold for an offer at an instant (contract or list, service tier, long-context
threshold) is answered by `ledger.core.pricing`; here they are given, and the arithmetic is
all there is.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from o10.kernel.errors import Rejected
from o10.kernel.money import Money, Nanos, half_even
from o10.kernel.usage import TokenClass, Usage

MILLION = 1_000_000


class UnknownPrice(Rejected):
    """Is a class in use that has no price? Fields: `token_classes`, `currency`.

    The authorize door answers PRICE_UNKNOWN; a settle books the reserved amount as estimated.
    An unknown price is never zero.
    """

    code = "price_unknown"

    def __init__(self, *, token_classes: Iterable[TokenClass], currency: str) -> None:
        names = tuple(str(token_class) for token_class in token_classes)
        super().__init__(token_classes=names, currency=currency)


@dataclass(frozen=True, slots=True)
class Rates:
    """What does one million tokens of each class cost?

    Units: `per_million` maps a class to nanos of `currency` per 1,000,000 tokens; a class
    that is absent has no known price, a class with 0 is free on purpose. Where a provider
    bills reasoning as output, the reasoning rate is present and equal to the output rate.
    `request_fee_nanos` is nanos per billed request; 0 means there is no fee.
    Raises: ValueError for a negative price or a price on REQUEST.
    """

    currency: str
    per_million: Mapping[TokenClass, int]
    request_fee_nanos: Nanos = 0

    def __post_init__(self) -> None:
        if TokenClass.REQUEST in self.per_million:
            raise ValueError("the price of a request is request_fee_nanos")
        if self.request_fee_nanos < 0 or any(price < 0 for price in self.per_million.values()):
            raise ValueError("a price is not negative")
        # A read-only copy: a rate in force must not change under an entry that names it.
        object.__setattr__(self, "per_million", MappingProxyType(dict(self.per_million)))

    def price_of(self, token_class: TokenClass) -> int | None:
        """What does a million of this class cost? None = not known."""
        if token_class is TokenClass.REQUEST:
            return self.request_fee_nanos * MILLION
        return self.per_million.get(token_class)

    def missing(self, token_classes: Iterable[TokenClass]) -> tuple[TokenClass, ...]:
        """Which of these classes have no price?"""
        return tuple(each for each in token_classes if self.price_of(each) is None)


@dataclass(frozen=True, slots=True)
class CostLine:
    """What does one class of a usage cost? Quantity × price / 1,000,000, rounded once."""

    token_class: TokenClass
    quantity: int
    nanos_per_million: int
    nanos: Nanos


@dataclass(frozen=True, slots=True)
class CostLines:
    """What does each used class cost, and all together?

    Shape: one line per class with a quantity above zero, in the order of TokenClass; the
    request fee only where there is one. `total_nanos` is the sum of the rounded lines.
    """

    currency: str
    lines: tuple[CostLine, ...]
    total_nanos: Nanos

    @property
    def total(self) -> Money:
        """How much, with its currency?"""
        return Money(self.currency, self.total_nanos)

    def nanos_of(self, token_class: TokenClass) -> Nanos:
        """What does this class cost? 0 when none of it was used."""
        return sum(line.nanos for line in self.lines if line.token_class is token_class)


def cost_of(usage: Usage, rates: Rates) -> CostLines:
    """What does this usage cost at these rates?

    Units: nanos of `rates.currency`; one line per token class, each rounded once, half even.
    Raises: UnknownPrice (the door answers PRICE_UNKNOWN) when a used class has no price;
    never treats it as zero.
    Source: docs/algorithms/rounding.md. Golden: tests/golden/price_cases.json.
    """
    lines, unknown = [], []
    for token_class, quantity in usage.items():
        if quantity == 0:
            continue
        price = rates.price_of(token_class)
        if price == 0 and token_class is TokenClass.REQUEST:
            continue
        if price is None:
            unknown.append(token_class)
            continue
        nanos = half_even(quantity * price, MILLION)
        lines.append(CostLine(token_class, quantity, price, nanos))
    if unknown:
        raise UnknownPrice(token_classes=unknown, currency=rates.currency)
    return CostLines(rates.currency, tuple(lines), sum(line.nanos for line in lines))
