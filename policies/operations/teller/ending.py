"""How does a call end inside a lease? One final settle or one release, written down and synced.

Whoever ends a reservation claims it first, so that on one host it ends once. What is not a
plain ending (a further attempt, an extend, a hold that is late or whose holder is gone) goes
the strict way: the reservation leaves its lease and becomes a hold of its own.
Source: decision-plane.md section 8; docs/algorithms/leases.md.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from o10.access.keys import Caller
from o10.kernel import ids
from o10.kernel.errors import (
    IdempotencyMismatch,
    ReservationFinalized,
    ReservationUnknown,
    ServiceUnavailable,
)
from o10.kernel.money import Money
from o10.lease import journal as journals
from o10.lease import records
from o10.lease.book import Book
from o10.lease.claims import Claimed, Found
from o10.wire.decisions import MoneyView, Released, encode
from o10.wire.reasons import SettleFlag
from o10.wire.requests import Extend, Release, Settle
from o10.wire.token import looks_like_token
from policies.core.instants import unix_ms
from policies.operations.answers import settled_answer
from policies.operations.booked_call import hold_of, reservation_of
from policies.operations.extend import extend as extend_strictly
from policies.operations.price_attempt import price_attempt
from policies.operations.release import release as release_strictly
from policies.operations.reservations import Hold
from policies.operations.settle import attempt_hash
from policies.operations.settle import settle as settle_strictly
from policies.operations.teller.teller import (
    BY_STRICT,
    Teller,
    end_key,
    fence_of,
    micros,
)
from policies.operations.token_keys import read_token
from policies.queries.backlog import count_unbooked, ends_of_journals

ENDS_UNTIL_MS = 3_000
"""So long after its expiry a hold still ends in its lease; then the sweep takes it."""
_BOOKED_WITHIN_S = 1.0
_PENDING_S = 2.0

Ending = TypeVar("Ending", Settle, Release, Extend)


@dataclass(frozen=True, slots=True)
class Leased:
    """Which reservation in which lease is meant, and where does its record stand?"""

    lease: UUID
    sequence: int
    reservation: UUID
    fence: int
    record: records.Reserved
    hold: Hold


def settle(teller: Teller, *, request: Settle, caller: Caller, now: datetime) -> bytes:
    """What was booked for this attempt? Durable before it is answered.

    Raises: as `policies.operations.settle`; ServiceUnavailable; JournalFull (`unavailable`).
    """
    leased = _leased(teller, request.reservation, caller, now)
    if leased is None:
        return _strictly(teller, settle_strictly, request, caller, now)
    request_hash = attempt_hash(request, leased.hold)
    ended = _claim_end(teller, leased)
    if ended is not None:
        return _repeated(teller, ended, leased, request, request_hash, caller, now)
    if not request.final:
        # From here on the database answers for this call, whoever is asked on this host.
        _publish(teller, leased, BY_STRICT)
        return _strictly(teller, settle_strictly, request, caller, now)
    try:
        answer, offset = _settle(teller, leased, request, request_hash, caller, now)
    except journals.JournalFull:
        # The disk is full: the database takes it, durably, and the hold leaves its lease.
        _publish(teller, leased, BY_STRICT)
        return _strictly(teller, settle_strictly, request, caller, now)
    except BaseException:
        teller.claims.abandon(end_key(leased.reservation), fence=teller.fence)
        raise
    _publish(teller, leased, offset)
    _after(teller, leased, now)
    return answer


def release(teller: Teller, *, request: Release, caller: Caller, now: datetime) -> bytes:
    """What came back? All of the hold is free again in its lease.

    Raises: as `policies.operations.release`; ServiceUnavailable; JournalFull.
    """
    leased = _leased(teller, request.reservation, caller, now)
    if leased is None:
        return _strictly(teller, release_strictly, request, caller, now)
    request_hash = attempt_hash(request, leased.hold)
    ended = _claim_end(teller, leased)
    if ended is not None:
        return _repeated(teller, ended, leased, request, request_hash, caller, now)
    answer = encode(
        Released(
            entry_id=None,
            refunded=MoneyView.of(Money(_currency(teller), leased.record.amount)),
        )
    )
    record = records.Released(
        lease=leased.lease.bytes,
        sequence=leased.sequence,
        journal=leased.fence,
        at_us=micros(now),
        caller=caller.key_id,
        actor=caller.actor,
        request_hash=request_hash,
        request=encode(request),
        answer=answer,
    )
    try:
        with teller.journal.lock:
            offset = teller.journal.append(records.encode(record))
            own = _own_book(teller, leased)
            if own is not None:
                own.release(leased.sequence)
                teller.ended.append((offset, own, leased.sequence))
    except journals.JournalFull:
        _publish(teller, leased, BY_STRICT)
        return _strictly(teller, release_strictly, request, caller, now)
    except BaseException:
        teller.claims.abandon(end_key(leased.reservation), fence=teller.fence)
        raise
    _publish(teller, leased, offset)
    _after(teller, leased, now)
    return answer


def extend(teller: Teller, *, request: Extend, caller: Caller, now: datetime) -> bytes:
    """What is held now? A hold that grows leaves its lease."""
    leased = _leased(teller, request.reservation, caller, now)
    if leased is not None:
        ended = _claim_end(teller, leased)
        if ended is None:
            _publish(teller, leased, BY_STRICT)
        elif ended.offset != BY_STRICT:
            raise _finalized(teller, ended, leased)
    return _strictly(teller, extend_strictly, request, caller, now)


def _settle(
    teller: Teller,
    leased: Leased,
    request: Settle,
    request_hash: bytes,
    caller: Caller,
    now: datetime,
) -> tuple[bytes, int]:
    hold, currency = leased.hold, _currency(teller)
    bill = price_attempt(hold=hold, request=request, currency=currency)
    cost = hold.at_most if bill.cost is None else bill.cost
    uid = ids.uid(scope="settle", key=f"{hold.id}#{request.attempt}", origin_ms=hold.origin_ms)
    with teller.journal.lock:
        book = _own_book(teller, leased)
        by_hold = min(cost, hold.amount)
        covered = by_hold if book is None else book.covers(leased.sequence, cost)
        excess = cost - covered
        flags = set(bill.flags) | ({SettleFlag.OVERRUN} if excess and hold.amount else set())
        answer = encode(
            settled_answer(
                uid=uid,
                currency=currency,
                cost=cost,
                refunded=hold.amount - by_hold,
                overrun=excess,
                late=0,
                flags=flags,
            )
        )
        offset = teller.journal.append(
            records.encode(
                records.Settled(
                    lease=leased.lease.bytes,
                    sequence=leased.sequence,
                    journal=leased.fence,
                    at_us=micros(now),
                    attempt=request.attempt,
                    final=True,
                    cost=cost,
                    covered=covered,
                    caller=caller.key_id,
                    actor=caller.actor,
                    request_hash=request_hash,
                    request=encode(request),
                    answer=answer,
                )
            )
        )
        if book is not None:
            book.settle(leased.sequence, cost, final=True)
            teller.ended.append((offset, book, leased.sequence))
    teller.journal.sync(offset)
    return answer, offset


def _leased(teller: Teller, reference: str, caller: Caller, now: datetime) -> Leased | None:
    """Is this a reservation that may end in its lease? None = the strict way.

    Raises: TokenInvalid; ReservationUnknown for one of another use case.
    """
    if looks_like_token(reference):
        promise = read_token(reference)
        place = (promise.lease, promise.sequence) if promise.sequence else None
    else:
        place = teller.named_in(reference)
    if place is None:
        return None
    lease, sequence = place
    fence = fence_of(lease)
    path = teller.journal_of(fence)
    try:
        record = journals.read_at(path, sequence)
        grounds = journals.read_at(path, record.grounds)  # type: ignore[union-attr]
    except (journals.RecordMissing, FileNotFoundError, AttributeError):
        return None
    if not isinstance(record, records.Reserved) or not isinstance(grounds, records.Grounds):
        return None
    if record.lease != lease.bytes or unix_ms(now) >= record.expires_ms + ENDS_UNTIL_MS:
        return None
    if not teller.lives(fence):
        return None
    reservation = reservation_of(lease, sequence)
    slugs = caller.use_case_slugs
    if slugs is not None and grounds.use_case_slug not in slugs:
        raise ReservationUnknown(id=ids.id_of("rsv", reservation))
    hold = hold_of(reserved=record, grounds=grounds, sequence=sequence)
    return Leased(lease, sequence, reservation, fence, record, hold)


def _claim_end(teller: Teller, leased: Leased) -> Found | None:
    """None = the ending of this reservation is ours to write."""
    key = end_key(leased.reservation)
    until = time.monotonic() + _PENDING_S
    while True:
        claimed = teller.claims.claim(key, fence=teller.fence, at_s=teller.second())
        if claimed is Claimed.OURS:
            return None
        if claimed is Claimed.FULL:
            return Found(teller.fence, BY_STRICT)
        if isinstance(claimed, Found) and not claimed.is_pending:
            return claimed
        if time.monotonic() > until:
            raise ServiceUnavailable(what="the first answer", retry_after_s=1)
        time.sleep(0.001)


def _repeated(
    teller: Teller,
    ended: Found,
    leased: Leased,
    request: Settle | Release,
    request_hash: bytes,
    caller: Caller,
    now: datetime,
) -> bytes:
    """The first answer to the same ending; another ending than the first is refused.

    Raises: ReservationFinalized; IdempotencyMismatch.
    """
    if ended.offset == BY_STRICT:
        run = settle_strictly if isinstance(request, Settle) else release_strictly
        return _strictly(teller, run, request, caller, now)  # type: ignore[type-var]
    first = journals.read_at(teller.journal_of(ended.fence), ended.offset)
    if isinstance(first, records.Settled) and isinstance(request, Settle):
        if first.attempt == request.attempt:
            if first.request_hash == request_hash:
                return first.answer
            name = f"{leased.reservation}#{request.attempt}"
            raise IdempotencyMismatch(scope="settle", key=name)
    if isinstance(first, records.Released) and isinstance(request, Release):
        if first.request_hash == request_hash:
            return first.answer
        raise IdempotencyMismatch(scope="release", key=str(leased.reservation))
    raise _finalized(teller, ended, leased)


def _finalized(teller: Teller, ended: Found, leased: Leased) -> ReservationFinalized:
    """Which refusal says that it ended in its lease, though the books may not know it yet?"""
    first = journals.read_at(teller.journal_of(ended.fence), ended.offset)
    state = "settled" if isinstance(first, records.Settled) else "released"
    return ReservationFinalized(id=ids.id_of("rsv", leased.reservation), state=state)


def _strictly(
    teller: Teller,
    run: Callable[..., bytes],
    request: Ending,
    caller: Caller,
    now: datetime,
) -> bytes:
    """In a transaction of its own; what was just answered may still be on its way there.

    Raises: ReservationUnknown once the books have all that this host wrote before; until then
    ServiceUnavailable, so that a router sends it again.
    """
    try:
        return run(request=request, caller=caller, now=now)
    except ReservationUnknown:
        # One call of a worker waits for the books at a time: unknown ids must not stop it.
        if not teller.waits.acquire(blocking=False):
            raise ServiceUnavailable(what="the books", retry_after_s=1) from None
    try:
        ends = ends_of_journals(home=teller.folder.parent)
        until = time.monotonic() + _BOOKED_WITHIN_S
        while count_unbooked(ends):
            if time.monotonic() > until:
                raise ServiceUnavailable(what="the books", retry_after_s=1)
            time.sleep(0.02)
    finally:
        teller.waits.release()
    return run(request=request, caller=caller, now=now)


def _own_book(teller: Teller, leased: Leased) -> Book | None:
    found = teller.books.get(leased.lease)
    return found[1] if found is not None and leased.sequence in found[1].open else None


def _after(teller: Teller, leased: Leased, now: datetime) -> None:
    """A lease that was replaced keeps nothing: what an ending frees in it goes back at once."""
    teller.named.pop(leased.reservation.int, None)
    found = teller.books.get(leased.lease)
    if found is not None and found[0].book is not found[1]:
        teller.give_back(*found, now=now)


def _publish(teller: Teller, leased: Leased, offset: int) -> None:
    teller.claims.publish(end_key(leased.reservation), fence=teller.fence, offset=offset)


def _currency(teller: Teller) -> str:
    if teller.known is None:
        raise ServiceUnavailable(what="the policy snapshot", retry_after_s=1)
    return teller.known.policy.currency
