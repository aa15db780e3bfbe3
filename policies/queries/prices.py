"""At which price would, and did, a call run? The price book in the words of decide."""

from dataclasses import dataclass
from datetime import datetime

from django.db import connection

from ledger import facade as ledger
from policies.core.question import Price

_BOOKS_KEPT = 4

_books: dict[tuple[str, int], ledger.PriceState] = {}


@dataclass(frozen=True, slots=True)
class Priced:
    """Which price has the call, and under which key is its offer known to the ledger?"""

    price: Price
    key: ledger.OfferKey


def find_price(
    *,
    venue: str | None,
    model: str,
    region: str | None,
    tier: str | None,
    at: datetime,
    max_input_tokens: int,
    book: ledger.PriceState | None = None,
) -> Priced | None:
    """Which offer serves this, and at most at which rates for this input? None = no price.

    With a `book` at hand the database is not asked.
    """
    if not model:
        return None
    book = book or newest_book()
    try:
        rated = ledger.ceiling_for(
            venue=venue,
            model=model,
            region=region,
            tier=tier,
            at=at,
            max_input_tokens=max_input_tokens,
            book=book,
        )
    except ledger.ModelUnknown:
        return None
    if rated is None:
        return None
    price = Price(
        offer=rated.slug,
        venue=rated.key.venue,
        model=rated.key.model,
        region=rated.key.region,
        tier=str(rated.key.tier),
        rates=rated.rates,
        price_version=rated.price_version,
        stale=ledger.prices_stale(at=at, book=book),
        context_tokens=ledger.context_window_of(rated.key, book=book),
    )
    return Priced(price, rated.key)


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
