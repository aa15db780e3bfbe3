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
)
from ledger.core.entry import Kind
from ledger.core.price_terms import OfferKey
from ledger.models.commitment import CommitmentDay, CommitmentRow
from ledger.queries.ledgers import COMPANY_LEDGER, ledger_of_company
from ledger.queries.priced_usage import offer_numbers_of
from ledger.queries.registry import meanings_of, numbers_of
from ledger.queries.spend import SpendKey, position_of, sum_spend
from o10.kernel.errors import NotFound
from o10.kernel.money import Nanos, half_even

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
class CommitmentTerms:
    """What was agreed, in the version in force? Units as `CommitmentDraft`."""

    public: str
    version: int
    name: str
    key: OfferKey
    units: int
    hourly_rate_nanos: Nanos
    currency: str
    unit_tokens: int
    term: str
    start_at: datetime
    end_at: datetime
    notice_date: date
    owner_kind: str
    owner_slug: str
    beyond: str
    evidence: str
    requested_by: str
    approved_by: str

    @property
    def capacity_an_hour(self) -> int:
        """How many tokens do all units serve in an hour?"""
        return self.units * self.unit_tokens


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
    tokens: int
    hours_tokens: tuple[int, ...]
    by: Mapping[int, tuple[int, Nanos]]


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitmentView:
    """How does a commitment stand?

    Units: nanos of the ledger's currency over the days booked in the last 30 (`days`, oldest
    first, may be more); `hour_used` tokens of the current hour; prices per million.
    `on_demand_price` is the blended price the same calls would have paid, None = not known.
    """

    terms: CommitmentTerms
    versions: tuple[CommitmentTerms, ...]
    days: tuple[DayLine, ...]
    hour_used: int
    capacity: int
    used: int
    beyond: int
    tokens: int
    charge: Nanos
    used_nanos: Nanos
    waste: Nanos
    accounting_price: Nanos | None
    on_demand_price: Nanos | None
    break_even_tokens: int | None
    break_even_ppm: int | None
    advice: Advice
    users: Mapping[str, tuple[int, Nanos]] = field(default_factory=dict)

    @property
    def hour_left(self) -> int:
        """How much of the current hour's capacity is left? Tokens."""
        return max(0, self.terms.capacity_an_hour - self.hour_used)


def terms_of(*, public: str, at: datetime | None = None) -> CommitmentTerms:
    """Which terms has this commitment: the newest, or those in force at an instant?

    Raises: NotFound (`not_found`).
    """
    versions = [each for each in _terms() if each.public == public]
    held = [each for each in versions if at is None or each.start_at <= at]
    if not held:
        raise NotFound(kind="commitment", id=public)
    return max(held, key=lambda each: each.version)


def list_terms() -> tuple[CommitmentTerms, ...]:
    """Which versions of which commitments are there? By start, then version."""
    return tuple(sorted(_terms(), key=lambda each: (each.start_at, each.public, each.version)))


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
        sorted((t for t in _terms() if t.public == public), key=lambda each: each.version)
    )
    if not versions:
        raise NotFound(kind="commitment", id=public)
    terms = versions[-1]
    days = list_days(public=public)
    recent = [each for each in days if each.day > now.date() - timedelta(LOOKED_AT_DAYS + 1)]
    sums = _Sums.of(recent)
    on_demand = half_even(sums.on_demand * MILLION, sums.tokens) if sums.tokens else None
    asked = [tokens for day in recent for tokens in day.hours_tokens]
    return CommitmentView(
        terms=terms,
        versions=versions,
        days=days,
        hour_used=_hour_used(terms, now),
        capacity=sums.capacity,
        used=sums.used,
        beyond=sums.beyond,
        tokens=sums.tokens,
        charge=sums.charge,
        used_nanos=sums.used_nanos,
        waste=sums.waste,
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
    tokens: int = 0
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
            tokens=sum(day.tokens for day in days),
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


def _terms() -> list[CommitmentTerms]:
    return [
        CommitmentTerms(
            public=row.public,
            version=row.version,
            name=row.name,
            key=OfferKey(row.venue, row.model, row.region),
            units=row.units,
            hourly_rate_nanos=row.hourly_rate_nanos,
            currency=row.currency,
            unit_tokens=row.unit_tokens,
            term=row.term,
            start_at=row.start_at,
            end_at=row.end_at,
            notice_date=row.notice_date,
            owner_kind=row.owner_kind,
            owner_slug=row.owner_slug,
            beyond=row.beyond,
            evidence=row.evidence,
            requested_by=row.requested_by,
            approved_by=row.approved_by,
        )
        for row in CommitmentRow.objects.all()
    ]


def _day(row: CommitmentDay) -> DayLine:
    said: Mapping[str, Any] = row.used_by
    by: dict[int, tuple[int, Nanos]] = {}
    for use_case, _, tokens, nanos in said["by"]:
        known = by.get(use_case, (0, 0))
        by[use_case] = (known[0] + tokens, known[1] + int(nanos))
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
        tokens=int(said["tokens"]),
        hours_tokens=tuple(said["hours"]),
        by=by,
    )


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


def _users(days: Sequence[DayLine]) -> dict[str, tuple[int, Nanos]]:
    sums: dict[int, tuple[int, Nanos]] = defaultdict(lambda: (0, 0))
    for day in days:
        for use_case, (tokens, nanos) in day.by.items():
            known = sums[use_case]
            sums[use_case] = (known[0] + tokens, known[1] + nanos)
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
