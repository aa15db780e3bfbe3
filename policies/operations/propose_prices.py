"""How does somebody ask for a change of prices? A request bound to exactly what it would do.

The money effect is computed here, on real usage, before anybody is asked: it stands in the
request and does not change while people decide.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from django.db import transaction

from ledger import facade as ledger
from o10.access.checks import check
from o10.access.keys import Caller
from o10.access.roles import Action
from o10.kernel.errors import FieldError, NotFound, ValidationFailed
from policies.operations.price_drafts import (
    PriceDraft,
    commitment_change,
    own_price_of,
    price_change,
)
from policies.operations.propose_change import propose_change
from policies.queries.approvals import ApprovalView, find_open

EFFECT_DAYS: Final = 30


@dataclass(frozen=True, slots=True)
class RefreshAsked:
    """What came of a sync: the proposal and the request that waits? Empty = nothing to change.

    `proposal` is the whole diff, rows listed apart included; `confirmed` says that the list
    prices were found unchanged, which is on record now.
    """

    id: str
    approval: ApprovalView | None
    proposal: ledger.Proposal
    confirmed: bool = False


def propose_price_refresh(
    *, catalogue: ledger.Catalogue, actor: Caller | None, now: datetime
) -> RefreshAsked:
    """Which request waits for a person, so that this catalogue is loaded? None = no change.

    `actor` None = the job of the system. The same catalogue against the same list prices is
    one proposal and, while it is open, one request.
    Raises: Forbidden (`forbidden`).
    Locks: the price book, then the key.
    """
    who = actor.principal if actor else ledger.SYSTEM
    if actor is not None:
        check(caller=actor, action=Action.CHANGE_PRICES)
    with transaction.atomic():
        made = ledger.propose_refresh(catalogue=catalogue, actor=who, now=now)
        if not made.id:
            return RefreshAsked("", None, made.proposal, made.confirmed)
        view = ledger.get_proposal(proposal=made.id)
        if view.state != "open":
            return RefreshAsked(made.id, None, made.proposal)
        waiting = find_open(subject=made.id, now=now)
        asked = (
            waiting[0]
            if waiting
            else propose_change(
                kind="price.refresh",
                subject=made.id,
                change={"proposal": made.id, "hash": view.hash},
                actor=actor,
                now=now,
            )
        )
    return RefreshAsked(made.id, asked, made.proposal)


def propose_release(
    *,
    row_id: int,
    reason: str,
    actor: Caller,
    now: datetime,
    free: bool = False,
    key: str = "",
) -> ApprovalView:
    """Which request waits, so that this doubted row becomes a price?

    `free` says that prices of 0 in it are meant.
    Raises: Forbidden; NotFound; NotReleasable (`conflict`); ValidationFailed.
    """
    check(caller=actor, action=Action.CHANGE_PRICES)
    row = ledger.get_quarantined(row_id=row_id)
    if row.released_at is not None or not row.readable:
        reason_left = "released before" if row.released_at else "it states no readable price"
        raise ledger.NotReleasable(row=row_id, reason=reason_left)
    if row.has_zero and not free:
        message = "It has a price of 0: say that it is free by policy."
        raise ValidationFailed(errors=[FieldError("/free", "zero_price", message)])
    said = _reason(reason)
    return propose_change(
        kind="price.release",
        subject=row.slug[:160],
        change={"row": row_id, "reason": said, "free": free},
        actor=actor,
        now=now,
        reason=said,
        key=key,
    )


def dismiss_price_row(
    *, row_id: int, reason: str, actor: Caller, now: datetime
) -> ledger.QuarantinedView:
    """How does this doubted row stand, dismissed with a reason? It stays out of the book.

    No price changes, so nobody else is asked; a request for its release that waits is void.
    Raises: Forbidden; NotFound; AlreadyDecided (`conflict`); ValidationFailed.
    """
    check(caller=actor, action=Action.CHANGE_PRICES)
    return ledger.dismiss_price_row(
        row_id=row_id, reason=reason, actor=actor.principal, now=now
    )


def propose_price(
    *, draft: PriceDraft, actor: Caller, now: datetime, reason: str = "", key: str = ""
) -> ApprovalView:
    """Which request waits, so that this contract or override holds?

    Raises: Forbidden; ValidationFailed naming each wrong field; ZeroWithoutPolicy
    (`validation_failed`); UnitMismatch for a currency without a dated rate.
    """
    check(caller=actor, action=Action.CHANGE_PRICES)
    change = price_change(draft, now=now)
    price = own_price_of(change)
    ledger.check_price(price=price)
    # Without the instant a repeat with the same key would be another change each second.
    change["at"] = draft.valid_from.isoformat()
    change["effect"] = _effect(price, now)
    return propose_change(
        kind=f"price.{draft.source}",
        subject=price.offer.slug[:160],
        change=change,
        actor=actor,
        now=now,
        reason=reason,
        key=key,
    )


def propose_price_end(
    *,
    rule_id: int,
    slug: str,
    ended_at: datetime,
    reason: str,
    actor: Caller,
    now: datetime,
    key: str = "",
) -> ApprovalView:
    """Which request waits, so that an own price ends?

    Raises: Forbidden; NotFound for a rule that is no own price in force; ValidationFailed.
    """
    check(caller=actor, action=Action.CHANGE_PRICES)
    found = [
        rule
        for rule in ledger.list_rule_lines(slug=slug, at=now)
        if rule.rule_id == rule_id and rule.source != ledger.PriceSource.LIST
    ]
    if not found or found[0].ended_at is not None:
        raise NotFound(kind="own_price", id=str(rule_id))
    if ended_at < now:
        message = "A price ends now or later."
        raise ValidationFailed(errors=[FieldError("/ended_at", "in_the_past", message)])
    offer = ledger.key_of_slug(slug)
    return propose_change(
        kind=f"price.{found[0].source}",
        subject=slug[:160],
        change={
            "do": "withdraw",
            "rule": rule_id,
            "source": found[0].source,
            "offer": {
                "venue": offer.venue,
                "model": offer.model,
                "region": offer.region,
                "tier": str(offer.tier),
            },
            "at": ended_at.isoformat(),
            "ended_at": ended_at.isoformat(),
            "evidence": _reason(reason),
        },
        actor=actor,
        now=now,
        reason=reason,
        key=key,
    )


def propose_revaluation(
    *,
    offers: Sequence[str],
    start: datetime,
    end: datetime,
    reason: str,
    actor: Caller,
    now: datetime,
    key: str = "",
) -> ApprovalView:
    """Which request waits, so that the entries of these offers are priced by today's book?

    Raises: Forbidden; NotFound for an offer nobody knows; ValidationFailed, also when nothing
    would be posted.
    """
    check(caller=actor, action=Action.CHANGE_PRICES)
    keys = [ledger.key_of_slug(slug) for slug in offers]
    plan = ledger.plan_revaluation(offers=keys, start=start, end=end)
    if not plan.entries:
        message = "Today's prices say what is booked there: nothing would be posted."
        raise ValidationFailed(errors=[FieldError("/offers", "nothing_to_do", message)])
    return propose_change(
        kind="price.revaluation",
        subject=keys[0].slug[:160],
        change={
            "do": "revalue",
            "offers": sorted(key.slug for key in keys),
            "from": start.isoformat(),
            "to": end.isoformat(),
            "entries": plan.entries,
            "delta_nanos": str(plan.delta),
            "booked_nanos": str(plan.booked),
            "price_version": plan.price_version,
            "reason": _reason(reason),
        },
        actor=actor,
        now=now,
        reason=reason,
        key=key,
    )


def propose_fx_difference(
    *,
    currency: str,
    rate: str,
    paid_on: date,
    start: datetime,
    end: datetime,
    reason: str,
    actor: Caller,
    now: datetime,
    key: str = "",
) -> ApprovalView:
    """Which request waits, so that the gain or loss on a currency is booked?

    Raises: Forbidden; ValidationFailed, also when there is no difference.
    """
    check(caller=actor, action=Action.CHANGE_PRICES)
    found = ledger.plan_fx_difference(currency=currency, rate=rate, start=start, end=end)
    booked = sum(each.booked for each in found.values())
    paid = sum(each.paid for each in found.values())
    if not any(each.delta for each in found.values()):
        message = f"Nothing booked in {currency} there differs at this rate."
        raise ValidationFailed(errors=[FieldError("/currency", "nothing_to_do", message)])
    return propose_change(
        kind="price.revaluation",
        subject=f"fx {currency}",
        change={
            "do": "fx",
            "currency": currency,
            "rate": rate,
            "paid_on": paid_on.isoformat(),
            "from": start.isoformat(),
            "to": end.isoformat(),
            "booked_nanos": str(booked),
            "paid_nanos": str(paid),
            "delta_nanos": str(paid - booked),
            "reason": _reason(reason),
        },
        actor=actor,
        now=now,
        reason=reason,
        key=key,
    )


def propose_commitment(
    *,
    draft: ledger.CommitmentDraft,
    actor: Caller,
    now: datetime,
    public: str = "",
    reason: str = "",
    key: str = "",
) -> ApprovalView:
    """Which request waits, so that these terms hold? `public` names a commitment to change.

    Raises: Forbidden; NotFound; ValidationFailed naming each wrong field; UnitMismatch.
    """
    check(caller=actor, action=Action.CHANGE_PRICES)
    ledger.check_commitment(draft=draft, public=public)
    return propose_change(
        kind="commitment.set",
        subject=public or f"{draft.venue}/{draft.model}"[:160],
        change=commitment_change(draft, public=public),
        actor=actor,
        now=now,
        reason=reason,
        key=key,
    )


def add_fx_rates(
    *, rates: Sequence[ledger.FxRate], actor: Caller, now: datetime, key: str = ""
) -> ledger.FxAdded:
    """In which price version do these dated rates hold?

    A rate is a fact of a named source and needs no second person; whoever may change prices
    enters it, and the version's entry names them.
    Raises: Forbidden; ValidationFailed with a pointer for each bad rate.
    """
    check(caller=actor, action=Action.CHANGE_PRICES)
    return ledger.add_fx_rates(rates=rates, actor=actor.actor, now=now, key=key)


def _effect(price: ledger.OwnPrice, now: datetime) -> dict[str, Any]:
    """What would the last 30 days have cost at it? Exact; nanos as decimal text."""
    # Whole days: a repeat within the day asks for the same change.
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    card = ledger.RateCard(
        price.currency,
        {meter: tuple(brackets) for meter, brackets in price.meters.items()},
        price.threshold,
        price.reasoning,
    )
    found = ledger.effect_of_rules(
        rules={price.offer: [ledger.DatedCard(price.valid_from, card)]},
        source=price.source,
        valid_to=price.valid_to,
        start=today - timedelta(days=EFFECT_DAYS),
        end=today,
        now=max(today, price.valid_from),
    )
    return {
        "before": str(found.total.before),
        "after": str(found.total.after),
        "delta": str(found.total.delta),
        "calls": found.total.calls,
        "days": EFFECT_DAYS,
    }


def _reason(reason: str) -> str:
    said = reason.strip()
    if not said or len(said) > 500:
        message = "Say why, in at most 500 characters."
        raise ValidationFailed(errors=[FieldError("/reason", "missing", message)])
    return said
