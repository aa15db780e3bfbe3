"""What does a person type into the form of a new criterion, and which draft is that?"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Final

import msgspec

from o10.kernel.errors import FieldError, ValidationFailed
from o10.kernel.money import AmountMalformed, amount_text, parse_nanos
from policies import facade

MOST = 120
HOUR_S: Final = 3_600
DEPARTMENT: Final = "dept:"
"""So begins the value of a department among the use cases."""


@dataclass(frozen=True, slots=True)
class Typed:
    """What stands in the fields? As typed, so that a mistake can be put right."""

    name: str = ""
    use_case: str = ""
    metric: str = "retry_waste"
    threshold: str = ""
    window: str = "86400"
    consecutive: str = "2"
    min_sample: str = ""
    lever: str = "notify"
    amount: str = ""
    model: str = ""
    execution: str = "propose"
    owner: str = ""
    evidence: str = ""
    severity: str = "warning"
    restore_threshold: str = ""
    restore_consecutive: str = "3"
    cooldown_h: str = "24"
    board_review: str = ""
    review_days: str = "14"
    review_cap: str = ""
    review_by: str = ""


def typed_in(post: Mapping[str, str]) -> Typed:
    """What was typed? A field that was not sent stands as in an empty form."""
    fields = Typed.__dataclass_fields__.values()
    return Typed(
        **{each.name: post.get(each.name, each.default).strip()[:MOST] for each in fields}
    )


def typed_from(query: Mapping[str, str]) -> Typed:
    """How does the form look before anybody typed? `offered` names one of the pack; fields
    that the address names by themselves stand as it says.
    """
    offered = facade.find_offered(query.get("offered", "")[:64])
    typed = Typed()
    if offered is not None:
        typed = typed_of(offered.spec, name=offered.name)
    named = {
        name: query[name].strip()[:MOST] for name in Typed.__dataclass_fields__ if name in query
    }
    if offered is not None and offered.scope_kind == "company":
        named.pop("use_case", None)
    return replace(typed, **named)


def typed_of(spec: facade.KillSpec, *, name: str, use_case: str = "") -> Typed:
    """How does this rule stand in the fields?"""
    return Typed(
        name=name,
        use_case=use_case,
        metric=spec.metric,
        threshold=spec.threshold,
        window=str(spec.window_s),
        consecutive=str(spec.consecutive),
        min_sample=str(spec.min_sample),
        lever=spec.lever,
        amount=_amount_text(spec),
        model=spec.model,
        execution=spec.execution,
        owner=spec.owner,
        evidence=spec.evidence,
        severity=spec.severity,
        restore_threshold=spec.restore_threshold,
        restore_consecutive=str(spec.restore_consecutive),
        cooldown_h=str(spec.cooldown_s // HOUR_S),
        board_review="1" if spec.board_review else "",
        review_days=str(spec.review_days),
        review_cap="" if spec.review_cap is None else amount_text(spec.review_cap),
        review_by=spec.review_by.isoformat() if spec.review_by else "",
    )


def draft_from(typed: Typed) -> facade.CriterionDraft:
    """Which draft was typed? No use case = the whole company; `dept:x` = a department.

    Raises: ValidationFailed (`validation_failed`) with the field that is no number.
    """
    kind, slug = "use_case" if typed.use_case else "company", typed.use_case
    if slug.startswith(DEPARTMENT):
        kind, slug = "department", slug.removeprefix(DEPARTMENT)
    return facade.CriterionDraft(
        name=typed.name, scope_kind=kind, scope_slug=slug, spec=spec_from(typed)
    )


def spec_from(typed: Typed, *, before: facade.KillSpec | None = None) -> facade.KillSpec:
    """Which rule was typed? What the form has no field for stays as it was before.

    Raises: ValidationFailed (`validation_failed`) with the field that is no number.
    """
    metric = facade.METRICS.get(typed.metric)
    wrong: list[FieldError] = []
    said = {
        "metric": typed.metric,
        "comparator": metric.comparator if metric else ">=",
        "threshold": typed.threshold.replace(",", ""),
        "window_s": _whole(typed.window, "window", wrong),
        "consecutive": _whole(typed.consecutive, "consecutive", wrong),
        "min_sample": _whole(typed.min_sample, "min_sample", wrong)
        if typed.min_sample
        else (metric.min_sample if metric else 1),
        "severity": typed.severity,
        "lever": typed.lever,
        "amount": _amount(typed, wrong),
        "model": typed.model,
        "board_review": bool(typed.board_review),
        "review_days": _whole(typed.review_days, "review_days", wrong),
        "review_cap": _money(typed.review_cap, "review_cap", wrong),
        "execution": typed.execution,
        "cooldown_s": HOUR_S * _whole(typed.cooldown_h, "cooldown_h", wrong),
        "restore_threshold": typed.restore_threshold.replace(",", ""),
        "restore_consecutive": _whole(typed.restore_consecutive, "restore_consecutive", wrong),
        "owner": typed.owner[:64],
        "review_by": _day(typed.review_by, wrong),
        "evidence": typed.evidence,
    }
    if before is not None and before.metric == typed.metric:
        said["comparator"] = before.comparator
    if wrong:
        raise ValidationFailed(errors=wrong)
    return msgspec.structs.replace(before or facade.KillSpec(metric="", threshold=""), **said)


def _amount(typed: Typed, wrong: list[FieldError]) -> int | None:
    if not typed.amount:
        return None
    if typed.lever != facade.Lever.THROTTLE:
        return _whole(typed.amount, "amount", wrong)
    return _money(typed.amount, "amount", wrong)


def _money(text: str, field: str, wrong: list[FieldError]) -> int | None:
    if not text:
        return None
    try:
        return parse_nanos(text.replace(",", ""))
    except AmountMalformed:
        wrong.append(FieldError(f"/{field}", "malformed", "An amount such as 20 or 0.50."))
        return None


def _day(text: str, wrong: list[FieldError]) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        wrong.append(FieldError("/review_by", "malformed", "A day such as 2026-12-01."))
        return None


def _whole(text: str, field: str, wrong: list[FieldError]) -> int:
    plain = text.replace(",", "")
    if plain.isdecimal() and len(plain) <= 12:
        return int(plain)
    wrong.append(FieldError(f"/{field}", "malformed", f"{_named(field)} is a whole number."))
    return 1


def _named(field: str) -> str:
    words = {"cooldown_h": "hours after a trip", "restore_consecutive": "windows inside"}
    return words.get(field, field.replace("_", " ")).capitalize()


def _amount_text(spec: facade.KillSpec) -> str:
    if spec.amount is None:
        return ""
    return amount_text(spec.amount) if spec.lever == "throttle" else str(spec.amount)
