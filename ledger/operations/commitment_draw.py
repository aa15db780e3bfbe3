"""Who drew how much of committed capacity on one day, and what did the rest cost on demand?

Read from settles and usage reports of the committed offer, hour by hour. What the same calls
cost on demand is their list price at that venue or, where it lists none, at the venue that
sells the model cheapest: that one is a guess and the lines it prices say so.
Source: product.md section 13; docs/algorithms/commitments.md.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from ledger.core.commitment import Drawdown, beyond_costs, draw, share_out
from ledger.core.price_effect import cost_at
from ledger.core.price_terms import GLOBAL, OfferKey, PriceRule, PriceSource
from ledger.core.pricing import Offer, PriceBook, compile_book, find_rates
from ledger.queries.commitment_terms import CommitmentTerms
from ledger.queries.priced_usage import stream_priced_usage
from ledger.queries.prices import price_book
from o10.kernel.money import Nanos, half_even

HOUR: Final = timedelta(hours=1)

Who = tuple[int, int]
"""A use case and an envelope, by their numbers."""
Part = tuple[CommitmentTerms, datetime, int]
"""Terms that hold from an instant on for so many hours."""
_Rules = tuple[PriceRule, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DayDraw:
    """Who drew what on one day?

    Units: tokens; nanos of the ledger's currency. `tokens` within the capacity by who drew
    them; `beyond` what the tokens above it cost on demand; `unpriced` those of them without a
    price; `on_demand` what all calls would have cost, `priced` the tokens in that sum.
    """

    down: Drawdown
    tokens: Mapping[Who, int]
    beyond: Mapping[Who, Nanos]
    unpriced: int
    on_demand: Nanos
    priced: int
    hours: tuple[int, ...]
    source: str
    price_version: int
    guessed: bool


@dataclass(slots=True)
class _Drawn:
    """Tokens and nanos on demand by hour and who."""

    by: dict[int, dict[Who, int]] = field(default_factory=lambda: defaultdict(dict))
    cost: dict[int, dict[Who, Nanos]] = field(default_factory=lambda: defaultdict(dict))
    unpriced: dict[int, int] = field(default_factory=lambda: defaultdict(int))


@dataclass(frozen=True, slots=True)
class _OnDemand:
    book: PriceBook
    source: str
    guessed: bool


def draw_day(parts: Sequence[Part]) -> DayDraw:
    """Who drew what while these terms held, one after the other?"""
    rated = _on_demand(parts[-1][0])
    drawn = [_drawn(terms, start, hours, rated.book) for terms, start, hours in parts]
    tokens: dict[Who, int] = defaultdict(int)
    beyond: dict[Who, Nanos] = defaultdict(int)
    unpriced = 0
    for (terms, _, _), found in zip(parts, drawn, strict=True):
        for hour, asked in found.by.items():
            whole = sum(asked.values())
            inside = min(whole, terms.capacity_an_hour)
            for who, part in share(inside, asked).items():
                tokens[who] += part
            if terms.beyond == "on_demand" and whole > inside:
                for who, nanos in _beyond(asked, found.cost[hour], inside).items():
                    beyond[who] += nanos
                unpriced += half_even(found.unpriced[hour] * (whole - inside), whole)
    asked_in_all = sum(sum(each.values()) for found in drawn for each in found.by.values())
    return DayDraw(
        down=_down(parts, drawn),
        tokens=dict(tokens),
        beyond=dict(beyond),
        unpriced=unpriced,
        on_demand=sum(sum(each.values()) for found in drawn for each in found.cost.values()),
        priced=asked_in_all - sum(sum(found.unpriced.values()) for found in drawn),
        hours=tuple(
            sum(found.by.get(hour, {}).values())
            for (_, _, hours), found in zip(parts, drawn, strict=True)
            for hour in range(hours)
        ),
        source=rated.source,
        price_version=rated.book.version,
        guessed=rated.guessed,
    )


def share(amount: int, weights: Mapping[Who, int]) -> dict[Who, int]:
    """How is this shared over use cases and envelopes? Largest remainder, ties by number."""
    names = {_name(who): who for who in weights}
    parts = share_out(amount, {name: weights[who] for name, who in names.items()})
    return {names[name]: part for name, part in parts.items()}


def _beyond(
    asked: Mapping[Who, int], costs: Mapping[Who, Nanos], capacity: int
) -> dict[Who, Nanos]:
    names = {_name(who): who for who in asked}
    parts = beyond_costs(
        asked={name: asked[who] for name, who in names.items()},
        costs={name: costs.get(who, 0) for name, who in names.items()},
        capacity=capacity,
    )
    return {names[name]: part for name, part in parts.items()}


def _name(who: Who) -> str:
    return f"{who[0]:012d}/{who[1]:012d}"


def _down(parts: Sequence[Part], drawn: Sequence[_Drawn]) -> Drawdown:
    each = [
        draw(
            tokens_by_hour={hour: sum(by.values()) for hour, by in found.by.items()},
            hours=hours,
            capacity_an_hour=terms.capacity_an_hour,
        )
        for (terms, _, hours), found in zip(parts, drawn, strict=True)
    ]
    return Drawdown(
        sum(down.hours for down in each),
        sum(down.capacity for down in each),
        sum(down.used for down in each),
        sum(down.beyond for down in each),
    )


def _drawn(terms: CommitmentTerms, start: datetime, hours: int, book: PriceBook) -> _Drawn:
    """Which tokens of all classes were used in which hour, by whom, at which list cost?"""
    found = _Drawn()
    end = start.astimezone(UTC) + hours * HOUR
    for entry in stream_priced_usage(offers=[terms.key], start=start, end=end):
        tokens = entry.usage.total_input + entry.usage.total_output
        if entry.use is None or not tokens or entry.edge:
            continue
        hour = int((entry.at - start) / HOUR)
        who = (entry.use_case_id, entry.envelope_id)
        found.by[hour][who] = found.by[hour].get(who, 0) + tokens
        cost = cost_at(entry.use, book=book, at=entry.at)
        if cost is None:
            found.unpriced[hour] += tokens
        else:
            found.cost[hour][who] = found.cost[hour].get(who, 0) + cost
    return found


def _on_demand(terms: CommitmentTerms) -> _OnDemand:
    """Which book says what the same calls cost on demand, and is it that venue's own?"""
    state = price_book()
    listed = {
        key: tuple(rule for rule in offer.rules if rule.source is PriceSource.LIST)
        for key, offer in state.book.offers.items()
        if key.model == terms.key.model and key.tier == terms.key.tier
    }
    own = [key for key in (terms.key, replace(terms.key, region=GLOBAL)) if listed.get(key)]
    found = own[0] if own else _cheapest(listed, terms.start_at)
    offer = Offer(key=terms.key, rules=listed[found] if found else ())
    book = compile_book(version=state.version, digest=bytes(32), offers=[offer])
    return _OnDemand(book, found.slug if found else "", guessed=not own)


def _cheapest(listed: Mapping[OfferKey, _Rules], at: datetime) -> OfferKey | None:
    priced = []
    for key, rules in listed.items():
        book = compile_book(
            version=1, digest=bytes(32), offers=[Offer(key=key, rules=rules)] if rules else []
        )
        rated = find_rates(book, key=key, at=at, total_input_tokens=0) if rules else None
        if rated is not None:
            priced.append((sum(rated.rates.per_million.values()), key.slug, key))
    return min(priced, key=lambda each: each[:2])[2] if priced else None
