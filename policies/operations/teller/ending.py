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
from typing import Final, TypeVar
from uuid import UUID

from o10.access.keys import Caller
from o10.kernel import ids
from o10.kernel.errors import (
    IdempotencyMismatch,
    ReservationFinalized,
    ReservationUnknown,
    ServiceUnavailable,
    TokenInvalid,
)
from o10.kernel.money import Money, Nanos
from o10.lease import journal as journals
from o10.lease import records
from o10.lease.book import Book
from o10.lease.claims import Claimed, Found
from o10.wire import token
from o10.wire.decisions import MoneyView, Released, encode
from o10.wire.reasons import SettleFlag
from o10.wire.requests import Extend, Release, Settle, read_settle
from o10.wire.token import looks_like_token
from policies.operations.answers import settled_answer
from policies.operations.booked_call import hold_of, instant_of, reservation_of
from policies.operations.extend import extend as extend_strictly
from policies.operations.price_attempt import price_attempt
from policies.operations.release import release as release_strictly
from policies.operations.reservations import Hold
from policies.operations.settle import attempt_hash
from policies.operations.settle import settle as settle_strictly
from policies.operations.teller.receipts import receipt
from policies.operations.teller.teller import (
    BY_STRICT,
    Teller,
    end_key,
    fence_of,
    micros,
)
from policies.operations.token_keys import read_token
from policies.queries.backlog import count_unbooked, ends_of_journals
from policies.queries.leased_calls import find_place

ENDS_UNTIL_MS = 3_000
"""So long after its expiry a hold still ends in its lease; then the sweep takes it."""
NO_FLAGS: Final[frozenset[SettleFlag]] = frozenset()
_BOOKED_WITHIN_S = 1.0
_PENDING_S = 2.0

Ending = TypeVar("Ending", Settle, Release, Extend)


@dataclass(frozen=True, slots=True)
class Leased:
    """Which reservation in which lease is meant, and what does its journal say of it?"""

    lease: UUID
    sequence: int
    reservation: UUID
    fence: int
    record: records.Reserved
    grounds: records.Grounds

    @property
    def hold(self) -> Hold:
        """Which hold is it, as the strict form would read it? Made when asked for."""
        return hold_of(reserved=self.record, grounds=self.grounds, sequence=self.sequence)

    @property
    def origin_ms(self) -> int:
        """When was it made? Unix milliseconds, from its own id: uids of its moves share it."""
        return self.reservation.int >> 80


def settle(teller: Teller, *, request: Settle, caller: Caller, now: datetime) -> bytes:
    """What was booked for this attempt? Durable before it is answered.

    Raises: as `policies.operations.settle`; ServiceUnavailable; JournalFull (`unavailable`).
    """
    leased = _leased(teller, request.reservation, caller, now)
    if leased is None:
        return _strictly(teller, settle_strictly, request, caller, now)
    ended = _claim_end(teller, leased)
    if ended is not None:
        return _repeated(teller, ended, leased, request, caller, now)
    if not request.final:
        # From here on the database answers for this call, whoever is asked on this host.
        _publish(teller, leased, BY_STRICT)
        return _strictly(teller, settle_strictly, request, caller, now)
    try:
        answer, offset = _settle(teller, leased, request, caller, now)
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
    ended = _claim_end(teller, leased)
    if ended is not None:
        return _repeated(teller, ended, leased, request, caller, now)
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
        request_hash=attempt_hash(request, leased.hold),
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
    teller: Teller, leased: Leased, request: Settle, caller: Caller, now: datetime
) -> tuple[bytes, int]:
    record, currency = leased.record, _currency(teller)
    cost, flags = _bill(teller, leased, request, currency)
    uid = ids.uid(
        scope="settle",
        key=f"{leased.reservation}#{request.attempt}",
        origin_ms=leased.origin_ms,
    )
    asked = encode(request)
    with teller.journal.lock:
        book = _own_book(teller, leased)
        by_hold = min(cost, record.amount)
        covered = by_hold if book is None else book.covers(leased.sequence, cost)
        excess = cost - covered
        if flags or excess:
            if excess and record.amount:
                flags = flags | {SettleFlag.OVERRUN}
            answer = encode(
                settled_answer(
                    uid=uid,
                    currency=currency,
                    cost=cost,
                    refunded=record.amount - by_hold,
                    overrun=excess,
                    late=0,
                    flags=flags,
                )
            )
        else:
            answer = receipt(
                uid=uid, currency=currency, cost=cost, refunded=record.amount - by_hold
            )
        offset = teller.journal.append(
            records.encode(
                records.Settled(
                    lease=record.lease,
                    sequence=leased.sequence,
                    journal=leased.fence,
                    at_us=micros(now),
                    attempt=request.attempt,
                    final=True,
                    cost=cost,
                    covered=covered,
                    caller=caller.key_id,
                    actor=caller.actor,
                    # Computed by whoever compares it: the books, or a repeated attempt.
                    request_hash=b"",
                    request=asked,
                    answer=answer,
                )
            )
        )
        if book is not None:
            book.settle(leased.sequence, cost, final=True)
            teller.ended.append((offset, book, leased.sequence))
    teller.journal.sync(offset)
    return answer, offset


def _bill(
    teller: Teller, leased: Leased, request: Settle, currency: str
) -> tuple[Nanos, frozenset[SettleFlag]]:
    """What does it cost, and what is to be said of it? Without usage the whole hold."""
    record = leased.record
    usual = teller.bills.cost_of(
        grounds=leased.grounds,
        granted=record.max_output_tokens,
        request=request,
        at=instant_of(record.at_us),
        currency=currency,
    )
    if usual is not None:
        return usual, NO_FLAGS
    hold = leased.hold
    bill = price_attempt(hold=hold, request=request, currency=currency)
    return (hold.at_most if bill.cost is None else bill.cost), bill.flags


def _leased(teller: Teller, reference: str, caller: Caller, now: datetime) -> Leased | None:
    """Is this a reservation that may end in its lease? None = the strict way.

    Raises: TokenInvalid; ReservationUnknown for one of another use case.
    """
    place = _place(teller, reference)
    if place is None:
        return None
    lease, sequence = place
    fence = fence_of(lease)
    try:
        record = teller.places.read(fence, sequence)
        if not isinstance(record, records.Reserved) or record.lease != lease.bytes:
            return None
        if micros(now) >= (record.expires_ms + ENDS_UNTIL_MS) * 1_000:
            return None
        grounds = teller.grounds_at(fence, record.grounds)
        if grounds is None or not teller.lives(fence):
            return None
    except journals.RecordMissing:
        return None
    reservation = reservation_of(lease, sequence)
    slugs = caller.use_case_slugs
    if slugs is not None and grounds.use_case_slug not in slugs:
        raise ReservationUnknown(id=ids.id_of("rsv", reservation))
    return Leased(lease, sequence, reservation, fence, record, grounds)


def _place(teller: Teller, reference: str) -> tuple[UUID, int] | None:
    """Which lease and number are meant? None = neither this host nor the books say so."""
    if looks_like_token(reference):
        promise = _promise(teller, reference)
        return (promise.lease, promise.sequence) if promise.sequence else None
    return teller.named_in(reference) or find_place(reference)


def _promise(teller: Teller, text: str) -> token.ReservationToken:
    """What does this token promise? Most are signed with the key of today.

    Raises: TokenInvalid.
    """
    known = teller.known
    if known is not None:
        try:
            return token.read(text, keys={known.signer.id: known.signer.secret})
        except TokenInvalid:
            pass
    return read_token(text)


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
    caller: Caller,
    now: datetime,
) -> bytes:
    """The first answer to the same ending; another ending than the first is refused.

    Raises: ReservationFinalized; IdempotencyMismatch.
    """
    if ended.offset == BY_STRICT:
        run = settle_strictly if isinstance(request, Settle) else release_strictly
        return _strictly(teller, run, request, caller, now)  # type: ignore[type-var]
    first = teller.places.read(ended.fence, ended.offset)
    if isinstance(first, records.Settled) and isinstance(request, Settle):
        if first.attempt == request.attempt:
            if _hash_of(first, leased.hold) == attempt_hash(request, leased.hold):
                return first.answer
            name = f"{leased.reservation}#{request.attempt}"
            raise IdempotencyMismatch(scope="settle", key=name)
    if isinstance(first, records.Released) and isinstance(request, Release):
        if first.request_hash == attempt_hash(request, leased.hold):
            return first.answer
        raise IdempotencyMismatch(scope="release", key=str(leased.reservation))
    raise _finalized(teller, ended, leased)


def _hash_of(first: records.Settled, hold: Hold) -> bytes:
    """Which hash has the request that was answered first?"""
    return first.request_hash or attempt_hash(read_settle(first.request), hold)


def _finalized(teller: Teller, ended: Found, leased: Leased) -> ReservationFinalized:
    """Which refusal says that it ended in its lease, though the books may not know it yet?"""
    first = teller.places.read(ended.fence, ended.offset)
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
    """A lease that was replaced keeps nothing: what an ending frees in it goes back.

    At once where money is so short that a call borrowed for itself alone; else soon.
    """
    teller.named.pop(leased.reservation.int, None)
    found = teller.books.get(leased.lease)
    if found is None or found[0].book is found[1]:
        return
    till, book = found
    if book.granted <= till.pace.dearest:
        teller.give_back(till, book, now=now)
    else:
        teller.owed.add(book.lease)


def _publish(teller: Teller, leased: Leased, offset: int) -> None:
    teller.claims.publish(end_key(leased.reservation), fence=teller.fence, offset=offset)


def _currency(teller: Teller) -> str:
    if teller.known is None:
        raise ServiceUnavailable(what="the policy snapshot", retry_after_s=1)
    return teller.known.policy.currency
