"""What would loading this catalogue change? A diff as new rules; nothing is ever edited.

For an offer without a list price the catalogue's cards are taken with their own dates. For the
others only instants from `now` on are compared: what the catalogue says about the past is never
loaded over a price that held. Where the price in force comes from another catalogue, a
difference is reported as a disagreement and changes nothing.
Source: product.md section 13, pains.md P25; docs/algorithms/price-resolution.md.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from ledger.core.price_catalogue import Catalogue, CatalogueRow, DatedCard, Skipped
from ledger.core.price_plausibility import (
    Context,
    Doubt,
    base_of_twin,
    doubts_about,
    moved_over_a_quarter,
)
from ledger.core.price_terms import DayWindow, OfferKey, PriceRule, PriceSource, RateCard
from ledger.core.pricing import Offer, PriceBook


@dataclass(frozen=True, slots=True)
class NewRule:
    """Which list rule would be added?"""

    key: OfferKey
    dated: DatedCard
    name: str
    evidence: str
    context_window: int | None


@dataclass(frozen=True, slots=True)
class Change:
    """Which price would change, from when on? None = no price. Units: nanos per million."""

    key: OfferKey
    meter: str
    above_tokens: int
    valid_from: datetime
    before: int | None
    after: int | None


@dataclass(frozen=True, slots=True)
class Quarantined:
    """Which row is not believed, and why?

    `cards` is what it would have said, `moves` what it would have changed from now on.
    """

    key: OfferKey
    name: str
    doubts: tuple[Doubt, ...]
    cards: tuple[DatedCard, ...] = ()
    remark: str = ""
    moves: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What would be added, what changes from now on, what is doubted, what differs?

    Shape: `rules` in order of slug and date; `new_offers` have no list price yet; `changes` and
    `disagreements` are meter by meter; `absent` are offers priced by this catalogue before that
    it no longer names (they keep their price).
    """

    catalogue: str
    edition: str
    sha256: str
    rules: tuple[NewRule, ...]
    new_offers: tuple[OfferKey, ...]
    changes: tuple[Change, ...]
    quarantined: tuple[Quarantined, ...]
    disagreements: tuple[Change, ...]
    absent: tuple[OfferKey, ...]
    unchanged: int
    aliases: tuple[tuple[str, str, str], ...]
    skipped: tuple[Skipped, ...]

    @property
    def is_empty(self) -> bool:
        """Would loading change nothing?"""
        return not self.rules and not self.aliases


_Cards = Mapping[DayWindow | None, RateCard]


def propose(
    *,
    book: PriceBook,
    catalogue: Catalogue,
    now: datetime,
    known_aliases: Collection[tuple[str, str]] = (),
) -> Proposal:
    """What would loading this catalogue at this instant change?"""
    rows = {row.key: row for row in catalogue.rows}
    rules: list[NewRule] = []
    new_offers: list[OfferKey] = []
    changes: list[Change] = []
    disagreements: list[Change] = []
    unchanged = 0
    doubted = [
        Quarantined(each.key, each.name, (Doubt.UNREADABLE,), remark=each.reason)
        for each in catalogue.unreadable
    ]
    for row in catalogue.rows:
        offer = book.offers.get(row.key)
        listed = _listed(offer)
        held = _generation(listed, now)
        source = _source(listed, now)
        if source is not None and source != catalogue.name:
            disagreements += _disagreements(row.key, now, held, row.cards_at(now))
            continue
        doubts = doubts_about(row, Context(held.get(None), _base(row, rows)))
        added = _added(row, listed, now)
        moves = _moves(row, listed, added)
        moved = any(moved_over_a_quarter(each.before, each.after) for each in moves)
        if moved and Doubt.MOVED_TENFOLD not in doubts:
            doubts = (*doubts, Doubt.MOVED_OVER_QUARTER)
        if added and doubts:
            doubted.append(Quarantined(row.key, row.name, doubts, row.cards, moves=moves))
        elif added:
            rules += added
            changes += moves
            if not listed:
                new_offers.append(row.key)
        else:
            unchanged += 1
    loaded = {(rule.key.venue, rule.key.model) for rule in rules}
    loaded |= {(key.venue, key.model) for key in book.offers}
    return Proposal(
        catalogue=catalogue.name,
        edition=catalogue.version,
        sha256=catalogue.sha256,
        rules=tuple(rules),
        new_offers=tuple(new_offers),
        changes=tuple(changes),
        quarantined=tuple(doubted),
        disagreements=tuple(disagreements),
        absent=_absent(book, catalogue, rows, now),
        unchanged=unchanged,
        aliases=tuple(
            alias
            for alias in catalogue.aliases
            if alias[:2] not in known_aliases and (alias[0], alias[2]) in loaded
        ),
        skipped=catalogue.skipped,
    )


def rules_of_row(*, book: PriceBook, row: CatalogueRow, now: datetime) -> tuple[NewRule, ...]:
    """Which rules would this one row add now? For a doubted row that a person releases."""
    return tuple(_added(row, _listed(book.offers.get(row.key)), now))


def _listed(offer: Offer | None) -> list[PriceRule]:
    rules = offer.rules if offer is not None else ()
    return [rule for rule in rules if rule.source is PriceSource.LIST]


def _newest(listed: list[PriceRule], at: datetime) -> tuple[datetime, int] | None:
    held = [
        (rule.valid_from, rule.version)
        for rule in listed
        if replace(rule, window=None).holds(at)
    ]
    return max(held, default=None)


def _generation(listed: list[PriceRule], at: datetime) -> _Cards:
    """The list cards of an offer at an instant, by part of the day."""
    newest = _newest(listed, at)
    return {
        rule.window: rule.card for rule in listed if (rule.valid_from, rule.version) == newest
    }


def _source(listed: list[PriceRule], at: datetime) -> str | None:
    newest = _newest(listed, at)
    names = [r.source_name for r in listed if (r.valid_from, r.version) == newest]
    return names[0] if names else None


def _added(row: CatalogueRow, listed: list[PriceRule], now: datetime) -> list[NewRule]:
    """The rules this row adds; none when the book says the same from now on."""
    if not listed:
        wanted = list(row.cards)
    else:
        dates = {now}
        dates |= {each.valid_from for each in row.cards if each.valid_from > now}
        dates |= {rule.valid_from for rule in listed if rule.valid_from > now}
        said = {date: row.cards_at(date) for date in sorted(dates)}
        if all(not cards or cards == _generation(listed, date) for date, cards in said.items()):
            return []
        wanted = [
            DatedCard(date, card, window)
            for date, cards in said.items()
            for window, card in cards.items()
        ]
    return [
        NewRule(row.key, dated, row.name, row.evidence, row.context_window) for dated in wanted
    ]


def _moves(
    row: CatalogueRow, listed: list[PriceRule], added: list[NewRule]
) -> tuple[Change, ...]:
    """What would change meter by meter, date by date? Nothing for an offer without a price."""
    dates = sorted({each.dated.valid_from for each in added}) if listed else []
    return tuple(
        change
        for date in dates
        for change in _changes(row.key, date, _generation(listed, date), row.cards_at(date))
    )


def _base(row: CatalogueRow, rows: Mapping[OfferKey, CatalogueRow]) -> RateCard | None:
    model = base_of_twin(row.key.model)
    base = rows.get(replace(row.key, model=model)) if model else None
    return base.cards[-1].card if base else None


def _changes(key: OfferKey, date: datetime, before: _Cards, after: _Cards) -> list[Change]:
    found = []
    for window in dict.fromkeys((*before, *after)):
        old, new = _flat(before.get(window)), _flat(after.get(window))
        for place in dict.fromkeys((*old, *new)):
            if old.get(place) != new.get(place):
                found.append(Change(key, *place, date, old.get(place), new.get(place)))
    return found


def _disagreements(key: OfferKey, at: datetime, held: _Cards, said: _Cards) -> list[Change]:
    """Meters that both catalogues price, where they differ; a meter of one alone is a gap."""
    ours, theirs = held.get(None), said.get(None)
    if ours is None or theirs is None:
        return []
    found = []
    for meter, brackets in ours.meters.items():
        others = theirs.meters.get(meter, ())
        bounds = {bracket.above_tokens for bracket in (*brackets, *others)} if others else ()
        for above in sorted(bounds):
            prices = ours.price_at(meter, above), theirs.price_at(meter, above)
            if prices[0] != prices[1]:
                found.append(Change(key, meter, above, at, *prices))
    return found


def _flat(card: RateCard | None) -> dict[tuple[str, int], int]:
    meters = card.meters if card is not None else {}
    return {
        (meter, bracket.above_tokens): bracket.nanos_per_million
        for meter, brackets in meters.items()
        for bracket in brackets
    }


def _absent(
    book: PriceBook,
    catalogue: Catalogue,
    rows: Mapping[OfferKey, CatalogueRow],
    now: datetime,
) -> tuple[OfferKey, ...]:
    return tuple(
        key
        for key, offer in book.offers.items()
        if key not in rows and _source(_listed(offer), now) == catalogue.name
    )
