"""How does a worker authorize a call from its till?

Three ways, tried in this order: the usual call (policies.operations.teller.usual); in full, by
`decide` on the last look at the balances, which borrows when there is room and refuses on a
look that is fresh; strictly, one transaction for the call, for whatever fits into no lease.
A repeated request id gets the first answer's bytes, whichever worker of the host gave it.
Source: decision-plane.md sections 2 to 8; docs/decisions/0010-teller-and-bookkeeper.md.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b

import msgspec

from o10.access.keys import Caller
from o10.access.roles import Action
from o10.kernel import ids
from o10.kernel.errors import IdempotencyMismatch, ServiceUnavailable
from o10.kernel.money import Money
from o10.lease import journal as journals
from o10.lease import records
from o10.lease.claims import Claimed, Found
from o10.wire import token
from o10.wire.decisions import Mode, ReservationView, encode
from o10.wire.reasons import Reason
from o10.wire.requests import Authorize, read_authorize
from policies.core.checks import case_of
from policies.core.decide import Ruling, decide
from policies.core.instants import unix_ms
from policies.core.levers import throttles
from policies.core.question import Left
from policies.core.record import decision_record
from policies.core.till import own
from policies.operations import authorize as strict
from policies.operations.answers import decision_answer
from policies.operations.booked_call import reservation_of
from policies.operations.grant_exact import PolicyChanged
from policies.operations.questions import Asked, ask
from policies.operations.teller.known import Known
from policies.operations.teller.loans import ask_others, borrow, look
from policies.operations.teller.samples import (
    allowed_answer,
    learn_from,
    try_on,
    values_of,
    write_grounds,
)
from policies.operations.teller.teller import BY_STRICT, Answered, Call, Teller, micros
from policies.operations.teller.till import Till
from policies.operations.teller.usual import answer_usual

VIEW_MOST_S = 0.05
"""A denial for money rests on a look at the balances that is at most this old."""
KNOWN_MOST_S = 600.0
"""Older knowledge of policy and prices decides nothing any more."""
_TRIES = 8
_PENDING_S = 2.0
_FOR_MONEY = frozenset({Reason.ENVELOPE_HARD_LIMIT, Reason.PARENT_ENVELOPE_EXHAUSTED})
_encode_json = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class _Ruled:
    """What was ruled on which knowledge? `till` None where no envelope covers the call."""

    asked: Asked
    ruling: Ruling
    left: Left
    known: Known
    till: Till | None


def authorize(
    teller: Teller,
    *,
    read: Callable[[], tuple[Authorize, bytes]],
    caller: Caller,
    now: datetime,
) -> bytes:
    """May this call spend? The answer's bytes; the same for a repeated request id.

    `read` gives the request and the JSON that was sent, and waits for nobody; what it raises
    goes to the caller.
    Raises: IdempotencyMismatch (`idempotency_mismatch`); ServiceUnavailable (`unavailable`)
    when what is known is too old, or the envelope's rows are locked; JournalFull.
    """
    usual: list[Answered] = []
    # One call at a time, from its bytes to its answer: a thread that waits here sleeps, where
    # it would take the interpreter away at each of the three system calls on the way.
    with teller.turn:
        request, body = read()
        call = Call(request, body, caller, now, teller.monotonic())

        def answer_at_once() -> int:
            answered = answer_usual(teller, call, _known(teller, call))
            if answered is None:
                return 0
            usual.append(answered)
            return answered.offset

        if request.request_id is None:
            claimed: Claimed | Found | None = None
            answer_at_once()
        else:
            key = _claim_key(caller, request.request_id)
            claimed = teller.claims.claim(
                key, fence=teller.fence, at_s=teller.second(), answer=answer_at_once
            )
    if usual:
        return usual[0].body
    if claimed is None:
        return _in_full(teller, call).body
    if claimed is Claimed.OURS:
        try:
            answered = _in_full(teller, call)
        except BaseException:
            teller.claims.abandon(key, fence=teller.fence)
            raise
        teller.claims.publish(key, fence=teller.fence, offset=answered.offset)
        return answered.body
    if isinstance(claimed, Found):
        return _repeat(teller, call, key, claimed)
    return _strictly(call).body


def _known(teller: Teller, call: Call) -> Known:
    known = teller.known
    if known is None or call.mono - known.at > KNOWN_MOST_S:
        raise ServiceUnavailable(what="the policy snapshot", retry_after_s=1)
    return known


def _in_full(teller: Teller, call: Call) -> Answered:
    """Decides on what is seen; looks again, asks others and borrows until it is settled."""
    asked_others = False
    for _ in range(_TRIES):
        ruled = _rule(teller, call)
        if ruled is None:
            break
        till, ruling = ruled.till, ruled.ruling
        if ruling.would.goes and till is not None:
            answered = _allow(teller, call, ruled, till)
            if answered is not None:
                return answered
            worst = ruling.worst.nanos if ruling.worst else 0
            try:
                borrow(teller, till, worst=worst, now=call.now)
            except PolicyChanged:
                teller.want_news()
                time.sleep(0.005)
        elif till is None or ruling.reasons[0].code not in _FOR_MONEY:
            return _refuse(teller, call, ruled)
        elif _may_shrink(ruled.asked):
            break
        elif till.view is not None and call.mono - till.view.at <= VIEW_MOST_S and asked_others:
            return _refuse(teller, call, ruled)
        else:
            look(teller, till, now=call.now)
            if not asked_others:
                ask_others(teller, till, short=ruling.binding, now=call.now)
            asked_others = True
        call.mono = teller.monotonic()
    return _strictly(call)


def _rule(teller: Teller, call: Call) -> _Ruled | None:
    """What does `decide` say on the last look? None = this call fits into no lease."""
    known = teller.known
    if known is None:
        return None
    asked = ask(
        request=call.request,
        caller=call.caller,
        policy=known.policy,
        now=call.now,
        verb=Action.AUTHORIZE,
        prices=known.prices,
    )
    if asked.rule is not None and Mode(asked.rule.mode) is not Mode.ENFORCE:
        return None
    if asked.rule is not None and asked.rule.levers and throttles(asked.rule):
        # What an hour has left is counted for all workers, in the database.
        return None
    till = teller.open_till(call.request, asked)
    left_now = Left()
    if till is not None:
        if till.run_limited and call.request.run_id:
            return None
        till.use_case = asked.rule.id if asked.rule else 0
        view = till.view or look(teller, till, now=call.now)
        book = till.book
        lends = book is not None and call.mono < book.good_until
        left_now = Left(own(view, book.free if book is not None and lends else 0))
    ruling = decide(question=asked.question, snapshot=known.policy.snapshot, left=left_now)
    if ruling.would.goes and ruling.max_output_tokens < _wanted(asked):
        # Cut down to what is left: that is decided on the truth, under its lock.
        return None
    return _Ruled(asked, ruling, left_now, known, till)


def _allow(teller: Teller, call: Call, ruled: _Ruled, till: Till) -> Answered | None:
    """Holds the worst case in the lease; None when the till has not enough."""
    request, asked, known = call.request, ruled.asked, ruled.known
    worst = ruled.ruling.worst
    if worst is None:
        return None
    learned = learn_from(teller, asked, call.caller, till, known)
    expires = call.now + timedelta(seconds=request.ttl_s or strict.TTL_S)
    with teller.journal.lock:
        book, view = till.book, till.view
        if book is None or view is None:
            return None
        left_now = Left(own(view, book.free), ruled.left.run)
        if not book.reserve(worst.nanos, at=call.mono):
            return None
        try:
            grounds = learned.grounds or write_grounds(teller, asked, call.caller)
            offset = teller.journal.position
            reservation = reservation_of(book.lease, offset)
            promise = token.ReservationToken(
                key_id=known.signer.id,
                lease=book.lease,
                sequence=offset,
                amount_nanos=worst.nanos,
                policy_version=known.policy.snapshot.version,
                expires_at_ms=unix_ms(expires),
                max_output_tokens=worst.max_output_tokens,
            )
            signed = token.sign(promise, key=known.signer.secret)
            answer = allowed_answer(
                asked=asked,
                # Unless another call came in between it was ruled on exactly this.
                ruling=ruled.ruling
                if left_now == ruled.left
                else decide(
                    question=asked.question, snapshot=known.policy.snapshot, left=left_now
                ),
                left_now=left_now,
                reservation=reservation,
                view=ReservationView.of(
                    public_id=ids.id_of("rsv", reservation),
                    token=signed,
                    money=Money(asked.policy.currency, worst.nanos),
                    expires_at=expires,
                ),
            )
            reserved = records.Reserved(
                lease=book.lease.bytes,
                grounds=grounds,
                seen=view.offset,
                at_us=micros(call.now),
                free_before=book.free + worst.nanos,
                amount=worst.nanos,
                input_bound=asked.bound or 0,
                max_output_tokens=worst.max_output_tokens,
                expires_ms=unix_ms(expires),
                request_id=request.request_id or "",
                request_hash=_hash_if_prompted(request),
                request=_without_prompt(call),
                answer=answer,
            )
            teller.journal.append(records.encode(reserved))
        except BaseException:
            book.cancel(worst.nanos)
            raise
        free = book.free
        book.enter(offset, worst.nanos)
        teller.name(reservation.int, book.lease, offset)
        till.reserved += worst.nanos
        till.calls += 1
        if book.granted == worst.nanos:
            # A lease for this call alone: what the call leaves goes back with its ending.
            teller.retire(till, book, now=call.now)
    till.used_at = call.mono
    if learned.untried is not None:
        values = values_of(
            view,
            reservation=reservation.int,
            signed=signed,
            worst=worst.nanos,
            granted=worst.max_output_tokens,
            expires=_encode_json(expires)[1:-1].decode(),
            free=free,
        )
        try_on(till, learned.untried, answer=answer, values=values)
    return Answered(answer, offset)


def _refuse(teller: Teller, call: Call, ruled: _Ruled) -> Answered:
    """Writes a denial down; the ledger hears of it from the bookkeeper."""
    request, asked, ruling = call.request, ruled.asked, ruled.ruling
    price, rule, offer = asked.question.price, asked.rule, asked.offer
    snapshot = ruled.known.policy.snapshot
    decision, first = ids.new_uuid(), ruling.reasons[0].code
    record = decision_record(
        question=asked.question,
        ruling=ruling,
        snapshot=snapshot,
        left_now=ruled.left,
        bound=asked.bound,
    )
    answer = encode(
        decision_answer(
            asked=asked,
            ruling=ruling,
            left_now=ruled.left,
            decision_id=decision,
            reservation=None,
            held=0,
        )
    )
    denied = records.Denied(
        id=decision.bytes,
        caller=call.caller.key_id,
        actor=call.caller.actor,
        at_us=micros(call.now),
        use_case=rule.id if rule else 0,
        use_case_slug=request.use_case[:64],
        department_slug=rule.department_slug if rule else "",
        envelope=asked.cells.leaf,
        decision=ruling.outcome.value,
        would_decision=ruling.would.value,
        mode=ruling.mode.value,
        reason=first.value,
        reason_code=first.number,
        model=price.model if price else (request.model or ""),
        worst=ruling.worst.nanos if ruling.worst else 0,
        policy_version=snapshot.version,
        price_version=price.price_version if price else 0,
        offer=(offer.venue, offer.model, offer.region or "", str(offer.tier))
        if offer
        else None,
        attempt=request.attempt,
        request_id=request.request_id or "",
        request_hash=_hash_if_prompted(request),
        request=_without_prompt(call),
        record=_encode_json(record),
        answer=answer,
    )
    return Answered(answer, teller.journal.append(records.encode(denied)))


def _strictly(call: Call) -> Answered:
    """One transaction for this call alone (policies.operations.authorize)."""
    body = strict.authorize(request=call.request, caller=call.caller, now=call.now)
    return Answered(body, BY_STRICT)


def _repeat(teller: Teller, call: Call, key: bytes, found: Found) -> bytes:
    """The first answer to this request id, from whichever journal of this host has it.

    Raises: IdempotencyMismatch when it was another request; ServiceUnavailable while the first
    is still being decided.
    """
    until = time.monotonic() + _PENDING_S
    while found.is_pending:
        if time.monotonic() > until:
            raise ServiceUnavailable(what="the first answer", retry_after_s=1)
        if not teller.lives(found.fence):
            # Whoever claimed it died in between. What its journal says is in the decision log
            # as soon as it is booked; the strict form looks there, and claims it for good.
            return _strictly(call).body
        time.sleep(0.001)
        again = teller.claims.claim(key, fence=teller.fence, at_s=teller.second())
        if again is Claimed.OURS:
            teller.claims.abandon(key, fence=teller.fence)
            return authorize(
                teller,
                read=lambda: (call.request, call.body),
                caller=call.caller,
                now=call.now,
            )
        if not isinstance(again, Found):
            return _strictly(call).body
        found = again
    if found.offset == BY_STRICT:
        return _strictly(call).body
    first = journals.read_at(teller.journal_of(found.fence), found.offset)
    if not isinstance(first, records.Reserved | records.Denied):
        return _strictly(call).body
    if call.request.prompt is not None or first.request != call.body:
        _check_same(call, first)
    return first.answer


def _check_same(call: Call, first: records.Reserved | records.Denied) -> None:
    """Other bytes may be the same request."""
    before = first.request_hash or strict.request_hash_of(
        msgspec.structs.replace(read_authorize(first.request), request_id=first.request_id)
    )
    if before != strict.request_hash_of(call.request):
        name = f"{call.caller.key_id}#{call.request.request_id}"
        raise IdempotencyMismatch(scope="authorize", key=name)


def _claim_key(caller: Caller, request_id: str) -> bytes:
    return blake2b(f"a|{caller.key_id}|{request_id}".encode(), digest_size=16).digest()


def _may_shrink(asked: Asked) -> bool:
    shrinks = asked.rule is not None and asked.rule.fit_output
    return asked.question.request.max_output_tokens is None or shrinks


def _wanted(asked: Asked) -> int:
    return case_of(asked.question, asked.rule).wanted


def _hash_if_prompted(request: Authorize) -> bytes:
    """A body without its prompt cannot tell two requests apart; their hash can."""
    return b"" if request.prompt is None else strict.request_hash_of(request)


def _without_prompt(call: Call) -> bytes:
    if call.request.prompt is None:
        return call.body
    return _encode_json(msgspec.structs.replace(call.request, prompt=None))
