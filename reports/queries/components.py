"""What did finance state beside inference, and by which rule is it shared out?"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime

from o10.kernel.money import Nanos
from reports.core.allocation import Method, Rule, Statement
from reports.core.cost_components import GRADE_ORDER, STATED, Component, Grade
from reports.models import AllocationRule, ComponentAmount

PPM = 1_000_000


def list_amounts(
    *, first: date, after: date, entered_to: datetime | None = None
) -> list[ComponentAmount]:
    """Which statements hold for months in [first, after)? Those taken back are left out."""
    rows = ComponentAmount.objects.filter(month__gte=first, month__lt=after)
    if entered_to is not None:
        rows = rows.filter(entered_at__lte=entered_to)
    newest = rows.order_by("component", "month", "use_case", "-version").distinct(
        "component", "month", "use_case"
    )
    return [row for row in newest if row.amount_nanos is not None]


def statements_of(rows: Sequence[ComponentAmount]) -> Mapping[Component, Statement]:
    """What do these statements say of each component, in one line?"""
    found: dict[Component, Statement] = {}
    for component in Component:
        own = [row for row in rows if row.component == component]
        if own:
            found[component] = _together(component, own)
    return found


def _together(component: Component, rows: Sequence[ComponentAmount]) -> Statement:
    whole = sum(abs(row.amount_nanos or 0) for row in rows)
    weighed = sum(abs(row.amount_nanos or 0) * row.coverage_ppm for row in rows)
    return Statement(
        component=component,
        nanos=sum(row.amount_nanos or 0 for row in rows),
        source=_said(row.source for row in rows),
        basis=_said(row.basis for row in rows),
        grade=max((Grade(row.grade) for row in rows), key=GRADE_ORDER.index),
        coverage_ppm=weighed // whole if whole else min(row.coverage_ppm for row in rows),
        months=len({row.month for row in rows}),
    )


def _said(texts: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(text for text in texts if text))


def rules_in_force(*, month: date) -> Mapping[Component, AllocationRule]:
    """Which rule shares out each component in this month?"""
    rows = AllocationRule.objects.filter(from_month__lte=month)
    newest = rows.order_by("component", "-from_month", "-version").distinct("component")
    return {Component(row.component): row for row in newest}


def rule_of(row: AllocationRule) -> Rule:
    """Which rule does this row say?"""
    weights = {int(number): int(weight) for number, weight in row.weights.items()}
    return Rule(method=Method(row.method), weights=weights, driver=row.driver)


def stated_sums(rows: Sequence[ComponentAmount]) -> Mapping[Component, Mapping[int, Nanos]]:
    """How much is stated for each component and use case? Use case 0 = the company."""
    sums: dict[Component, dict[int, Nanos]] = {component: {} for component in STATED}
    for row in rows:
        own = sums.setdefault(Component(row.component), {})
        own[row.use_case] = own.get(row.use_case, 0) + (row.amount_nanos or 0)
    return sums
