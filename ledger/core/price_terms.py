"""What is a price: of which offer, which meter, above how many tokens, since when, says who?

The words of the price book as frozen values. How they answer "what does this call cost" is in
`ledger.core.pricing`. Source: product.md section 13.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from enum import StrEnum
from types import MappingProxyType

from o10.kernel.usage import Nesting

GLOBAL = "global"
ALWAYS = datetime(2000, 1, 1, tzinfo=UTC)
"""Start of a catalogue price that names none: the ledger's epoch, before any entry."""

MAX_NANOS_PER_MILLION = 10**18
"""A billion per million tokens: above what any price is, and it fits into 64 bits."""


class Tier(StrEnum):
    """Which service tier is priced?"""

    STANDARD = "standard"
    BATCH = "batch"
    FLEX = "flex"
    PRIORITY = "priority"


class PriceSource(StrEnum):
    """Who says what it costs? In the order of precedence."""

    OVERRIDE = "override"
    CONTRACT = "contract"
    LIST = "list"


class Threshold(StrEnum):
    """What does a long-context bracket price: the whole call, or the tokens above it?"""

    WHOLE_CALL = "whole_call"
    MARGINAL = "marginal"


@dataclass(frozen=True, slots=True)
class OfferKey:
    """Which model, sold where, in which region, at which tier?"""

    venue: str
    model: str
    region: str = GLOBAL
    tier: Tier = Tier.STANDARD

    @property
    def slug(self) -> str:
        """How is the offer named? `{venue}[/{region}]/{model}[@{tier}]`."""
        region = "" if self.region == GLOBAL else f"{self.region}/"
        tier = "" if self.tier is Tier.STANDARD else f"@{self.tier}"
        return f"{self.venue}/{region}{self.model}{tier}"


@dataclass(frozen=True, slots=True)
class Bracket:
    """What does a million cost once total input is above so many tokens? 0 = from the start."""

    above_tokens: int
    nanos_per_million: int


@dataclass(frozen=True, slots=True)
class RateCard:
    """What does each meter of an offer cost?

    Shape: `meters` maps a meter (a TokenClass, `tool:<name>`, `hour:<name>`) to its brackets,
    ascending, the first above 0. Units: nanos of `currency` per 1,000,000 units.
    Raises: ValueError for a card that breaks this shape; only a bug or a damaged row does.
    """

    currency: str
    meters: Mapping[str, tuple[Bracket, ...]]
    threshold: Threshold = Threshold.WHOLE_CALL
    reasoning: Nesting = Nesting.INSIDE
    """Does the provider count reasoning inside its output? A fact about counts, not a price."""

    def __post_init__(self) -> None:
        for meter, brackets in self.meters.items():
            starts = [bracket.above_tokens for bracket in brackets]
            prices = [bracket.nanos_per_million for bracket in brackets]
            if not starts or starts[0] != 0 or starts != sorted(set(starts)):
                raise ValueError(f"brackets of {meter} start at {starts}")
            if min(prices) < 0 or max(prices) > MAX_NANOS_PER_MILLION:
                raise ValueError(f"a price of {meter} is out of range: {prices}")
        object.__setattr__(self, "meters", MappingProxyType(dict(self.meters)))

    def price_at(self, meter: str, bracket_above: int) -> int:
        """What does a million of this meter cost in the bracket that starts above so many?"""
        price = 0
        for bracket in self.meters[meter]:
            if bracket.above_tokens > bracket_above:
                break
            price = bracket.nanos_per_million
        return price


@dataclass(frozen=True, slots=True)
class DayWindow:
    """Between which times of the UTC day? Half-open; may pass midnight."""

    start: time
    end: time

    def contains(self, at: datetime) -> bool:
        """Is this instant inside?"""
        clock = at.astimezone(UTC).time()
        if self.start <= self.end:
            return self.start <= clock < self.end
        return clock >= self.start or clock < self.end


@dataclass(frozen=True, slots=True)
class FxStep:
    """From which currency was a card converted, at which rate of which date?

    `stated_from` is when the rule itself begins; its steps begin with their rates.
    """

    currency: str
    rate: str
    rate_date: date
    stated_from: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceRule:
    """Which card holds for an offer, since and until when, and who says so?

    Units: `valid_from` <= instant < `valid_to`, UTC; `valid_to` None = open. `ended_at` is when
    a person withdrew the rule: it holds for instants before that. `fx` says from which currency
    the card was converted (None: it is stated in the ledger's).
    """

    rule_id: int
    source: PriceSource
    source_name: str
    version: int
    valid_from: datetime
    card: RateCard
    valid_to: datetime | None = None
    ended_at: datetime | None = None
    window: DayWindow | None = None
    fx: FxStep | None = None

    def holds(self, at: datetime) -> bool:
        """Does the rule hold at this instant?"""
        ends = [end for end in (self.valid_to, self.ended_at) if end is not None]
        return (
            self.valid_from <= at
            and all(at < end for end in ends)
            and (self.window is None or self.window.contains(at))
        )
