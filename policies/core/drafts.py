"""What may be asked of use cases and envelopes, and which of it can never hold?

Drafts are what a person or script wants; `check_` functions collect every mistake at once.
Units: `*_nanos` of the ledger's currency; thresholds in millionths of the amount.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from o10.kernel.errors import FieldError, ValidationFailed
from o10.kernel.money import MAX_NANOS
from o10.kernel.periods import PeriodKind, PeriodMalformed, period_at
from policies.core.snapshot import fiscal_calendar

SCOPES = ("company", "department", "use_case", "environment", "customer", "run")
"""From the root down; the last three stand below a use case."""
BELOW_USE_CASE = SCOPES[3:]
MODES = ("observe", "shadow", "enforce")
USE_CASE_STATES = ("active", "stopped", "sunset")
ENVELOPE_STATES = ("active", "frozen", "closed")
DEFAULT_THRESHOLDS_PPM = (500_000, 800_000, 1_000_000)
PPM_MOST = 10_000_000
"""A threshold lies at ten times the amount at most."""
_SLUG = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.A)
_NAME_MOST = 120


class UseCaseDraft(msgspec.Struct, frozen=True, kw_only=True):
    """Which use case shall be registered?"""

    slug: str
    name: str
    department: str
    owner: str = ""
    floor_class: str = "balanced"
    mode: str = "enforce"
    starts_at: datetime | None = None
    fail_mode: str = "closed"
    fail_open_cap_nanos: int = 5_000_000_000
    default_model: str = ""
    default_max_output_tokens: int | None = None
    max_input_tokens: int | None = None
    fit_output: bool = False
    may_write_cache: bool = False
    strict_prices: bool = False
    may_pin: bool = True


class ApprovedModel(msgspec.Struct, frozen=True, kw_only=True):
    """Which model (`gpt-4o`) or offer (`openai/gpt-4o`) may a use case spend on, until when?

    `evidence` is what supported it, `approval` the request by which others agreed.
    """

    name: str
    until: datetime | None = None
    evidence: str = ""
    approval: str = ""


class UseCaseChange(msgspec.Struct, frozen=True, kw_only=True):
    """What shall change? UNSET stays as it is."""

    name: str | UnsetType = UNSET
    owner: str | UnsetType = UNSET
    floor_class: str | UnsetType = UNSET
    mode: str | UnsetType = UNSET
    state: str | UnsetType = UNSET
    starts_at: datetime | None | UnsetType = UNSET
    fail_mode: str | UnsetType = UNSET
    fail_open_cap_nanos: int | UnsetType = UNSET
    default_model: str | UnsetType = UNSET
    default_max_output_tokens: int | None | UnsetType = UNSET
    max_input_tokens: int | None | UnsetType = UNSET
    fit_output: bool | UnsetType = UNSET
    may_write_cache: bool | UnsetType = UNSET
    strict_prices: bool | UnsetType = UNSET
    may_pin: bool | UnsetType = UNSET
    approved_models: tuple[ApprovedModel, ...] | None | UnsetType = UNSET
    reason: str = ""


class EnvelopeDraft(msgspec.Struct, frozen=True, kw_only=True):
    """Which envelope shall be made? `parent` empty = the nearest envelope above its scope.

    `amount_nanos` None = no cap of its own; 0 = hard stop. `time_zone` empty = the company's.
    """

    scope_kind: str
    scope_slug: str = ""
    parent: str = ""
    name: str = ""
    period_kind: str = "month"
    time_zone: str = ""
    start_at: datetime | None = None
    end_at: datetime | None = None
    week_start: int = 0
    days: int | None = None
    fiscal: dict[str, Any] | None = None
    amount_nanos: int | None
    hard: bool = True
    soft_thresholds_ppm: tuple[int, ...] = DEFAULT_THRESHOLDS_PPM
    per_call_nanos: int | None = None
    per_run_nanos: int | None = None
    allow_overallocation: bool = False
    reason: str = ""


class EnvelopeChange(msgspec.Struct, frozen=True, kw_only=True):
    """What shall change from now on? UNSET stays as it is; a reason is required."""

    amount_nanos: int | None | UnsetType = UNSET
    hard: bool | UnsetType = UNSET
    soft_thresholds_ppm: tuple[int, ...] | UnsetType = UNSET
    per_call_nanos: int | None | UnsetType = UNSET
    per_run_nanos: int | None | UnsetType = UNSET
    allow_overallocation: bool | UnsetType = UNSET
    end_at: datetime | None | UnsetType = UNSET
    name: str | UnsetType = UNSET
    state: str | UnsetType = UNSET
    reason: str


def check_use_case(fields: UseCaseDraft | UseCaseChange) -> None:
    """Can these rules hold?

    Raises: ValidationFailed (`validation_failed`) naming every field that cannot.
    """
    given = _given(fields)
    errors = [
        *_slug_errors(given, "slug", "department"),
        *_name_errors(given),
        *_choice_errors(given, "mode", MODES),
        *_choice_errors(given, "state", USE_CASE_STATES),
        *_choice_errors(given, "fail_mode", ("closed", "open")),
        *_choice_errors(given, "floor_class", ("lean", "balanced", "strict")),
        *_count_errors(given, "default_max_output_tokens", "max_input_tokens"),
        *_amount_errors(given, "fail_open_cap_nanos"),
        *_length_errors(given, 128, "default_model"),
        *_length_errors(given, 64, "owner"),
    ]
    _raise(errors)


def check_envelope(fields: EnvelopeDraft | EnvelopeChange, *, now: datetime) -> None:
    """Can this envelope be, as it stands alone?

    Raises: ValidationFailed (`validation_failed`) naming every field that cannot.
    """
    given = _given(fields)
    errors = [
        *_amount_errors(given, "amount_nanos", "per_call_nanos", "per_run_nanos"),
        *_threshold_errors(given),
        *_choice_errors(given, "state", ENVELOPE_STATES),
        *_choice_errors(given, "scope_kind", SCOPES),
        *_length_errors(given, 400, "reason"),
        *_length_errors(given, 128, "scope_slug"),
        *_length_errors(given, 160, "name"),
    ]
    if isinstance(fields, EnvelopeDraft):
        errors += _period_errors(fields, now)
        if fields.scope_kind != "company" and not fields.scope_slug:
            errors.append(_wrong("scope/slug", "required", "The scope names what it covers."))
    elif not fields.reason.strip():
        errors.append(_wrong("reason", "required", "A change says why."))
    _raise(errors)


def _period_errors(draft: EnvelopeDraft, now: datetime) -> list[FieldError]:
    kinds = [kind.value for kind in PeriodKind]
    if draft.period_kind not in kinds:
        return [_wrong("period/kind", "not_a_choice", f"One of {', '.join(kinds)}.")]
    if draft.end_at is not None and draft.end_at <= (draft.start_at or now):
        return [_wrong("period/end", "out_of_range", "The end lies after the start.")]
    kind = PeriodKind(draft.period_kind)
    if kind is PeriodKind.FISCAL and draft.fiscal is None:
        return [_wrong("period/fiscal", "required", "A fiscal period needs its calendar.")]
    at = draft.start_at or now
    try:
        fiscal = fiscal_calendar(draft.fiscal) if kind is PeriodKind.FISCAL else None
        period_at(
            kind=kind,
            at=at.astimezone(UTC),
            time_zone=draft.time_zone or "UTC",
            start=draft.start_at or (at if kind is PeriodKind.ROLLING else None),
            end=draft.end_at,
            days=draft.days,
            week_start=draft.week_start,
            fiscal=fiscal,
        )
    except PeriodMalformed as error:
        return [
            _wrong(f"period{each.pointer}", each.code, each.message) for each in error.errors
        ]
    except (KeyError, TypeError, ValueError):
        return [
            _wrong(
                "period/fiscal",
                "bad_format",
                "A fiscal calendar has anchor, anchor_year, pattern and long_years.",
            )
        ]
    return []


def _given(fields: msgspec.Struct) -> dict[str, Any]:
    named = {name: getattr(fields, name) for name in fields.__struct_fields__}
    return {name: value for name, value in named.items() if value is not UNSET}


def _slug_errors(given: dict[str, Any], *names: str) -> Iterable[FieldError]:
    for name in names:
        if name in given and not _SLUG.fullmatch(given[name]):
            yield _wrong(name, "bad_format", "Lower case letters, digits, '.', '_', '-'; 64.")


def _name_errors(given: dict[str, Any]) -> Iterable[FieldError]:
    if "name" in given and not 1 <= len(given["name"].strip()) <= _NAME_MOST:
        yield _wrong("name", "too_long", f"A name has 1 to {_NAME_MOST} characters.")


def _choice_errors(
    given: dict[str, Any], name: str, choices: tuple[str, ...]
) -> Iterable[FieldError]:
    if name in given and given[name] not in choices:
        yield _wrong(name, "not_a_choice", f"One of {', '.join(choices)}.")


def _count_errors(given: dict[str, Any], *names: str) -> Iterable[FieldError]:
    for name in names:
        value = given.get(name)
        if value is not None and not 1 <= value <= 1_000_000_000:
            yield _wrong(name, "out_of_range", "From 1 to 1,000,000,000 tokens.")


def _amount_errors(given: dict[str, Any], *names: str) -> Iterable[FieldError]:
    for name in names:
        value = given.get(name)
        if value is not None and not 0 <= value <= MAX_NANOS:
            yield _wrong(
                name.removesuffix("_nanos"), "out_of_range", "An amount is not negative."
            )


def _threshold_errors(given: dict[str, Any]) -> Iterable[FieldError]:
    thresholds = given.get("soft_thresholds_ppm") or []
    if len(thresholds) > 10 or any(not 0 < each <= PPM_MOST for each in thresholds):
        yield _wrong(
            "soft_thresholds", "out_of_range", "Up to ten shares above 0 and up to 10."
        )


def _length_errors(given: dict[str, Any], most: int, *names: str) -> Iterable[FieldError]:
    for name in names:
        if len(given.get(name) or "") > most:
            yield _wrong(name, "too_long", f"At most {most} characters.")


def _wrong(name: str, code: str, message: str) -> FieldError:
    return FieldError(f"/{name}", code, message)


def _raise(errors: Iterable[FieldError]) -> None:
    found = list(errors)
    if found:
        raise ValidationFailed(errors=found)
