"""What does everything cost, part by part and use case by use case, and how well is it known?

One read serves the page and its files, at one ledger position.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from ledger import facade as ledger
from o10.kernel.money import Nanos
from o10.kernel.viewquery import PageGrammar, ViewQuery
from policies import facade as policies
from reports.core.allocation import UNALLOCATED, FullCost, full_cost, ratio_ppm
from reports.core.cost_components import CALLS, Component
from reports.core.cost_headline import cost_detail, cost_headline
from reports.core.reporting_period import ReportingPeriod, reporting_period
from reports.queries.allocations import AllocationPlan, plan_allocation
from reports.queries.components import list_amounts, statements_of
from reports.queries.cost_cells import read_counted
from reports.queries.machines import MachineRow, list_machines
from reports.queries.outcome_list import AmountRow, RuleRow, list_rule_rows, list_stated

COST_GRAMMAR: Final = PageGrammar(columns=(), by=(), filters=())
COST_KINDS: Final = ("allocation.rule", "allocation.run", "outcome.value")


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseCost:
    """What does one use case cost? Nanos; number 0 = unallocated and unattributed."""

    number: int
    name: str
    slug: str
    direct: Nanos
    other_calls: Nanos
    beside: Nanos
    total: Nanos

    @property
    def ratio_ppm(self) -> int | None:
        """How many times its tokens? None without."""
        return ratio_ppm(self.total, self.direct)


@dataclass(frozen=True, slots=True, kw_only=True)
class CostPage:
    """What stands on the cost page? `behind` = sealed entries that are not counted yet.

    `plan` is what an allocation of the month would book: None for several months or a frozen
    page. `waiting` are requests for a second person.
    """

    period: ReportingPeriod
    currency: str
    time_zone: str
    position: ledger.Position
    frozen: bool
    behind: int
    full: FullCost
    cases: tuple[CaseCost, ...]
    amounts: tuple[AmountRow, ...]
    machines: tuple[MachineRow, ...]
    rules: tuple[RuleRow, ...]
    plan: AllocationPlan | None
    waiting: tuple[policies.ApprovalView, ...]
    use_cases: Mapping[str, str]

    @property
    def headline(self) -> str:
        """Which sentence opens the page?"""
        return cost_headline(self.full, period=self.period.name, currency=self.currency)

    @property
    def detail(self) -> str:
        """How complete is it?"""
        return cost_detail(self.full)


def get_cost_page(*, query: ViewQuery, now: datetime) -> CostPage:
    """What did everything cost in the period asked for?

    Raises: ValidationFailed (`validation_failed`) for a position the ledger hasn't reached.
    """
    company = ledger.ledger_of_company()
    frozen = query.as_of is not None
    at = now
    if frozen:
        stood = ledger.position_of(ledger_id=company.id, as_of=query.as_of)
        at = stood.at or now
    period = reporting_period(asked=query.period, at=at, time_zone=company.time_zone)
    counted = read_counted(first=period.first_day, after=period.after, as_of=query.as_of)
    rows = list_amounts(
        first=period.first_day, after=period.after, entered_to=at if frozen else None
    )
    months = len(period.month_starts)
    full = full_cost(counted.cells, statements_of(rows), months=months)
    single = months == 1 and not frozen
    named = {row.slug: row.name for row in policies.list_use_case_rows()}
    return CostPage(
        period=period,
        currency=company.currency,
        time_zone=company.time_zone,
        position=counted.position,
        frozen=frozen,
        behind=counted.behind,
        full=full,
        cases=_cases(full),
        amounts=tuple(
            row
            for row in list_stated()
            if period.first_day <= row.month < period.after and not frozen
        ),
        machines=()
        if frozen
        else tuple(list_machines(first=period.first_day, after=period.after)),
        rules=tuple(list_rule_rows()),
        plan=plan_allocation(month=period.first_day) if single else None,
        waiting=() if frozen else find_waiting(now=now),
        use_cases=named,
    )


def read_full_cost(
    period: ReportingPeriod, *, as_of: int | None, told_to: datetime | None
) -> FullCost:
    """What did everything cost in this period, as counted up to a position and stated by then?

    Raises: ValidationFailed (`validation_failed`) for a position the ledger hasn't reached.
    """
    counted = read_counted(first=period.first_day, after=period.after, as_of=as_of)
    rows = list_amounts(first=period.first_day, after=period.after, entered_to=told_to)
    return full_cost(counted.cells, statements_of(rows), months=len(period.month_starts))


def find_waiting(*, now: datetime) -> tuple[policies.ApprovalView, ...]:
    """Which rules, values and bookings wait for a second person?"""
    page = policies.list_approvals(now=now, state="open", limit=200)
    return tuple(each for each in page.items if each.kind in COST_KINDS)


def _cases(full: FullCost) -> tuple[CaseCost, ...]:
    """The dearest first; what no use case carries last."""
    known = {row.number: row for row in policies.list_use_case_rows()}
    found = []
    for number in full.by_use_case:
        parts = full.by_use_case[number]
        row = known.get(number)
        calls = sum(nanos for part, nanos in parts.items() if part in CALLS)
        direct = parts.get(Component.DIRECT, 0)
        total = sum(parts.values())
        name = row.name if row else "Unallocated" if number == UNALLOCATED else f"#{number}"
        found.append(
            CaseCost(
                number=number,
                name=name,
                slug=row.slug if row else "",
                direct=direct,
                other_calls=calls - direct,
                beside=total - calls,
                total=total,
            )
        )
    return tuple(
        sorted(found, key=lambda each: (each.number == UNALLOCATED, -each.total, each.name))
    )
