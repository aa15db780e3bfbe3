"""Which bodies do the doors of prices, rates and commitments take and give?

Prices are decimal text per million units, rates and shares decimal text; an amount stands with
its nanos as text and its currency.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from o10.kernel.errors import FieldError, ValidationFailed
from o10.kernel.money import AmountMalformed, Nanos, amount_text, parse_nanos
from o10.wire import fields as f
from policies import facade
from policies.web.serializers import Day

PPM = 1_000_000
DATE_CHARS = 10
Name = Annotated[str, Meta(min_length=1, max_length=200, pattern=r"^[^\u0000-\u001f\u007f|]+$")]
Text = Annotated[str, Meta(max_length=500, pattern=r"^[^\u0000-\u001f\u007f|]*$")]
Decimal = Annotated[str, Meta(max_length=30, pattern=r"^[0-9]{1,12}(\.[0-9]{1,15})?$(?!\n)")]
Currency = Annotated[str, Meta(pattern=r"^[A-Z]{3}$(?!\n)")]
Count = Annotated[int, Meta(ge=0, le=10**15)]


class _Body(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What do these bodies have in common? By name, nothing unknown."""


class _View(msgspec.Struct, frozen=True, kw_only=True):
    """What do these answers have in common? By name, never changed."""


class OfferBody(_Body, frozen=True, kw_only=True):
    """Which model, sold where, in which region, at which tier?"""

    venue: Name
    model: Name
    region: Name = "global"
    tier: f.Word = "standard"


class BracketBody(_Body, frozen=True, kw_only=True):
    """What does a million units cost once total input is above so many tokens?"""

    above_tokens: Count = 0
    price: Decimal


class PriceBody(_Body, frozen=True, kw_only=True):
    """Which contract or override is asked for?

    `meters` maps a meter to its price per million, or to brackets; or `discount` off the list
    price in force ("0.15" = 15 %). `free` names meters that cost nothing on purpose.
    """

    offer: OfferBody
    source: f.Word
    evidence: Text
    valid_from: Day
    valid_to: Day | None = None
    currency: Currency | None = None
    meters: dict[str, str | list[BracketBody]] = {}
    discount: Decimal | None = None
    threshold: f.Word = "whole_call"
    free: list[Name] = []
    reason: Text = ""
    request_id: f.Name | None = None


class PriceEndBody(_Body, frozen=True, kw_only=True):
    """Which own price shall end when, and why?"""

    offer: Name
    rule: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    ended_at: Day | None = None
    reason: Text
    request_id: f.Name | None = None


class RevaluationBody(_Body, frozen=True, kw_only=True):
    """The entries of which offers, effective when, shall follow today's prices, and why?"""

    offers: Annotated[list[Name], Meta(min_length=1, max_length=200)]
    start: Day
    end: Day
    reason: Text
    request_id: f.Name | None = None


class RefreshBody(_Body, frozen=True, kw_only=True):
    """Which catalogue shall be looked at? The one that is installed."""

    catalogue: f.Word = "genai-prices"
    request_id: f.Name | None = None


class NothingNew(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a refresh that asks nobody? Its id, when it was kept; null, when the
    installed catalogue is the one in force.

    `confirmed` = the list prices were found unchanged, which is on record and keeps them fresh.
    """

    proposal: str | None
    confirmed: bool = False
    approval: None = None


class ReleaseBody(_Body, frozen=True, kw_only=True):
    """Why is this doubted row believed? `free` says that its prices of 0 are meant."""

    reason: Text
    free: bool = False
    request_id: f.Name | None = None


class DismissalBody(_Body, frozen=True, kw_only=True):
    """Why is this doubted row not believed?"""

    reason: Text
    request_id: f.Name | None = None


class FxRateBody(_Body, frozen=True, kw_only=True):
    """How much of the ledger's currency is one unit worth from this date on?"""

    currency: Currency
    rate: Decimal
    date: date
    source: Name
    evidence: Text = ""


class FxRatesBody(_Body, frozen=True, kw_only=True):
    """Which dated rates are given?"""

    rates: Annotated[list[FxRateBody], Meta(min_length=1, max_length=5_000)]
    request_id: f.Name | None = None


class FxSettleBody(_Body, frozen=True, kw_only=True):
    """At which rate was what was booked in this currency paid?"""

    currency: Currency
    rate: Decimal
    paid_on: date
    start: Day
    end: Day
    reason: Text
    request_id: f.Name | None = None


class CommitmentBody(_Body, frozen=True, kw_only=True):
    """What was agreed? `hourly_rate` for one unit, `unit_tokens` one unit serves an hour."""

    name: Name
    offer: OfferBody
    units: Annotated[int, Meta(ge=1, le=10**6)]
    hourly_rate: Decimal
    currency: Currency | None = None
    unit_tokens: Annotated[int, Meta(ge=1, le=10**15)]
    start: Day
    end: Day
    notice_date: date
    owner_kind: f.Word = "use_case"
    owner: Name
    term: Text = ""
    beyond: f.Word = "on_demand"
    evidence: Text
    reason: Text = ""
    request_id: f.Name | None = None


class PriceView(_View, frozen=True, kw_only=True):
    """What does an offer cost now? Prices per million in the ledger's currency."""

    offer: str
    venue: str
    model: str
    region: str
    tier: str
    source: str
    source_name: str
    rates: dict[str, str]
    list_rates: dict[str, str]
    currency: str
    stated_currency: str
    fx_rate: str | None
    fx_date: str | None
    valid_from: datetime | None
    valid_to: datetime | None
    rule: int
    evidence: str
    approved_by: str
    thresholds: tuple[int, ...]
    context_window: int | None
    free_by_policy: bool


class RuleView(_View, frozen=True, kw_only=True):
    """Which rule had an offer? Prices per million of `currency`."""

    rule: int
    source: str
    source_name: str
    price_version: int
    holds: bool
    valid_from: datetime
    valid_to: datetime | None
    ended_at: datetime | None
    hours: str
    currency: str
    meters: tuple[dict[str, str], ...]
    evidence: str
    approved_by: str
    recorded_at: datetime


class PricePage(_View, frozen=True, kw_only=True):
    """Which offers are priced how? `next` null = it ends here."""

    items: tuple[PriceView, ...]
    next: str | None
    as_of: facade.AsOf
    price_version: int


class HistoryView(_View, frozen=True, kw_only=True):
    """Which rules has an offer ever had? The newest first."""

    price: PriceView
    rules: tuple[RuleView, ...]


class MoneyView(_View, frozen=True, kw_only=True):
    """How much?"""

    amount: str
    amount_nanos: str
    currency: str


class EffectView(_View, frozen=True, kw_only=True):
    """What did the usage looked at cost, before and after?"""

    before: MoneyView
    after: MoneyView
    delta: MoneyView
    calls: int
    unpriced: int


class ProposalAnswer(_View, frozen=True, kw_only=True):
    """What does a catalogue change, with which effect, and how does it stand?

    `changes`, `apart` and `disagreements` are null in lists.
    """

    id: str
    catalogue: str
    edition: str
    sha256: str
    hash: str
    state: str
    price_version: int | None
    made_at: datetime
    made_by: str
    ended_at: datetime | None
    effect_days: int
    effect: EffectView
    counts: dict[str, int]
    effect_by_offer: dict[str, EffectView] | None = None
    changes: list[dict[str, str | int | None]] | None = None
    new_offers: list[str] | None = None
    apart: list[dict[str, str | list[str]]] | None = None
    disagreements: list[dict[str, str | int | None]] | None = None
    approvals: tuple[str, ...] = ()


class ProposalsAnswer(_View, frozen=True, kw_only=True):
    """Which refreshes were proposed? The newest first."""

    items: tuple[ProposalAnswer, ...]
    next: None = None


class QuarantineView(_View, frozen=True, kw_only=True):
    """Which row is not believed, why, and what did people make of it?

    `state` is waiting, released or dismissed; `reason` that of the release or dismissal.
    """

    id: int
    offer: str
    catalogue: str
    edition: str
    doubts: tuple[str, ...]
    remark: str
    cards: tuple[Mapping[str, str], ...]
    seen_at: datetime
    state: str
    released_in: int | None
    dismissed_at: datetime | None
    dismissed_by: str | None
    reason: str


class QuarantineAnswer(_View, frozen=True, kw_only=True):
    """Which rows wait for a person, or were decided by one?"""

    items: tuple[QuarantineView, ...]
    next: None = None


class FxView(_View, frozen=True, kw_only=True):
    """What is one unit of a currency worth in the ledger's from a date on?"""

    currency: str
    rate: str
    date: date
    source: str
    evidence: str
    price_version: int
    in_force: bool
    stale: bool


class FxAnswer(_View, frozen=True, kw_only=True):
    """Which rates were given? By currency, the newest date first."""

    items: tuple[FxView, ...]
    reporting_currency: str
    next: None = None


class FxAddedAnswer(_View, frozen=True, kw_only=True):
    """Which price version holds them?"""

    price_version: int
    added: int
    known: int


class CommitmentTermView(_View, frozen=True, kw_only=True):
    """How far is the whole term drawn, as an envelope? `cap` null = a rate is missing."""

    cap: MoneyView | None
    spent: MoneyView
    waste: MoneyView
    left: MoneyView | None
    hours: int
    hours_left: int


class CommitmentAnswer(_View, frozen=True, kw_only=True):
    """How does a commitment stand? Sums over the days booked in the last 30.

    `charge` = `used` + `waste`; `beyond_cost` is what was bought on demand beside it.
    """

    id: str
    version: int
    name: str
    offer: str
    units: int
    hourly_rate: MoneyView
    unit_tokens: int
    start: datetime
    end: datetime
    notice_date: date
    owner_kind: str
    owner: str
    beyond: str
    evidence: str
    approved_by: str
    hour_capacity: int
    hour_used: int
    hour_left: int
    charge: MoneyView
    used: MoneyView
    waste: MoneyView
    used_tokens: int
    capacity_tokens: int
    beyond_tokens: int
    beyond_cost: MoneyView
    beyond_unpriced_tokens: int
    term: CommitmentTermView
    utilisation_ppm: int | None
    accounting_price: MoneyView | None
    routing_price: MoneyView
    on_demand_price: MoneyView | None
    break_even_tokens: int | None
    break_even_ppm: int | None
    advice: str
    advice_units: int
    advice_saving: MoneyView
    shift_in: tuple[str, ...]
    days: tuple[dict[str, str | int], ...] = ()


class CommitmentsAnswer(_View, frozen=True, kw_only=True):
    """Which capacity is committed? The next to end first."""

    items: tuple[CommitmentAnswer, ...]
    next: None = None


def price_draft(body: PriceBody) -> facade.PriceDraft:
    """Which price does this body ask for?

    Raises: AmountMalformed, ValidationFailed (`validation_failed`).
    """
    return facade.PriceDraft(
        venue=body.offer.venue,
        model=body.offer.model,
        region=body.offer.region,
        tier=body.offer.tier,
        source=body.source,
        currency=body.currency or "",
        meters={name: _brackets(name, said) for name, said in body.meters.items()},
        discount_ppm=None if body.discount is None else share_ppm(body.discount, "/discount"),
        threshold=body.threshold,
        valid_from=instant(body.valid_from, "/valid_from"),
        valid_to=None if body.valid_to is None else instant(body.valid_to, "/valid_to"),
        evidence=body.evidence,
        free=tuple(body.free),
    )


def commitment_draft(body: CommitmentBody, *, currency: str) -> facade.CommitmentDraft:
    """Which terms does this body ask for?"""
    return facade.CommitmentDraft(
        name=body.name,
        venue=body.offer.venue,
        model=body.offer.model,
        region=body.offer.region,
        units=body.units,
        hourly_rate_nanos=price_nanos(body.hourly_rate, "/hourly_rate"),
        currency=body.currency or currency,
        unit_tokens=body.unit_tokens,
        term=body.term,
        start_at=instant(body.start, "/start"),
        end_at=instant(body.end, "/end"),
        notice_date=body.notice_date,
        owner_kind=body.owner_kind,
        owner_slug=body.owner,
        beyond=body.beyond,
        evidence=body.evidence,
    )


def instant(said: str, pointer: str = "") -> datetime:
    """Which instant is meant? A bare date is its first instant in UTC.

    Raises: ValidationFailed (`validation_failed`) at `pointer` for what is neither, and for a
    time without its zone.
    """
    try:
        found = datetime.fromisoformat(said)
    except ValueError:
        found = None
    if found is not None and len(said) == DATE_CHARS:
        return found.replace(tzinfo=UTC)
    if found is None or found.tzinfo is None:
        message = "A date such as 2026-11-24, or a time with its zone: 2026-11-24T09:00:00Z."
        raise ValidationFailed(errors=[FieldError(pointer, "malformed", message)])
    return found.astimezone(UTC)


def price_nanos(text: str, pointer: str) -> Nanos:
    """How many nanos is this price? At most 9 decimals.

    Raises: ValidationFailed (`validation_failed`) at `pointer`.
    """
    try:
        return parse_nanos(text)
    except AmountMalformed as error:
        message = "A price is a decimal of at most 9 decimals."
        raise ValidationFailed(errors=[FieldError(pointer, "malformed", message)]) from error


def share_ppm(text: str, pointer: str) -> int:
    """How many millionths is this share ("0.15" = 150,000)?

    Raises: ValidationFailed (`validation_failed`) for more than six decimals.
    """
    nanos = price_nanos(text, pointer)
    if nanos % 1_000:
        message = "A share has at most six decimals."
        raise ValidationFailed(errors=[FieldError(pointer, "malformed", message)])
    return nanos // 1_000


def money_view(nanos: Nanos, currency: str) -> MoneyView:
    """How does an amount stand in an answer?"""
    return MoneyView(amount=amount_text(nanos), amount_nanos=str(nanos), currency=currency)


def _brackets(name: str, said: str | list[BracketBody]) -> list[tuple[int, Nanos]]:
    if isinstance(said, str):
        return [(0, price_nanos(said, f"/meters/{name}"))]
    return [(each.above_tokens, price_nanos(each.price, f"/meters/{name}")) for each in said]
