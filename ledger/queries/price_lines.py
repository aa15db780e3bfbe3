"""What does each offer cost now, in list and contract, since when, says who?

The venue price table: model x venue x region x tier, the rules in force meter by meter, and
every rule an offer ever had. Units: nanos per million of the rule's own currency, and of the
ledger's where it was converted.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from django.db import connection

from ledger.core.price_terms import OfferKey, PriceRule, PriceSource, RateCard
from ledger.core.pricing import Offer, RatedOffer, find_rates
from ledger.queries.prices import PriceState, price_book
from o10.kernel.errors import NotFound
from o10.kernel.money import Nanos
from o10.kernel.usage import TokenClass

LINES_MOST = 20_000
_RULES = """
SELECT id, evidence, approved_by FROM ledger_price_rule WHERE id = ANY(%s)
"""
_WRITTEN = """
SELECT r.id, r.version_id, v.change, v.actor, v.recorded_at, r.evidence, r.approved_by,
    w.ended_at, w.reason
FROM ledger_price_rule r JOIN ledger_price_version v ON v.version = r.version_id
LEFT JOIN ledger_price_withdrawal w ON w.rule_id = r.id
WHERE r.id = ANY(%s)
"""
METERS = (
    TokenClass.INPUT,
    TokenClass.CACHE_READ,
    TokenClass.CACHE_WRITE_5M,
    TokenClass.CACHE_WRITE_1H,
    TokenClass.OUTPUT,
    TokenClass.REASONING,
)
"""Meters with a column in the table, for a call below all thresholds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceLine:
    """What does a short call on this offer cost now, and what is its list price?

    Shape: `rates` and `listed` by meter, nanos of the ledger's currency per million; a meter
    that is absent has no price. `source` none = no price at all. `currency`, `fx_rate` and
    `fx_date` say from which currency the strongest rule was converted.
    """

    key: OfferKey
    source: str
    source_name: str
    rates: Mapping[str, Nanos]
    listed: Mapping[str, Nanos]
    valid_from: datetime | None
    valid_to: datetime | None
    currency: str
    fx_rate: str
    fx_date: str
    rule_id: int
    evidence: str
    approved_by: str
    thresholds: tuple[int, ...]
    context_window: int | None
    free: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleLine:
    """Which rule had an offer, from when until when, at which prices, by whose word?

    `holds` says that it is in force at the instant asked about; `meters` as stated, nanos of
    `currency` per million by (meter, above tokens).
    """

    rule_id: int
    source: str
    source_name: str
    version: int
    change: str
    actor: str
    recorded_at: datetime
    valid_from: datetime
    valid_to: datetime | None
    window: str
    currency: str
    meters: tuple[tuple[str, int, Nanos], ...]
    evidence: str
    approved_by: str
    ended_at: datetime | None
    end_reason: str
    holds: bool


def list_price_lines(
    *,
    at: datetime,
    venue: str = "",
    text: str = "",
    source: str = "",
    book: PriceState | None = None,
) -> tuple[PriceLine, ...]:
    """Which offers are priced how? By slug; filtered by venue, part of a name, source."""
    state = book or price_book()
    wanted = text.strip().lower()
    lines = [
        _line(state, key, offer, at)
        for key, offer in state.book.offers.items()
        if (not venue or key.venue == venue) and (not wanted or wanted in key.slug)
    ]
    kept = [line for line in lines if not source or line.source == source]
    kept.sort(key=lambda line: line.key.slug)
    return _with_words(kept[:LINES_MOST])


def get_price_line(*, slug: str, at: datetime) -> PriceLine:
    """What does this offer cost now?

    Raises: NotFound (`not_found`).
    """
    state = price_book()
    key = key_of_slug(slug, book=state)
    return _with_words([_line(state, key, state.book.offers[key], at)])[0]


def list_rule_lines(*, slug: str, at: datetime) -> tuple[RuleLine, ...]:
    """Which rules has this offer ever had? The newest word first.

    Raises: NotFound (`not_found`).
    """
    state = price_book()
    offer = state.stated.offers[key_of_slug(slug, book=state)]
    holding = set()
    seen_list = False
    for rule in offer.rules:
        if rule.holds(at) and not (seen_list and rule.source is PriceSource.LIST):
            holding.add(rule.rule_id)
            seen_list = seen_list or rule.source is PriceSource.LIST
    with connection.cursor() as cursor:
        cursor.execute(_WRITTEN, [[rule.rule_id for rule in offer.rules]])
        written = {row[0]: row[1:] for row in cursor.fetchall()}
    lines = [
        _rule_line(rule, written[rule.rule_id], holds=rule.rule_id in holding)
        for rule in offer.rules
    ]
    return tuple(sorted(lines, key=lambda line: (-line.version, -line.rule_id)))


def key_of_slug(slug: str, *, book: PriceState | None = None) -> OfferKey:
    """Which offer has this slug?

    Raises: NotFound (`not_found`).
    """
    state = book or price_book()
    for key in state.book.offers:
        if key.slug == slug:
            return key
    raise NotFound(kind="offer", id=slug)


def list_price_venues() -> tuple[str, ...]:
    """Which venues are in the price book? In alphabetical order."""
    return tuple(sorted({key.venue for key in price_book().book.offers}))


def _line(state: PriceState, key: OfferKey, offer: Offer, at: datetime) -> PriceLine:
    rated = find_rates(state.book, key=key, at=at, total_input_tokens=0)
    listed = next(
        (
            rule
            for rule in offer.rules
            if rule.source is PriceSource.LIST and rule.holds(at) and rule.window is None
        ),
        None,
    )
    strongest = next((rule for rule in offer.rules if rule.holds(at)), None)
    rates = _rates(rated)
    return PriceLine(
        key=key,
        source=rated.source.value if rated else "none",
        source_name=rated.source_name if rated else "",
        rates=rates,
        listed=_firsts(listed.card) if listed else {},
        valid_from=_stated_from(strongest),
        valid_to=_end(strongest),
        currency=_currency(rated, strongest),
        fx_rate=rated.fx.rate if rated and rated.fx else "",
        fx_date=rated.fx.rate_date.isoformat() if rated and rated.fx else "",
        rule_id=rated.rule_id if rated else 0,
        evidence="",
        approved_by="",
        thresholds=offer.thresholds,
        context_window=offer.context_window,
        free=bool(rates) and not any(rates.values()),
    )


def _stated_from(rule: PriceRule | None) -> datetime | None:
    if rule is None:
        return None
    return rule.fx.stated_from if rule.fx else rule.valid_from


def _end(rule: PriceRule | None) -> datetime | None:
    ends = [end for end in (rule.valid_to, rule.ended_at) if end] if rule else []
    return min(ends, default=None)


def _currency(rated: RatedOffer | None, rule: PriceRule | None) -> str:
    if rated is not None and rated.fx is not None:
        return rated.fx.currency
    return rule.card.currency if rule else ""


def _rates(rated: RatedOffer | None) -> dict[str, Nanos]:
    if rated is None:
        return {}
    rates = {each.value: rated.rates.price_of(each) for each in METERS}
    return {name: price for name, price in rates.items() if price is not None}


def _firsts(card: RateCard) -> dict[str, Nanos]:
    return {meter: brackets[0].nanos_per_million for meter, brackets in card.meters.items()}


def _with_words(lines: list[PriceLine]) -> tuple[PriceLine, ...]:
    """The evidence of each line's rule, and who approved it."""
    with connection.cursor() as cursor:
        cursor.execute(_RULES, [[line.rule_id for line in lines]])
        words = {rule: (evidence, approved) for rule, evidence, approved in cursor.fetchall()}
    return tuple(
        replace(
            line,
            evidence=words.get(line.rule_id, ("", ""))[0],
            approved_by=words.get(line.rule_id, ("", ""))[1],
        )
        for line in lines
    )


def _rule_line(rule: PriceRule, written: tuple[object, ...], *, holds: bool) -> RuleLine:
    version, change, actor, recorded_at, evidence, approved_by, ended_at, reason = written
    return RuleLine(
        rule_id=rule.rule_id,
        source=rule.source.value,
        source_name=rule.source_name,
        version=int(str(version)),
        change=str(change),
        actor=str(actor),
        recorded_at=recorded_at,
        valid_from=rule.valid_from,
        valid_to=rule.valid_to,
        window=f"{rule.window.start:%H:%M}-{rule.window.end:%H:%M} UTC" if rule.window else "",
        currency=rule.card.currency,
        meters=tuple(
            (meter, bracket.above_tokens, bracket.nanos_per_million)
            for meter, brackets in sorted(rule.card.meters.items())
            for bracket in brackets
        ),
        evidence=str(evidence),
        approved_by=str(approved_by),
        ended_at=ended_at,
        end_reason=str(reason or ""),
        holds=holds,
    )
