"""Which bodies do the doors of policies take, and how do they become drafts?

The shapes are contract.md section 4.3: amounts are decimal text, dates are days in the
envelope's own zone, thresholds are shares such as "0.8".
"""

from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from o10.kernel.errors import FieldError, Rejected, UnitMismatch, ValidationFailed
from o10.kernel.money import parse_nanos
from o10.kernel.periods import PeriodKind, day_start, zone_of
from o10.wire import fields as f
from policies import facade

PPM = 1_000_000
BATCH_MOST = facade.BATCH_MOST
_MOST_THRESHOLDS = 10
_THRESHOLD_DECIMALS = 6
_MOST_MODELS = 100

Slug = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$(?!\n)")]
Day = Annotated[str, Meta(min_length=10, max_length=40, pattern=r"^[0-9T:.Z+-]+$(?!\n)")]
"""A day as 2026-11-01, or an instant as 2026-11-01T00:00:00Z."""
Share = Annotated[str, Meta(max_length=9, pattern=r"^[0-9]{1,2}(\.[0-9]{1,6})?$(?!\n)")]
Title = Annotated[str, Meta(min_length=1, max_length=120, pattern=r"^[^\u0000-\u001f\u007f]*$")]
Note = Annotated[str, Meta(max_length=400, pattern=r"^[^\u0000-\u001f\u007f]*$")]
Nanos = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class FloorClass(StrEnum):
    """How strict is the quality floor? Source: product.md section 9.3."""

    LEAN = "lean"
    BALANCED = "balanced"
    STRICT = "strict"


class ScopeKind(StrEnum):
    """What does an envelope cover?"""

    COMPANY = "company"
    DEPARTMENT = "department"
    USE_CASE = "use_case"
    ENVIRONMENT = "environment"
    CUSTOMER = "customer"
    RUN = "run"


class _Body(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What do all bodies have in common? By name, nothing unknown."""


class UseCaseBody(_Body, kw_only=True):
    """Which use case shall be registered?"""

    slug: Slug
    name: Title
    department: Slug
    owner: f.Word | None = None
    floor_class: FloorClass = FloorClass.BALANCED
    mode: f.Word = "enforce"
    default_model: f.Name | None = None
    default_max_output_tokens: f.Count | None = None
    max_input_tokens: f.Count | None = None
    fit_output: bool = False
    may_write_cache: bool = False
    strict_prices: bool = False
    request_id: f.Name | None = None


class ApprovedModelBody(_Body, kw_only=True):
    """Which model (`gpt-4o`) or offer (`openai/gpt-4o`) shall be approved, until when?"""

    name: f.Name
    until: Day | None = None
    evidence: Note = ""


class UseCaseChangeBody(_Body, kw_only=True):
    """What shall change in a use case? What is left out stays.

    `mode` enforce, `state` active and a model more wait for other people. `approved_models` is
    the whole list; null = every model that has a price.
    """

    name: Title | UnsetType = UNSET
    owner: f.Word | UnsetType = UNSET
    floor_class: FloorClass | UnsetType = UNSET
    mode: f.Word | UnsetType = UNSET
    state: f.Word | UnsetType = UNSET
    default_model: f.Name | UnsetType = UNSET
    default_max_output_tokens: f.Count | None | UnsetType = UNSET
    max_input_tokens: f.Count | None | UnsetType = UNSET
    fit_output: bool | UnsetType = UNSET
    may_write_cache: bool | UnsetType = UNSET
    strict_prices: bool | UnsetType = UNSET
    approved_models: (
        Annotated[list[ApprovedModelBody], Meta(max_length=_MOST_MODELS)] | None | UnsetType
    ) = UNSET
    reason: Note = ""
    request_id: f.Name | None = None


class ScopeBody(_Body, kw_only=True):
    """What does the envelope cover? A company needs no slug."""

    kind: ScopeKind
    slug: f.Name | None = None


class PeriodBody(_Body, kw_only=True):
    """Which period? `start` and `end` are days in `time_zone`, or instants; end exclusive."""

    kind: PeriodKind = PeriodKind.MONTH
    start: Day | None = None
    end: Day | None = None
    time_zone: f.Word = "UTC"
    days: Annotated[int, Meta(ge=1, le=3_660)] | None = None
    week_start: Annotated[int, Meta(ge=0, le=6)] = 0
    fiscal: dict[str, Any] | None = None


class EnvelopeBody(_Body, kw_only=True):
    """Which envelope shall be made? `amount` null = no cap of its own, "0" = hard stop."""

    scope: ScopeBody
    period: PeriodBody
    amount: f.Decimal | None
    currency: f.Currency | None = None
    hard: bool = True
    soft_thresholds: Annotated[list[Share], Meta(max_length=_MOST_THRESHOLDS)] | None = None
    per_call: f.Decimal | None = None
    per_run: f.Decimal | None = None
    allow_overallocation: bool = False
    name: Title | None = None
    parent: f.Name | None = None
    reason: Note = ""
    request_id: f.Name | None = None


class EnvelopesBody(_Body, kw_only=True):
    """Which envelopes shall be made together? Each below one that is there: `parent` its id."""

    envelopes: Annotated[list[EnvelopeBody], Meta(min_length=1, max_length=BATCH_MOST)]
    request_id: f.Name | None = None


class EnvelopeChangeBody(_Body, kw_only=True):
    """What shall change from now on? What is left out stays; the reason is kept.

    `until` lets a raised amount fall back then; `top_up` adds to the current period alone and
    stands by itself.
    """

    amount: f.Decimal | None | UnsetType = UNSET
    currency: f.Currency | None = None
    hard: bool | UnsetType = UNSET
    soft_thresholds: Annotated[list[Share], Meta(max_length=_MOST_THRESHOLDS)] | UnsetType = (
        UNSET
    )
    per_call: f.Decimal | None | UnsetType = UNSET
    per_run: f.Decimal | None | UnsetType = UNSET
    allow_overallocation: bool | UnsetType = UNSET
    end: Day | None | UnsetType = UNSET
    time_zone: f.Word = "UTC"
    name: Title | UnsetType = UNSET
    state: f.Word | UnsetType = UNSET
    until: Day | None = None
    top_up: f.Decimal | None = None
    reason: Annotated[Note, Meta(min_length=1)]
    request_id: f.Name | None = None


def use_case_draft(body: UseCaseBody, *, owner: str) -> facade.UseCaseDraft:
    """Which draft does this body state? `owner` is the id behind what was sent."""
    return facade.UseCaseDraft(
        slug=body.slug,
        name=body.name,
        department=body.department,
        owner=owner,
        floor_class=body.floor_class.value,
        mode=body.mode,
        default_model=body.default_model or "",
        default_max_output_tokens=body.default_max_output_tokens,
        max_input_tokens=body.max_input_tokens,
        fit_output=body.fit_output,
        may_write_cache=body.may_write_cache,
        strict_prices=body.strict_prices,
    )


def use_case_change(body: UseCaseChangeBody, *, owner: str | UnsetType) -> facade.UseCaseChange:
    """Which change does this body state?"""
    floor = body.floor_class
    return facade.UseCaseChange(
        name=body.name,
        owner=owner,
        floor_class=floor if isinstance(floor, UnsetType) else floor.value,
        mode=body.mode,
        state=body.state,
        default_model=body.default_model,
        default_max_output_tokens=body.default_max_output_tokens,
        max_input_tokens=body.max_input_tokens,
        fit_output=body.fit_output,
        may_write_cache=body.may_write_cache,
        strict_prices=body.strict_prices,
        approved_models=_approved_models(body.approved_models),
        reason=body.reason,
    )


def _approved_models(
    stated: list[ApprovedModelBody] | None | UnsetType,
) -> tuple[facade.ApprovedModel, ...] | None | UnsetType:
    if stated is None or isinstance(stated, UnsetType):
        return stated
    return tuple(
        facade.ApprovedModel(
            name=each.name,
            until=_instant(each.until, "UTC", at=f"/approved_models/{place}/until"),
            evidence=each.evidence,
        )
        for place, each in enumerate(stated)
    )


def envelope_draft(body: EnvelopeBody, *, currency: str) -> facade.EnvelopeDraft:
    """Which draft does this body state?

    Raises: ValidationFailed (`validation_failed`); UnitMismatch (`unit_mismatch`).
    """
    _check_currency(body.currency, currency)
    period = body.period
    thresholds = body.soft_thresholds
    optional = (
        {} if thresholds is None else {"soft_thresholds_ppm": list(map(_ppm, thresholds))}
    )
    return facade.EnvelopeDraft(
        scope_kind=body.scope.kind.value,
        scope_slug=body.scope.slug or "",
        parent=body.parent or "",
        name=body.name or "",
        period_kind=period.kind.value,
        time_zone=period.time_zone,
        start_at=_instant(period.start, period.time_zone, at="/period/start"),
        end_at=_instant(period.end, period.time_zone, at="/period/end"),
        week_start=period.week_start,
        days=period.days,
        fiscal=period.fiscal,
        amount_nanos=_nanos(body.amount, at="/amount"),
        hard=body.hard,
        per_call_nanos=_nanos(body.per_call, at="/per_call"),
        per_run_nanos=_nanos(body.per_run, at="/per_run"),
        allow_overallocation=body.allow_overallocation,
        reason=body.reason,
        **optional,
    )


def envelope_drafts(body: EnvelopesBody, *, currency: str) -> list[facade.EnvelopeDraft]:
    """Which drafts does this batch state, in its order?

    Raises: ValidationFailed (`validation_failed`) with the mistakes of all rows.
    """
    drafts, errors = [], []
    for number, row in enumerate(body.envelopes):
        try:
            drafts.append(envelope_draft(row, currency=currency))
        except Rejected as refused:
            errors += [
                FieldError(f"/envelopes/{number}{each.pointer}", each.code, each.message)
                for each in refused.errors
            ]
    if errors:
        raise ValidationFailed(errors=errors)
    return drafts


def envelope_change(body: EnvelopeChangeBody, *, currency: str) -> facade.EnvelopeChange:
    """Which change does this body state?

    Raises: ValidationFailed (`validation_failed`); UnitMismatch (`unit_mismatch`).
    """
    _check_currency(body.currency, currency)
    thresholds = body.soft_thresholds
    end = body.end
    return facade.EnvelopeChange(
        amount_nanos=_nanos_or_unset(body.amount, at="/amount"),
        hard=body.hard,
        soft_thresholds_ppm=UNSET
        if isinstance(thresholds, UnsetType)
        else list(map(_ppm, thresholds)),
        per_call_nanos=_nanos_or_unset(body.per_call, at="/per_call"),
        per_run_nanos=_nanos_or_unset(body.per_run, at="/per_run"),
        allow_overallocation=body.allow_overallocation,
        end_at=UNSET
        if isinstance(end, UnsetType)
        else _instant(end, body.time_zone, at="/end"),
        name=body.name,
        state=body.state,
        reason=body.reason,
    )


def raise_end(body: EnvelopeChangeBody) -> datetime | None:
    """Until when shall the raised amount hold?

    Raises: ValidationFailed (`validation_failed`).
    """
    return _instant(body.until, body.time_zone, at="/until")


def top_up_of(body: EnvelopeChangeBody, *, currency: str) -> int | None:
    """How much shall the current period get on top? None = the body asks for no top-up.

    Raises: ValidationFailed (`validation_failed`) when it stands beside other changes.
    """
    if body.top_up is None:
        return None
    change = envelope_change(body, currency=currency)
    named = [name for name in change.__struct_fields__ if getattr(change, name) is not UNSET]
    if named != ["reason"] or body.until is not None:
        message = "A top-up stands alone: it ends with the period."
        raise ValidationFailed(errors=[FieldError("/top_up", "not_alone", message)])
    return _nanos(body.top_up, at="/top_up")


def instant_of(stated: str | None, *, at: str) -> datetime | None:
    """Which instant was stated, as a day of UTC or with its offset?

    Raises: ValidationFailed (`validation_failed`).
    """
    return _instant(stated, "UTC", at=at)


def _check_currency(stated: str | None, currency: str) -> None:
    if stated not in (None, currency):
        raise UnitMismatch(
            expected=currency,
            got=stated,
            errors=[FieldError("/currency", "unit_mismatch", f"The ledger is in {currency}.")],
        )


def _nanos(amount: str | None, *, at: str) -> int | None:
    if amount is None:
        return None
    try:
        return parse_nanos(amount)
    except Rejected as error:
        message = error.errors[0].message
        raise ValidationFailed(errors=[FieldError(at, "out_of_range", message)]) from error


def _nanos_or_unset(amount: str | None | UnsetType, *, at: str) -> int | None | UnsetType:
    return UNSET if isinstance(amount, UnsetType) else _nanos(amount, at=at)


def _ppm(share: str) -> int:
    whole, _, fraction = share.partition(".")
    return int(whole) * PPM + int(fraction.ljust(_THRESHOLD_DECIMALS, "0"))


def _instant(stated: str | None, time_zone: str, *, at: str) -> datetime | None:
    """A day begins at midnight of the zone; an instant carries its own offset."""
    if stated is None:
        return None
    try:
        if len(stated) == len("2026-11-01"):
            return day_start(date.fromisoformat(stated), zone_of(time_zone)).astimezone(UTC)
        instant = datetime.fromisoformat(stated)
    except Rejected as error:
        message = "An IANA time zone such as Europe/Berlin."
        raise ValidationFailed(
            errors=[FieldError("/period/time_zone", "not_a_choice", message)]
        ) from error
    except ValueError as error:
        raise _bad_time(at) from error
    if instant.tzinfo is None:
        raise _bad_time(at)
    return instant.astimezone(UTC)


def _bad_time(at: str) -> ValidationFailed:
    message = "A day as 2026-11-01, or an instant as 2026-11-01T00:00:00Z."
    return ValidationFailed(errors=[FieldError(at, "bad_time", message)])
