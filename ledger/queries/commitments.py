"""Which capacity is committed, how far is it drawn, what was charged, what was wasted?"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.db import connection

from ledger.core.commitment import (
    Advice,
    Shift,
    accounting_price,
    advise,
    break_even_ppm,
    break_even_tokens,
    charge_of,
)
from ledger.core.entry import Kind
from ledger.core.fx import convert
from ledger.models.commitment import CommitmentDay
from ledger.queries.commitment_terms import CommitmentTerms, hours_ahead, list_terms
from ledger.queries.ledgers import COMPANY_LEDGER, ledger_of_company
from ledger.queries.priced_usage import offer_numbers_of
from ledger.queries.prices import price_book
from ledger.queries.registry import meanings_of, numbers_of
from ledger.queries.spend import SpendKey, position_of, sum_spend
from o10.kernel.errors import NotFound
from o10.kernel.money import Nanos, half_even
from o10.kernel.periods import day_start, zone_of

MILLION = 1_000_000
DAYS_SHOWN = 400
LOOKED_AT_DAYS = 30
_TOKENS = """
SELECT coalesce(sum(tok_in + tok_cache_read + tok_cache_write + tok_cache_write_1h + tok_out
    + tok_reasoning), 0)::bigint
FROM ledger_entry WHERE ledger_id = %s AND offer_id = %s AND kind = ANY(%s)
    AND effective_at >= %s AND effective_at < %s AND recorded_at >= %s
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class DayLine:
    """What was charged for one day, and how does it divide? Units: tokens; nanos of ours."""

    day: date
    revision: int
    hours: int
    capacity: int
    used: int
    beyond: int
    charge: Nanos
    used_nanos: Nanos
    waste: Nanos
    on_demand: Nanos
    priced: int
    hours_tokens: tuple[int, ...]
    by: Mapping[int, tuple[int, Nanos, Nanos]]
    beyond_nanos: Nanos = 0
    beyond_unpriced: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TermStand:
    """How far is the money of the whole term drawn, as an envelope would say it?

    Units: nanos of the ledger's currency. `total` is `charged` so far plus what the hours until
    the end will be charged (`left`); `waste` the part of `charged` nobody used. `left` is None
    while a charge in another currency has no rate.
    """

    charged: Nanos
    waste: Nanos
    left: Nanos | None
    hours: int
    hours_left: int

    @property
    def total(self) -> Nanos | None:
        """What is the whole term committed to?"""
        return None if self.left is None else self.charged + self.left


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitmentView:
    """How does a commitment stand?

    Units: nanos of the ledger's currency over the days booked in the last 30 (`days`, oldest
    first, may be more); `hour_used` tokens of the current hour; prices per million.
    `on_demand_price` is the blended price the same calls would have paid, None = not known.
    `beyond_nanos` is what was bought on demand beside the charge, `beyond_unpriced` the tokens
    of it without a price; `users` has by use case its tokens, its part of the charge and what
    it bought beyond.
    """

    terms: CommitmentTerms
    versions: tuple[CommitmentTerms, ...]
    days: tuple[DayLine, ...]
    hour_used: int
    capacity: int
    used: int
    beyond: int
    beyond_nanos: Nanos
    beyond_unpriced: int
    charge: Nanos
    used_nanos: Nanos
    waste: Nanos
    term: TermStand
    accounting_price: Nanos | None
    on_demand_price: Nanos | None
    break_even_tokens: int | None
    break_even_ppm: int | None
    advice: Advice
    users: Mapping[str, tuple[int, Nanos, Nanos]] = field(default_factory=dict)

    @property
    def hour_left(self) -> int:
        """How much of the current hour's capacity is left? Tokens."""
        return max(0, self.terms.capacity_an_hour - self.hour_used)


def list_commitments(*, now: datetime) -> tuple[CommitmentView, ...]:
    """How does every commitment stand? In order of their end, the next to end first."""
    newest: dict[str, CommitmentTerms] = {}
    for each in list_terms():
        known = newest.get(each.public)
        if known is None or each.version > known.version:
            newest[each.public] = each
    views = [get_commitment(public=public, now=now) for public in newest]
    return tuple(sorted(views, key=lambda view: (view.terms.end_at, view.terms.public)))


def get_commitment(*, public: str, now: datetime) -> CommitmentView:
    """How does this commitment stand?

    Raises: NotFound (`not_found`).
    """
    versions = tuple(
        sorted((t for t in list_terms() if t.public == public), key=lambda each: each.version)
    )
    if not versions:
        raise NotFound(kind="commitment", id=public)
    terms = versions[-1]
    days = list_days(public=public)
    recent = [each for each in days if each.day > now.date() - timedelta(LOOKED_AT_DAYS + 1)]
    sums = _Sums.of(recent)
    on_demand = half_even(sums.on_demand * MILLION, sums.priced) if sums.priced else None
    asked = [tokens for day in recent for tokens in day.hours_tokens]
    return CommitmentView(
        terms=terms,
        versions=versions,
        days=days,
        hour_used=_hour_used(terms, now),
        capacity=sums.capacity,
        used=sums.used,
        beyond=sums.beyond,
        beyond_nanos=sums.beyond_nanos,
        beyond_unpriced=sums.beyond_unpriced,
        charge=sums.charge,
        used_nanos=sums.used_nanos,
        waste=sums.waste,
        term=term_stand(versions=versions),
        accounting_price=accounting_price(charge=sums.charge, tokens=sums.used),
        on_demand_price=on_demand or None,
        break_even_tokens=break_even_tokens(charge=sums.charge, on_demand=on_demand or 0),
        break_even_ppm=break_even_ppm(
            charge=sums.charge, on_demand=on_demand or 0, capacity=sums.capacity
        ),
        advice=advise(
            units=terms.units,
            hourly_rate=_ours(terms, recent),
            tokens_an_hour_per_unit=terms.unit_tokens,
            tokens_by_hour=asked,
            on_demand=on_demand or None,
            candidates=_candidates(terms, recent, now),
        ),
        users=_users(recent),
    )


def term_stand(*, versions: Sequence[CommitmentTerms]) -> TermStand:
    """How far is the money of this commitment drawn? From start to end, all versions."""
    public = versions[0].public
    rows: dict[date, CommitmentDay] = {}
    for row in CommitmentDay.objects.filter(public=public).order_by("day", "revision"):
        rows[row.day] = row
    zone = zone_of(ledger_of_company().time_zone)
    booked_to = day_start(max(rows) + timedelta(days=1), zone) if rows else None
    left: Nanos | None = 0
    hours_left = 0
    for terms, hours in hours_ahead(versions=versions, since=booked_to):
        hours_left += hours
        stated = charge_of(units=terms.units, hourly_rate=terms.hourly_rate_nanos, hours=hours)
        ours = _in_ours(stated, terms.currency)
        left = None if left is None or ours is None else left + ours
    return TermStand(
        charged=sum(row.charge_nanos for row in rows.values()),
        waste=sum(row.waste_nanos for row in rows.values()),
        left=left,
        hours=sum(row.hours for row in rows.values()) + hours_left,
        hours_left=hours_left,
    )


def _in_ours(nanos: Nanos, currency: str) -> Nanos | None:
    if currency == ledger_of_company().currency:
        return nanos
    rates = price_book().fx.get(currency, ())
    return convert(nanos, rates[-1].rate) if rates else None


def list_days(*, public: str) -> tuple[DayLine, ...]:
    """What was charged for each day, by its newest revision? Oldest first, the newest 400."""
    rows: dict[date, CommitmentDay] = {}
    for row in CommitmentDay.objects.filter(public=public).order_by("day", "revision"):
        rows[row.day] = row
    return tuple(_day(rows[day]) for day in sorted(rows)[-DAYS_SHOWN:])


@dataclass(slots=True)
class _Sums:
    capacity: int = 0
    used: int = 0
    beyond: int = 0
    beyond_nanos: Nanos = 0
    beyond_unpriced: int = 0
    priced: int = 0
    charge: Nanos = 0
    used_nanos: Nanos = 0
    waste: Nanos = 0
    on_demand: Nanos = 0

    @classmethod
    def of(cls, days: Sequence[DayLine]) -> "_Sums":
        return cls(
            capacity=sum(day.capacity for day in days),
            used=sum(day.used for day in days),
            beyond=sum(day.beyond for day in days),
            beyond_nanos=sum(day.beyond_nanos for day in days),
            beyond_unpriced=sum(day.beyond_unpriced for day in days),
            priced=sum(day.priced for day in days),
            charge=sum(day.charge for day in days),
            used_nanos=sum(day.used_nanos for day in days),
            waste=sum(day.waste for day in days),
            on_demand=sum(day.on_demand for day in days),
        )


def _ours(terms: CommitmentTerms, days: Sequence[DayLine]) -> Nanos:
    """The hourly rate of one unit in the ledger's currency, as it was charged lately."""
    hours = sum(day.hours for day in days) * terms.units
    if not hours:
        return terms.hourly_rate_nanos
    return half_even(sum(day.charge for day in days), hours)


def _day(row: CommitmentDay) -> DayLine:
    said: Mapping[str, Any] = row.used_by
    by: dict[int, tuple[int, Nanos, Nanos]] = {}
    for use_case, _, tokens, nanos, *beyond in said["by"]:
        known = by.get(use_case, (0, 0, 0))
        by[use_case] = _plus(known, (tokens, int(nanos), int(beyond[0]) if beyond else 0))
    return DayLine(
        day=row.day,
        revision=row.revision,
        hours=row.hours,
        capacity=row.capacity_tokens,
        used=row.used_tokens,
        beyond=row.beyond_tokens,
        charge=row.charge_nanos,
        used_nanos=row.used_nanos,
        waste=row.waste_nanos,
        on_demand=int(said["on_demand_nanos"]),
        priced=int(said.get("priced", said["tokens"])),
        hours_tokens=tuple(said["hours"]),
        by=by,
        beyond_nanos=row.beyond_nanos,
        beyond_unpriced=row.beyond_unpriced,
    )


def _plus(
    one: tuple[int, Nanos, Nanos], other: tuple[int, Nanos, Nanos]
) -> tuple[int, Nanos, Nanos]:
    return one[0] + other[0], one[1] + other[1], one[2] + other[2]


def _hour_used(terms: CommitmentTerms, now: datetime) -> int:
    number = offer_numbers_of([terms.key]).get(terms.key)
    if number is None:
        return 0
    hour = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    with connection.cursor() as cursor:
        cursor.execute(
            _TOKENS,
            [
                COMPANY_LEDGER,
                number,
                [int(Kind.SETTLE), int(Kind.USAGE), int(Kind.REVERSAL)],
                hour,
                hour + timedelta(hours=1),
                hour - timedelta(minutes=10),
            ],
        )
        return max(0, int(cursor.fetchone()[0]))


def _users(days: Sequence[DayLine]) -> dict[str, tuple[int, Nanos, Nanos]]:
    sums: dict[int, tuple[int, Nanos, Nanos]] = defaultdict(lambda: (0, 0, 0))
    for day in days:
        for use_case, each in day.by.items():
            sums[use_case] = _plus(sums[use_case], each)
    names = meanings_of(domain="use_case", numbers=list(sums))
    return {
        str(names.get(number, {}).get("slug", "")): each
        for number, each in sorted(sums.items(), key=lambda item: -item[1][0])
    }


def _candidates(
    terms: CommitmentTerms, days: Sequence[DayLine], now: datetime
) -> tuple[Shift, ...]:
    """Who buys the same model on demand elsewhere? By tokens an hour and what they pay."""
    models = numbers_of(domain="model", field="slug", values=[terms.key.model])
    venues = numbers_of(domain="venue", field="slug", values=[terms.key.venue])
    if not models or not days:
        return ()
    company = ledger_of_company()
    spent = sum_spend(
        ledger_id=company.id,
        time_zone=company.time_zone,
        by=(SpendKey.USE_CASE, SpendKey.MODEL, SpendKey.VENUE),
        start=days[0].day,
        end=now.date(),
        as_of=position_of(ledger_id=company.id).seq,
    )
    hours = max(1, (now.date() - days[0].day).days * 24)
    found: dict[int, tuple[int, Nanos]] = defaultdict(lambda: (0, 0))
    for row in spent:
        use_case, model, venue = (int(str(key)) for key in row.keys)
        if model != models[terms.key.model] or venue == venues.get(terms.key.venue):
            continue
        known = found[use_case]
        found[use_case] = (known[0] + row.tokens, known[1] + row.spent)
    names = meanings_of(domain="use_case", numbers=list(found))
    return tuple(
        Shift(str(names.get(number, {}).get("slug", "")), tokens // hours, nanos)
        for number, (tokens, nanos) in found.items()
        if number
    )
