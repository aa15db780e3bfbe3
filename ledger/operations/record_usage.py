"""How does spend get in that nobody asked about first? In bulk, once for each (source, id).

Every record becomes one entry of kind `usage`, priced at its own instant. No price is never
zero silently: the amount is 0, the basis `estimated`, and price coverage shows it. The whole
call is one transaction: all records that are new are booked, or none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

import msgspec
from django.db import connection, transaction

from ledger.core.entry import Basis, Entry, Finish, Flag, Kind, Purpose, pack_flags
from ledger.core.offer_names import ModelUnknown
from ledger.core.pricing import RatedOffer, price_usage
from ledger.operations import append as rows
from ledger.operations.intern import Domain, intern
from ledger.operations.keep_exposure import (
    Effect,
    Place,
    PlaceQuery,
    find_places,
    keep_exposure,
)
from ledger.operations.offer_numbers import OfferNumbers, offer_numbers
from ledger.operations.put_document import put_document
from ledger.queries.ledgers import LedgerRow, ledger_of_company
from ledger.queries.prices import PriceState, price_book, rates_for, served_tier
from o10.access.keys import Caller
from o10.kernel import ids
from o10.kernel.errors import FieldError, IdempotencyMismatch, ValidationFailed
from o10.kernel.money import ceil_div
from o10.kernel.rates import CostLines, UnknownPrice
from o10.kernel.usage import TokenClass, Usage
from o10.wire.facts import UsageRecord
from o10.wire.requests import CacheHit

FUTURE_MAX: Final = timedelta(minutes=5)
MISMATCHES_NAMED: Final = 100
CENT_NANOS: Final = 10_000_000
_ENCODER: Final = msgspec.json.Encoder(order="deterministic")
_COLUMN_OF: Final[Mapping[TokenClass, str]] = {
    TokenClass.INPUT: "tok_in",
    TokenClass.CACHE_READ: "tok_cache_read",
    TokenClass.CACHE_WRITE_5M: "tok_cache_write",
    TokenClass.CACHE_WRITE_1H: "tok_cache_write_1h",
    TokenClass.OUTPUT: "tok_out",
    TokenClass.REASONING: "tok_reasoning",
}
"""Classes with a column of their own; the others stand in the entry's document."""


@dataclass(frozen=True, slots=True)
class UsageResult:
    """What became of a record? `replayed`: it was there before; `priced`: it had a price."""

    id: str
    source: str
    uid: UUID
    entry_id: str
    replayed: bool
    amount_nanos: int
    priced: bool


@dataclass(frozen=True, slots=True)
class UsageReport:
    """What became of the records, in the order sent?"""

    items: tuple[UsageResult, ...]
    recorded: int
    replayed: int
    unpriced: int


@dataclass(frozen=True, slots=True)
class _Booking:
    """What all records of one call share."""

    ledger: LedgerRow
    caller: Caller
    actor_id: int
    book: PriceState
    closed_until: datetime | None
    now: datetime


def record_usage(
    *, records: Sequence[UsageRecord], caller: Caller, now: datetime
) -> UsageReport:
    """What was booked for these usage records? Idempotent by (source, id) of each.

    Raises: IdempotencyMismatch (`idempotency_mismatch`) with a pointer for each record whose
    key was used with other content; ValidationFailed (`validation_failed`) for usage later than
    now; ExposureUnkept (`unavailable`). Nothing is written then.
    Locks: the keys in ascending order, then what the exposure keeper locks.
    """
    _check_instants(records, now)
    ledger = ledger_of_company()
    uids = [ids.uid(scope="usage", key=record.key, origin_ms=0) for record in records]
    asked = {
        uid: sha256(_ENCODER.encode(record)).digest()
        for uid, record in zip(reversed(uids), reversed(records), strict=True)
    }
    with transaction.atomic():
        ours, taken = rows.claim(ledger_id=ledger.id, hashes=asked)
        _check_hashes(uids, records, asked, taken)
        fresh = {uid: record for uid, record in zip(uids, records, strict=True) if uid in ours}
        drafts = _drafts(fresh, ledger=ledger, caller=caller, now=now) if fresh else {}
        rows.append(list(drafts.values()), claimed=ours)
        known = _amounts(ledger.id, list(taken))
    return _report(uids, records, drafts=drafts, known=known)


def _check_instants(records: Sequence[UsageRecord], now: datetime) -> None:
    late = [
        FieldError(f"/{place}/at", "in_the_future", "Usage lies at most 5 minutes ahead.")
        for place, record in enumerate(records)
        if record.at > now + FUTURE_MAX
    ]
    if late:
        raise ValidationFailed(errors=late[:MISMATCHES_NAMED])


def _check_hashes(
    uids: Sequence[UUID],
    records: Sequence[UsageRecord],
    asked: Mapping[UUID, bytes],
    taken: Mapping[UUID, bytes],
) -> None:
    wrong = [
        FieldError(f"/{place}", "idempotency_mismatch", "Recorded before with other content.")
        for place, uid in enumerate(uids)
        if (uid in taken and taken[uid] != asked[uid])
        or sha256(_ENCODER.encode(records[place])).digest() != asked[uid]
    ]
    if wrong:
        raise IdempotencyMismatch(scope="usage", errors=wrong[:MISMATCHES_NAMED])


def _drafts(
    fresh: Mapping[UUID, UsageRecord], *, ledger: LedgerRow, caller: Caller, now: datetime
) -> dict[UUID, Entry]:
    # Everything that may write to the registry comes before balances are locked.
    actor = intern(Domain.ACTOR, {"id": caller.actor}, ledger_id=ledger.id, actor=0, now=now)
    booking = _Booking(
        ledger=ledger,
        caller=caller,
        actor_id=actor,
        book=price_book(),
        closed_until=_closed_until(ledger.id),
        now=now,
    )
    places = find_places(
        [
            PlaceQuery(
                use_case=record.use_case,
                environment=record.environment,
                customer=record.customer,
                run_id=record.run_id,
                at=record.at,
            )
            for record in fresh.values()
        ]
    )
    drafts = [
        _draft(uid, record, place, booking)
        for (uid, record), place in zip(fresh.items(), places, strict=True)
    ]
    versions = keep_exposure(
        [
            Effect(
                envelope_id=draft.envelope_id,
                effective_at=draft.effective_at,
                amount_nanos=draft.amount_nanos,
                unguarded_nanos=draft.amount_nanos,
            )
            for draft in drafts
        ]
    )
    return {
        draft.uid: replace(draft, env_version=version) if version else draft
        for draft, version in zip(drafts, versions, strict=True)
    }


def _draft(uid: UUID, record: UsageRecord, place: Place, booking: _Booking) -> Entry:
    counted = record.disjoint()
    usage = counted.usage if record.cache is not CacheHit.EDGE else Usage()
    rated, numbers = _offer(record, usage, booking)
    cost = _cost(usage, rated, booking.ledger.currency)
    amount = cost.total_nanos if cost is not None else 0
    marks = Flag.UNGUARDED if amount else Flag(0)
    if not counted.consistent:
        marks |= Flag.USAGE_INCONSISTENT
    if record.cache is CacheHit.EDGE:
        marks |= Flag.EDGE_CACHE_HIT
    if booking.closed_until is not None and record.at < booking.closed_until:
        marks |= Flag.PRIOR_PERIOD
    if _provider_differs(record, amount, booking.ledger.currency):
        marks |= Flag.PROVIDER_COST_DIFFERS
    return Entry(
        ledger_id=booking.ledger.id,
        kind=Kind.USAGE,
        uid=uid,
        effective_at=record.at.astimezone(UTC),
        recorded_at=booking.now,
        envelope_id=place.envelope_id,
        use_case_id=place.use_case_id,
        dims_id=_dims(record, place, booking),
        offer_id=numbers.offer_id,
        venue_id=numbers.venue_id,
        model_id=numbers.model_id,
        actor_id=booking.actor_id,
        amount_nanos=amount,
        n=record.calls,
        **{column: usage.of(token_class) for token_class, column in _COLUMN_OF.items()},
        latency_ms=record.latency_ms or 0,
        price_version=rated.price_version if rated is not None and cost is not None else 0,
        parent=_run(record),
        attempt=record.attempt,
        flags=pack_flags(
            basis=Basis.MEASURED if cost is not None else Basis.ESTIMATED,
            purpose=Purpose[record.purpose.name],
            finish=Finish[record.status.name],
            marks=marks,
        ),
        doc=_document(record, usage, cost, booking.now),
        ref=record.provider_request_id or "",
    )


def _offer(
    record: UsageRecord, usage: Usage, booking: _Booking
) -> tuple[RatedOffer | None, OfferNumbers]:
    """Which offer served it? A model that is in no offer keeps its name as it was sent."""
    try:
        rated = rates_for(
            venue=record.venue,
            model=record.model,
            region=record.region,
            tier=served_tier(record.service_tier) if record.service_tier else None,
            at=record.at,
            # Thresholds are per call; an aggregate stands for calls of its average size.
            total_input_tokens=ceil_div(usage.total_input, record.calls),
            book=booking.book,
        )
    except ModelUnknown:
        rated = None
    about = {"ledger_id": booking.ledger.id, "actor": booking.actor_id, "now": booking.now}
    if rated is not None:
        return rated, offer_numbers(key=rated.key, **about)
    venue = intern(Domain.VENUE, {"slug": record.venue}, **about) if record.venue else 0
    model = intern(Domain.MODEL, {"slug": record.model}, **about)
    return None, OfferNumbers(offer_id=0, venue_id=venue, model_id=model)


def _cost(usage: Usage, rated: RatedOffer | None, currency: str) -> CostLines | None:
    """What does it cost, or None when somebody still has to say so?"""
    if not any(quantity for _, quantity in usage.items()):
        return CostLines(currency, (), 0)
    if rated is None or rated.rates.currency != currency:
        return None
    try:
        return price_usage(usage, rated)
    except UnknownPrice:
        return None


def _provider_differs(record: UsageRecord, amount: int, currency: str) -> int:
    """By more than 1 % and more than 1 cent, in the same currency?"""
    stated = record.provider_cost
    if stated is None or stated.currency != currency:
        return 0
    gap = abs(stated.nanos - amount)
    return int(gap > max(CENT_NANOS, abs(amount) // 100))


def _dims(record: UsageRecord, place: Place, booking: _Booking) -> int:
    stated = {
        "department": place.department,
        "key": booking.caller.key_id if booking.caller.key_id.startswith("key_") else "",
        "environment": record.environment,
        "customer": record.customer,
        "task_type": record.task_type,
        "step_kind": record.step_kind,
        "prompt_version": record.prompt_version,
        "tags": dict(record.tags),
    }
    meaning: dict[str, object] = {name: value for name, value in stated.items() if value}
    if not meaning:
        return 0
    return intern(
        Domain.DIMS,
        meaning,
        ledger_id=booking.ledger.id,
        actor=booking.actor_id,
        now=booking.now,
    )


def _run(record: UsageRecord) -> UUID:
    if not record.run_id:
        return UUID(int=0)
    return ids.uid(scope="run", key=record.run_id, origin_ms=0)


def _document(
    record: UsageRecord, usage: Usage, cost: CostLines | None, now: datetime
) -> bytes:
    """What has no column: other token classes with their amounts, the provider's own figure."""
    body: dict[str, Any] = {}
    others = {
        token_class: quantity
        for token_class, quantity in usage.items()
        if quantity and token_class not in _COLUMN_OF and token_class is not TokenClass.REQUEST
    }
    if others:
        lines = cost.lines if cost is not None else ()
        body["classes"] = [
            {
                "class": token_class.value,
                "quantity": quantity,
                "amount_nanos": sum(
                    line.nanos for line in lines if line.token_class == token_class
                ),
            }
            for token_class, quantity in others.items()
        ]
    if record.provider_cost is not None:
        body["provider_cost"] = {
            "amount": record.provider_cost.amount,
            "currency": record.provider_cost.currency,
        }
    if record.outcome is not None:
        body["outcome"] = {
            "id": record.outcome.id,
            "success": int(record.outcome.success),
            "type": record.outcome.type,
        }
    return put_document(body, now=now) if body else b""


def _closed_until(ledger_id: int) -> datetime | None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT max(ends_at) FROM ledger_period WHERE ledger_id = %s AND status = 'closed'",
            [ledger_id],
        )
        row = cursor.fetchone()
    return row[0] if row else None


def _amounts(ledger_id: int, uids: Sequence[UUID]) -> dict[UUID, tuple[int, int]]:
    """What had been booked for records that were there before: amount, flags?"""
    if not uids:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT e.uid, e.amount_nanos, e.flags FROM ledger_idem i JOIN ledger_entry e"
            " ON e.ledger_id = i.ledger_id AND e.xid = i.xid AND e.id = i.entry_id"
            " WHERE i.ledger_id = %s AND i.uid = ANY(%s::uuid[])",
            [ledger_id, list(uids)],
        )
        return {uid: (amount, flags) for uid, amount, flags in cursor.fetchall()}


def _report(
    uids: Sequence[UUID],
    records: Sequence[UsageRecord],
    *,
    drafts: Mapping[UUID, Entry],
    known: Mapping[UUID, tuple[int, int]],
) -> UsageReport:
    seen: set[UUID] = set()
    items = []
    for uid, record in zip(uids, records, strict=True):
        replayed = uid not in drafts or uid in seen
        seen.add(uid)
        draft = drafts.get(uid)
        amount, flags = (
            (draft.amount_nanos, draft.flags) if draft is not None else known.get(uid, (0, 0))
        )
        items.append(
            UsageResult(
                id=record.id,
                source=record.source,
                uid=uid,
                entry_id=ids.id_of("ent", uid),
                replayed=replayed,
                amount_nanos=amount,
                priced=flags & 0b111 != Basis.ESTIMATED,
            )
        )
    replays = sum(item.replayed for item in items)
    return UsageReport(
        items=tuple(items),
        recorded=len(items) - replays,
        replayed=replays,
        unpriced=sum(not item.priced and not item.replayed for item in items),
    )
