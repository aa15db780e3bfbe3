"""Why did this entry cost what it cost? The rates of its price version, class by class.

Recomputed from the entry's own quantities and the price book as it stood at the entry's price
version; what does not agree to the nano is shown as not agreeing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from ledger.core.entry import Entry
from ledger.core.price_terms import GLOBAL, OfferKey, Tier
from ledger.core.pricing import RatedOffer, find_rates, price_usage
from ledger.queries.ledgers import COMPANY_LEDGER
from ledger.queries.prices import price_book_at
from ledger.queries.registry import meanings_of
from o10.kernel.errors import NotFound
from o10.kernel.money import Nanos, ceil_div
from o10.kernel.rates import UnknownPrice
from o10.kernel.usage import TokenClass, Usage


class Agreement(StrEnum):
    """Does the recomputation give the amount that was booked?"""

    AGREES = "agrees"
    DIFFERS = "differs"
    NOT_PRICED = "not_priced"
    """The entry was not priced from tokens, or its price is not in the book."""


@dataclass(frozen=True, slots=True)
class BasisLine:
    """What did the tokens of one class cost? Units: tokens; nanos per million; nanos."""

    token_class: str
    quantity: int
    nanos_per_million: Nanos
    nanos: Nanos


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceBasis:
    """Which rule of which price version gives which amount?

    Units: nanos. `computed` None = nothing could be computed. `booked` is what the entry and
    its overrun say together. `fx` names currency, rate and date of a converted price.
    """

    lines: tuple[BasisLine, ...]
    computed: Nanos | None
    booked: Nanos
    agreement: Agreement
    offer: str
    venue: str
    model: str
    region: str
    tier: str
    source: str
    source_name: str
    rule_id: int
    price_version: int
    valid_from: datetime | None
    fx: str = ""


def price_basis(*, entry: Entry, booked: Nanos, ledger_id: int = COMPANY_LEDGER) -> PriceBasis:
    """Why did this entry cost what it cost? Units: `booked` nanos, overrun included."""
    offer = meanings_of(domain="offer", numbers=[entry.offer_id], ledger_id=ledger_id).get(
        entry.offer_id, {}
    )
    usage = usage_of(entry)
    rated = _rated(entry, offer, usage)
    lines: tuple[BasisLine, ...] = ()
    computed: Nanos | None = None
    if rated is not None:
        try:
            cost = price_usage(usage, rated)
        except UnknownPrice:
            rated = None
        else:
            computed = cost.total_nanos
            lines = tuple(
                BasisLine(
                    str(line.token_class), line.quantity, line.nanos_per_million, line.nanos
                )
                for line in cost.lines
            )
    return PriceBasis(
        lines=lines or _unpriced(usage),
        computed=computed,
        booked=booked,
        agreement=_agreement(computed, booked),
        offer=str(offer.get("slug", "")),
        venue=str(offer.get("venue", "")),
        model=str(offer.get("model", "")),
        region=str(offer.get("region", "")),
        tier=str(offer.get("tier", "")),
        source=str(rated.source) if rated else "",
        source_name=rated.source_name if rated else "",
        rule_id=rated.rule_id if rated else 0,
        price_version=entry.price_version,
        valid_from=rated.valid_from if rated else None,
        fx=_fx(rated),
    )


def _fx(rated: RatedOffer | None) -> str:
    """From which currency the price was converted, at which rate of which date."""
    step = rated.fx if rated is not None else None
    return f"{step.currency} at {step.rate} of {step.rate_date.isoformat()}" if step else ""


def usage_of(entry: Entry) -> Usage:
    """Which quantities does the entry itself carry? The six token columns, positive or not."""
    sign = -1 if entry.n < 0 else 1
    return Usage(
        input=entry.tok_in * sign,
        cache_read=entry.tok_cache_read * sign,
        cache_write_5m=entry.tok_cache_write * sign,
        cache_write_1h=entry.tok_cache_write_1h * sign,
        output=entry.tok_out * sign,
        reasoning=entry.tok_reasoning * sign,
    )


def _rated(entry: Entry, offer: Mapping[str, Any], usage: Usage) -> RatedOffer | None:
    if not offer.get("model") or not entry.price_version:
        return None
    key = OfferKey(
        venue=str(offer.get("venue", "")),
        model=str(offer["model"]),
        region=str(offer.get("region") or GLOBAL),
        tier=Tier(str(offer.get("tier") or Tier.STANDARD)),
    )
    try:
        book = price_book_at(version=entry.price_version).book
    except NotFound:
        return None
    # Thresholds are per call; an aggregate stands for calls of its average size.
    per_call = ceil_div(usage.total_input, max(abs(entry.n), 1))
    return find_rates(book, key=key, at=entry.effective_at, total_input_tokens=per_call)


def _unpriced(usage: Usage) -> tuple[BasisLine, ...]:
    return tuple(
        BasisLine(str(token_class), quantity, 0, 0)
        for token_class, quantity in usage.items()
        if quantity and token_class is not TokenClass.REQUEST
    )


def _agreement(computed: Nanos | None, booked: Nanos) -> Agreement:
    if computed is None:
        return Agreement.NOT_PRICED
    return Agreement.AGREES if computed == booked else Agreement.DIFFERS
