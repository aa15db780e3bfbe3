"""How do full cost, cost per outcome and cost of a unit stand on the wire?

Amounts are decimal text with the nanos beside them; shares and ratios decimal text.
"""

from datetime import datetime

import msgspec

from o10.kernel.money import amount_text
from reports import facade
from reports.web.serializers import AsOf, share_text


class Money(msgspec.Struct, frozen=True, kw_only=True):
    """How much? Text and nanos, of the answer's currency."""

    amount: str
    amount_nanos: str


class ComponentCost(msgspec.Struct, frozen=True, kw_only=True):
    """What does one component say, and how well is it known?"""

    component: str
    booked: Money
    waiting: Money
    source: str
    basis: str
    grade: str | None
    coverage: str | None
    known: bool


class UseCaseCost(msgspec.Struct, frozen=True, kw_only=True):
    """What does one use case cost? `use_case` null = what no use case carries."""

    use_case: str | None
    direct: Money
    other_calls: Money
    beside_calls: Money
    fully_loaded: Money
    ratio: str | None


class CostsRead(msgspec.Struct, frozen=True, kw_only=True):
    """What does everything cost in the period? `items` add up to `fully_loaded`.

    A key of some use cases gets theirs alone, without components and sums of the company.
    """

    period: str
    currency: str
    fully_loaded: Money | None
    direct: Money | None
    ratio: str | None
    completeness: str | None
    components: list[ComponentCost]
    items: list[UseCaseCost]
    next: str | None
    as_of: AsOf


class UnitCostRead(msgspec.Struct, frozen=True, kw_only=True):
    """What did one outcome of a use case cost in a month, and does it pay?

    `target` is what it may cost: value less hurdle. `verdict` speaks of whole months in a row.
    """

    use_case: str
    month: str
    type: str
    verdict: str
    months_failing: int
    fully_loaded: Money
    outcomes: int
    confirmed: int
    cost_per_outcome: Money | None
    low: Money | None
    high: Money | None
    value: Money | None
    hurdle: Money | None
    target: Money | None
    margin: Money | None
    failed_cost: Money
    restated_until: datetime | None
    ledger_seq: int


class UnitCostsRead(msgspec.Struct, frozen=True, kw_only=True):
    """What did outcomes cost, use case by use case?"""

    currency: str
    headline: str
    items: list[UnitCostRead]
    next: str | None
    as_of: AsOf


class DriverCostRead(msgspec.Struct, frozen=True, kw_only=True):
    """What did one unit of a driver cost in a month? Days nobody told make it too dear."""

    use_case: str
    driver: str
    month: str
    volume: int
    calls: int
    fully_loaded: Money
    per_unit: Money | None
    days_told: int
    days_over: int


class DriverCostsRead(msgspec.Struct, frozen=True, kw_only=True):
    """What did one unit of each driver cost?"""

    currency: str
    items: list[DriverCostRead]
    next: str | None
    as_of: AsOf


def costs_read(page: facade.CostPage, *, among: frozenset[str] | None) -> CostsRead:
    """How does the full cost of a period stand on the wire? `among` None = all use cases."""
    full, whole = page.full, among is None
    cases = [case for case in page.cases if among is None or case.slug in among]
    return CostsRead(
        period=page.period.months.text,
        currency=page.currency,
        fully_loaded=_money(full.total) if whole else None,
        direct=_money(full.direct) if whole else None,
        ratio=_ratio(full.ratio_ppm) if whole else None,
        completeness=share_text(full.completeness_ppm) if whole else None,
        components=[_component(line) for line in full.lines] if whole else [],
        items=[
            UseCaseCost(
                use_case=case.slug or None,
                direct=_money(case.direct),
                other_calls=_money(case.other_calls),
                beside_calls=_money(case.beside),
                fully_loaded=_money(case.total),
                ratio=_ratio(case.ratio_ppm),
            )
            for case in cases
        ],
        next=None,
        as_of=AsOf(ledger_seq=page.position.seq, at=page.position.at),
    )


def unit_costs_read(
    page: facade.OutcomesPage, *, among: frozenset[str] | None
) -> UnitCostsRead:
    """How do costs per outcome stand on the wire?"""
    cases = [case for case in page.cases if among is None or case.slug in among]
    return UnitCostsRead(
        currency=page.currency,
        headline=facade.units_headline(
            [(case.name, case.course.verdict, case.course.failing) for case in cases]
        ),
        items=[
            _unit(case, line)
            for case in cases
            for line in case.course.lines
            if line.month in page.period.month_starts
        ],
        next=None,
        as_of=AsOf(ledger_seq=page.position.seq, at=page.position.at),
    )


def driver_costs_read(
    page: facade.DriversPage, *, among: frozenset[str] | None
) -> DriverCostsRead:
    """How do costs of a unit stand on the wire?"""
    return DriverCostsRead(
        currency=page.currency,
        items=[
            DriverCostRead(
                use_case=line.slug,
                driver=line.cost.driver,
                month=f"{page.month:%Y-%m}",
                volume=line.cost.volume,
                calls=line.cost.calls,
                fully_loaded=_money(line.cost.cost),
                per_unit=_maybe(line.cost.per_unit),
                days_told=line.cost.days_told,
                days_over=line.cost.days_over,
            )
            for line in page.lines
            if among is None or line.slug in among
        ],
        next=None,
        as_of=AsOf(ledger_seq=page.position.seq, at=page.position.at),
    )


def _component(line: facade.ComponentLine) -> ComponentCost:
    return ComponentCost(
        component=line.component.value,
        booked=_money(line.nanos),
        waiting=_money(line.waiting),
        source=line.source,
        basis=line.basis,
        grade=line.grade.value if line.grade else None,
        coverage=None if line.coverage_ppm is None else share_text(line.coverage_ppm),
        known=line.known,
    )


def _unit(case: facade.UnitCase, line: facade.UnitLine) -> UnitCostRead:
    cost, interval = line.cost, line.cost.interval
    return UnitCostRead(
        use_case=case.slug,
        month=f"{line.month:%Y-%m}",
        type=line.kind,
        verdict=case.course.verdict.value,
        months_failing=case.course.failing,
        fully_loaded=_money(cost.spent),
        outcomes=cost.attempts,
        confirmed=cost.successes,
        cost_per_outcome=_maybe(cost.per_outcome),
        low=_maybe(interval.low if interval else None),
        high=_maybe(interval.high if interval else None),
        value=_maybe(line.value),
        hurdle=_maybe(line.hurdle if line.value is not None else None),
        target=_maybe(line.target),
        margin=_maybe(line.margin.margin if line.margin else None),
        failed_cost=_money(cost.failed_cost),
        restated_until=line.open_until,
        ledger_seq=line.seq,
    )


def _money(nanos: int) -> Money:
    return Money(amount=amount_text(nanos), amount_nanos=str(nanos))


def _maybe(nanos: int | None) -> Money | None:
    return None if nanos is None else _money(nanos)


def _ratio(ppm: int | None) -> str | None:
    return None if ppm is None else share_text(ppm)
