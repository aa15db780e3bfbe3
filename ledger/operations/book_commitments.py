"""What is booked for a day of committed capacity? Its charge, divided into used and waste.

Each ended day is booked once: a `commitment` entry for each use case that drew on it, by the
tokens it drew, and one for the waste, which the owner of the commitment carries. Together they
are the charge to the nano. Usage that comes late makes a later revision: the differences, whose
sum is 0. Runs by the clock, may run twice and stop anywhere.
Source: product.md section 13; docs/algorithms/commitments.md.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from typing import Final
from uuid import UUID

from django.db import transaction

from ledger.core.commitment import Drawdown, Line, Split, charge_of, draw, share_out, split
from ledger.core.entry import Entry, Flag, Kind, pack_flags
from ledger.core.fx import FxRate, convert, latest
from ledger.core.price_effect import cost_at
from ledger.core.price_terms import GLOBAL, OfferKey, PriceRule, PriceSource
from ledger.core.pricing import Offer, PriceBook, compile_book, find_rates
from ledger.core.revaluation import posting_instant
from ledger.models.commitment import CommitmentDay
from ledger.operations.funnel import write
from ledger.operations.intern import Domain, intern
from ledger.operations.keep_exposure import Effect, Place, keep_exposure
from ledger.operations.offer_numbers import OfferNumbers, offer_numbers
from ledger.operations.put_document import put_document
from ledger.operations.write_price_version import lock_price_book
from ledger.queries.commitments import CommitmentTerms, list_terms
from ledger.queries.ledgers import COMPANY_LEDGER, LedgerRow, ledger_of_company
from ledger.queries.periods import closed_until
from ledger.queries.priced_usage import stream_priced_usage
from ledger.queries.prices import price_book
from o10.kernel import ids
from o10.kernel.money import Nanos
from o10.kernel.periods import day_start, zone_of

SETTLED_AFTER: Final = timedelta(hours=1)
"""A day is booked this long after it ended: calls settle within minutes."""
RECHECK_DAYS: Final = 3
"""Usage that comes later than so many days after its day leaves the split as it was."""
DAYS_AT_ONCE: Final = 800
HOUR: Final = timedelta(hours=1)

PlaceOf = Callable[[str, str, datetime], Place]
"""To which use case and envelope does an owner (kind, slug) belong at an instant?"""
_Who = tuple[int, int]
_Rules = tuple[PriceRule, ...]


@dataclass(slots=True)
class _Drawn:
    """Who drew how much in which hour of a day? Units: tokens; nanos on demand."""

    hours: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    by: dict[tuple[int, _Who], int] = field(default_factory=lambda: defaultdict(int))
    on_demand: Nanos = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Booking:
    ledger: LedgerRow
    place_of: PlaceOf
    actor_id: int
    closed: datetime | None
    now: datetime


def book_commitments(
    *,
    place_of: PlaceOf,
    actor: str,
    now: datetime,
    ledger_id: int = COMPANY_LEDGER,
) -> int:
    """How many days of commitments were booked or restated?

    Every day that ended an hour ago or more, of every commitment, from its start to its end.
    Locks: the price book for each day, so that two workers book one after the other.
    """
    company = ledger_of_company()
    with transaction.atomic():
        number = intern(Domain.ACTOR, {"id": actor}, ledger_id=ledger_id, actor=0, now=now)
    booking = _Booking(
        ledger=company,
        place_of=place_of,
        actor_id=number,
        closed=closed_until(ledger_id=ledger_id),
        now=now,
    )
    versions: dict[str, list[CommitmentTerms]] = defaultdict(list)
    for terms in list_terms():
        versions[terms.public].append(terms)
    booked = 0
    for public, each in versions.items():
        booked += sum(_book_day(each, day, booking) for day in _due(public, each, booking))
    return booked


def _due(public: str, versions: Sequence[CommitmentTerms], booking: _Booking) -> list[date]:
    """Days never booked, and the newest ones again."""
    zone = zone_of(booking.ledger.time_zone)
    first = min(each.start_at for each in versions).astimezone(zone).date()
    last = max(each.end_at for each in versions).astimezone(zone).date()
    ended = (booking.now - SETTLED_AFTER).astimezone(zone).date() - timedelta(days=1)
    last = min(last, ended)
    known = set(
        CommitmentDay.objects.filter(public=public).values_list("day", flat=True).distinct()
    )
    span = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    again = ended - timedelta(days=RECHECK_DAYS)
    return [day for day in span if day not in known or day > again][:DAYS_AT_ONCE]


def _book_day(versions: Sequence[CommitmentTerms], day: date, booking: _Booking) -> int:
    zone = zone_of(booking.ledger.time_zone)
    start, end = day_start(day, zone), day_start(day + timedelta(days=1), zone)
    parts = _parts(versions, start, end)
    if not parts:
        return 0
    rate = _rate(parts[0][0], day, booking.ledger.currency)
    if rate is None and parts[0][0].currency != booking.ledger.currency:
        return 0
    with transaction.atomic():
        lock_price_book()
        return _write_day(parts, day, rate, booking)


def _parts(
    versions: Sequence[CommitmentTerms], start: datetime, end: datetime
) -> list[tuple[CommitmentTerms, datetime, int]]:
    """Which terms hold from which instant for how many hours? The newest version wins."""
    found: list[tuple[CommitmentTerms, datetime, int]] = []
    hour = start
    while hour < end:
        holding = [each for each in versions if each.start_at <= hour < each.end_at]
        if holding:
            terms = max(holding, key=lambda each: each.version)
            if found and found[-1][0] == terms:
                found[-1] = (terms, found[-1][1], found[-1][2] + 1)
            else:
                found.append((terms, hour, 1))
        hour = (hour.astimezone(UTC) + HOUR).astimezone(start.tzinfo)
    return found


def _rate(terms: CommitmentTerms, day: date, ours: str) -> FxRate | None:
    if terms.currency == ours:
        return None
    return latest(price_book().fx.get(terms.currency, ()), on=day)


def _write_day(
    parts: Sequence[tuple[CommitmentTerms, datetime, int]],
    day: date,
    rate: FxRate | None,
    booking: _Booking,
) -> int:
    terms = parts[-1][0]
    drawn = [_drawn(each, start, hours) for each, start, hours in parts]
    down = [
        draw(tokens_by_hour=found.hours, hours=hours, capacity_an_hour=each.capacity_an_hour)
        for (each, _, hours), found in zip(parts, drawn, strict=True)
    ]
    whole = Drawdown(
        sum(each.hours for each in down),
        sum(each.capacity for each in down),
        sum(each.used for each in down),
        sum(each.beyond for each in down),
    )
    stated = sum(
        charge_of(units=each.units, hourly_rate=each.hourly_rate_nanos, hours=hours)
        for each, _, hours in parts
    )
    charge = convert(stated, rate.rate) if rate is not None else stated
    parted = split(charge=charge, used=whole.used, capacity=whole.capacity)
    weights = _weights(parts, drawn)
    known = (
        CommitmentDay.objects.filter(public=terms.public, day=day).order_by("-revision").first()
    )
    if known is not None and _same(known, whole, parted, weights):
        return 0
    _append(terms, day, rate, parted, whole, weights, drawn, parts, known, booking)
    return 1


def _same(
    known: CommitmentDay, whole: Drawdown, parted: Split, weights: Mapping[_Who, int]
) -> bool:
    drew = {(int(row[0]), int(row[1])): int(row[2]) for row in known.used_by["by"]}
    return (known.charge_nanos, known.used_tokens, drew) == (
        parted.charge,
        whole.used,
        dict(weights),
    )


def _append(
    terms: CommitmentTerms,
    day: date,
    rate: FxRate | None,
    parted: Split,
    whole: Drawdown,
    weights: Mapping[_Who, int],
    drawn: Sequence[_Drawn],
    parts: Sequence[tuple[CommitmentTerms, datetime, int]],
    known: CommitmentDay | None,
    booking: _Booking,
) -> None:
    revision = known.revision + 1 if known is not None else 0
    numbers = offer_numbers(key=terms.key, actor=booking.actor_id, now=booking.now)
    owner = booking.place_of(terms.owner_kind, terms.owner_slug, parts[0][1])
    shares = _share(parted.used, weights)
    before = (
        {}
        if known is None
        else {(int(row[0]), int(row[1])): int(row[3]) for row in known.used_by["by"]}
    )
    used = {who: shares.get(who, 0) - before.get(who, 0) for who in sorted({*shares, *before})}
    waste = parted.waste - (known.waste_nanos if known is not None else 0)
    about = {
        "capacity_tokens": str(whole.capacity),
        "charge_nanos": str(parted.charge),
        "commitment": terms.public,
        "day": day.isoformat(),
        "hours": whole.hours,
        "revision": revision,
        "terms": terms.version,
        "used_tokens": str(whole.used),
        **(
            {
                "fx": {
                    "currency": rate.currency,
                    "date": rate.rate_date.isoformat(),
                    "rate": rate.rate,
                }
            }
            if rate is not None
            else {}
        ),
    }
    line = _LineDraft(terms, numbers, parts[0][1], about, booking)

    def run(uid: UUID) -> list[Entry]:
        drafts = [
            _entry(
                line,
                ids.uid(
                    scope="commitment_used",
                    key=f"{terms.public}/{day}/{revision}/{who[0]}/{who[1]}",
                    origin_ms=0,
                ),
                who,
                amount,
                Line.USED,
            )
            for who, amount in used.items()
            if amount
        ]
        place = (owner.use_case_id, owner.envelope_id)
        drafts.append(_entry(line, uid, place, waste, Line.WASTE))
        versions = keep_exposure(
            [
                Effect(
                    envelope_id=each.envelope_id,
                    effective_at=each.effective_at,
                    amount_nanos=each.amount_nanos,
                    unguarded_nanos=max(0, each.amount_nanos),
                )
                for each in drafts
            ]
        )
        return [
            replace(each, env_version=version)
            for each, version in zip(drafts, versions, strict=True)
        ]

    said = f"{parted.charge} {whole.used} {sorted(weights.items())}"
    written = write(
        ledger_id=booking.ledger.id,
        scope="commitment_day",
        key=f"{terms.public}/{day}/{revision}",
        request_hash=sha256(said.encode()).digest(),
        run=run,
    )
    CommitmentDay.objects.create(
        public=terms.public,
        day=day,
        revision=revision,
        terms_version=terms.version,
        hours=whole.hours,
        capacity_tokens=whole.capacity,
        used_tokens=whole.used,
        beyond_tokens=whole.beyond,
        charge_nanos=parted.charge,
        used_nanos=parted.used,
        waste_nanos=parted.waste,
        used_by={
            "by": [[who[0], who[1], weights[who], str(shares[who])] for who in sorted(shares)],
            "hours": _hours(drawn, parts),
            "on_demand_nanos": str(sum(each.on_demand for each in drawn)),
            "tokens": whole.used + whole.beyond,
        },
        fx_rate=rate.rate if rate is not None else "",
        fx_date=rate.rate_date if rate is not None else None,
        entry_uid=written.uid,
        recorded_at=booking.now,
    )


@dataclass(frozen=True, slots=True)
class _LineDraft:
    terms: CommitmentTerms
    numbers: OfferNumbers
    at: datetime
    about: Mapping[str, object]
    booking: _Booking


def _entry(line: _LineDraft, uid: UUID, who: _Who, amount: Nanos, kind: Line) -> Entry:
    at, prior = posting_instant(
        original_at=line.at, closed_until=line.booking.closed, now=line.booking.now
    )
    marks = Flag.UNGUARDED if amount > 0 else Flag(0)
    if prior:
        marks |= Flag.PRIOR_PERIOD
    return Entry(
        ledger_id=line.booking.ledger.id,
        kind=Kind.COMMITMENT,
        uid=uid,
        effective_at=at,
        recorded_at=line.booking.now,
        envelope_id=who[1],
        use_case_id=who[0],
        offer_id=line.numbers.offer_id,
        venue_id=line.numbers.venue_id,
        model_id=line.numbers.model_id,
        actor_id=line.booking.actor_id,
        amount_nanos=amount,
        flags=pack_flags(marks=marks),
        doc=put_document({**line.about, "line": kind.value}, now=line.booking.now),
        ref=line.terms.public,
    )


def _drawn(terms: CommitmentTerms, start: datetime, hours: int) -> _Drawn:
    """Which tokens of all classes were used in which hour, by whom, at which list cost?"""
    found = _Drawn()
    on_demand = _on_demand_book(terms)
    end = start.astimezone(UTC) + hours * HOUR
    for entry in stream_priced_usage(offers=[terms.key], start=start, end=end):
        tokens = entry.usage.total_input + entry.usage.total_output
        if entry.use is None or not tokens or entry.edge:
            continue
        hour = int((entry.at - start) / HOUR)
        found.hours[hour] += tokens
        found.by[hour, (entry.use_case_id, entry.envelope_id)] += tokens
        found.on_demand += cost_at(entry.use, book=on_demand, at=entry.at) or 0
    return found


def _on_demand_book(terms: CommitmentTerms) -> PriceBook:
    """Which book says what the same calls cost on demand? List prices of the model alone.

    At the same venue where it is listed there, else at the venue that sells it cheapest.
    """
    state = price_book()
    listed = {
        key: tuple(rule for rule in offer.rules if rule.source is PriceSource.LIST)
        for key, offer in state.book.offers.items()
        if key.model == terms.key.model and key.tier == terms.key.tier
    }
    here = listed.get(terms.key) or listed.get(replace(terms.key, region=GLOBAL))
    rules = here or _cheapest(listed, terms.start_at)
    offer = Offer(key=terms.key, rules=rules)
    return compile_book(version=state.version, digest=bytes(32), offers=[offer])


def _cheapest(listed: Mapping[OfferKey, tuple[PriceRule, ...]], at: datetime) -> _Rules:
    priced = []
    for key, rules in listed.items():
        book = compile_book(
            version=1, digest=bytes(32), offers=[Offer(key=key, rules=rules)] if rules else []
        )
        rated = find_rates(book, key=key, at=at, total_input_tokens=0) if rules else None
        if rated is not None:
            costs = sorted(rated.rates.per_million.values())
            priced.append((sum(costs), key.slug, rules))
    return min(priced, key=lambda each: each[:2])[2] if priced else ()


def _weights(
    parts: Sequence[tuple[CommitmentTerms, datetime, int]], drawn: Sequence[_Drawn]
) -> dict[_Who, int]:
    """How many tokens within the capacity did each draw? In a full hour by what they asked."""
    sums: dict[_Who, int] = defaultdict(int)
    for (terms, _, _), found in zip(parts, drawn, strict=True):
        by_hour: dict[int, dict[_Who, int]] = defaultdict(dict)
        for (hour, who), tokens in found.by.items():
            by_hour[hour][who] = tokens
        for hour, asked in by_hour.items():
            inside = min(found.hours[hour], terms.capacity_an_hour)
            for who, tokens in _share(inside, asked).items():
                sums[who] += tokens
    return dict(sums)


def _share(amount: int, weights: Mapping[_Who, int]) -> dict[_Who, int]:
    """Largest remainder over (use case, envelope); equal remainders by number."""
    names = {f"{who[0]:012d}/{who[1]:012d}": who for who in weights}
    parts = share_out(amount, {name: weights[who] for name, who in names.items()})
    return {names[name]: part for name, part in parts.items()}


def _hours(
    drawn: Sequence[_Drawn], parts: Sequence[tuple[CommitmentTerms, datetime, int]]
) -> list[int]:
    return [
        found.hours.get(hour, 0)
        for (_, _, hours), found in zip(parts, drawn, strict=True)
        for hour in range(hours)
    ]
