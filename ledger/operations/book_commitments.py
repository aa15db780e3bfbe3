"""What is booked for a day of committed capacity? Its charge, divided into used and waste.

Each ended day is booked once: a `commitment` entry for each use case that drew on it, by the
tokens it drew, and one for the waste, which the owner of the commitment carries. Together they
are the charge to the nano. What was used beyond the capacity of an hour is bought on demand:
entries beside the charge, for each use case. Usage that comes late makes a later revision:
the differences, which leave the charge as it was. Runs by the clock, may run twice and stop
anywhere.
Source: product.md section 13; docs/algorithms/commitments.md.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from typing import Final
from uuid import UUID

from django.db import transaction

from ledger.core.allocation_mark import COMPONENT
from ledger.core.commitment import Line, Split, charge_of, split
from ledger.core.entry import Basis, Entry, Flag, Kind, pack_flags
from ledger.core.fx import FxRate, convert, latest
from ledger.core.revaluation import posting_instant
from ledger.models.commitment import CommitmentDay
from ledger.operations.commitment_draw import HOUR, DayDraw, Part, Who, draw_day, share
from ledger.operations.funnel import write
from ledger.operations.intern import Domain, intern
from ledger.operations.keep_exposure import Effect, Place, keep_exposure
from ledger.operations.offer_numbers import OfferNumbers, offer_numbers
from ledger.operations.put_document import put_document
from ledger.operations.write_price_version import lock_price_book
from ledger.queries.commitment_terms import CommitmentTerms, list_terms
from ledger.queries.ledgers import COMPANY_LEDGER, LedgerRow, ledger_of_company
from ledger.queries.periods import closed_until
from ledger.queries.prices import price_book
from o10.kernel import ids
from o10.kernel.money import Nanos
from o10.kernel.periods import day_start, zone_of

SETTLED_AFTER: Final = timedelta(hours=1)
"""A day is booked this long after it ended: calls settle within minutes."""
RECHECK_DAYS: Final = 3
"""Usage that comes later than so many days after its day leaves the split as it was."""
DAYS_AT_ONCE: Final = 800
_COMPONENT: Final[Mapping[Line, str]] = {
    Line.USED: "commitment_used",
    Line.WASTE: "commitment_waste",
    Line.ON_DEMAND: "direct",
}
"""To which part of fully loaded cost does each line belong?"""

PlaceOf = Callable[[str, str, datetime], Place]
"""To which use case and envelope does an owner (kind, slug) belong at an instant?"""


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
    """Days never booked, the newest ones again, and those that wait for an on-demand price."""
    zone = zone_of(booking.ledger.time_zone)
    first = min(each.start_at for each in versions).astimezone(zone).date()
    last = max(each.end_at for each in versions).astimezone(zone).date()
    ended = (booking.now - SETTLED_AFTER).astimezone(zone).date() - timedelta(days=1)
    last = min(last, ended)
    unpriced: dict[date, int] = {}
    for day, tokens in (
        CommitmentDay.objects.filter(public=public)
        .order_by("revision")
        .values_list("day", "beyond_unpriced")
    ):
        unpriced[day] = tokens
    span = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    again = ended - timedelta(days=RECHECK_DAYS)
    return [day for day in span if unpriced.get(day, 1) or day > again][:DAYS_AT_ONCE]


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


def _parts(versions: Sequence[CommitmentTerms], start: datetime, end: datetime) -> list[Part]:
    """Which terms hold from which instant for how many hours? The newest version wins."""
    found: list[Part] = []
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


def _write_day(parts: Sequence[Part], day: date, rate: FxRate | None, booking: _Booking) -> int:
    terms = parts[-1][0]
    drawn = draw_day(parts)
    stated = sum(
        charge_of(units=each.units, hourly_rate=each.hourly_rate_nanos, hours=hours)
        for each, _, hours in parts
    )
    charge = convert(stated, rate.rate) if rate is not None else stated
    parted = split(charge=charge, used=drawn.down.used, capacity=drawn.down.capacity)
    known = (
        CommitmentDay.objects.filter(public=terms.public, day=day).order_by("-revision").first()
    )
    if known is not None and _same(known, drawn, parted):
        return 0
    _append(_Day(terms, day, parts[0][1], rate, parted, drawn, known), booking)
    return 1


def _same(known: CommitmentDay, drawn: DayDraw, parted: Split) -> bool:
    """Was the same usage booked? A price that changed since is no reason to book it anew."""
    drew = {(int(row[0]), int(row[1])): int(row[2]) for row in known.used_by["by"]}
    said = (known.charge_nanos, known.used_tokens, known.beyond_tokens, known.beyond_unpriced)
    found = (parted.charge, drawn.down.used, drawn.down.beyond, drawn.unpriced)
    return said == found and drew == {who: drawn.tokens.get(who, 0) for who in _whos(drawn)}


def _whos(drawn: DayDraw) -> list[Who]:
    return sorted({*drawn.tokens, *drawn.beyond})


@dataclass(frozen=True, slots=True)
class _Day:
    terms: CommitmentTerms
    day: date
    start: datetime
    rate: FxRate | None
    parted: Split
    drawn: DayDraw
    known: CommitmentDay | None

    @property
    def revision(self) -> int:
        return self.known.revision + 1 if self.known is not None else 0

    def key(self, *more: object) -> str:
        return "/".join(map(str, (self.terms.public, self.day, self.revision, *more)))

    def booked(self, column: int) -> dict[Who, Nanos]:
        """What the revision before booked for each: used 3, on demand 4."""
        rows = self.known.used_by["by"] if self.known is not None else []
        return {(int(r[0]), int(r[1])): int(r[column]) if len(r) > column else 0 for r in rows}


def _append(day: _Day, booking: _Booking) -> None:
    terms, drawn, parted = day.terms, day.drawn, day.parted
    used = share(parted.used, drawn.tokens)
    line = _LineDraft(
        terms=terms,
        numbers=offer_numbers(key=terms.key, actor=booking.actor_id, now=booking.now),
        at=day.start,
        about=_about(day),
        booking=booking,
    )

    def run(uid: UUID) -> list[Entry]:
        drafts = [*_lines(day, line, used), _waste(day, line, uid)]
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

    said = f"{parted.charge} {drawn.down.used} {sorted(drawn.tokens.items())}"
    if drawn.down.beyond:
        said += f" {drawn.down.beyond} {drawn.unpriced} {sorted(drawn.beyond.items())}"
    written = write(
        ledger_id=booking.ledger.id,
        scope="commitment_day",
        key=day.key(),
        request_hash=sha256(said.encode()).digest(),
        run=run,
    )
    CommitmentDay.objects.create(
        public=terms.public,
        day=day.day,
        revision=day.revision,
        terms_version=terms.version,
        hours=drawn.down.hours,
        capacity_tokens=drawn.down.capacity,
        used_tokens=drawn.down.used,
        beyond_tokens=drawn.down.beyond,
        charge_nanos=parted.charge,
        used_nanos=parted.used,
        waste_nanos=parted.waste,
        beyond_nanos=sum(drawn.beyond.values()),
        beyond_unpriced=drawn.unpriced,
        used_by={
            "by": [
                [*who, drawn.tokens.get(who, 0), str(used.get(who, 0)), str(beyond)]
                for who in _whos(drawn)
                for beyond in (drawn.beyond.get(who, 0),)
            ],
            "hours": list(drawn.hours),
            "on_demand_nanos": str(drawn.on_demand),
            "priced": drawn.priced,
            "tokens": drawn.down.used + drawn.down.beyond,
        },
        fx_rate=day.rate.rate if day.rate is not None else "",
        fx_date=day.rate.rate_date if day.rate is not None else None,
        entry_uid=written.uid,
        recorded_at=booking.now,
    )


def _about(day: _Day) -> dict[str, object]:
    about: dict[str, object] = {
        "capacity_tokens": str(day.drawn.down.capacity),
        "charge_nanos": str(day.parted.charge),
        "commitment": day.terms.public,
        "day": day.day.isoformat(),
        "hours": day.drawn.down.hours,
        "revision": day.revision,
        "terms": day.terms.version,
        "used_tokens": str(day.drawn.down.used),
    }
    if day.rate is not None:
        about["fx"] = {
            "currency": day.rate.currency,
            "date": day.rate.rate_date.isoformat(),
            "rate": day.rate.rate,
        }
    return about


def _lines(day: _Day, line: "_LineDraft", used: Mapping[Who, Nanos]) -> Iterator[Entry]:
    """What was used and what was bought beyond, for each; against what was booked before."""
    for kind, scope, now, column in (
        (Line.USED, "commitment_used", used, 3),
        (Line.ON_DEMAND, "commitment_beyond", day.drawn.beyond, 4),
    ):
        before = day.booked(column)
        for who in sorted({*now, *before}):
            amount = now.get(who, 0) - before.get(who, 0)
            if amount:
                uid = ids.uid(scope=scope, key=day.key(*who), origin_ms=0)
                yield _entry(line, uid, who, amount, kind, day.drawn)


def _waste(day: _Day, line: "_LineDraft", uid: UUID) -> Entry:
    terms = day.terms
    owner = line.booking.place_of(terms.owner_kind, terms.owner_slug, day.start)
    waste = day.parted.waste - (day.known.waste_nanos if day.known is not None else 0)
    place = (owner.use_case_id, owner.envelope_id)
    return _entry(line, uid, place, waste, Line.WASTE, day.drawn, department=owner.department)


@dataclass(frozen=True, slots=True)
class _LineDraft:
    terms: CommitmentTerms
    numbers: OfferNumbers
    at: datetime
    about: Mapping[str, object]
    booking: _Booking


def _entry(
    line: _LineDraft,
    uid: UUID,
    who: Who,
    amount: Nanos,
    kind: Line,
    drawn: DayDraw,
    *,
    department: str = "",
) -> Entry:
    booking = line.booking
    at, prior = posting_instant(
        original_at=line.at, closed_until=booking.closed, now=booking.now
    )
    marks = Flag.UNGUARDED if amount > 0 else Flag(0)
    if prior:
        marks |= Flag.PRIOR_PERIOD
    about = {**line.about, "line": kind.value}
    is_beyond = kind is Line.ON_DEMAND
    if is_beyond:
        about |= {
            "beyond_tokens": str(drawn.down.beyond),
            "priced_by": drawn.source,
            "unpriced_tokens": str(drawn.unpriced),
        }
    return Entry(
        ledger_id=booking.ledger.id,
        kind=Kind.COMMITMENT,
        uid=uid,
        effective_at=at,
        recorded_at=booking.now,
        envelope_id=who[1],
        use_case_id=who[0],
        dims_id=_dims(kind, department, booking),
        offer_id=line.numbers.offer_id,
        venue_id=line.numbers.venue_id,
        model_id=line.numbers.model_id,
        actor_id=booking.actor_id,
        amount_nanos=amount,
        price_version=drawn.price_version if is_beyond else 0,
        flags=pack_flags(
            basis=Basis.ESTIMATED if is_beyond and drawn.guessed else Basis.MEASURED,
            marks=marks,
        ),
        doc=put_document(about, now=booking.now),
        ref=line.terms.public,
    )


def _dims(kind: Line, department: str, booking: _Booking) -> int:
    meaning: dict[str, object] = {COMPONENT: _COMPONENT[kind]}
    if department:
        meaning["department"] = department
    return intern(
        Domain.DIMS,
        meaning,
        ledger_id=booking.ledger.id,
        actor=booking.actor_id,
        now=booking.now,
    )
