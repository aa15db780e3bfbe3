"""Which rates of other currencies are in the books, how old, and who brought them?"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from ledger.models.fx import FxRateRow

STALE_AFTER = timedelta(days=7)
"""A newest rate older than this is shown as stale."""
LINES_MOST = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class FxLine:
    """What is one unit of `currency` worth in the ledger's currency from a date on?

    `in_force` says that no later word for the same date stands above it; `newest` that it is
    the latest date of its currency.
    """

    currency: str
    rate: str
    rate_date: date
    source: str
    evidence: str
    actor: str
    version: int
    recorded_at: datetime
    in_force: bool
    newest: bool
    stale: bool


def list_fx_rates(*, now: datetime, currency: str = "") -> tuple[FxLine, ...]:
    """Which rates were given? The newest date first, by currency."""
    rows = FxRateRow.objects.order_by("currency", "-rate_date", "-since_id", "-id")
    if currency:
        rows = rows.filter(currency=currency)
    lines: list[FxLine] = []
    newest: dict[str, date] = {}
    seen: dict[tuple[str, date], int] = {}
    for row in rows[:LINES_MOST]:
        place = (row.currency, row.rate_date)
        first = seen.setdefault(place, row.id) == row.id
        last = newest.setdefault(row.currency, row.rate_date) == row.rate_date
        age = now.date() - row.rate_date
        lines.append(
            FxLine(
                currency=row.currency,
                rate=row.rate,
                rate_date=row.rate_date,
                source=row.source,
                evidence=row.evidence,
                actor=row.actor,
                version=row.since_id,
                recorded_at=row.recorded_at,
                in_force=first,
                newest=first and last,
                stale=first and last and age > STALE_AFTER,
            )
        )
    return tuple(lines)
