"""What of a record whose call met something else meanwhile? One transaction, strict rules.

Its hold was taken out of the lease, or ended, by another host; its lease has expired; more was
paid out of it than it had. What was spent is booked whatever happened: by the hold there is
now, late, or unguarded. The first ending wins; the same ending twice is booked once.
What the holder paid from what its lease had free, and the books do not take there, goes back.
"""

from dataclasses import replace
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec
import structlog
from django.db import connection, transaction

from ledger import facade as ledger
from o10.kernel.errors import Corrupt, ReservationFinalized, Unavailable
from o10.lease.records import Denied, GivenBack, Released, Reserved, Settled
from o10.wire.requests import Release
from policies.operations import statements
from policies.operations.balances import Move, lock, move
from policies.operations.booked_call import release_uid, reservation_of, settle_uid
from policies.operations.booked_rows import (
    First,
    call_of,
    copy_answers,
    copy_decisions,
    copy_denials,
    copy_reservations,
    denial_of,
)
from policies.operations.booked_settle import Attempt, attempt_of, settle_of
from policies.operations.bookkeeper import Books
from policies.operations.flush import move_holder
from policies.operations.journal_tail import JournalTail
from policies.operations.leases import (
    LeaseMissing,
    LeaseRow,
    change_leases,
    find_leases,
    lock_lease,
)
from policies.operations.open_month import house
from policies.operations.release import AnsweredBefore, book_release
from policies.operations.reservations import Hold, find_holds
from policies.operations.return_lease import give_back
from policies.operations.settle import BilledAttempt, attempt_hash, book_attempt

END_AGAIN = """
UPDATE reservation SET settled_nanos = settled_nanos + %s, attempts = attempts + 1 WHERE id = %s
"""
_RELEASE: Final = msgspec.json.Decoder(Release).decode
_log = structlog.get_logger("policies.books")


class Awaits(Unavailable):
    """Must another journal be booked first? Fields: `fence`, `sequence`."""

    code = "unavailable"


class CallMissing(Corrupt):
    """Does a record end a call that its journal never began? Fields: `fence`, `sequence`."""

    code = "call_missing"


def book_alone(*, books: Books, tail: JournalTail, now: datetime) -> None:
    """Books the first record that waits, by itself.

    Raises: Awaits when the call began in another journal that is not booked so far;
    CallMissing, LeaseMissing and whatever else a record that cannot be booked raises;
    BookedElsewhere; the errors of django.db. Then nothing was written.
    """
    offset, record = tail.first(1)[0]
    if isinstance(record, Reserved):
        _begin(books, tail, offset, record, now)
    elif isinstance(record, Settled):
        _settle(books, tail, offset, record, now)
    elif isinstance(record, Released):
        _release(books, tail, record, now)
    elif isinstance(record, GivenBack):
        _give_back(tail, offset, record, now)
    elif isinstance(record, Denied):
        _deny(books, tail, record, now)
    else:
        move_on(tail)
    tail.drop(1)


def move_on(tail: JournalTail, *, put_aside: int = 0) -> None:
    """Passes the first record by: it asks for no row, or for none that can be written."""
    with transaction.atomic():
        move_holder(tail=tail, booked_to=tail.end_of(1), put_aside=put_aside)


def _begin(
    books: Books, tail: JournalTail, offset: int, record: Reserved, now: datetime
) -> None:
    """A call whose lease has expired: what it held is unsettled there already."""
    lease = _lease(record)
    call = call_of(
        offset=offset,
        record=record,
        tail=tail,
        lease=lease,
        numbering=books.numbering,
        repeated=books.repeated(tail, [(offset, record)]),
        now=now,
    )
    if call.state == "open":
        call.state = "expired" if lease.state == "expired" else "written_off"
        call.ended_us = record.at_us
    # A token may have told of it before its journal did.
    known = find_holds([call.hold.id])
    with transaction.atomic():
        with connection.cursor() as cursor:
            if not known:
                copy_reservations(cursor, [call])
            copy_decisions(cursor, [call])
        move_holder(tail=tail, booked_to=tail.end_of(1))


def _settle(
    books: Books, tail: JournalTail, offset: int, record: Settled, now: datetime
) -> None:
    own, hold = _holds(tail, record)
    attempt = attempt_of(
        record=record,
        hold=hold,
        currency=books.currency,
        numbering=books.numbering,
        now=now,
    )
    books.numbering.store(now=now)
    with transaction.atomic():
        claimed, taken = ledger.claim(
            ledger_id=ledger.COMPANY_LEDGER, hashes={attempt.uid: attempt.request_hash}
        )
        if record.journal == tail.fence:
            _square(tail, offset, record, own.amount, now)
        if taken:
            _say(tail, record, "settle_booked_before")
        else:
            ledger.append(_book(attempt, hold, books.currency, now), claimed=claimed)
        if own.id != hold.id or not taken:
            with connection.cursor() as cursor:
                copy_answers(cursor, [(settle_uid(own.id, record.attempt), own.id, record)])
        move_holder(
            tail=tail,
            booked_to=tail.end_of(1),
            differing=int(attempt.differs is not None),
        )
    if attempt.differs is not None:
        books.warn_of(attempt.differs, fence=tail.fence)


def _book(attempt: Attempt, hold: Hold, currency: str, now: datetime) -> list[ledger.Draft]:
    """By the rules of the strict form; after an ending by another attempt, unguarded."""
    bill = replace(attempt.bill, cost=attempt.cost, document=attempt.document)
    billed = BilledAttempt(attempt.request, bill, now, attempt.numbers)
    try:
        return book_attempt(billed, hold, attempt.uid, currency)[1]
    except ReservationFinalized:
        housed = house(hold, now=now)
        hold, attempt = housed.hold, replace(attempt, hold=housed.hold)
        locked = lock(hold.cells)
        cost = attempt.cost
        statements.run(END_AGAIN, [cost, hold.id])
        change = Move(settled=cost, unguarded=cost)
        move(cells=hold.cells, version=locked.version, change=change)
        return [
            settle_of(
                attempt,
                now=now,
                amount_nanos=cost,
                env_version=locked.version if cost else 0,
                marks=ledger.Flag(
                    housed.flags(int(ledger.Flag.UNGUARDED | ledger.Flag.LATE_SETTLE))
                ),
            )
        ]


def _square(tail: JournalTail, offset: int, record: Settled, held: int, now: datetime) -> None:
    """What the holder paid beyond the hold, and the books do not take there, goes back.

    The hold itself is squared by the holder, who was told how the call ended.
    """
    surplus = record.covered - min(record.cost, held)
    if surplus > 0:
        lease = _lease(record)
        locked = lock(lease.cells)
        _return(lock_lease(lease.id), surplus, tail, offset, locked.version, now)


def _release(books: Books, tail: JournalTail, record: Released, now: datetime) -> None:
    own, hold = _holds(tail, record)
    request = _RELEASE(record.request)
    uid = release_uid(hold.id)
    actor = books.numbering.actor(record.actor, now=now)
    request_hash = record.request_hash or attempt_hash(request, hold)
    with transaction.atomic():
        try:
            with transaction.atomic():
                claimed, taken = ledger.claim(
                    ledger_id=ledger.COMPANY_LEDGER, hashes={uid: request_hash}
                )
                if taken:
                    raise ReservationFinalized(state="released")
                _, drafts = book_release(
                    seen=hold, uid=uid, request=request, actor_id=actor, now=now
                )
                ledger.append(drafts, claimed=claimed)
                with connection.cursor() as cursor:
                    copy_answers(cursor, [(release_uid(own.id), own.id, record)])
        except (ReservationFinalized, AnsweredBefore):
            _say(tail, record, "release_after_the_end")
        move_holder(tail=tail, booked_to=tail.end_of(1))


def _give_back(tail: JournalTail, offset: int, record: GivenBack, now: datetime) -> None:
    lease = _lease(record)
    with transaction.atomic():
        locked = lock(lease.cells)
        _return(lock_lease(lease.id), record.amount, tail, offset, locked.version, now)
        move_holder(tail=tail, booked_to=tail.end_of(1))


def _return(
    lease: LeaseRow, amount: int, tail: JournalTail, offset: int, version: int, now: datetime
) -> None:
    parted = give_back(
        lease_row=lease,
        amount=amount,
        key=f"{tail.fence}#{offset}",
        version=version,
        now=now,
    )
    if parted.drafts:
        move(cells=lease.cells, version=version, change=parted.move)
        change_leases({lease.id: parted.change}, now=now)
        ledger.append(parted.drafts)


def _deny(books: Books, tail: JournalTail, record: Denied, now: datetime) -> None:
    """Its request id was answered elsewhere: it is a decision of its own."""
    first = First(None, b"")
    denial = denial_of(
        place=0,
        record=record,
        numbering=books.numbering,
        repeated={(record.caller, record.request_id): first},
        now=now,
    )
    books.numbering.store(now=now)
    with transaction.atomic():
        claimed, _ = ledger.claim(
            ledger_id=ledger.COMPANY_LEDGER, hashes={denial.uid: denial.request_hash}
        )
        with connection.cursor() as cursor:
            copy_denials(cursor, [denial])
        ledger.append([denial.draft(now=now)], claimed=claimed)
        move_holder(tail=tail, booked_to=tail.end_of(1))


def _lease(record: Reserved | Settled | GivenBack) -> LeaseRow:
    lease = UUID(bytes=record.lease)
    found = find_leases([lease]).get(lease)
    if found is None:
        raise LeaseMissing(leases=[str(lease)])
    return found


def _holds(tail: JournalTail, record: Settled | Released) -> tuple[Hold, Hold]:
    """Which hold is meant, and which is there for it, where two answered one request id?"""
    reservation = reservation_of(UUID(bytes=record.lease), record.sequence)
    own = find_holds([reservation]).get(reservation)
    if own is None:
        where = {"fence": record.journal, "sequence": record.sequence}
        if record.journal != tail.fence:
            raise Awaits(what="another journal", retry_after_s=1, **where)
        raise CallMissing(**where)
    if own.alias_of is None:
        return own, own
    return own, find_holds([own.alias_of]).get(own.alias_of, own)


def _say(tail: JournalTail, record: Settled | Released, event: str) -> None:
    _log.warning(event, fence=tail.fence, holder=record.journal, sequence=record.sequence)
