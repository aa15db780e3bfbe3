"""What does a person type into the form of an owned machine, and which machine is that?"""

from collections.abc import Mapping
from typing import Final

from o10.kernel.errors import FieldError, ValidationFailed
from o10.kernel.money import AmountMalformed, parse_nanos
from reports import facade

PPM: Final = 1_000_000
MONEY: Final = ("purchase", "residual", "power", "hosting", "staff")
WHOLE: Final = ("life_hours", "hours", "used_hours")
MACHINE_FIELDS: Final = (
    "month",
    "use_case",
    "name",
    *MONEY,
    *WHOLE,
    "planned_utilisation",
    "source",
)


def machine_typed(typed: Mapping[str, str]) -> facade.Machine:
    """Which machine was typed? Amounts with thousands commas, the share in whole percent.

    Raises: ValidationFailed (`validation_failed`) with one error for each field that is none.
    """
    errors: list[FieldError] = []
    machine = facade.Machine(
        name=typed["name"],
        planned_ppm=_whole(typed, "planned_utilisation", errors) * (PPM // 100),
        **{name: _nanos(typed, name, errors) for name in MONEY},
        **{name: _whole(typed, name, errors) for name in WHOLE},
    )
    if errors:
        raise ValidationFailed(errors=errors)
    return machine


def _nanos(typed: Mapping[str, str], name: str, errors: list[FieldError]) -> int:
    text = typed[name].replace(",", "") or "0"
    try:
        return parse_nanos(text)
    except AmountMalformed:
        message = f"{_called(name)} is an amount such as 80000 or 0.70."
        errors.append(FieldError(f"/{name}", "amount_malformed", message))
        return 0


def _whole(typed: Mapping[str, str], name: str, errors: list[FieldError]) -> int:
    text = typed[name].replace(",", "")
    if text.isascii() and text.isdigit() and len(text) <= 9:
        return int(text)
    errors.append(FieldError(f"/{name}", "bad_format", f"{_called(name)} is a whole number."))
    return 0


def _called(name: str) -> str:
    return name.replace("_", " ").capitalize()
