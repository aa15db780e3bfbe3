"""How does spend get in that nobody asked about first? In bulk, once for each (source, id).

Every record becomes one entry of kind `usage`, priced at its own instant. No price is never
zero silently: the amount is 0, the basis `estimated`, and price coverage shows it. The whole
call is one transaction: all records that are new are booked, or none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final
from uuid import UUID

import msgspec
from django.db import connection, transaction

from ledger.core.entry import Basis, Entry
from ledger.operations import append as rows
from ledger.operations.intern import Domain, intern
from ledger.operations.keep_exposure import (
    Effect,
    PlaceQuery,
    find_places,
    keep_exposure,
)
from ledger.operations.usage_draft import Booking, draft_of
from ledger.queries.ledgers import LedgerRow, ledger_of_company
from ledger.queries.periods import closed_until
from ledger.queries.prices import price_book
from o10.access.keys import Caller
from o10.kernel import ids
from o10.kernel.errors import FieldError, IdempotencyMismatch, ValidationFailed
from o10.wire.facts import UsageRecord

FUTURE_MAX: Final = timedelta(minutes=5)
MISMATCHES_NAMED: Final = 100
_ENCODER: Final = msgspec.json.Encoder(order="deterministic")


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
    uids = [usage_uid(record) for record in records]
    asked = {
        uid: usage_hash(record)
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


def usage_uid(record: UsageRecord) -> UUID:
    """Which uid has the entry of this record?"""
    return ids.uid(scope="usage", key=record.key, origin_ms=0)


def usage_hash(record: UsageRecord) -> bytes:
    """When are two records the same? When their bytes are."""
    return sha256(_ENCODER.encode(record)).digest()


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
        or usage_hash(records[place]) != asked[uid]
    ]
    if wrong:
        raise IdempotencyMismatch(scope="usage", errors=wrong[:MISMATCHES_NAMED])


def _drafts(
    fresh: Mapping[UUID, UsageRecord], *, ledger: LedgerRow, caller: Caller, now: datetime
) -> dict[UUID, Entry]:
    # Everything that may write to the registry comes before balances are locked.
    actor = intern(Domain.ACTOR, {"id": caller.actor}, ledger_id=ledger.id, actor=0, now=now)
    booking = Booking(
        ledger=ledger,
        caller=caller,
        actor_id=actor,
        book=price_book(),
        closed_until=closed_until(ledger_id=ledger.id),
        now=now,
    )
    places = find_places(
        [
            PlaceQuery(
                use_case=record.use_case,
                environment=record.environment,
                customer=record.customer,
                run_id=record.run_id,
                at=booking.placed(record.at).effective_at,
            )
            for record in fresh.values()
        ]
    )
    drafts = [
        draft_of(uid, record, place, booking)
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
                # An estimate with an amount had a price: nobody said what it used.
                priced=amount != 0 or flags & 0b111 != Basis.ESTIMATED,
            )
        )
    replays = sum(item.replayed for item in items)
    return UsageReport(
        items=tuple(items),
        recorded=len(items) - replays,
        replayed=replays,
        unpriced=sum(not item.priced and not item.replayed for item in items),
    )
