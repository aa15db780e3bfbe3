"""How do tests make price books? Builders with plain defaults, prices as USD text."""

from collections.abc import Mapping
from datetime import datetime

from ledger.core.price_terms import (
    ALWAYS,
    Bracket,
    DayWindow,
    OfferKey,
    PriceRule,
    PriceSource,
    RateCard,
    Threshold,
    Tier,
)
from ledger.core.pricing import Offer, PriceBook, compile_book
from o10.kernel.money import parse_nanos

KEY = OfferKey("openai", "gpt-test")

Prices = Mapping[str, str | Mapping[int, str]]


def make_card(
    prices: Prices, *, threshold: Threshold = Threshold.WHOLE_CALL, currency: str = "USD"
) -> RateCard:
    """A card from USD per million: `{"input": "5", "output": {0: "22.50", 272000: "45"}}`."""
    meters = {}
    for meter, price in prices.items():
        by_bracket = {0: price} if isinstance(price, str) else price
        meters[meter] = tuple(
            Bracket(above, parse_nanos(by_bracket[above])) for above in sorted(by_bracket)
        )
    return RateCard(currency, meters, threshold)


def make_rule(
    *,
    card: RateCard,
    rule_id: int = 1,
    source: PriceSource = PriceSource.LIST,
    valid_from: datetime = ALWAYS,
    valid_to: datetime | None = None,
    ended_at: datetime | None = None,
    window: DayWindow | None = None,
    version: int = 1,
    source_name: str = "test-list",
) -> PriceRule:
    """A rule of the default offer."""
    return PriceRule(
        rule_id=rule_id,
        source=source,
        source_name=source_name,
        version=version,
        valid_from=valid_from,
        card=card,
        valid_to=valid_to,
        ended_at=ended_at,
        window=window,
    )


def make_book(*offers: Offer, version: int = 1) -> PriceBook:
    """A book of these offers."""
    return compile_book(version=version, digest=bytes(32), offers=offers)


def make_offer(*rules: PriceRule, key: OfferKey = KEY) -> Offer:
    """An offer with these rules."""
    return Offer(key, rules)


def tier_key(tier: Tier) -> OfferKey:
    """The default offer at another tier."""
    return OfferKey(KEY.venue, KEY.model, KEY.region, tier)
