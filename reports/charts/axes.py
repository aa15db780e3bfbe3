"""On which scale does money stand in a chart? Integers, round ticks, text by our rules.

A chart gets integers: nanos rounded to a hundredth of a cent, exact enough for a pixel and free
of floats. Ticks carry their own text, so that axis, label and table say the same.
"""

from collections.abc import Sequence
from typing import Final

from o10.kernel.figures import MINUS, money, money_scale
from o10.kernel.money import NANOS_PER_UNIT, Nanos, half_even

DRAWN: Final = 10_000
"""Nanos are divided by NANOS_PER_UNIT / DRAWN: one drawn step is a hundredth of a cent."""
_ROUND: Final = (1, 2, 5, 10)


def drawn(nanos: Nanos) -> int:
    """Where does this amount stand on the axis?"""
    return half_even(nanos * DRAWN, NANOS_PER_UNIT)


def drawn_all(values: Sequence[Nanos | None]) -> list[int | None]:
    """Where do these amounts stand? None stays a gap."""
    return [None if value is None else drawn(value) for value in values]


def ticks(top: Nanos, *, currency: str, about: int = 3) -> tuple[list[int], list[str]]:
    """At which round amounts from 0 to `top` does the axis carry a label, and which?"""
    if top <= 0:
        return [0], [money(0, currency).text]
    step = _round_step(top // about or 1)
    amounts = [step * index for index in range(top // step + 1)]
    scale = money_scale(amounts)
    return (
        [drawn(amount) for amount in amounts],
        [money(amount, currency, scale=scale).text for amount in amounts],
    )


def compact(nanos: Nanos, *, unit: Nanos) -> str:
    """How is an amount labelled at a bar, in the unit of the subtitle? "414", "+29", "−7"."""
    number = half_even(nanos, unit)
    return f"{MINUS if number < 0 else ''}{abs(number):,}"


def label_unit(largest: Nanos) -> tuple[Nanos, str]:
    """In which unit are bars labelled so that a label has at most four digits?"""
    for unit, name in (
        (NANOS_PER_UNIT * 10**9, "billions"),
        (NANOS_PER_UNIT * 10**6, "millions"),
        (NANOS_PER_UNIT * 10**3, "thousands"),
    ):
        if largest >= 10 * unit:
            return unit, name
    return NANOS_PER_UNIT, ""


def _round_step(least: Nanos) -> Nanos:
    magnitude: int = 10 ** (len(str(least)) - 1)
    return next(each * magnitude for each in _ROUND if each * magnitude >= least)
