"""Which rule of allocation, or which value of an outcome, does a change ask for?

A change is plain values, as an API body or a form gives them. Every wrong part is told at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from o10.kernel.errors import FieldError, ValidationFailed
from o10.kernel.money import AmountMalformed, Nanos, parse_nanos
from policies import facade as policies
from reports.core.allocation import PPM, STATED_WEIGHTS, Method, Rule, find_rule_problem
from reports.core.cost_components import STATED
from reports.queries.driver_volumes import list_driver_names
from reports.queries.outcome_values import WINDOW_DAYS

_REASON_MOST: Final = 400
_WINDOW_MOST: Final = 90
_WEIGHT_MOST: Final = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleDraft:
    """By what shall a component be shared out, from which month on?

    Shape: `weights` slug to heads, or to parts per million for fixed shares; `driver` whose
    volumes weigh, empty = confirmed outcomes.
    """

    component: str
    method: Method
    weights: Mapping[int, int]
    driver: str
    from_month: date
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueDraft:
    """What shall one outcome be worth, from which day on? Nanos; days."""

    use_case: int
    kind: str
    value_nanos: Nanos
    hurdle_nanos: Nanos
    window_days: int
    from_day: date
    reason: str


def parse_rule(change: Mapping[str, Any]) -> RuleDraft:
    """Which rule does this change ask for?

    Shape: `component`, `method`, `weights` {slug: heads, or "0.25" for fixed}, `driver` a name
    for by_driver or nothing, `from` a month "2026-11", `reason`.
    Raises: ValidationFailed (`validation_failed`) with one error for each wrong part.
    """
    errors: list[FieldError] = []
    component = str(change.get("component", ""))
    if component not in {each.value for each in STATED}:
        message = f"One of {', '.join(each.value for each in STATED)}."
        errors.append(FieldError("/component", "not_a_choice", message))
    method = _method(str(change.get("method", "")), errors)
    weights = _weights(change.get("weights") or {}, method, errors)
    driver = _driver(str(change.get("driver") or "").strip(), method, errors)
    month = _month(str(change.get("from", "")), errors)
    reason = _reason(change, errors)
    if method is not None and not errors:
        problem = find_rule_problem(Rule(method=method, weights=weights))
        if problem:
            errors.append(FieldError("/weights", "invalid", problem))
    if errors or method is None or month is None:
        raise ValidationFailed(errors=errors)
    return RuleDraft(
        component=component,
        method=method,
        weights=weights,
        driver=driver,
        from_month=month,
        reason=reason,
    )


def parse_value(change: Mapping[str, Any]) -> ValueDraft:
    """Which value does this change ask for?

    Shape: `use_case` slug, `type`, `value` and `hurdle` as decimal text, `window_days`, `from`
    a day "2026-11-01", `reason`.
    Raises: ValidationFailed (`validation_failed`) with one error for each wrong part.
    """
    errors: list[FieldError] = []
    numbers = {row.slug: row.number for row in policies.list_use_case_rows()}
    number = numbers.get(str(change.get("use_case", "")), 0)
    if not number:
        message = "There is no use case of this slug."
        errors.append(FieldError("/use_case", "unknown", message))
    kind = str(change.get("type", "")).strip()
    if not 1 <= len(kind) <= 64:
        errors.append(FieldError("/type", "required", "A type has 1 to 64 characters."))
    value = _amount(change, "value", errors)
    hurdle = _amount({"hurdle": "0", **change}, "hurdle", errors)
    days = change.get("window_days", WINDOW_DAYS)
    if not isinstance(days, int) or not 0 <= days <= _WINDOW_MOST:
        message = f"From 0 to {_WINDOW_MOST} days."
        errors.append(FieldError("/window_days", "out_of_range", message))
    day = _day(str(change.get("from", "")), errors)
    reason = _reason(change, errors)
    if errors or day is None:
        raise ValidationFailed(errors=errors)
    return ValueDraft(
        use_case=number,
        kind=kind,
        value_nanos=value,
        hurdle_nanos=hurdle,
        window_days=int(days),
        from_day=day,
        reason=reason,
    )


def _method(text: str, errors: list[FieldError]) -> Method | None:
    if text in {each.value for each in Method}:
        return Method(text)
    message = f"One of {', '.join(each.value for each in Method)}."
    errors.append(FieldError("/method", "not_a_choice", message))
    return None


def _driver(name: str, method: Method | None, errors: list[FieldError]) -> str:
    if not name:
        return ""
    known = list_driver_names()
    if method is not Method.BY_DRIVER:
        message = "Only a rule by driver names a driver."
        errors.append(FieldError("/driver", "not_possible", message))
    elif name not in known:
        told = f"Told so far: {', '.join(known[:20])}." if known else "None was told so far."
        message = f"No volume of this driver was ever told. {told}"
        errors.append(FieldError("/driver", "unknown", message))
    return name


def _weights(stated: object, method: Method | None, errors: list[FieldError]) -> dict[int, int]:
    if not isinstance(stated, Mapping):
        errors.append(FieldError("/weights", "wrong_type", "An object: slug to weight."))
        return {}
    numbers = {row.slug: row.number for row in policies.list_use_case_rows()}
    found: dict[int, int] = {}
    for slug, weight in stated.items():
        at = f"/weights/{str(slug)[:64]}"
        if slug not in numbers:
            errors.append(FieldError(at, "unknown", "There is no use case of this slug."))
            continue
        number = _weight(weight, fixed=method is Method.FIXED)
        if number is None:
            message = (
                "A share from 0 to 1 with at most 6 decimals, as text."
                if method is Method.FIXED
                else "A whole number of people."
            )
            errors.append(FieldError(at, "bad_format", message))
        else:
            found[numbers[slug]] = number
    if method is not None and method not in STATED_WEIGHTS and found:
        errors.append(FieldError("/weights", "not_stated", "This method measures weights."))
    return found


def _weight(value: object, *, fixed: bool) -> int | None:
    if fixed:
        try:
            nanos = parse_nanos(str(value))
        except AmountMalformed:
            return None
        share, rest = divmod(nanos, 1_000)
        return share if rest == 0 and 0 <= share <= PPM else None
    text = str(value)
    if isinstance(value, bool) or not (text.isascii() and text.isdigit() and len(text) < 11):
        return None
    return int(text) if int(text) <= _WEIGHT_MOST else None


def _month(text: str, errors: list[FieldError]) -> date | None:
    day = _day(f"{text}-01", [])
    if day is None:
        errors.append(FieldError("/from", "bad_time", "A month such as 2026-11."))
    return day


def _day(text: str, errors: list[FieldError]) -> date | None:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = None
    if day is None or not 2000 <= day.year <= 2200:
        errors.append(FieldError("/from", "bad_time", "A day such as 2026-11-01."))
        return None
    return day


def _amount(change: Mapping[str, Any], name: str, errors: list[FieldError]) -> Nanos:
    try:
        nanos = parse_nanos(str(change.get(name, "")))
    except AmountMalformed:
        nanos = -1
    if nanos < 0:
        message = "A plain decimal of 0 or more, such as 1.25."
        errors.append(FieldError(f"/{name}", "amount_malformed", message))
        return 0
    return nanos


def _reason(change: Mapping[str, Any], errors: list[FieldError]) -> str:
    reason = str(change.get("reason", "")).strip()
    if not 1 <= len(reason) <= _REASON_MOST:
        message = "Say why, in up to 400 characters: the reason is kept with the change."
        errors.append(FieldError("/reason", "required", message))
    return reason
