"""What would other prices have cost on real usage? The books before and after, and the sum.

Source: product.md section 8 (money effect of a proposal); docs/algorithms/price-governance.md.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from ledger.core.fx import in_our_currency
from ledger.core.price_catalogue import DatedCard
from ledger.core.price_effect import Effect, OfferEffect, UsedOffer, effect_of
from ledger.core.price_terms import OfferKey, PriceRule, PriceSource
from ledger.core.pricing import Offer, PriceBook, compile_book
from ledger.queries.ledgers import COMPANY_LEDGER, find_ledger
from ledger.queries.priced_usage import stream_priced_usage
from ledger.queries.prices import PriceState, price_book


def effect_of_rules(
    *,
    rules: Mapping[OfferKey, Sequence[DatedCard]],
    source: PriceSource,
    start: datetime,
    end: datetime,
    now: datetime,
    valid_to: datetime | None = None,
    ledger_id: int = COMPANY_LEDGER,
) -> Effect:
    """What would the usage of [start, end) cost with these cards as with today's book?

    Both books are asked at the instant at which the last of an offer's new cards begins (now,
    when it began before), so that the whole proposal counts. Units: nanos.
    """
    state = price_book()
    after = book_with(state, rules=rules, source=source, valid_to=valid_to, ledger_id=ledger_id)
    at = {
        key.slug: max([now, *(card.valid_from for card in cards)])
        for key, cards in rules.items()
    }
    uses = _uses(set(rules), start, end, ledger_id)
    return effect_of(uses, before=state.book, after=after, at=at)


def book_with(
    state: PriceState,
    *,
    rules: Mapping[OfferKey, Sequence[DatedCard]],
    source: PriceSource,
    valid_to: datetime | None = None,
    ledger_id: int = COMPANY_LEDGER,
) -> PriceBook:
    """Which book would these cards make, one version on? Nothing is written."""
    version = state.version + 1
    ledger = find_ledger(ledger_id)
    offers = []
    for key, cards in rules.items():
        known = state.stated.offers.get(key)
        added = tuple(
            PriceRule(
                rule_id=0,
                source=source,
                source_name=source.value,
                version=version,
                valid_from=dated.valid_from,
                valid_to=valid_to,
                window=dated.window,
                card=dated.card,
            )
            for dated in cards
        )
        whole = (*(known.rules if known else ()), *added)
        if ledger is not None:
            whole = in_our_currency(whole, currency=ledger.currency, rates=state.fx)
        offers.append(
            Offer(key=key, rules=whole, context_window=known.context_window if known else None)
        )
    return compile_book(
        version=version,
        digest=bytes(32),
        offers=offers,
        listed_at=state.book.listed_at,
    )


def effect_record(effect: Effect, *, days: int) -> dict[str, Any]:
    """How does an effect stand in a document? Nanos as decimal text; offers in slug order."""
    return {
        "days": days,
        "total": _sums(effect.total),
        "by_offer": {slug: _sums(each) for slug, each in sorted(effect.by_offer.items())},
        "by_use_case": {
            str(number): _sums(each) for number, each in sorted(effect.by_use_case.items())
        },
    }


def _sums(each: OfferEffect) -> dict[str, Any]:
    return {
        "before": str(each.before),
        "after": str(each.after),
        "delta": str(each.delta),
        "calls": each.calls,
        "tokens": str(each.tokens),
        "unpriced": each.unpriced,
    }


def _uses(
    offers: set[OfferKey], start: datetime, end: datetime, ledger_id: int
) -> Iterator[UsedOffer]:
    found = stream_priced_usage(offers=offers, start=start, end=end, ledger_id=ledger_id)
    return (each.use for each in found if each.use is not None and not each.edge)
