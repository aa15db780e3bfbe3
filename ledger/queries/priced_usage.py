"""Which entries used an offer, in which quantities? For pricing them again.

Settles and usage reports that were not taken back, class by class as the entry says: six token
columns, the other classes from the entry's document.
"""

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db import connection

from ledger.core.entry import BASIS_MASK, Basis, Flag, Kind
from ledger.core.price_effect import UsedOffer
from ledger.core.price_terms import GLOBAL, OfferKey, Tier
from ledger.queries.ledgers import COMPANY_LEDGER
from o10.kernel.money import Nanos, ceil_div
from o10.kernel.usage import TokenClass, Usage

ROWS_AT_ONCE: Final = 5_000
RECORDED_BEFORE: Final = timedelta(minutes=10)
_COLUMNS: Final = (
    TokenClass.INPUT,
    TokenClass.CACHE_READ,
    TokenClass.CACHE_WRITE_5M,
    TokenClass.CACHE_WRITE_1H,
    TokenClass.OUTPUT,
    TokenClass.REASONING,
)
# An overrun is written with its settle: same reservation, attempt and instant.
_ENTRIES: Final = """
SELECT e.id, e.uid, e.effective_at, e.recorded_at, e.offer_id, e.use_case_id, e.envelope_id,
    e.dims_id, e.venue_id, e.model_id, e.n, e.tok_in, e.tok_cache_read, e.tok_cache_write,
    e.tok_cache_write_1h, e.tok_out, e.tok_reasoning, e.price_version, e.flags,
    e.amount_nanos + coalesce((
        SELECT sum(o.amount_nanos) FROM ledger_entry o
        WHERE o.reservation = e.reservation AND o.reservation <> %(none)s
            AND o.kind = %(overrun)s AND o.attempt = e.attempt
            AND o.recorded_at = e.recorded_at AND e.kind = %(settle)s
    ), 0)::bigint,
    convert_from(d.body, 'UTF8')
FROM ledger_entry e
LEFT JOIN ledger_document d ON d.hash = e.doc AND e.doc <> ''
    AND position('"class"' IN convert_from(d.body, 'UTF8')) > 0
WHERE e.ledger_id = %(ledger)s AND e.id > %(after)s AND e.kind = ANY(%(kinds)s)
    AND e.effective_at >= %(start)s AND e.effective_at < %(end)s
    AND e.recorded_at >= %(recorded)s
    AND (e.offer_id = ANY(%(offers)s) OR (e.offer_id = 0 AND e.model_id = ANY(%(models)s)))
    AND NOT EXISTS (
        SELECT 1 FROM ledger_reversed r WHERE r.ledger_id = e.ledger_id AND r.uid = e.uid
    )
ORDER BY e.id LIMIT %(limit)s
"""
_OFFERS: Final = """
SELECT DISTINCT ON (number) number, body FROM ledger_registry
WHERE ledger_id = %s AND domain = 'offer' ORDER BY number, created_at DESC
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PricedEntry:
    """What did one entry use, and what does it stand at?

    Units: `booked` nanos, overrun included. `use.key` is the offer it was booked on; None while
    no offer was known for its model.
    """

    id: int
    uid: UUID
    use: UsedOffer | None
    usage: Usage
    calls: int
    at: datetime
    use_case_id: int
    envelope_id: int
    dims_id: int
    offer_id: int
    venue_id: int
    model_id: int
    price_version: int
    estimated: bool
    edge: bool
    booked: Nanos


def stream_priced_usage(
    *,
    offers: Collection[OfferKey],
    start: datetime,
    end: datetime,
    models: Collection[int] = (),
    ledger_id: int = COMPANY_LEDGER,
) -> Iterator[PricedEntry]:
    """Which entries in [start, end) used these offers? In order of writing, in pages.

    `models` are numbers of models that entries without an offer name.
    """
    names = offer_numbers_of(offers, ledger_id=ledger_id)
    keys = {number: key for key, number in names.items()}
    after = 0
    while names or models:
        rows = _page(sorted(keys), sorted(models), start, end, after, ledger_id)
        for row in rows:
            yield _entry(row, keys)
        if len(rows) < ROWS_AT_ONCE:
            return
        after = rows[-1][0]


def offer_numbers_of(
    offers: Collection[OfferKey], *, ledger_id: int = COMPANY_LEDGER
) -> dict[OfferKey, int]:
    """Which numbers do entries have for these offers? Those never used are left out."""
    wanted = {key.slug for key in offers}
    with connection.cursor() as cursor:
        cursor.execute(_OFFERS, [ledger_id])
        found = [(number, _loaded(body)) for number, body in cursor.fetchall()]
    return {_key(body): number for number, body in found if body.get("slug") in wanted}


def _page(
    offers: list[int],
    models: list[int],
    start: datetime,
    end: datetime,
    after: int,
    ledger_id: int,
) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(
            _ENTRIES,
            {
                "none": UUID(int=0),
                "overrun": int(Kind.OVERRUN),
                "settle": int(Kind.SETTLE),
                "kinds": [int(Kind.SETTLE), int(Kind.USAGE)],
                "ledger": ledger_id,
                "offers": offers,
                "models": models,
                "start": start,
                "end": end,
                # Usage lies at most five minutes ahead of its recording.
                "recorded": start - RECORDED_BEFORE,
                "after": after,
                "limit": ROWS_AT_ONCE,
            },
        )
        return list(cursor.fetchall())


def _entry(row: tuple[Any, ...], keys: dict[int, OfferKey]) -> PricedEntry:
    (
        number,
        uid,
        at,
        _,
        offer_id,
        use_case_id,
        envelope_id,
        dims_id,
        venue_id,
        model_id,
        n,
        *tokens,
        price_version,
        flags,
        booked,
        document,
    ) = row
    counts: dict[str, int] = {
        each.value: count for each, count in zip(_COLUMNS, tokens, strict=True)
    }
    for name, quantity in _others(document):
        counts[name] = counts.get(name, 0) + quantity
    calls = max(int(n), 1)
    if any(counts.values()):
        # Billed requests are the calls, where the entry says nothing else.
        counts.setdefault(TokenClass.REQUEST, calls)
    usage = Usage(**counts)
    key = keys.get(offer_id)
    use = None
    if key is not None:
        use = UsedOffer(key, use_case_id, at, calls, ceil_div(usage.total_input, calls), usage)
    return PricedEntry(
        id=number,
        uid=uid,
        use=use,
        usage=usage,
        calls=calls,
        at=at,
        use_case_id=use_case_id,
        envelope_id=envelope_id,
        dims_id=dims_id,
        offer_id=offer_id,
        venue_id=venue_id,
        model_id=model_id,
        price_version=price_version,
        estimated=flags & BASIS_MASK == Basis.ESTIMATED,
        edge=bool(flags & Flag.EDGE_CACHE_HIT),
        booked=booked,
    )


def _others(document: str | None) -> Iterator[tuple[str, int]]:
    """Classes without a column: `classes` of a usage report, `lines` of a settle."""
    if not document:
        return
    body = json.loads(document)
    columns = {each.value for each in _COLUMNS}
    for line in [*body.get("classes", ()), *body.get("lines", ())]:
        if line["class"] not in columns and line["class"] in set(TokenClass):
            yield line["class"], int(line["quantity"])


def _key(body: dict[str, Any]) -> OfferKey:
    return OfferKey(
        str(body["venue"]),
        str(body["model"]),
        str(body.get("region") or GLOBAL),
        Tier(str(body.get("tier") or Tier.STANDARD)),
    )


def _loaded(value: Any) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(value) if isinstance(value, str) else value
    return loaded
