"""How does a hold end when nothing was billed? All of it comes back at once.

An expired hold that is confirmed unused leaves `unsettled` by a write-off before its time.
Inside a lease that its holder still keeps nothing moves: the money is free there again.
"""

from datetime import datetime
from uuid import UUID

from ledger import facade as ledger
from o10.access.checks import check
from o10.access.keys import Caller
from o10.access.roles import Action
from o10.kernel import ids
from o10.kernel.errors import Conflict, ReservationFinalized
from o10.kernel.money import Money, Nanos
from o10.wire.decisions import MoneyView, Released, encode
from o10.wire.requests import Release
from policies.operations.answer_log import find_answer, first_answer, keep_answer
from policies.operations.balances import Move, lock, move
from policies.operations.detach import detach, holder_keeps, lock_with_lease
from policies.operations.leases import LeaseChange, LeaseRow, change_leases, notify_ended
from policies.operations.questions import actor_number
from policies.operations.reservations import Hold, end_hold
from policies.operations.settle import attempt_hash, hold_for
from policies.operations.throttle import give_back_to_hour
from policies.queries.current_policy import believed_policy


class AnsweredBefore(Conflict):
    """Carries the first answer out of a transaction that leaves nothing behind."""

    def __init__(self, answer: bytes) -> None:
        super().__init__()
        self.answer = answer


def release(*, request: Release, caller: Caller, now: datetime) -> bytes:
    """What came back? The answer's bytes, the same for a repeat.

    Raises: ReservationUnknown; TokenInvalid; ReservationFinalized when it has ended otherwise;
    IdempotencyMismatch for a second release with another reason; Forbidden.
    Locks: the key of the reservation's release, the tree, balances in order, the lease, the
    reservation.
    """
    check(caller=caller, action=Action.RELEASE)
    seen = hold_for(request.reservation, caller)
    currency = believed_policy().currency
    answers: list[bytes] = []

    def run(uid: UUID) -> list[ledger.Draft]:
        # The number before locks; in here, so that a refused release leaves none behind.
        actor = actor_number(caller.actor, now=now)
        back, drafts = book_release(
            seen=seen, uid=uid, request=request, actor_id=actor, now=now
        )
        answer = encode(
            Released(
                entry_id=ids.id_of("ent", uid),
                refunded=MoneyView.of(Money(currency, back)),
            )
        )
        keep_answer(uid=uid, verb="release", reservation=seen.id, answer=answer, now=now)
        answers.append(answer)
        return drafts

    try:
        written = ledger.write(
            ledger_id=ledger.COMPANY_LEDGER,
            scope="release",
            key=str(seen.id),
            request_hash=attempt_hash(request, seen),
            origin_ms=seen.origin_ms,
            run=run,
        )
    except AnsweredBefore as before:
        return before.answer
    return answers[0] if written.replayed is None else first_answer(written.uid)


def book_release(
    *, seen: Hold, uid: UUID, request: Release, actor_id: int, now: datetime
) -> tuple[Nanos, list[ledger.Draft]]:
    """How much comes back, and which entries tell of it? The caller appends them.

    Must run in a transaction that has claimed the uid.
    Raises: ReservationFinalized when the reservation has ended otherwise.
    Locks: the tree, balances in order, the lease, the reservation.
    """
    locked = lock(seen.cells)
    hold, lease_row = lock_with_lease(seen)
    if hold.state not in ("open", "expired"):
        _check_answered(hold, uid)
    detached: list[ledger.Draft] = []
    if lease_row and hold.state == "open" and not holder_keeps(lease_row, now=now):
        hold, detached = detach(hold=hold, lease_row=lease_row, version=locked.version, now=now)
    if lease_row and hold.lease:
        change, back = _leave(hold, lease_row, now)
    else:
        expired = hold.state == "expired"
        change = Move(unsettled=-hold.open) if expired else Move(held=-hold.open)
        back = hold.open
    draft = _draft(hold, change, uid, locked.version, actor_id, request, now)
    move(cells=hold.cells, version=locked.version, change=change)
    end_hold(hold=hold, state="released", open_nanos=0, settled=0, attempts=0, now=now)
    if hold.holds and not hold.lease:
        give_back_to_hour(
            use_case=str(hold.shape.get("use_case", "")),
            authorized_at=hold.authorized_at,
            nanos=back,
        )
    return back, [*detached, draft]


def _check_answered(hold: Hold, uid: UUID) -> None:
    """It has ended. Was it by this very release, booked from a journal without an entry?"""
    answer = find_answer(uid) if hold.sequence and hold.state == "released" else None
    if answer is not None:
        raise AnsweredBefore(answer)
    raise ReservationFinalized(id=ids.id_of("rsv", hold.id), state=hold.state)


def _leave(hold: Hold, lease_row: LeaseRow, now: datetime) -> tuple[Move, Nanos]:
    """Inside a lease: free for its holder again, or known not to be owed after all."""
    if hold.state == "open":
        change_leases({lease_row.id: LeaseChange(open=-hold.open)}, now=now)
        notify_ended(lease_row.fence, [(lease_row.id, hold.sequence, 0)])
        return Move(), hold.open
    proven = min(hold.amount, lease_row.unsettled)
    change_leases({lease_row.id: LeaseChange(written_off=proven)}, now=now)
    return Move(unsettled=-proven), proven


def _draft(
    hold: Hold,
    change: Move,
    uid: UUID,
    version: int,
    actor: int,
    request: Release,
    now: datetime,
) -> ledger.Draft:
    expired = hold.state == "expired"
    document = {"reason": request.reason} if request.reason else None
    return hold.draft(
        kind=ledger.Kind.WRITE_OFF if expired else ledger.Kind.RELEASE,
        uid=uid,
        recorded_at=now,
        actor_id=actor,
        lease=hold.lease or ledger.ZERO_UUID,
        held_nanos=change.held,
        unsettled_nanos=change.unsettled,
        env_version=version if change.net else 0,
        flags=0 if hold.holds else int(ledger.Flag.UNGUARDED | ledger.Flag.SHADOW_MODE),
        doc=ledger.put_document(document, now=now) if document else b"",
    )
