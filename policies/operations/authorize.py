"""How is a call authorized? Look, decide, hold, write down, answer: one transaction.

A denial needs no lock: what was committed and had no room is a true answer. A yes is decided a
second time under the lock (`grant_exact`). A repeated request id gets the first answer's bytes.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

import msgspec
from django.db import transaction

from ledger import facade as ledger
from o10.access.keys import Caller
from o10.access.roles import Action
from o10.kernel import ids
from o10.kernel.errors import Conflict, IdempotencyMismatch, ServiceUnavailable
from o10.wire.decisions import encode
from o10.wire.requests import Authorize
from policies.core.decide import Ruling, decide
from policies.core.instants import unix_ms
from policies.core.question import Left
from policies.core.record import content_hash, decision_record
from policies.operations import statements
from policies.operations.answers import decision_answer, reservation_view
from policies.operations.grant_exact import Granted, PolicyChanged, grant_exact
from policies.operations.log_decision import DecisionRow, insert_decision, is_flood
from policies.operations.questions import Asked, Numbers, ask, left_from, numbers_of
from policies.operations.reservations import NewReservation
from policies.queries.current_policy import believed_policy, current_policy
from policies.queries.standing import READ_STANDING, Standing, standing_of

TTL_S = 600
"""How long a hold lives when the caller does not say; 1 s to 24 h otherwise."""
_TRIES = 8
_HASH = msgspec.json.Encoder(order="deterministic")


class AnsweredBefore(Conflict):
    """Was this request id answered while we were deciding? The first answer is sent."""


@dataclass(frozen=True, slots=True)
class _Call:
    """Who asks, what, when, and how is this asking told apart from another?"""

    request: Authorize
    caller: Caller
    now: datetime
    request_hash: bytes
    decision_id: UUID

    @property
    def key(self) -> str:
        """Which idempotency key has it? Without a request id every call is a new one."""
        return f"{self.caller.key_id}#{self.request.request_id or self.decision_id}"

    @property
    def origin_ms(self) -> int:
        """0 for a key the client made, so that its retry finds the same uid."""
        return 0 if self.request.request_id else unix_ms(self.now)


@dataclass(frozen=True, slots=True)
class _Decided:
    """What was decided, on which truth, and how is it attributed in the ledger?"""

    call: _Call
    asked: Asked
    ruling: Ruling
    left: Left
    numbers: Numbers
    record: dict[str, Any]
    binding: UUID

    @property
    def held(self) -> int:
        """How many nanos does it hold?"""
        return self.ruling.worst.nanos if self.ruling.holds and self.ruling.worst else 0


def authorize(*, request: Authorize, caller: Caller, now: datetime) -> bytes:
    """May this call spend? The answer's bytes; the same for a repeated request id.

    Raises: IdempotencyMismatch (`idempotency_mismatch`) for a request id used with another
    body; ServiceUnavailable when the policy changes faster than a call can be decided.
    Locks: the request's key, the tree, balances in order.
    """
    call = _Call(request, caller, now, request_hash_of(request), ids.new_uuid())
    for _ in range(_TRIES):
        asked, standing = _look(call, Action.AUTHORIZE)
        if standing.first is not None:
            if standing.first.request_hash != call.request_hash:
                raise IdempotencyMismatch(scope="authorize", key=call.key)
            return standing.first.answer
        if standing.stamp != asked.policy.stamp:
            current_policy()
            continue
        try:
            return _write_down(call, asked, left_from(asked, standing.balances))
        except PolicyChanged:
            current_policy()
        except AnsweredBefore:
            continue
    raise ServiceUnavailable(what="a steady policy", retry_after_s=1)


def dry_run(*, request: Authorize, caller: Caller, now: datetime) -> bytes:
    """What would be answered now? Nothing is held and nothing is written.

    Raises: ServiceUnavailable when the policy changes faster than a call can be decided.
    """
    call = _Call(request, caller, now, b"", ids.new_uuid())
    for _ in range(_TRIES):
        asked, standing = _look(call, Action.DRY_RUN)
        if standing.stamp == asked.policy.stamp:
            left_now = left_from(asked, standing.balances)
            ruling = _ruling(asked, left_now)
            return encode(_answer(_decided(call, asked, ruling, left_now, Numbers()), None))
        current_policy()
    raise ServiceUnavailable(what="a steady policy", retry_after_s=1)


def request_hash_of(request: msgspec.Struct) -> bytes:
    """Which hash has this request? Equal requests have equal hashes."""
    return sha256(_HASH.encode(request)).digest()


def reservation_id(decision_id: UUID, now: datetime) -> UUID:
    """Which uuid has the reservation of this decision?"""
    return ids.uid(scope="reservation", key=f"{decision_id}#0", origin_ms=unix_ms(now))


def _look(call: _Call, verb: Action) -> tuple[Asked, Standing]:
    asked = ask(
        request=call.request,
        caller=call.caller,
        policy=believed_policy(),
        now=call.now,
        verb=verb,
    )
    repeatable = call.request.request_id if verb is Action.AUTHORIZE else ""
    found = statements.rows(
        READ_STANDING,
        [
            call.caller.key_id,
            repeatable or "",
            *asked.cells.as_arrays,
        ],
    )
    return asked, standing_of(found)


def _write_down(call: _Call, asked: Asked, left_now: Left) -> bytes:
    """Decides on what was seen, then writes it in the way its outcome asks for."""
    numbers = numbers_of(asked=asked, caller=call.caller, now=call.now)
    ruling = _ruling(asked, left_now)
    if ruling.would.goes and not ruling.holds:
        decided = _decided(call, asked, ruling, left_now, numbers)
        return _write_unentered(decided, folded=0)
    if is_flood(caller=call.caller, asked=asked, ruling=ruling):
        decided = _decided(call, asked, ruling, left_now, numbers)
        return _write_unentered(decided, folded=1)
    return _write_entered(call, asked, ruling, left_now, numbers)


def _ruling(asked: Asked, left_now: Left) -> Ruling:
    return decide(question=asked.question, snapshot=asked.policy.snapshot, left=left_now)


def _decided(
    call: _Call, asked: Asked, ruling: Ruling, left_now: Left, numbers: Numbers
) -> _Decided:
    record = decision_record(
        question=asked.question,
        ruling=ruling,
        snapshot=asked.policy.snapshot,
        left_now=left_now,
        bound=asked.bound,
    )
    return _Decided(call, asked, ruling, left_now, numbers, record, content_hash(record))


def _write_entered(
    call: _Call, asked: Asked, seen: Ruling, left_now: Left, numbers: Numbers
) -> bytes:
    """A hold or a denial with an entry of its own; a yes is decided again under the lock."""
    answers: list[bytes] = []

    def run(uid: UUID) -> list[ledger.Draft]:
        granted = Granted(seen, left_now, 0, ())
        if seen.holds and asked.place is not None:
            granted = grant_exact(
                asked=asked, place=asked.place, actor_id=numbers.actor, now=call.now
            )
        final = _decided(call, asked, granted.ruling, granted.left, numbers)
        answers.append(_write_rows(final, entry_uid=uid, folded=0))
        if final.ruling.holds:
            return [*granted.drafts, _reserve(final, uid, granted.version)]
        return [*granted.drafts, _deny(final, uid)]

    written = ledger.write(
        ledger_id=ledger.COMPANY_LEDGER,
        scope="authorize",
        key=call.key,
        request_hash=call.request_hash,
        origin_ms=call.origin_ms,
        run=run,
    )
    if written.replayed is not None:
        raise AnsweredBefore(key=call.key)
    return answers[0]


def _write_unentered(decided: _Decided, *, folded: int) -> bytes:
    """A yes that holds nothing (observe, shadow), or a denial that will be folded."""
    with transaction.atomic():
        return _write_rows(decided, entry_uid=None, folded=folded)


def _write_rows(decided: _Decided, *, entry_uid: UUID | None, folded: int) -> bytes:
    """Decision and reservation rows; the answer's bytes.

    Raises: AnsweredBefore when the request id has a decision; the transaction must end.
    """
    call, ruling = decided.call, decided.ruling
    hold = None
    if ruling.outcome.goes and decided.asked.rule is not None:
        hold = _new_reservation(decided)
    answer = encode(_answer(decided, hold))
    fresh = insert_decision(
        DecisionRow(
            id=call.decision_id,
            caller=call.caller,
            request_hash=call.request_hash,
            asked=decided.asked,
            ruling=ruling,
            record=decided.record,
            answer=answer,
            hold=hold,
            entry_uid=entry_uid,
            folded=folded,
        )
    )
    if not fresh:
        raise AnsweredBefore(key=call.key)
    return answer


def _answer(decided: _Decided, hold: NewReservation | None) -> msgspec.Struct:
    asked, ruling, now = decided.asked, decided.ruling, decided.call.now
    view = None
    if hold is not None:
        view = reservation_view(
            reservation=hold.id,
            amount=hold.amount,
            currency=asked.policy.currency,
            expires_at=hold.expires_at,
            policy_version=asked.policy.snapshot.version,
            max_output_tokens=ruling.max_output_tokens,
            now=now,
        )
    return decision_answer(
        asked=asked,
        ruling=ruling,
        left_now=decided.left,
        decision_id=decided.call.decision_id,
        reservation=view,
        held=decided.held,
    )


def _new_reservation(decided: _Decided) -> NewReservation:
    call = decided.call
    return NewReservation(
        id=reservation_id(call.decision_id, call.now),
        holds=decided.ruling.holds,
        caller=call.caller.key_id,
        numbers=decided.numbers,
        asked=decided.asked,
        decision_id=call.decision_id,
        decision=decided.binding,
        facts=decided.record["request"],
        input_bound=decided.asked.bound or 0,
        max_output_tokens=decided.ruling.max_output_tokens,
        amount=decided.held,
        worst=decided.ruling.worst.nanos if decided.ruling.worst else 0,
        authorized_at=call.now,
        expires_at=call.now + timedelta(seconds=call.request.ttl_s or TTL_S),
    )


def _reserve(decided: _Decided, uid: UUID, version: int) -> ledger.Draft:
    call = decided.call
    return _draft(
        decided,
        uid,
        kind=ledger.Kind.RESERVE,
        held_nanos=decided.held,
        reserved_nanos=decided.held,
        reservation=reservation_id(call.decision_id, call.now),
        env_version=version if decided.held else 0,
    )


def _deny(decided: _Decided, uid: UUID) -> ledger.Draft:
    trial = decided.ruling.outcome is not decided.ruling.would
    return _draft(
        decided,
        uid,
        kind=ledger.Kind.DENY,
        n=1,
        flags=int(ledger.Flag.SHADOW_MODE) if trial else 0,
        doc=ledger.put_document(decided.record, now=decided.call.now),
    )


def _draft(decided: _Decided, uid: UUID, **fields: Any) -> ledger.Draft:
    asked, price, numbers = decided.asked, decided.asked.question.price, decided.numbers
    return ledger.Draft(
        ledger_id=ledger.COMPANY_LEDGER,
        uid=uid,
        effective_at=decided.call.now,
        recorded_at=decided.call.now,
        envelope_id=asked.cells.leaf,
        use_case_id=asked.rule.id if asked.rule else 0,
        dims_id=numbers.dims,
        offer_id=numbers.offer,
        venue_id=numbers.venue,
        model_id=numbers.model,
        actor_id=numbers.actor,
        price_version=price.price_version if price else 0,
        policy_version=asked.policy.snapshot.version,
        decision=decided.binding,
        attempt=decided.call.request.attempt,
        **fields,
    )
