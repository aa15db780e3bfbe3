"""Which offers does the address of the price table ask for? Own prices first, then by name."""

from datetime import datetime, timedelta
from typing import Final

from django.db import connection

from ledger import facade as ledger
from o10.access import queries as access
from o10.kernel.viewquery import Match, PageGrammar, ViewQuery

PRICE_GRAMMAR: Final = PageGrammar(
    columns=(), by=(), filters=("venue", "source", "model", "region", "tier")
)
LOOKED_AT: Final = timedelta(days=30)
COVERAGE_KEPT: Final = timedelta(minutes=5)
_coverage: dict[str, tuple[datetime, ledger.PriceCoverage]] = {}
_FIRST: Final = {"override": 0, "contract": 1}


def list_price_rows(*, query: ViewQuery, at: datetime) -> tuple[ledger.PriceLine, ...]:
    """Which prices has this view? Overrides, contracts, then the list; by slug."""
    lines = [line for line in ledger.list_price_lines(at=at) if _keeps(query, line)]
    return tuple(sorted(lines, key=lambda line: (_FIRST.get(line.source, 2), line.key.slug)))


def recent_coverage(*, now: datetime) -> ledger.PriceCoverage:
    """How much of the last 30 days had a price, and whose? At most five minutes old.

    It reads entries, so that a page never waits for it twice in a row.
    """
    place = str(connection.settings_dict["NAME"])
    kept = _coverage.get(place)
    if kept is None or not timedelta(0) <= now - kept[0] < COVERAGE_KEPT:
        found = ledger.price_coverage(start=now - LOOKED_AT, end=now)
        kept = _coverage[place] = (now, found)
    return kept[1]


def people_names() -> dict[str, str]:
    """How are the people called whom rules and proposals name by id?"""
    return {person.id: person.display_name for person in access.list_people()}


def _keeps(query: ViewQuery, line: ledger.PriceLine) -> bool:
    said = {
        "venue": line.key.venue,
        "source": line.source,
        "model": line.key.model,
        "region": line.key.region,
        "tier": str(line.key.tier),
    }
    for name, value in said.items():
        wanted = query.values_of(name)
        if wanted and value not in wanted:
            return False
        if value in query.values_of(name, Match.IS_NOT):
            return False
    return True
