"""What does a person type into the form of a new criterion, and which draft is that?"""

from collections.abc import Mapping
from dataclasses import dataclass

from o10.kernel.errors import FieldError, ValidationFailed
from o10.kernel.money import AmountMalformed, amount_text, parse_nanos
from policies import facade

MOST = 120


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


def typed_in(post: Mapping[str, str]) -> Typed:
    """What was typed?"""
    names = Typed.__dataclass_fields__
    return Typed(**{name: post.get(name, "").strip()[:MOST] for name in names})


def typed_from(slug: str, *, use_case: str) -> Typed:
    """How does the form of this offered criterion look before anybody typed?"""
    offered = facade.find_offered(slug)
    if offered is None:
        return Typed(use_case=use_case)
    spec = offered.spec
    return Typed(
        name=offered.name,
        use_case="" if offered.scope_kind == "company" else use_case,
        metric=spec.metric,
        threshold=spec.threshold,
        window=str(spec.window_s),
        consecutive=str(spec.consecutive),
        min_sample=str(spec.min_sample),
        lever=spec.lever,
        amount=_amount_text(spec),
        execution=spec.execution,
        evidence=spec.evidence,
    )


def draft_from(typed: Typed) -> facade.CriterionDraft:
    """Which draft was typed? No use case = the whole company.

    Raises: ValidationFailed (`validation_failed`) with the field that is no number.
    """
    metric = facade.METRICS.get(typed.metric)
    wrong: list[FieldError] = []
    spec = facade.KillSpec(
        metric=typed.metric,
        comparator=metric.comparator if metric else ">=",
        threshold=typed.threshold.replace(",", ""),
        window_s=_whole(typed.window, "window", wrong),
        consecutive=_whole(typed.consecutive, "consecutive", wrong),
        min_sample=_whole(typed.min_sample, "min_sample", wrong)
        if typed.min_sample
        else (metric.min_sample if metric else 1),
        lever=typed.lever,
        amount=_amount(typed, wrong),
        model=typed.model,
        execution=typed.execution,
        owner=typed.owner[:64],
        evidence=typed.evidence,
    )
    if wrong:
        raise ValidationFailed(errors=wrong)
    return facade.CriterionDraft(
        name=typed.name,
        scope_kind="use_case" if typed.use_case else "company",
        scope_slug=typed.use_case,
        spec=spec,
    )


def _amount(typed: Typed, wrong: list[FieldError]) -> int | None:
    if not typed.amount:
        return None
    if typed.lever != facade.Lever.THROTTLE:
        return _whole(typed.amount, "amount", wrong)
    try:
        return parse_nanos(typed.amount.replace(",", ""))
    except AmountMalformed:
        wrong.append(FieldError("/amount", "malformed", "An amount such as 20 or 0.50."))
        return None


def _whole(text: str, field: str, wrong: list[FieldError]) -> int:
    plain = text.replace(",", "")
    if plain.isdecimal() and len(plain) <= 12:
        return int(plain)
    wrong.append(FieldError(f"/{field}", "malformed", f"{_named(field)} is a whole number."))
    return 1


def _named(field: str) -> str:
    return field.replace("_", " ").capitalize()


def _amount_text(spec: facade.KillSpec) -> str:
    if spec.amount is None:
        return ""
    return amount_text(spec.amount) if spec.lever == "throttle" else str(spec.amount)
