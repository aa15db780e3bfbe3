"""How does a hold live longer, cover more, or move to another offer?

More time is written down; more money or another offer is decided like a new call, with what is
held already counted as its own. A refusal leaves the hold as it was. A call inside a lease
leaves it with its money first: its holder knows of nothing longer or larger.
Source: product.md section 6: a fallback is authorized again, the hold never grows silently.
"""

import json
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from ledger import facade as ledger
from o10.access.checks import check
from o10.access.keys import Caller
from o10.access.roles import Action
from o10.kernel import ids
from o10.kernel.errors import ReservationFinalized, ServiceUnavailable
from o10.wire.decisions import Caps, Extended, Outcome, ReasonEntry, Route, encode
from o10.wire.reasons import Reason
from o10.wire.requests import Authorize, Extend
from policies.core.decide import Ruling
from policies.core.record import content_hash, decision_record, facts_of
from policies.core.snapshot import Place
from policies.operations import statements
from policies.operations.answer_log import first_answer, keep_answer
from policies.operations.answers import reservation_view, route_of
from policies.operations.balances import lock
from policies.operations.detach import detach, lock_with_lease
from policies.operations.grant_exact import Granted, PolicyChanged, grant_exact
from policies.operations.leases import LeaseRow
from policies.operations.questions import Asked, Numbers, ask, numbers_of
from policies.operations.reservations import EXTEND_RESERVATION, Hold
from policies.operations.settle import attempt_hash, hold_for
from policies.queries.current_policy import CurrentPolicy, current_policy

_TRIES = 8
_FACTS = frozenset(Authorize.__struct_fields__)


@dataclass(frozen=True, slots=True)
class _Extension:
    """What is asked of which hold, by whom?"""

    request: Extend
    caller: Caller
    now: datetime
    policy: CurrentPolicy
    asked: Asked
    numbers: Numbers


def extend(*, request: Extend, caller: Caller, now: datetime) -> bytes:
    """What is held now? The answer's bytes, the same for a repeated request id.

    Raises: ReservationUnknown; TokenInvalid; ReservationFinalized when it has ended or
    expired; IdempotencyMismatch; Forbidden; ServiceUnavailable.
    Locks: the request's key, the tree, balances in order, the lease, the reservation.
    """
    check(caller=caller, action=Action.EXTEND)
    hold = hold_for(request.reservation, caller)
    for _ in range(_TRIES):
        policy = current_policy()
        asked = _ask(request, hold, caller, policy, now)
        extension = _Extension(request, caller, now, policy, asked, Numbers())
        try:
            return _write(extension, hold)
        except PolicyChanged:
            continue
    raise ServiceUnavailable(what="a steady policy", retry_after_s=1)


def _write(extension: _Extension, seen: Hold) -> bytes:
    request, now = extension.request, extension.now
    answers: list[bytes] = []

    def run(uid: UUID) -> list[ledger.Draft]:
        # Numbers before locks; in here, so that a refused extend leaves none behind.
        numbers = numbers_of(asked=extension.asked, caller=extension.caller, now=now)
        answer, drafts = _extend(replace(extension, numbers=numbers), seen, uid)
        keep_answer(uid=uid, verb="extend", reservation=seen.id, answer=answer, now=now)
        answers.append(answer)
        return drafts

    written = ledger.write(
        ledger_id=ledger.COMPANY_LEDGER,
        scope="extend",
        key=f"{seen.id}#{request.request_id or ids.new_uuid()}",
        request_hash=attempt_hash(request, seen),
        origin_ms=seen.origin_ms,
        run=run,
    )
    return answers[0] if written.replayed is None else first_answer(written.uid)


def _extend(extension: _Extension, seen: Hold, uid: UUID) -> tuple[bytes, list[ledger.Draft]]:
    locked = lock(seen.cells)
    hold, lease_row = lock_with_lease(seen)
    if hold.state != "open":
        raise ReservationFinalized(id=ids.id_of("rsv", hold.id), state=hold.state)
    place = extension.asked.place
    if not _asks_money(extension.request) or not hold.holds or place is None:
        hold, detached = _freed(hold, lease_row, locked.version, extension.now)
        answer, drafts = _lengthen(extension, hold, uid)
        return answer, [*detached, *drafts]
    granted = grant_exact(
        asked=extension.asked,
        place=place,
        actor_id=extension.numbers.actor,
        now=extension.now,
        replaced=hold.open,
    )
    if not granted.ruling.holds or granted.ruling.worst is None:
        return _refuse(extension, hold, granted, uid)
    hold, detached = _freed(hold, lease_row, granted.version, extension.now)
    answer, drafts = _grow(extension, hold, granted, uid)
    return answer, [*detached, *drafts]


def _freed(
    hold: Hold, lease_row: LeaseRow | None, version: int, now: datetime
) -> tuple[Hold, list[ledger.Draft]]:
    if lease_row is None:
        return hold, []
    return detach(hold=hold, lease_row=lease_row, version=version, now=now)


def _lengthen(extension: _Extension, hold: Hold, uid: UUID) -> tuple[bytes, list[ledger.Draft]]:
    """More time for the same money; the old end stays where it is later."""
    until = _until(extension, hold)
    _update(hold, extension, until=until, more=0, ruling=None)
    reason = ReasonEntry(code=Reason.OK_WITHIN_ENVELOPE, detail="More time, the same hold.")
    answer = _answer(extension, hold, Outcome.ALLOW, (reason,), until, hold.amount, None)
    draft = hold.draft(
        kind=ledger.Kind.RESERVE,
        uid=uid,
        recorded_at=extension.now,
        actor_id=extension.numbers.actor,
        flags=0 if hold.holds else int(ledger.Flag.UNGUARDED | ledger.Flag.SHADOW_MODE),
    )
    return answer, [draft]


def _grow(
    extension: _Extension, hold: Hold, granted: Granted, uid: UUID
) -> tuple[bytes, list[ledger.Draft]]:
    ruling = granted.ruling
    worst = ruling.worst.nanos if ruling.worst else 0
    # A cheaper offer keeps the larger hold: what is not needed comes back at settle.
    more = max(0, worst - hold.open)
    until = _until(extension, hold)
    _update(hold, extension, until=until, more=more, ruling=ruling)
    price = extension.asked.question.price
    draft = hold.draft(
        kind=ledger.Kind.RESERVE,
        uid=uid,
        recorded_at=extension.now,
        actor_id=extension.numbers.actor,
        offer_id=extension.numbers.offer,
        venue_id=extension.numbers.venue,
        model_id=extension.numbers.model,
        price_version=price.price_version if price else 0,
        policy_version=extension.policy.snapshot.version,
        held_nanos=more,
        reserved_nanos=hold.amount + more,
        attempt=extension.request.attempt or 0,
        env_version=granted.version if more else 0,
    )
    answer = _answer(
        extension,
        hold,
        ruling.outcome,
        ruling.reasons,
        until,
        hold.amount + more,
        ruling.max_output_tokens,
    )
    return answer, [*granted.drafts, draft]


def _refuse(
    extension: _Extension, hold: Hold, granted: Granted, uid: UUID
) -> tuple[bytes, list[ledger.Draft]]:
    ruling = granted.ruling
    record = decision_record(
        question=extension.asked.question,
        ruling=ruling,
        snapshot=extension.policy.snapshot,
        left_now=granted.left,
        bound=extension.asked.bound,
    )
    draft = hold.draft(
        kind=ledger.Kind.DENY,
        uid=uid,
        recorded_at=extension.now,
        actor_id=extension.numbers.actor,
        offer_id=extension.numbers.offer,
        venue_id=extension.numbers.venue,
        model_id=extension.numbers.model,
        policy_version=extension.policy.snapshot.version,
        decision=content_hash(record),
        n=1,
        attempt=extension.request.attempt or 0,
        doc=ledger.put_document(record, now=extension.now),
    )
    answer = _answer(
        extension, hold, Outcome.DENY, ruling.reasons, hold.expires_at, hold.amount, None
    )
    return answer, [*granted.drafts, draft]


def _answer(
    extension: _Extension,
    hold: Hold,
    outcome: Outcome,
    reasons: tuple[ReasonEntry, ...],
    until: datetime,
    amount: int,
    granted_output: int | None,
) -> bytes:
    max_output = hold.max_output_tokens if granted_output is None else granted_output
    view = reservation_view(
        reservation=hold.id,
        amount=amount,
        currency=extension.policy.currency,
        expires_at=until,
        policy_version=extension.policy.snapshot.version,
        max_output_tokens=max_output,
        now=extension.now,
    )
    moved = outcome.goes and granted_output is not None
    return encode(
        Extended(
            decision=outcome,
            reasons=reasons,
            route=_route(extension, hold, moved),
            caps=Caps(max_output_tokens=max_output) if outcome.goes else None,
            reservation=view,
        )
    )


def _route(extension: _Extension, hold: Hold, moved: object) -> Route | None:
    """The route that holds after the call; the old one when nothing moved."""
    if moved:
        return route_of(extension.asked)
    return Route(
        offer=hold.offer,
        model=hold.model,
        venue=hold.venue,
        region=hold.region or None,
        price_version=hold.price_version,
    )


def _update(
    hold: Hold, extension: _Extension, *, until: datetime, more: int, ruling: Ruling | None
) -> None:
    price, numbers = extension.asked.question.price, extension.numbers
    shape = dict(hold.shape)
    if ruling is None or price is None:
        values: list[Any] = [
            hold.model,
            hold.venue,
            hold.region,
            hold.tier,
            hold.offer_id,
            hold.venue_id,
            hold.model_id,
            hold.price_version,
            hold.policy_version,
            hold.input_bound,
            hold.max_output_tokens,
        ]
    else:
        request = extension.asked.question.request
        shape |= facts_of(request, input_tokens=extension.asked.bound)
        shape["worst_nanos"] = str(hold.amount + more)
        shape["offer"] = price.offer
        values = [
            price.model,
            price.venue,
            price.region or "",
            price.tier,
            numbers.offer,
            numbers.venue,
            numbers.model,
            price.price_version,
            extension.policy.snapshot.version,
            extension.asked.bound or 0,
            ruling.max_output_tokens,
        ]
    statements.run(
        EXTEND_RESERVATION,
        [more, more, until, json.dumps(shape, ensure_ascii=False), *values, hold.id],
    )


def _until(extension: _Extension, hold: Hold) -> datetime:
    ttl = extension.request.ttl_s
    if ttl is None:
        return hold.expires_at
    return max(hold.expires_at, extension.now + timedelta(seconds=ttl))


def _asks_money(request: Extend) -> int:
    fields = (request.input_tokens, request.max_output_tokens, request.n)
    return int(any(each is not None for each in (*fields, request.model, request.venue)))


def _ask(
    request: Extend, hold: Hold, caller: Caller, policy: CurrentPolicy, now: datetime
) -> Asked:
    """The call as it would be now, in the place and period where its money lies."""
    facts = {name: value for name, value in hold.shape.items() if name in _FACTS}
    facts.setdefault("input_tokens", hold.input_bound)
    facts.setdefault("max_output_tokens", hold.max_output_tokens)
    for name in ("input_tokens", "max_output_tokens", "n", "model", "venue", "attempt"):
        wanted = getattr(request, name)
        if wanted is not None:
            facts[name] = wanted
    if request.model is not None and request.venue is None:
        facts.pop("venue", None)
    call = msgspec.convert(facts, Authorize)
    asked = ask(request=call, caller=caller, policy=policy, now=now, verb=Action.EXTEND)
    place = _place(hold, policy)
    question = replace(asked.question, place=place)
    return replace(asked, question=question, place=place, cells=hold.cells)


def _place(hold: Hold, policy: CurrentPolicy) -> Place | None:
    if not hold.path_ids:
        return None
    rules = tuple(policy.snapshot.envelopes[each] for each in hold.path_ids)
    periods = tuple(rule.calendar_period_at(hold.authorized_at) for rule in rules)
    return Place(rules, periods)
