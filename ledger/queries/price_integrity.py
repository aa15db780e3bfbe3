"""Was any row of the price book altered since it was written?

Each version's digest is recomputed from its rows and compared with the version's own digest and
with the one that its `price_change` entry carries into the ledger.
"""

from collections import defaultdict
from dataclasses import dataclass

from django.db import connection

from ledger.core.entry import Kind
from ledger.core.fx import FxRate
from ledger.core.price_digest import (
    alias_line,
    digest_of,
    fx_line,
    rule_line,
    withdrawal_line,
)
from ledger.core.price_terms import OfferKey, PriceRule
from ledger.queries.ledgers import COMPANY_LEDGER
from ledger.queries.prices import compile_state

_VERSIONS = "SELECT version, digest FROM ledger_price_version ORDER BY version"
_ALIASES = "SELECT since_id, venue, alias, model FROM ledger_price_alias"
_FX = "SELECT since_id, currency, rate, rate_date, source, evidence FROM ledger_fx_rate"
_ENDS = "SELECT version_id, rule_id, ended_at FROM ledger_price_withdrawal"
_ENTRIES = """
SELECT e.price_version, convert_from(d.body, 'UTF8')::jsonb ->> 'after'
FROM ledger_entry e JOIN ledger_document d ON d.hash = e.doc
WHERE e.ledger_id = %s AND e.kind = %s
"""


@dataclass(frozen=True, slots=True)
class PriceFinding:
    """Which version differs, in what? Hashes in hex; `found` empty when there is none."""

    version: int
    what: str
    expected: str
    found: str


def find_altered_prices(*, ledger_id: int = COMPANY_LEDGER) -> PriceFinding | None:
    """Which is the first price version whose rows are not those the ledger vouches for?

    None when all agree. Reads the whole price book.
    """
    with connection.cursor() as cursor:
        cursor.execute(_VERSIONS)
        versions = [(version, bytes(digest)) for version, digest in cursor.fetchall()]
        cursor.execute(_ENTRIES, [ledger_id, int(Kind.PRICE_CHANGE)])
        recorded = dict(cursor.fetchall())
    lines = _lines(versions[-1][0]) if versions else {}
    before = bytes(32)
    for place, (version, digest) in enumerate(versions, start=1):
        if version != place:
            return PriceFinding(place, "version", str(place), str(version))
        found = digest_of(before=before, lines=lines[version])
        if found != digest:
            return PriceFinding(version, "rows", digest.hex(), found.hex())
        if recorded.get(version) != digest.hex():
            entry = str(recorded.get(version, ""))
            return PriceFinding(version, "price_change entry", digest.hex(), entry)
        before = digest
    if recorded and max(recorded) > len(versions):
        return PriceFinding(max(recorded), "version", str(max(recorded)), "")
    return None


def _lines(newest: int) -> dict[int, list[str]]:
    rules: dict[int, tuple[OfferKey, PriceRule]] = {}
    lines: dict[int, list[str]] = defaultdict(list)
    for key, offer in compile_state(version=newest, digest=b"").stated.offers.items():
        for rule in offer.rules:
            rules[rule.rule_id] = (key, rule)
            lines[rule.version].append(rule_line(key, rule))
    with connection.cursor() as cursor:
        cursor.execute(_ALIASES)
        for version, *alias in cursor.fetchall():
            lines[version].append(alias_line(*alias))
        cursor.execute(_FX)
        for version, currency, rate, day, source, evidence in cursor.fetchall():
            fx = FxRate(
                currency=currency, rate=rate, rate_date=day, source=source, evidence=evidence
            )
            lines[version].append(fx_line(fx))
        cursor.execute(_ENDS)
        for version, rule_id, ended_at in cursor.fetchall():
            lines[version].append(withdrawal_line(*rules[rule_id], ended_at))
    return lines
