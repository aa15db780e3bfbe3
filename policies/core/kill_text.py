"""How is a kill criterion told to people: its value, its limit, its lever, in words?"""

from datetime import timedelta
from fractions import Fraction
from typing import Final

from o10.kernel import figures
from o10.kernel.figures import MINUS
from o10.kernel.money import NANOS_PER_UNIT
from policies.core.kill_spec import DAY_S, Spec
from policies.core.levers import Lever
from policies.core.metrics import METRICS, Metric

COMPARED: Final = {">": "above", ">=": "at or above", "<": "below", "<=": "at or below"}
LEVER_NAMES: Final = {
    Lever.NOTIFY: "Notify",
    Lever.CAP_OUTPUT: "Cap output",
    Lever.CAP_STEPS: "Cap steps",
    Lever.RIGHTSIZING: "Rightsize",
    Lever.THROTTLE: "Throttle",
    Lever.FREEZE: "Freeze",
    Lever.SUNSET: "Sunset",
}


def value_text(metric: Metric, value: Fraction | None, *, currency: str) -> str:
    """How is a value of this metric written? Rounded for the eye; verdicts are exact."""
    if value is None:
        return figures.MISSING
    sign = MINUS if value < 0 else ""
    size = abs(value)
    match metric.unit:
        case "share":
            return figures.percent(part=value.numerator, whole=value.denominator).text
        case "ratio":
            return f"{sign}{_decimals(size, 2)}×"
        case "money":
            return figures.unit_cost(round(value * NANOS_PER_UNIT), currency).text
        case "points":
            return f"{sign}{_decimals(size, 1)} pts"
        case "days":
            return f"{sign}{_decimals(size, 0)} d"
        case "ms":
            return f"{sign}{round(size):,} ms"
        case "score":
            return f"{sign}{_decimals(size, 1)}"
    return f"{sign}{_decimals(size, 0)}"


def signal_text(spec: Spec, *, currency: str) -> str:
    """If what? "retry waste above 15 % over 1 day, 2 windows in a row"."""
    metric = METRICS[spec.metric]
    limit = value_text(metric, spec.beyond_at, currency=currency)
    windows = "" if spec.consecutive == 1 else f", {spec.consecutive} windows in a row"
    return (
        f"{metric.label} {COMPARED[spec.comparator]} {limit} over "
        f"{span_text(spec.window_s)}{windows}"
    )


def action_text(spec: Spec, *, currency: str) -> str:
    """Then what? One sentence."""
    amount = spec.amount or 0
    match Lever(spec.lever):
        case Lever.CAP_OUTPUT:
            text = f"Answers are cut at {amount:,} tokens."
        case Lever.CAP_STEPS:
            text = f"No step and no attempt beyond {amount:,}."
        case Lever.RIGHTSIZING:
            model = spec.model or "the cheapest permitted model"
            text = f"Calls go to {model} where it is cheaper."
        case Lever.THROTTLE:
            text = f"At most {figures.money_exact(amount, currency).text} an hour."
        case Lever.FREEZE:
            text = "No new call is allowed; those under way settle."
        case Lever.SUNSET:
            text = f"The budget shrinks to nothing within {amount:,} days."
        case _:
            text = "Its owner is told."
    return f"{text}{_review(spec, currency)}"


def _review(spec: Spec, currency: str) -> str:
    if not spec.board_review:
        return ""
    cap = ""
    if spec.review_cap is not None:
        money = figures.money_exact(spec.review_cap, currency).text
        cap = f"; until it decides at most {money} an hour"
    return f" The board reviews it within {spec.review_days:,} days{cap}."


def span_text(seconds: int) -> str:
    """How long is it, in the largest unit that fits?"""
    for size, name in ((DAY_S, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= size and seconds % size == 0:
            number = seconds // size
            return f"{number} {name}" + ("" if number == 1 else "s")
    return f"{timedelta(seconds=seconds)}"


def progress_ppm(spec: Spec, value: Fraction | None) -> int | None:
    """How near is it to its threshold, in millionths? A million = there; None = not known."""
    limit = spec.beyond_at
    if value is None or limit <= 0 or value < 0:
        return None
    if spec.rises:
        return int(value * 1_000_000 / limit)
    return int(limit * 1_000_000 / value) if value > 0 else None


def _decimals(size: Fraction, places: int) -> str:
    scaled = size * 10**places
    whole = int(scaled + Fraction(1, 2))
    text = f"{whole // 10**places:,}"
    if not places:
        return text
    rest = f"{whole % 10**places:0{places}d}".rstrip("0")
    return f"{text}.{rest}" if rest else text
