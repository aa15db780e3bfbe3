"""At which price would, and did, a call run? The price book in the words of decide."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import product, zip_longest
from typing import cast

from django.db import connection

from ledger import facade as ledger
from policies.core.offers import Need, OfferLadder, OfferSet, Rung
from policies.core.question import Price

NAMES_KEPT = 10_000
"""Names are what callers send; beyond so many all are learned anew."""
_BOOKS_KEPT = 4
_ALWAYS = datetime.min.replace(tzinfo=UTC)
_NEVER = datetime.max.replace(tzinfo=UTC)

_views: dict[tuple[str, int, str], "PriceView"] = {}
_books: dict[tuple[str, int], ledger.PriceState] = {}


@dataclass(frozen=True, slots=True)
class Reach:
    """For which calls does a price hold? Input above `above` up to `most`, in [since, until).

    Units: tokens; `most` None = without end. `rivals` is how many other offers could have
    served the call: with any, which one is the cheapest depends on the call's tokens.
    """

    above: int
    most: int | None
    since: datetime
    until: datetime
    rivals: int


@dataclass(frozen=True, slots=True)
class Priced:
    """Which price has the call, and under which key is its offer known to the ledger?

    One object as long as the same rates hold.
    """

    price: Price
    key: ledger.OfferKey
    reach: Reach


@dataclass(frozen=True, slots=True)
class _Spell:
    """What does a name mean for a while? One offer's prices by input, or several offers."""

    since: datetime
    until: datetime
    edges: tuple[int, ...]
    alone: tuple[Priced, ...]
    several: OfferSet | None


class PriceView:
    """Which price has a call, by the book of one version? In memory: no database is asked.

    What a name means is worked out when it is first asked for and again when a price begins
    or ends; in between an answer is two look-ups.
    """

    def __init__(self, *, book: ledger.PriceState, currency: str) -> None:
        self.book = book
        self.currency = currency
        self._spells: dict[tuple[str | None, ...], _Spell] = {}
        self._needs = {
            switches: Need(currency, *switches) for switches in product((False, True), repeat=3)
        }

    @property
    def version(self) -> int:
        """Which price version is it?"""
        return self.book.version

    def priced(
        self,
        *,
        model: str,
        venue: str | None,
        region: str | None,
        input_bound: int,
        max_output: int,
        n: int,
        at: datetime,
        tier: str | None = None,
        cached_input: int = 0,
        may_write_cache: bool = False,
    ) -> Priced | None:
        """Which offer serves this call, and at most at which rates? None = no price.

        Of several that are meant (no venue or region was named) the one whose worst case is
        least for these tokens; of equals the one that is cheaper for others, then by name.
        Units: tokens; `max_output` of each of the `n` answers.
        """
        name = (model, venue, region, tier)
        spell = self._spells.get(name)
        if spell is None or not spell.since <= at < spell.until:
            spell = self._learn(name, at)
        if spell.several is None:
            alone = spell.alone
            return alone[bisect_left(spell.edges, input_bound)] if alone else None
        choice = spell.several.cheapest(
            input_bound=input_bound,
            output_tokens=n * max_output,
            need=self._needs[may_write_cache, cached_input > 0, max_output > 0],
        )
        return cast(Priced, choice.rung.tag)

    def _learn(self, name: tuple[str | None, ...], at: datetime) -> _Spell:
        """Works out what a name means at this instant, and for how long."""
        model, venue, region, tier = name
        keys = ledger.offers_meant(
            model=model or "", venue=venue, region=region, tier=tier, book=self.book
        )
        ladders = [ledger.ladder_of(key, at=at, book=self.book) for key in keys]
        # Two regions may lead to one offer: what is sold at the global price.
        found = {each.key: each for each in ladders if each is not None}
        if len(self._spells) >= NAMES_KEPT:
            self._spells.clear()
        spell = self._spells[name] = self._spell(list(found.values()), at)
        return spell

    def _spell(self, ladders: Sequence[ledger.Ladder], at: datetime) -> _Spell:
        """Those without a price now count for how long that is so, and not as rivals."""
        last = ledger.stale_after(self.book)
        turn = _ALWAYS if last is None else last + timedelta(microseconds=1)
        stale = at >= turn
        since = max([turn if stale else _ALWAYS, *_known(each.since for each in ladders)])
        until = min([_NEVER if stale else turn, *_known(each.until for each in ladders)])
        sold = [each for each in ladders if each.rungs]
        priced = [_priced(each, (since, until), len(sold) - 1, stale=stale) for each in sold]
        if len(priced) > 1:
            several = OfferSet(tuple(OfferLadder(tuple(map(_rung, each))) for each in priced))
            return _Spell(since, until, (), (), several)
        alone = priced[0] if priced else ()
        edges = tuple(each.reach.above for each in alone[1:])
        return _Spell(since, until, edges, alone, None)


def price_view(*, currency: str, book: ledger.PriceState | None = None) -> PriceView:
    """Which view has the newest book, or the one at hand? One for each as long as it is kept.

    With a `book` the database is not asked.
    """
    book = book or newest_book()
    place = (_database(), book.version, currency)
    view = _views.get(place)
    if view is None or view.book is not book:
        while len(_views) >= _BOOKS_KEPT:
            _views.pop(next(iter(_views)))
        view = _views[place] = PriceView(book=book, currency=currency)
    return view


def find_price(
    *,
    venue: str | None,
    model: str,
    region: str | None,
    tier: str | None,
    at: datetime,
    max_input_tokens: int,
    currency: str = "",
    max_output_tokens: int = 0,
    n: int = 1,
    cached_input_tokens: int = 0,
    may_write_cache: bool = False,
    book: ledger.PriceState | None = None,
) -> Priced | None:
    """Which offer serves this, and at most at which rates for this input? None = no price.

    With a `book` at hand the database is not asked.
    """
    if not model:
        return None
    return price_view(currency=currency, book=book).priced(
        model=model,
        venue=venue,
        region=region,
        tier=tier,
        input_bound=max_input_tokens,
        max_output=max_output_tokens,
        n=n,
        at=at,
        cached_input=cached_input_tokens,
        may_write_cache=may_write_cache,
    )


def find_rated(
    *,
    venue: str | None,
    model: str,
    region: str | None,
    tier: str | None,
    at: datetime,
    total_input_tokens: int,
    price_version: int,
) -> ledger.RatedOffer | None:
    """Which rates hold for exactly so much input in this book? None = no price."""
    try:
        return ledger.rates_for(
            venue=venue,
            model=model,
            region=region,
            tier=tier,
            at=at,
            total_input_tokens=total_input_tokens,
            book=book_of(price_version),
        )
    except ledger.ModelUnknown:
        return None


def newest_book() -> ledger.PriceState:
    """Which prices are in force now?"""
    book = ledger.price_book()
    _keep(book)
    return book


def book_of(version: int) -> ledger.PriceState:
    """Which prices were in force in this version? A call settles by the one it was held by."""
    kept = _books.get((_database(), version))
    if kept is not None and version:
        return kept
    newest = ledger.price_book()
    if version in (0, newest.version):
        return newest
    if kept is None:
        kept = ledger.price_book_at(version=version)
        _keep(kept)
    return kept


def _keep(book: ledger.PriceState) -> None:
    key = (_database(), book.version)
    if _books.get(key) is book:
        return
    while len(_books) >= _BOOKS_KEPT:
        _books.pop(next(iter(_books)))
    _books[key] = book


def _database() -> str:
    return str(connection.settings_dict["NAME"])


def _priced(
    ladder: ledger.Ladder, span: tuple[datetime, datetime], rivals: int, *, stale: bool
) -> tuple[Priced, ...]:
    """One offer's prices by input, ascending."""
    ends = [above for above, _ in ladder.rungs[1:]]
    return tuple(
        Priced(
            Price(
                offer=rated.slug,
                venue=rated.key.venue,
                model=rated.key.model,
                region=rated.key.region,
                tier=str(rated.key.tier),
                rates=rated.rates,
                price_version=rated.price_version,
                stale=stale,
                context_tokens=ladder.context_window,
            ),
            rated.key,
            Reach(above, most, *span, rivals),
        )
        for (above, rated), most in zip_longest(ladder.rungs, ends)
    )


def _rung(priced: Priced) -> Rung:
    return Rung(priced.reach.above, priced.price, priced)


def _known(instants: Iterable[datetime | None]) -> Iterable[datetime]:
    return (each for each in instants if each is not None)
