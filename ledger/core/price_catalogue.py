"""What does a price catalogue say? Dated rate cards of offers, and what was left out, and why.

Two catalogues are read: genai-prices (`ledger.operations.load_prices`, which alone may import
it) and files in the shape of LiteLLM's map (`ledger.core.litellm_prices`). Both become a
`Catalogue`; what follows does not ask which one it was.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from enum import StrEnum

from ledger.core.price_terms import ALWAYS, DayWindow, OfferKey, RateCard
from o10.kernel.errors import Rejected
from o10.kernel.usage import Nesting

ROWS_MAX = 100_000
NAME_CHARS_MAX = 200
NANOS_PER_UNIT = Decimal(10**9)

REASONING_OUTSIDE = frozenset({"google", "vertex"})
"""Venues whose output count leaves the reasoning out (`thoughtsTokenCount`)."""


class CatalogueInvalid(Rejected):
    """Is this file no price catalogue? Fields: `place`, `reason`."""

    code = "validation_failed"


class Mode(StrEnum):
    """What does the model make? Some plausibility rules hold for one kind only."""

    CHAT = "chat"
    IMAGE = "image"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class DatedCard:
    """Which card holds from when on, in which part of the day?"""

    valid_from: datetime
    card: RateCard
    window: DayWindow | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueRow:
    """What does the catalogue say about one offer?

    Shape: `cards` oldest first; every date names its card outside all windows and its card of
    each window, so that the cards of one date are complete. `name` is the catalogue's own key.
    """

    name: str
    key: OfferKey
    cards: tuple[DatedCard, ...]
    mode: Mode = Mode.OTHER
    context_window: int | None = None
    evidence: str = ""

    def cards_at(self, at: datetime) -> Mapping[DayWindow | None, RateCard]:
        """Which cards hold at this instant, by part of the day? Empty before the first date."""
        dates = [each.valid_from for each in self.cards if each.valid_from <= at]
        latest = max(dates, default=None)
        return {each.window: each.card for each in self.cards if each.valid_from == latest}


class Skip(StrEnum):
    """Why is a row of the catalogue not in the price book, without anything being wrong?"""

    NO_PRICE = "no_price"
    """It states no price at all, for example free or withdrawn models."""
    NO_TOKEN_PRICE = "no_token_price"  # noqa: S105
    """Priced per second, page, pixel or image only."""
    FREE = "free"
    """Every price is 0: free needs a person's word (`add_price`)."""
    NO_TIER = "no_tier"
    """A price for a service mode that is none of our tiers."""
    NOT_A_MODEL = "not_a_model"


@dataclass(frozen=True, slots=True)
class Skipped:
    """Which row was left out, and why?"""

    name: str
    why: Skip


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Which row could not be read, and what stands there?"""

    name: str
    key: OfferKey
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """What does this edition of the catalogue say?

    Shape: `rows` unique by key, in order of slug; `aliases` are (venue, alias, model);
    `sha256` is the hash of the file or of the package's content, in hex.
    """

    name: str
    version: str
    sha256: str
    rows: tuple[CatalogueRow, ...]
    aliases: tuple[tuple[str, str, str], ...] = ()
    skipped: tuple[Skipped, ...] = ()
    unreadable: tuple[Unreadable, ...] = ()


def nanos_per_million(price: Decimal, *, per: int) -> int:
    """How many nanos does a million units cost when `per` units cost this price?

    Catalogues print binary floats (0.18000000000000002): what lies below a nano per million is
    rounded half even; a billion tokens move by less than a millionth of a unit of currency.
    Raises: CatalogueInvalid (`validation_failed`) for a negative, infinite or missing number.
    """
    if not price.is_finite() or price < 0:
        raise CatalogueInvalid(place="", reason=f"{price} is no price")
    try:
        nanos = price * NANOS_PER_UNIT * (1_000_000 // per)
        return int(nanos.quantize(Decimal(1), rounding=ROUND_HALF_EVEN))
    except InvalidOperation as error:
        raise CatalogueInvalid(place="", reason=f"{price} is out of range") from error


def reasoning_of(venue: str) -> Nesting:
    """Does this venue count reasoning inside its output? (conventions.md section 5)"""
    return Nesting.OUTSIDE if venue in REASONING_OUTSIDE else Nesting.INSIDE


def merge_dates(cards: Iterable[DatedCard]) -> tuple[DatedCard, ...]:
    """Which cards are left when a date that changes nothing is dropped? Oldest first."""
    by_date: dict[datetime, dict[DayWindow | None, RateCard]] = {}
    for each in cards:
        by_date.setdefault(each.valid_from, {})[each.window] = each.card
    kept: list[DatedCard] = []
    before: dict[DayWindow | None, RateCard] = {}
    for valid_from in sorted(by_date):
        if by_date[valid_from] != before:
            before = by_date[valid_from]
            kept += [DatedCard(valid_from, card, window) for window, card in before.items()]
    return tuple(kept)


def undated(card: RateCard) -> tuple[DatedCard, ...]:
    """Which cards has an offer whose catalogue gives no dates? One that always held."""
    return (DatedCard(ALWAYS, card),)
