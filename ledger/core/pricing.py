"""Which rates hold for an offer at an instant? Override, contract or list; tier; threshold.

A price rule is a dated rate card of one offer. Rules are only ever added, so the book at a
version is the set of rules up to it. Resolution per meter: override, then contract, then list,
then none; none is never zero. Inside overrides and contracts cards may be partial and fill each
other meter by meter, newest first; a list card is whole: the newest one that holds replaces the
older ones, so that a meter the catalogue dropped does not come back.

Thresholds compare with the total input of the call. `WHOLE_CALL` (the default) prices every
token at the bracket reached; `MARGINAL` prices each token at the bracket of its position in the
context, where cached tokens come first, then writes, then the rest, and output comes last.
Source: product.md section 13; docs/algorithms/price-resolution.md.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

from ledger.core.price_terms import (
    ALWAYS,
    GLOBAL,
    DayWindow,
    FxStep,
    OfferKey,
    PriceRule,
    PriceSource,
    RateCard,
    Threshold,
)
from o10.kernel.rates import CostLines, Rates, UnknownPrice, cost_of
from o10.kernel.usage import INPUT_CLASSES, OUTPUT_CLASSES, Nesting, TokenClass, Usage

MICROSECOND = timedelta(microseconds=1)
DAY = timedelta(days=1)
_PriceOf = Callable[["RateCard", str], int]
_RANK = {source: rank for rank, source in enumerate(PriceSource)}
_TOKENS = frozenset(INPUT_CLASSES + OUTPUT_CLASSES)
_POSITIONS = (
    TokenClass.CACHE_READ,
    TokenClass.CACHE_WRITE_5M,
    TokenClass.CACHE_WRITE_1H,
    TokenClass.INPUT,
    TokenClass.AUDIO_INPUT,
    TokenClass.IMAGE_INPUT,
)
"""Order of the input in the context: a cache holds a prefix."""


@dataclass(frozen=True, slots=True)
class Step:
    """Which rates hold for the tokens above so many? Only marginal thresholds have steps."""

    above_tokens: int
    rates: Rates


@dataclass(frozen=True, slots=True, kw_only=True)
class RatedOffer:
    """At which rates is a call on this offer priced, and which rule says so?

    `rule_id` is the rule of highest precedence that set a rate, `source` its source; `rule_of`
    names the rule behind each class. `price_version` is the state of the book that was used.
    `fx` is how that rule's card came from another currency.
    """

    key: OfferKey
    rates: Rates
    rule_id: int
    rule_of: Mapping[TokenClass, int]
    source: PriceSource
    source_name: str
    price_version: int
    valid_from: datetime
    reasoning: Nesting
    steps: tuple[Step, ...] = ()
    fx: FxStep | None = None

    @property
    def slug(self) -> str:
        """How is the offer named?"""
        return self.key.slug


@dataclass(slots=True)
class Offer:
    """Which rules were ever made for this offer, and at which instants do they change?

    Shape: `rules` in order of precedence. Results are kept: between two edges, and inside or
    outside each day window, an offer has one answer per bracket.
    """

    key: OfferKey
    rules: tuple[PriceRule, ...]
    context_window: int | None = None
    edges: tuple[datetime, ...] = field(init=False)
    windows: tuple[DayWindow, ...] = field(init=False)
    thresholds: tuple[int, ...] = field(init=False)
    kept: dict[tuple[object, ...], "RatedOffer | None"] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.rules = tuple(sorted(self.rules, key=_precedence))
        instants = {rule.valid_from for rule in self.rules}
        instants |= {rule.valid_to for rule in self.rules if rule.valid_to is not None}
        instants |= {rule.ended_at for rule in self.rules if rule.ended_at is not None}
        self.edges = tuple(sorted(instants))
        self.windows = tuple(
            dict.fromkeys(rule.window for rule in self.rules if rule.window is not None)
        )
        self.thresholds = tuple(
            sorted(
                {
                    bracket.above_tokens
                    for rule in self.rules
                    for brackets in rule.card.meters.values()
                    for bracket in brackets
                    if bracket.above_tokens
                }
            )
        )
        self.kept = {}


@dataclass(frozen=True, slots=True)
class PriceBook:
    """Which offers are there, with which prices, in this version of the book?

    `digest` is the SHA-256 that the `price_change` entry of this version records; `listed_at`
    is when a catalogue was last found to agree or was loaded (None: never), for PRICE_STALE.
    """

    version: int
    digest: bytes
    offers: Mapping[OfferKey, Offer]
    listed_at: datetime | None = None

    def find_offer(self, key: OfferKey) -> Offer | None:
        """Which offer prices this key?

        A venue without a price of its own for the region sells there at its global price.
        """
        offer = self.offers.get(key)
        if offer is None and key.region != GLOBAL:
            return self.offers.get(OfferKey(key.venue, key.model, GLOBAL, key.tier))
        return offer


EMPTY_BOOK = PriceBook(0, bytes(32), MappingProxyType({}))


def find_rates(
    book: PriceBook, *, key: OfferKey, at: datetime, total_input_tokens: int
) -> RatedOffer | None:
    """Which rates price a call of so much input on this offer at this instant, if any?

    `total_input_tokens` are tokens of all input classes; the tier in `key` is the served one.
    """
    offer = book.find_offer(key)
    if offer is None:
        return None
    reached = bisect_left(offer.thresholds, total_input_tokens)
    return _kept(book, offer, at, ("at", reached))


def rates_at(
    book: PriceBook, *, key: OfferKey, at: datetime, total_input_tokens: int
) -> RatedOffer:
    """Which rates price a call of so much input on this offer at this instant?

    Raises: UnknownPrice (`price_unknown`) when no rule holds.
    """
    rated = find_rates(book, key=key, at=at, total_input_tokens=total_input_tokens)
    if rated is None:
        raise UnknownPrice(token_classes=(TokenClass.INPUT, TokenClass.OUTPUT), currency="")
    return rated


def ceiling_rates(
    book: PriceBook, *, key: OfferKey, at: datetime, max_input_tokens: int
) -> RatedOffer | None:
    """At most what does each class cost for any call of up to so much input?

    The dearest bracket within reach, class by class: a hold at these rates covers the call
    wherever below `max_input_tokens` it ends, for whole-call and marginal thresholds alike.
    """
    offer = book.find_offer(key)
    if offer is None:
        return None
    reached = bisect_left(offer.thresholds, max_input_tokens)
    return _kept(book, offer, at, ("most", reached))


@dataclass(frozen=True, slots=True)
class Ladder:
    """At most at which rates is a call on an offer priced, whatever its input, for a while?

    Shape: `rungs` by the input above which they hold, the first from -1; none where no rule
    holds. `since` included, `until` excluded, None = without end. Units: tokens.
    """

    key: OfferKey
    rungs: tuple[tuple[int, RatedOffer], ...]
    since: datetime | None
    until: datetime | None
    context_window: int | None


def ladder_at(book: PriceBook, *, key: OfferKey, at: datetime) -> Ladder | None:
    """Which ceilings has this offer at this instant, and for how long? None = no such offer.

    Rung by rung the same as `ceiling_rates` of an input on it.
    """
    offer = book.find_offer(key)
    if offer is None:
        return None
    starts = (-1, *offer.thresholds)
    rated = [_kept(book, offer, at, ("most", reached)) for reached in range(len(starts))]
    rungs = [
        (above, each) for above, each in zip(starts, rated, strict=True) if each is not None
    ]
    since, until = _span(offer, at)
    return Ladder(offer.key, tuple(rungs), since, until, offer.context_window)


def price_usage(usage: Usage, rated: RatedOffer) -> CostLines:
    """What does this usage cost on this offer? One line per class, or per class and bracket.

    `rated` must have been asked for with the usage's own total input.
    Raises: UnknownPrice (`price_unknown`) when a used class has no price.
    """
    if not rated.steps:
        return cost_of(usage, rated.rates)
    missing = rated.rates.missing(each for each, quantity in usage.items() if quantity)
    if missing:
        raise UnknownPrice(token_classes=missing, currency=rated.rates.currency)
    costs = [
        cost_of(part, step.rates)
        for part, step in zip(_by_position(usage, rated.steps), rated.steps, strict=True)
    ]
    order = list(TokenClass)
    lines = sorted(
        (line for cost in costs for line in cost.lines),
        key=lambda line: order.index(line.token_class),
    )
    return CostLines(rated.rates.currency, tuple(lines), sum(line.nanos for line in lines))


def compile_book(
    *, version: int, digest: bytes, offers: Iterable[Offer], listed_at: datetime | None = None
) -> PriceBook:
    """Which book do these offers make?"""
    by_key = MappingProxyType({offer.key: offer for offer in offers})
    return PriceBook(version, digest, by_key, listed_at)


def _precedence(rule: PriceRule) -> tuple[object, ...]:
    # A card converted at a later rate is no newer word than the rule it comes from.
    since = rule.valid_from if rule.fx is None else rule.fx.stated_from
    return (
        _RANK[rule.source],
        (ALWAYS - since) // MICROSECOND,
        -rule.version,
        rule.window is None,
        -rule.rule_id,
    )


def _kept(
    book: PriceBook, offer: Offer, at: datetime, wanted: tuple[str, int]
) -> RatedOffer | None:
    # Between two edges, inside the same day windows, the answer is the same: computed once.
    segment = bisect_right(offer.edges, at)
    inside = tuple(window.contains(at) for window in offer.windows) if offer.windows else ()
    place = (segment, inside, wanted)
    try:
        return offer.kept[place]
    except KeyError:
        rated = _resolve(book, offer, at, wanted)
        offer.kept[place] = rated
        return rated


def _span(offer: Offer, at: datetime) -> tuple[datetime | None, datetime | None]:
    """From when until when is the answer for this instant the same?"""
    segment = bisect_right(offer.edges, at)
    since = offer.edges[segment - 1] if segment else None
    until = offer.edges[segment] if segment < len(offer.edges) else None
    day = at.astimezone(UTC).date()
    for window in offer.windows:
        for clock in (window.start, window.end):
            turn = datetime.combine(day, clock, UTC)
            before, after = (turn, turn + DAY) if turn <= at else (turn - DAY, turn)
            since = before if since is None else max(since, before)
            until = after if until is None else min(until, after)
    return since, until


def _holding(offer: Offer, at: datetime) -> list[PriceRule]:
    """Rules that hold now, strongest first; of the list, only the newest card."""
    holding, listed = [], False
    for rule in offer.rules:
        if not rule.holds(at) or (listed and rule.source is PriceSource.LIST):
            continue
        listed = listed or rule.source is PriceSource.LIST
        holding.append(rule)
    # A lower rule in another currency cannot complete a card: one call, one currency.
    return [rule for rule in holding if rule.card.currency == holding[0].card.currency]


def _resolve(
    book: PriceBook, offer: Offer, at: datetime, wanted: tuple[str, int]
) -> RatedOffer | None:
    kind, reached = wanted
    setters: dict[str, PriceRule] = {}
    for rule in _holding(offer, at):
        for meter in rule.card.meters:
            setters.setdefault(meter, rule)
    if not setters:
        return None
    bounds = (0, *offer.thresholds[:reached])
    if kind == "most":
        rates = _rates(setters, lambda card, meter: _dearest(card, meter, bounds[-1]))
        steps: tuple[Step, ...] = ()
    else:
        rates = _rates(setters, lambda card, meter: card.price_at(meter, bounds[-1]))
        steps = _steps(setters, bounds)
    first = min(setters.values(), key=_precedence)
    return RatedOffer(
        key=offer.key,
        rates=rates,
        rule_id=first.rule_id,
        rule_of=MappingProxyType(_rule_of(setters)),
        source=first.source,
        source_name=first.source_name,
        price_version=book.version,
        valid_from=first.valid_from,
        reasoning=first.card.reasoning,
        steps=steps,
        fx=first.fx,
    )


def _dearest(card: RateCard, meter: str, reached_above: int) -> int:
    return max(
        bracket.nanos_per_million
        for bracket in card.meters[meter]
        if bracket.above_tokens <= reached_above
    )


def _rates(setters: Mapping[str, PriceRule], price: "_PriceOf") -> Rates:
    per_million: dict[TokenClass, int] = {}
    fee = 0
    for meter, rule in setters.items():
        if meter == TokenClass.REQUEST:
            # Per million requests in the book, per request in Rates; a fee is at least a nano.
            fee = -(-price(rule.card, meter) // 1_000_000)
        elif meter in _TOKENS:
            per_million[TokenClass(meter)] = price(rule.card, meter)
    if TokenClass.OUTPUT in per_million:
        # Reasoning is billed as output unless the book has a meter of its own for it.
        per_million.setdefault(TokenClass.REASONING, per_million[TokenClass.OUTPUT])
    currency = next(iter(setters.values())).card.currency
    return Rates(currency, per_million, fee)


def _rule_of(setters: Mapping[str, PriceRule]) -> dict[TokenClass, int]:
    named = {
        TokenClass(meter): rule.rule_id
        for meter, rule in setters.items()
        if meter in _TOKENS or meter == TokenClass.REQUEST
    }
    if TokenClass.OUTPUT in named:
        named.setdefault(TokenClass.REASONING, named[TokenClass.OUTPUT])
    return named


def _steps(setters: Mapping[str, PriceRule], bounds: tuple[int, ...]) -> tuple[Step, ...]:
    marginal = any(rule.card.threshold is Threshold.MARGINAL for rule in setters.values())
    if not marginal or len(bounds) == 1:
        return ()

    def rates_above(above: int) -> Rates:
        def price(card: RateCard, meter: str) -> int:
            at = above if card.threshold is Threshold.MARGINAL else bounds[-1]
            return card.price_at(meter, at)

        return _rates(setters, price)

    return tuple(Step(above, rates_above(above)) for above in bounds)


def _by_position(usage: Usage, steps: tuple[Step, ...]) -> list[Usage]:
    """Which part of the usage stands in which bracket? Output and requests in the last one."""
    parts: list[dict[str, int]] = [{} for _ in steps]
    position = 0
    for token_class in _POSITIONS:
        left = usage.of(token_class)
        for index, step in enumerate(steps):
            is_last = index + 1 == len(steps)
            end = position + left if is_last else steps[index + 1].above_tokens
            taken = max(0, min(left, end - max(position, step.above_tokens)))
            parts[index][token_class.value] = taken
            position += taken
            left -= taken
    for token_class in (*OUTPUT_CLASSES, TokenClass.REQUEST):
        parts[-1][token_class.value] = usage.of(token_class)
    return [Usage(**part) for part in parts]
