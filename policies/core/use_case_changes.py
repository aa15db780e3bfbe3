"""Which changes of a use case need a second person, and which hold at once?

Towards enforcing, back to life and onto another model waits; towards observing, a stop and
fewer models hold with the next call. Stopping and stepping back are looked at by a second
person afterwards: the first denies calls, the second lets them past their limit.
Source: product.md sections 8 and 11.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from o10.kernel.errors import FieldError, ValidationFailed
from policies.core.drafts import MODES
from policies.core.rules import ModelRule

ENFORCE: Final = "rollout.enforce"
MODELS: Final = "offer.approve"
RESTORE: Final = "use_case.restore"
CONFIRM: Final = "use_case.confirm"
AT_ONCE: Final = ""
"""Nobody else is asked."""
MODELS_MOST: Final = 100
NAME_MOST: Final = 128


@dataclass(frozen=True, slots=True)
class Standing:
    """How does a use case stand: in which mode and state, on which models?"""

    mode: str
    state: str
    models: tuple[ModelRule, ...] | None


def kind_of(before: Standing, after: Standing) -> str:
    """Which kind of request is this change? `use_case.confirm` holds at once.

    Raises: ValidationFailed (`validation_failed`) where one part would wait and another would
    not, or two kinds are mixed: each is asked for by itself.
    """
    kinds = {
        _kind_of_mode(before.mode, after.mode),
        _kind_of_state(before.state, after.state),
        _kind_of_models(before.models, after.models),
    } - {AT_ONCE}
    if len(kinds) > 1:
        message = "Mode, state and models are changed one at a time: others agree to each."
        raise ValidationFailed(errors=[FieldError("/", "not_alone", message)])
    return kinds.pop() if kinds else AT_ONCE


def _kind_of_mode(before: str, after: str) -> str:
    old, new = MODES.index(before), MODES.index(after)
    if new > old and after == "enforce":
        return ENFORCE
    # Shadow decides and changes nothing, like observe.
    return CONFIRM if before == "enforce" and new < old else AT_ONCE


def _kind_of_state(before: str, after: str) -> str:
    if before == after:
        return AT_ONCE
    return RESTORE if after == "active" else CONFIRM


def _kind_of_models(
    before: tuple[ModelRule, ...] | None, after: tuple[ModelRule, ...] | None
) -> str:
    if before is None:
        return AT_ONCE
    if after is None:
        return MODELS
    longer = any(not _covered(model, before) for model in after)
    return MODELS if longer else AT_ONCE


def _covered(model: ModelRule, known: Iterable[ModelRule]) -> bool:
    """Is it approved already, for at least as long?"""
    return any(
        each.name == model.name
        and (each.until is None or (model.until is not None and model.until <= each.until))
        for each in known
    )


def added(
    before: Sequence[ModelRule] | None, after: Sequence[ModelRule] | None
) -> tuple[ModelRule, ...]:
    """Which models may be used that may not yet, or not as long?"""
    return tuple(each for each in after or () if not _covered(each, before or ()))


def removed(
    before: Sequence[ModelRule] | None, after: Sequence[ModelRule] | None
) -> tuple[str, ...]:
    """Which models may be used no more? None when the list ends altogether."""
    left = {each.name for each in after or ()}
    return tuple(
        each.name for each in before or () if after is not None and each.name not in left
    )


def check_models(models: Sequence[ModelRule]) -> None:
    """Can these models be approved?

    Raises: ValidationFailed (`validation_failed`) naming every one that cannot.
    """
    wrong = []
    if len(models) > MODELS_MOST:
        wrong.append(FieldError("/models", "too_many", f"At most {MODELS_MOST} models."))
    names: set[str] = set()
    for place, model in enumerate(models):
        if not 1 <= len(model.name) <= NAME_MOST or not model.name.isprintable():
            message = f"The name of a model or offer, 1 to {NAME_MOST} characters."
            wrong.append(FieldError(f"/models/{place}", "bad_format", message))
        elif model.name in names:
            wrong.append(FieldError(f"/models/{place}", "repeated", "Name it once."))
        names.add(model.name)
    if wrong:
        raise ValidationFailed(errors=wrong)
