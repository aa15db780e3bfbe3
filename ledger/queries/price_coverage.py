"""How much of what was used had a price, and whose: override, contract, list, or none?

Each entry names the price version it was priced at; whose price that was is asked of the book
of that version at the entry's own instant. Entries priced at nothing (version 0) are the
unpriced ones: their basis is estimated and they block the close of their period.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Final

from django.db import connection

from ledger.core.entry import Kind
from ledger.core.price_terms import OfferKey, PriceSource, Tier
from ledger.core.pricing import PriceBook, find_rates
from ledger.queries.ledgers import COMPANY_LEDGER
from ledger.queries.prices import price_book_at

NONE: Final = "none"
MILLION: Final = 1_000_000

_KINDS: Final = [Kind.SETTLE, Kind.USAGE, Kind.OVERRUN, Kind.REVERSAL]
_WHERE: Final = """
e.ledger_id = %s AND e.effective_at >= %s AND e.effective_at < %s AND e.kind = ANY(%s)
"""
_PAIRS: Final = f"""
SELECT DISTINCT e.offer_id, e.price_version FROM ledger_entry e
WHERE {_WHERE} AND e.offer_id <> 0 AND e.price_version <> 0
"""
_OFFERS: Final = """
SELECT number, body FROM ledger_registry
WHERE ledger_id = %s AND domain = 'offer' AND number = ANY(%s)
"""
_SUMS: Final = f"""
SELECT coalesce(p.source, 'none'), sum(e.tok_in + e.tok_cache_read + e.tok_cache_write
    + e.tok_cache_write_1h + e.tok_out + e.tok_reasoning), sum(e.n), sum(e.amount_nanos)
FROM ledger_entry e
LEFT JOIN unnest(%s::int[], %s::int[], %s::timestamptz[], %s::timestamptz[], %s::text[])
    AS p (offer_id, price_version, starts_at, ends_at, source)
    ON p.offer_id = e.offer_id AND p.price_version = e.price_version
    AND e.effective_at >= p.starts_at AND e.effective_at < p.ends_at
WHERE {_WHERE} GROUP BY 1
"""


@dataclass(frozen=True, slots=True)
class Covered:
    """How much was priced by one source? Tokens of the six hashed classes; nanos; calls."""

    tokens: int = 0
    calls: int = 0
    amount_nanos: int = 0


@dataclass(frozen=True, slots=True)
class PriceCoverage:
    """How much was priced by whom? `by_source` has override, contract, list and none."""

    by_source: Mapping[str, Covered]

    @property
    def tokens(self) -> int:
        """How many tokens were used?"""
        return sum(each.tokens for each in self.by_source.values())

    @property
    def priced_ppm(self) -> int | None:
        """Which share of the tokens had a price, in parts per million? None without tokens."""
        return self._ppm(self.tokens - self.by_source[NONE].tokens)

    def share_ppm(self, source: str) -> int | None:
        """Which share of the tokens had this source's price? None without tokens."""
        return self._ppm(self.by_source[source].tokens)

    def _ppm(self, part: int) -> int | None:
        return part * MILLION // self.tokens if self.tokens > 0 else None


@dataclass(frozen=True, slots=True)
class _Segment:
    offer_id: int
    version: int
    starts_at: datetime
    ends_at: datetime
    source: str


def price_coverage(
    *, start: datetime, end: datetime, ledger_id: int = COMPANY_LEDGER
) -> PriceCoverage:
    """How much of what was used in [start, end) had a price, and whose?

    Reads the entries of the period, not only what is sealed. Instants UTC.
    """
    where = [ledger_id, start, end, [int(kind) for kind in _KINDS]]
    with connection.cursor() as cursor:
        cursor.execute(_PAIRS, where)
        pairs = cursor.fetchall()
        cursor.execute(_OFFERS, [ledger_id, [offer_id for offer_id, _ in pairs]])
        keys = {number: _key(body) for number, body in cursor.fetchall()}
        segments = list(_segments(pairs, keys, start, end))
        columns = [
            [each.offer_id for each in segments],
            [each.version for each in segments],
            [each.starts_at for each in segments],
            [each.ends_at for each in segments],
            [each.source for each in segments],
        ]
        cursor.execute(_SUMS, [*columns, *where])
        sums = {row[0]: Covered(int(row[1]), int(row[2]), int(row[3])) for row in cursor}
    sources = (*(source.value for source in PriceSource), NONE)
    return PriceCoverage(
        MappingProxyType({each: sums.get(each, Covered()) for each in sources})
    )


def _key(body: object) -> OfferKey:
    said = body if isinstance(body, dict) else json.loads(str(body))
    return OfferKey(said["venue"], said["model"], said["region"], Tier(said["tier"]))


def _segments(
    pairs: Sequence[tuple[int, int]],
    keys: Mapping[int, OfferKey],
    start: datetime,
    end: datetime,
) -> Iterator[_Segment]:
    """Between which instants had an offer at a version which source?"""
    books = {version: price_book_at(version=version).book for _, version in pairs}
    for offer_id, version in pairs:
        book: PriceBook = books[version]
        key = keys[offer_id]
        offer = book.find_offer(key)
        edges = offer.edges if offer is not None else ()
        bounds = [start, *(edge for edge in edges if start < edge < end), end]
        for starts_at, ends_at in zip(bounds, bounds[1:], strict=False):
            rated = find_rates(book, key=key, at=starts_at, total_input_tokens=0)
            source = rated.source.value if rated else NONE
            yield _Segment(offer_id, version, starts_at, ends_at, source)
