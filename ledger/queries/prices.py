"""What is in the price book, and at which rates is a call priced?

The book is compiled once per version and kept in the process; a call costs one look at the
newest version, or nothing when the caller holds the state that `price_book` gave.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from django.db import connection

from ledger.core.fx import FxRate, by_currency, in_our_currency
from ledger.core.offer_names import (
    SERVED_TIERS,
    ModelUnknown,
    OfferNames,
    candidate_offers,
    index_names,
    resolve_offer,
)
from ledger.core.price_terms import (
    Bracket,
    DayWindow,
    OfferKey,
    PriceRule,
    PriceSource,
    RateCard,
    Threshold,
    Tier,
)
from ledger.core.pricing import (
    EMPTY_BOOK,
    Ladder,
    Offer,
    PriceBook,
    RatedOffer,
    ceiling_rates,
    compile_book,
    find_rates,
    ladder_at,
)
from ledger.queries.ledgers import COMPANY_LEDGER
from o10.kernel.errors import NotFound
from o10.kernel.usage import Nesting

STALE_AFTER = timedelta(days=45)
"""Default of `max age` behind PRICE_STALE (product.md section 4.3)."""
STATES_KEPT = 8
"""Of old versions too: pages ask what an entry was priced at."""
NAMES_KEPT = 50_000

_NEWEST = """
SELECT version, digest, (SELECT max(id) FROM ledger_price_rule),
    (SELECT max(confirmed_at) FROM ledger_price_confirmation)
FROM ledger_price_version ORDER BY version DESC LIMIT 1
"""
_OFFERS = """
SELECT id, venue, model, region, tier, context_window FROM ledger_price_offer
WHERE since_id <= %s
"""
_RULES = """
SELECT r.id, r.offer_id, r.version_id, r.source, r.source_name, r.currency, r.valid_from,
    r.valid_to, r.day_from, r.day_to, r.threshold, r.reasoning, w.ended_at
FROM ledger_price_rule r
LEFT JOIN ledger_price_withdrawal w ON w.rule_id = r.id AND w.version_id <= %s
WHERE r.version_id <= %s
"""
_RATES = """
SELECT t.rule_id, t.meter, t.above_tokens, t.nanos_per_million
FROM ledger_price_rate t JOIN ledger_price_rule r ON r.id = t.rule_id
WHERE r.version_id <= %s ORDER BY t.rule_id, t.meter, t.above_tokens
"""
_ALIASES = "SELECT venue, alias, model FROM ledger_price_alias WHERE since_id <= %s"
_FX = """
SELECT currency, rate, rate_date, source, evidence, since_id FROM ledger_fx_rate
WHERE since_id <= %s ORDER BY id
"""
_CURRENCY = "SELECT currency FROM ledger_ledger WHERE id = %s"
_LISTED = """
SELECT max(recorded_at) FROM ledger_price_version WHERE change = 'catalogue' AND version <= %s
"""

_TIERS = frozenset(Tier)
_Mark = tuple[str, int, bytes, int | None]


@dataclass(frozen=True, slots=True)
class PriceState:
    """Which book and names hold together? One version of both, and the names met so far.

    Shape: `book` prices in the ledger's currency; `stated` has the same rules as they were
    written, each in its own; `fx` are the rates of that version by currency, oldest first.
    """

    book: PriceBook
    names: OfferNames
    stated: PriceBook = EMPTY_BOOK
    fx: Mapping[str, tuple[FxRate, ...]] = field(default_factory=dict)
    resolved: dict[tuple[str | None, str, str | None, str | None], OfferKey] = field(
        default_factory=dict, repr=False, compare=False
    )

    @property
    def version(self) -> int:
        """Which price version is it? 0 = no price was ever loaded."""
        return self.book.version


@dataclass(frozen=True, slots=True)
class OfferView:
    """Which offer is it, and at which rates is a short call priced now? None = no price."""

    key: OfferKey
    context_window: int | None
    rated: RatedOffer | None

    @property
    def slug(self) -> str:
        """How is the offer named?"""
        return self.key.slug


_states: dict[_Mark, PriceState] = {}
_confirmed: dict[_Mark, tuple[datetime, PriceState]] = {}
"""The same books, found unchanged later than they were loaded."""


def price_book() -> PriceState:
    """Which prices are in force? The newest version, compiled once per process."""
    with connection.cursor() as cursor:
        cursor.execute(_NEWEST)
        newest = cursor.fetchone()
    if newest is None:
        return PriceState(EMPTY_BOOK, index_names(offers=()))
    version, digest, last_rule, confirmed_at = newest
    mark = (str(connection.settings_dict["NAME"]), version, bytes(digest), last_rule)
    return _as_confirmed(mark, _state(mark), confirmed_at)


def price_book_at(*, version: int) -> PriceState:
    """Which prices were in force at this version? To recompute what an entry was priced at.

    Raises: NotFound (`not_found`) for a version that never was.
    """
    current = price_book()
    if version == current.version:
        return current
    with connection.cursor() as cursor:
        cursor.execute("SELECT digest FROM ledger_price_version WHERE version = %s", [version])
        row = cursor.fetchone()
    if row is None:
        raise NotFound(kind="price_version", id=str(version))
    return _state((str(connection.settings_dict["NAME"]), version, bytes(row[0]), None))


def rates_for(
    *,
    model: str,
    at: datetime,
    total_input_tokens: int,
    venue: str | None = None,
    region: str | None = None,
    tier: str | None = None,
    book: PriceState | None = None,
) -> RatedOffer | None:
    """At which rates is a call of so much input priced? None when no rule holds.

    `tier` is the served one (an offer's tier; None = standard). Resolution of the name:
    `ledger.core.offer_names`.
    Raises: ModelUnknown (`not_found`) when the name means no offer.
    """
    state = book or price_book()
    key = resolve_offer_key(model=model, venue=venue, region=region, tier=tier, book=state)
    return find_rates(state.book, key=key, at=at, total_input_tokens=total_input_tokens)


def ceiling_for(
    *,
    model: str,
    at: datetime,
    max_input_tokens: int,
    venue: str | None = None,
    region: str | None = None,
    tier: str | None = None,
    book: PriceState | None = None,
) -> RatedOffer | None:
    """At most what does each class cost for a call of up to so much input? None = no price.

    Raises: ModelUnknown (`not_found`) when the name means no offer.
    """
    state = book or price_book()
    key = resolve_offer_key(model=model, venue=venue, region=region, tier=tier, book=state)
    return ceiling_rates(state.book, key=key, at=at, max_input_tokens=max_input_tokens)


def resolve_offer_key(
    *,
    model: str,
    venue: str | None = None,
    region: str | None = None,
    tier: str | None = None,
    book: PriceState | None = None,
) -> OfferKey:
    """Which offer does this name mean?

    Raises: ModelUnknown (`not_found`), with candidates when several venues sell it; also for a
    tier that is none of ours.
    """
    state = book or price_book()
    asked = (venue, model, region, tier)
    known = state.resolved.get(asked)
    if tier is not None and tier not in _TIERS:
        raise ModelUnknown(model=model, venue=venue, candidates=())
    if known is None:
        known = resolve_offer(
            names=state.names,
            model=model,
            venue=venue,
            region=region,
            tier=Tier(tier or Tier.STANDARD),
        )
        if len(state.resolved) >= NAMES_KEPT:
            state.resolved.clear()
        state.resolved[asked] = known
    return known


def offers_meant(
    *,
    model: str,
    venue: str | None = None,
    region: str | None = None,
    tier: str | None = None,
    book: PriceState,
) -> tuple[OfferKey, ...]:
    """Which offers may serve a call that names this? By slug; none for what nobody sells."""
    if tier is not None and tier not in _TIERS:
        return ()
    return candidate_offers(
        names=book.names,
        model=model,
        venue=venue,
        region=region,
        tier=Tier(tier or Tier.STANDARD),
    )


def ladder_of(key: OfferKey, *, at: datetime, book: PriceState) -> Ladder | None:
    """Which ceilings has this offer at this instant, and for how long? None = no such offer."""
    return ladder_at(book.book, key=key, at=at)


def stale_after(book: PriceState) -> datetime | None:
    """Until when, itself included, are its prices fresh? None = they never were."""
    listed_at = book.book.listed_at
    return None if listed_at is None else listed_at + STALE_AFTER


def served_tier(service_tier: str) -> str | None:
    """Which of our tiers does a response mean by its `service_tier`? None = not known."""
    tier = SERVED_TIERS.get(service_tier.strip().lower())
    return tier.value if tier else None


def context_window_of(key: OfferKey, *, book: PriceState | None = None) -> int | None:
    """How many tokens does the offer take, where the catalogue says so?"""
    offer = (book or price_book()).book.find_offer(key)
    return offer.context_window if offer else None


def bracket_of(
    key: OfferKey, *, input_tokens: int, book: PriceState | None = None
) -> tuple[int, int | None]:
    """For which inputs do the ceiling rates of this input hold? From (excluded) and to.

    Units: tokens; to None = without end.
    """
    offer = (book or price_book()).book.find_offer(key)
    edges = offer.thresholds if offer else ()
    reached = bisect_left(edges, input_tokens)
    least = edges[reached - 1] if reached else -1
    return least, (edges[reached] if reached < len(edges) else None)


def prices_hold_until(
    key: OfferKey, *, at: datetime, book: PriceState | None = None
) -> datetime:
    """Until when is this offer priced as it is now? `at` itself where the hour decides.

    Never beyond the instant at which the book is too old (`prices_stale`).
    """
    state = book or price_book()
    offer, listed_at = state.book.find_offer(key), state.book.listed_at
    if offer is None or offer.windows or listed_at is None:
        return at
    edges = [edge for edge in offer.edges if edge > at]
    return min([listed_at + STALE_AFTER, *edges])


def prices_stale(*, at: datetime, book: PriceState | None = None) -> bool:
    """Was the newest catalogue loaded, or last found unchanged, more than 45 days ago?"""
    last = stale_after(book or price_book())
    return last is None or at > last


def list_offers(*, at: datetime, book: PriceState | None = None) -> tuple[OfferView, ...]:
    """Which offers are there, with the rates of a short call? In order of slug."""
    state = book or price_book()
    views = [
        OfferView(
            key,
            offer.context_window,
            find_rates(state.book, key=key, at=at, total_input_tokens=0),
        )
        for key, offer in state.book.offers.items()
    ]
    return tuple(sorted(views, key=lambda view: view.slug))


def compile_state(*, version: int, digest: bytes) -> PriceState:
    """Which book do the rows up to this version make?"""
    with connection.cursor() as cursor:
        cursor.execute(_RATES, [version])
        meters = _meters(cursor.fetchall())
        cursor.execute(_RULES, [version, version])
        rules: dict[int, list[PriceRule]] = defaultdict(list)
        for row in cursor.fetchall():
            rules[row[1]].append(_rule(row, meters[row[0]]))
        cursor.execute(_OFFERS, [version])
        offers = [
            Offer(
                key=OfferKey(venue, model, region, Tier(tier)),
                rules=tuple(rules.get(offer_id, ())),
                context_window=window,
            )
            for offer_id, venue, model, region, tier, window in cursor.fetchall()
        ]
        cursor.execute(_ALIASES, [version])
        aliases = cursor.fetchall()
        cursor.execute(_LISTED, [version])
        listed_at = cursor.fetchone()[0]
        cursor.execute(_FX, [version])
        fx = by_currency(
            FxRate(
                currency=currency,
                rate=rate,
                rate_date=day,
                source=source,
                evidence=evidence,
                since=since,
            )
            for currency, rate, day, source, evidence, since in cursor.fetchall()
        )
        cursor.execute(_CURRENCY, [COMPANY_LEDGER])
        ours = cursor.fetchone()
    about = {"version": version, "digest": digest, "listed_at": listed_at}
    stated = compile_book(offers=offers, **about)
    book = stated
    if fx and ours is not None:
        book = compile_book(offers=[_ours(each, ours[0], fx) for each in offers], **about)
    return PriceState(book, index_names(offers=book.offers, aliases=aliases), stated, fx)


def _ours(offer: Offer, currency: str, fx: Mapping[str, tuple[FxRate, ...]]) -> Offer:
    """The offer with every card in the ledger's currency; itself where all of them are."""
    if all(rule.card.currency == currency for rule in offer.rules):
        return offer
    rules = in_our_currency(offer.rules, currency=currency, rates=fx)
    return Offer(key=offer.key, rules=rules, context_window=offer.context_window)


def _state(mark: _Mark) -> PriceState:
    state = _states.get(mark)
    if state is None:
        state = compile_state(version=mark[1], digest=mark[2])
        while len(_states) >= STATES_KEPT:
            _states.pop(next(iter(_states)))
        _states[mark] = state
    return state


def _as_confirmed(mark: _Mark, state: PriceState, at: datetime | None) -> PriceState:
    """The state with the later of both instants: loaded, or found unchanged. Kept by it."""
    listed_at = state.book.listed_at
    if at is None or (listed_at is not None and at <= listed_at):
        return state
    known = _confirmed.get(mark)
    if known is None or known[0] != at or known[1].names is not state.names:
        while len(_confirmed) >= STATES_KEPT:
            _confirmed.pop(next(iter(_confirmed)))
        fresher = replace(
            state,
            book=replace(state.book, listed_at=at),
            stated=replace(state.stated, listed_at=at),
        )
        known = _confirmed[mark] = (at, fresher)
    return known[1]


def _meters(
    rows: list[tuple[int, str, int, int]],
) -> Mapping[int, Mapping[str, tuple[Bracket, ...]]]:
    meters: dict[int, dict[str, tuple[Bracket, ...]]] = defaultdict(dict)
    for rule_id, meter, above, nanos in rows:
        of_rule = meters[rule_id]
        of_rule[meter] = (*of_rule.get(meter, ()), Bracket(above, nanos))
    return meters


def _rule(row: tuple[object, ...], meters: Mapping[str, tuple[Bracket, ...]]) -> PriceRule:
    (
        rule_id,
        _,
        version,
        source,
        source_name,
        currency,
        valid_from,
        valid_to,
        day_from,
        day_to,
        threshold,
        reasoning,
        ended_at,
    ) = row
    window = None if day_from is None else DayWindow(day_from, day_to)
    card = RateCard(currency, meters, Threshold(threshold), Nesting(reasoning))
    return PriceRule(
        rule_id=rule_id,
        source=PriceSource(source),
        source_name=source_name,
        version=version,
        valid_from=valid_from,
        card=card,
        valid_to=valid_to,
        ended_at=ended_at,
        window=window,
    )
