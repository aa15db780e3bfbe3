"""How does a hold end when nothing was billed? All of it comes back at once.

An expired hold that is confirmed unused leaves `unsettled` by a write-off before its time.
"""

from datetime import datetime
from uuid import UUID

from ledger import facade as ledger
from o10.access.checks import check
from o10.access.keys import Caller
from o10.access.roles import Action
from o10.kernel import ids
from o10.kernel.errors import ReservationFinalized
from o10.kernel.money import Money
from o10.wire.decisions import MoneyView, Released, encode
from o10.wire.requests import Release
from policies.operations.answer_log import first_answer, keep_answer
from policies.operations.balances import Move, lock, move
from policies.operations.questions import actor_number
from policies.operations.reservations import Hold, end_hold, lock_hold
from policies.operations.settle import attempt_hash, hold_for
from policies.queries.current_policy import believed_policy


def release(*, request: Release, caller: Caller, now: datetime) -> bytes:
    """What came back? The answer's bytes, the same for a repeat.

    Raises: ReservationUnknown; TokenInvalid; ReservationFinalized when it has ended otherwise;
    IdempotencyMismatch for a second release with another reason; Forbidden.
    Locks: the key of the reservation's release, the tree, balances in order, the reservation.
    """
    check(caller=caller, action=Action.RELEASE)
    seen = hold_for(request.reservation, caller)
    currency = believed_policy().currency
    answers: list[bytes] = []

    def run(uid: UUID) -> list[ledger.Draft]:
        # The number before locks; in here, so that a refused release leaves none behind.
        actor = actor_number(caller.actor, now=now)
        locked = lock(seen.cells)
        hold = lock_hold(seen.id)
        if hold.state not in ("open", "expired"):
            raise ReservationFinalized(id=ids.id_of("rsv", hold.id), state=hold.state)
        draft, change = _release(hold, uid, locked.version, actor, request, now)
        move(cells=hold.cells, version=locked.version, change=change)
        end_hold(hold=hold, state="released", open_nanos=0, settled=0, attempts=0, now=now)
        answer = encode(
            Released(
                entry_id=ids.id_of("ent", uid),
                refunded=MoneyView.of(Money(currency, hold.open)),
            )
        )
        keep_answer(uid=uid, verb="release", reservation=hold.id, answer=answer, now=now)
        answers.append(answer)
        return [draft]

    written = ledger.write(
        ledger_id=ledger.COMPANY_LEDGER,
        scope="release",
        key=str(seen.id),
        request_hash=attempt_hash(request, seen),
        origin_ms=seen.origin_ms,
        run=run,
    )
    return answers[0] if written.replayed is None else first_answer(written.uid)


def _release(
    hold: Hold, uid: UUID, version: int, actor: int, request: Release, now: datetime
) -> tuple[ledger.Draft, Move]:
    expired = hold.state == "expired"
    change = Move(unsettled=-hold.open) if expired else Move(held=-hold.open)
    document = {"reason": request.reason} if request.reason else None
    draft = hold.draft(
        kind=ledger.Kind.WRITE_OFF if expired else ledger.Kind.RELEASE,
        uid=uid,
        recorded_at=now,
        actor_id=actor,
        held_nanos=change.held,
        unsettled_nanos=change.unsettled,
        env_version=version if change.net else 0,
        flags=0 if hold.holds else int(ledger.Flag.UNGUARDED | ledger.Flag.SHADOW_MODE),
        doc=ledger.put_document(document, now=now) if document else b"",
    )
    return draft, change
