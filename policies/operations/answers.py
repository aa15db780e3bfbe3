"""How is a ruling told to the router?"""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

import msgspec

from o10.kernel import ids
from o10.kernel.money import Money, Nanos
from o10.wire import token
from o10.wire.decisions import (
    Caps,
    Decision,
    EnvelopeView,
    MoneyView,
    PolicyRef,
    ReservationView,
    Route,
    Settled,
)
from o10.wire.reasons import SettleFlag
from policies.core.decide import Ruling
from policies.core.envelope import left
from policies.core.instants import unix_ms
from policies.core.question import Left
from policies.operations.questions import Asked
from policies.operations.token_keys import signing_key


def decision_answer(
    *,
    asked: Asked,
    ruling: Ruling,
    left_now: Left,
    decision_id: UUID,
    reservation: ReservationView | None,
    held: Nanos,
) -> Decision:
    """What does the router hear? Envelope states are those after the hold of `held` nanos."""
    goes = ruling.outcome.goes
    retry = ruling.retry_after_s
    return Decision(
        decision=ruling.outcome,
        would_decision=ruling.would,
        mode=ruling.mode,
        decision_id=ids.id_of("dec", decision_id),
        reasons=ruling.reasons,
        route=route_of(asked) if goes else None,
        caps=_caps(ruling) if goes else None,
        reservation=reservation,
        envelopes=_envelopes(ruling, left_now, held),
        counterfactual=None,
        policy=PolicyRef(
            version=asked.policy.snapshot.version, hash=asked.policy.snapshot.hash
        ),
        retry_after_s=msgspec.UNSET if retry is None else retry,
    )


def _caps(ruling: Ruling) -> Caps:
    steps = ruling.steps_remaining
    return Caps(
        max_output_tokens=ruling.max_output_tokens,
        max_steps_remaining=msgspec.UNSET if steps is None else steps,
    )


def route_of(asked: Asked) -> Route | None:
    """Which offer is to be called?"""
    price = asked.question.price
    if price is None:
        return None
    return Route(
        offer=price.offer,
        model=price.model,
        venue=price.venue,
        region=price.region,
        price_version=price.price_version,
    )


def reservation_view(
    *,
    reservation: UUID,
    amount: Nanos,
    currency: str,
    expires_at: datetime,
    policy_version: int,
    max_output_tokens: int,
    now: datetime,
) -> ReservationView:
    """How is this hold told, with its signed token?"""
    key = signing_key(now=now)
    promise = token.ReservationToken(
        key_id=key.id,
        lease=reservation,
        sequence=0,
        amount_nanos=amount,
        policy_version=policy_version,
        expires_at_ms=unix_ms(expires_at),
        max_output_tokens=max_output_tokens,
    )
    return ReservationView.of(
        public_id=ids.id_of("rsv", reservation),
        token=token.sign(promise, key=key.secret),
        money=Money(currency, amount),
        expires_at=expires_at,
    )


def settled_answer(
    *,
    uid: UUID,
    currency: str,
    cost: Nanos,
    refunded: Nanos,
    overrun: Nanos,
    late: object,
    flags: Collection[SettleFlag],
) -> Settled:
    """What does the router hear of a billed attempt? Flags in the order of their table."""
    return Settled(
        entry_id=ids.id_of("ent", uid),
        cost=MoneyView.of(Money(currency, cost)),
        refunded=MoneyView.of(Money(currency, refunded)),
        overrun=MoneyView.of(Money(currency, overrun)),
        late=bool(late),
        flags=tuple(flag for flag in SettleFlag if flag in flags),
    )


def _envelopes(ruling: Ruling, left_now: Left, held: Nanos) -> tuple[EnvelopeView, ...]:
    place = ruling.place
    if place is None or len(left_now.path) != len(place.path):
        return ()
    views = []
    for index, (rule, balance) in enumerate(zip(place.path, left_now.path, strict=True)):
        available = left(balance)
        views.append(
            EnvelopeView.of(
                public_id=rule.public,
                name=place.name_at(index),
                cap_nanos=balance.cap,
                settled_nanos=balance.settled,
                held_nanos=balance.held + held,
                available_nanos=None if available is None else available - held,
                binding=index == ruling.binding,
            )
        )
    return tuple(views)
