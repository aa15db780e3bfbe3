"""Which sentence opens the pages of full cost and of outcomes? Built from their own figures."""

from collections.abc import Sequence

from o10.kernel import figures
from o10.kernel.money import Nanos
from reports.core.allocation import ComponentLine, FullCost
from reports.core.cost_components import Component
from reports.core.unit_economics import UnitCost, Verdict

PPM = 1_000_000
NAMES_MOST = 3


def cost_headline(found: FullCost, *, period: str, currency: str) -> str:
    """What did everything cost, how many times its tokens, and what is the largest part?"""
    if not found.total:
        return f"Nothing was booked for {period}."
    total = figures.money(found.total, currency).text
    if found.ratio_ppm is None:
        return f"{period} costs {total} fully loaded; no call that served is in it."
    largest = largest_part(found)
    beside = f"; {largest.label.lower()} is the largest part beside them" if largest else ""
    return f"{period} costs {total} fully loaded, {times(found.ratio_ppm)} its tokens{beside}."


def cost_detail(found: FullCost) -> str:
    """How complete is that? Names what nobody speaks for."""
    known = len(found.lines) - len(found.missing)
    said = f"{known} of {len(found.lines)} components have a source or an explicit zero"
    if not found.missing:
        return f"All {len(found.lines)} components have a source or an explicit zero."
    labels = [line.label.lower() for line in found.lines if not line.known]
    more = f" and {len(labels) - NAMES_MOST} more" if len(labels) > NAMES_MOST else ""
    return f"{said}; not measured: {', '.join(labels[:NAMES_MOST])}{more}."


def largest_part(found: FullCost) -> ComponentLine | None:
    """Which part beside direct tokens is the largest? None when there is none."""
    rest = [line for line in found.lines if line.component is not Component.DIRECT]
    largest = max(rest, key=lambda line: line.nanos)
    return largest if largest.nanos > 0 else None


def times(ppm: int) -> str:
    """How is a ratio written? "1.18 ×"."""
    hundredths = (ppm + 5_000) // 10_000
    return f"{hundredths // 100}.{hundredths % 100:02d} ×"


def units_headline(verdicts: Sequence[tuple[str, Verdict, int]]) -> str:
    """Which use cases fail unit economics, by name and for how long?"""
    if not verdicts:
        return "No outcome was told yet."
    failing = [(name, months) for name, said, months in verdicts if said is Verdict.FAILS]
    if failing:
        names = ", ".join(f"{name} ({months} months)" for name, months in failing[:NAMES_MOST])
        count = len(failing)
        word = "use case fails" if count == 1 else "use cases fail"
        return f"{count} {word} unit economics: {names}."
    risk = [name for name, said, _ in verdicts if said is Verdict.AT_RISK]
    if risk:
        return f"No use case fails unit economics; at risk: {', '.join(risk[:NAMES_MOST])}."
    pays = sum(said is Verdict.PAYS for _, said, _ in verdicts)
    return f"No use case fails unit economics; {pays} of {len(verdicts)} are shown to pay."


def unit_text(cost: UnitCost, currency: str) -> str:
    """How is the cost of an outcome written? Without success what was spent instead."""
    if cost.per_outcome is None:
        return f"n/a: {figures.money(cost.spent, currency).text} spent, 0 outcomes"
    return figures.unit_cost(cost.per_outcome, currency).text


def interval_text(low: Nanos | None, high: Nanos | None, currency: str) -> str:
    """How is a 90 % interval written? "$0.19 to $0.24"."""
    if low is None:
        return ""
    if high is None:
        return f"{figures.unit_cost(low, currency).text} or more"
    return (
        f"{figures.unit_cost(low, currency).text} to {figures.unit_cost(high, currency).text}"
    )
