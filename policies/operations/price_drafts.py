"""What did somebody ask the price book to say, as plain JSON that a request is bound to?

A request for approval holds its change as JSON; here it becomes the ledger's words and back.
Prices and amounts are decimal text of nanos: nothing rounds on the way.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Final

from ledger import facade as ledger
from o10.kernel.errors import FieldError, ValidationFailed
from o10.kernel.money import MAX_NANOS, Nanos, half_even

PPM: Final = 1_000_000
METERS_MOST: Final = 40
TEXT_MOST: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceDraft:
    """Which own price is asked for: a contract or an override?

    Shape: `meters` maps a meter to (above tokens, nanos per million), ascending. With
    `discount_ppm` the meters of the list price in force, less so much, are the price: fixed
    when it is asked for. `free` names meters that cost nothing on purpose.
    """

    venue: str
    model: str
    source: str
    valid_from: datetime
    evidence: str
    meters: Mapping[str, Sequence[tuple[int, Nanos]]] = field(default_factory=dict)
    discount_ppm: int | None = None
    region: str = "global"
    tier: str = "standard"
    currency: str = ""
    valid_to: datetime | None = None
    threshold: str = "whole_call"
    free: tuple[str, ...] = ()


def price_change(draft: PriceDraft, *, now: datetime) -> dict[str, Any]:
    """Which JSON stands for this price?

    Raises: ValidationFailed (`validation_failed`) for a discount without a list price or with
    meters beside it, and for a source, tier or threshold that is none.
    """
    wrong = _mistakes(draft)
    if wrong:
        raise ValidationFailed(errors=wrong)
    currency = draft.currency or ledger.ledger_of_company().currency
    meters = {name: list(brackets) for name, brackets in draft.meters.items()}
    evidence = draft.evidence.strip()
    if draft.discount_ppm is not None:
        meters, currency = _discounted(draft, now)
        percent = f"{draft.discount_ppm / 10_000:.4f}".rstrip("0").rstrip(".")
        evidence = f"{evidence} ({percent}% off list)"
    return {
        "do": "add",
        "offer": {
            "venue": draft.venue,
            "model": draft.model,
            "region": draft.region,
            "tier": draft.tier,
        },
        "source": draft.source,
        "currency": currency,
        "meters": {
            name: [[above, str(price)] for above, price in brackets]
            for name, brackets in sorted(meters.items())
        },
        "threshold": draft.threshold,
        "valid_from": draft.valid_from.isoformat(),
        "valid_to": draft.valid_to.isoformat() if draft.valid_to else None,
        "evidence": evidence,
        "free": sorted(draft.free),
    }


def own_price_of(change: Mapping[str, Any], *, approved_by: str = "") -> ledger.OwnPrice:
    """Which price does this JSON stand for?"""
    return ledger.OwnPrice(
        offer=offer_of(change),
        source=ledger.PriceSource(change["source"]),
        meters={
            name: [ledger.Bracket(int(above), int(price)) for above, price in brackets]
            for name, brackets in change["meters"].items()
        },
        valid_from=datetime.fromisoformat(change["valid_from"]),
        valid_to=instant_of(change.get("valid_to")),
        evidence=change["evidence"],
        currency=change["currency"],
        threshold=ledger.Threshold(change["threshold"]),
        free_meters=frozenset(change["free"]),
        approved_by=approved_by,
    )


def offer_of(change: Mapping[str, Any]) -> ledger.OfferKey:
    """Which offer is the change about?"""
    said = change["offer"]
    return ledger.OfferKey(
        said["venue"], said["model"], said["region"], ledger.Tier(said["tier"])
    )


def commitment_change(draft: ledger.CommitmentDraft, *, public: str) -> dict[str, Any]:
    """Which JSON stands for these terms?"""
    return {
        "commitment": public,
        "name": draft.name,
        "venue": draft.venue,
        "model": draft.model,
        "region": draft.region,
        "units": draft.units,
        "hourly_rate_nanos": str(draft.hourly_rate_nanos),
        "currency": draft.currency,
        "unit_tokens": draft.unit_tokens,
        "term": draft.term,
        "start_at": draft.start_at.isoformat(),
        "end_at": draft.end_at.isoformat(),
        "notice_date": draft.notice_date.isoformat(),
        "owner_kind": draft.owner_kind,
        "owner_slug": draft.owner_slug,
        "beyond": draft.beyond,
        "evidence": draft.evidence,
    }


def commitment_of(change: Mapping[str, Any]) -> ledger.CommitmentDraft:
    """Which terms does this JSON stand for?"""
    said = {name: value for name, value in change.items() if name != "commitment"}
    return ledger.CommitmentDraft(
        **said
        | {
            "hourly_rate_nanos": int(change["hourly_rate_nanos"]),
            "start_at": datetime.fromisoformat(change["start_at"]),
            "end_at": datetime.fromisoformat(change["end_at"]),
            "notice_date": date.fromisoformat(change["notice_date"]),
        }
    )


def instant_of(text: str | None) -> datetime | None:
    """Which instant does this text name, if any?"""
    return datetime.fromisoformat(text) if text else None


def _discounted(
    draft: PriceDraft, now: datetime
) -> tuple[dict[str, list[tuple[int, Nanos]]], str]:
    """Every meter of the list price in force, less the discount, half even."""
    key = ledger.OfferKey(draft.venue, draft.model, draft.region, ledger.Tier(draft.tier))
    rules = [
        rule
        for rule in ledger.list_rule_lines(slug=key.slug, at=now)
        if rule.source == ledger.PriceSource.LIST and rule.holds and not rule.window
    ]
    if not rules:
        message = f"{key.slug} has no list price now to take a discount from."
        raise ValidationFailed(errors=[FieldError("/discount", "no_list_price", message)])
    rest = PPM - (draft.discount_ppm or 0)
    meters: dict[str, list[tuple[int, Nanos]]] = {}
    for meter, above, price in rules[0].meters:
        meters.setdefault(meter, []).append((above, half_even(price * rest, PPM)))
    return meters, rules[0].currency


def _mistakes(draft: PriceDraft) -> list[FieldError]:
    wrong = []
    words = (
        ("source", draft.source, ("contract", "override")),
        ("tier", draft.tier, tuple(ledger.Tier)),
        ("threshold", draft.threshold, tuple(ledger.Threshold)),
    )
    for name, value, known in words:
        if value not in known:
            message = f"One of {', '.join(known)}."
            wrong.append(FieldError(f"/{name}", "unknown", message))
    if draft.discount_ppm is not None and draft.meters:
        message = "Either prices or a discount off the list price, not both."
        wrong.append(FieldError("/discount", "not_both", message))
    elif draft.discount_ppm is not None and not 0 < draft.discount_ppm < PPM:
        message = "More than 0 and less than 100 %."
        wrong.append(FieldError("/discount", "out_of_range", message))
    elif draft.discount_ppm is None and not 0 < len(draft.meters) <= METERS_MOST:
        message = "Say the price of at least one meter, per million units."
        wrong.append(FieldError("/meters", "empty", message))
    if any(
        not 0 <= price <= MAX_NANOS
        for brackets in draft.meters.values()
        for _, price in brackets
    ):
        wrong.append(FieldError("/meters", "out_of_range", "A price is 0 or more."))
    return wrong
