"""How does the plan of this year stand, and what would pasted lines change?"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from ledger import facade as ledger
from o10.kernel.money import Nanos
from o10.kernel.periods import zone_of
from policies import facade as policies
from reports.core.plan_paste import PastedLine, PastedProblem, parse_plan
from reports.core.reporting_period import months_between
from reports.queries.plans import PlanVersion, newest_plan, plan_cells


@dataclass(frozen=True, slots=True)
class PlanRow:
    """What is planned for one use case, month by month? Nanos; None = nothing planned."""

    name: str
    slug: str
    amounts: tuple[Nanos | None, ...]

    @property
    def total(self) -> Nanos:
        """What is planned for the year?"""
        return sum(amount or 0 for amount in self.amounts)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanGrid:
    """What is planned for each use case and month of one year? Nanos of `currency`."""

    year: int
    currency: str
    months: tuple[date, ...]
    rows: tuple[PlanRow, ...]
    version: PlanVersion
    example: str

    @property
    def totals(self) -> tuple[Nanos, ...]:
        """What is planned in each month?"""
        return tuple(
            sum(row.amounts[place] or 0 for row in self.rows)
            for place in range(len(self.months))
        )

    @property
    def total(self) -> Nanos:
        """What is planned in the year?"""
        return sum(self.totals)


@dataclass(frozen=True, slots=True)
class PlanReview:
    """What did we understand of a paste, and how much does it change?

    Units: nanos; `total_before` is what the same cells hold now.
    """

    lines: tuple[PastedLine, ...]
    problems: tuple[PastedProblem, ...]
    total: Nanos
    total_before: Nanos


def read_plan_grid(*, now: datetime) -> PlanGrid:
    """How does the plan of this year stand?"""
    company = ledger.ledger_of_company()
    year = now.astimezone(zone_of(company.time_zone)).year
    months = months_between(date(year, 1, 1), date(year + 1, 1, 1))
    cells = plan_cells(first=months[0], after=date(year + 1, 1, 1))
    known = policies.list_use_case_rows()
    rows = [
        PlanRow(row.name, row.slug, tuple(cells.get((month, row.number)) for month in months))
        for row in known
    ]
    if any(number == 0 for _, number in cells):
        rows.append(
            PlanRow("Unattributed", "", tuple(cells.get((month, 0)) for month in months))
        )
    slug = known[0].slug if known else "support-assistant"
    return PlanGrid(
        year=year,
        currency=company.currency,
        months=months,
        rows=tuple(rows),
        version=newest_plan(),
        example=f"{slug}\t{year}-12\t112000",
    )


def review_plan(*, text: str) -> PlanReview:
    """What do these pasted lines mean, and how much do they change?"""
    numbers = {row.slug: row.number for row in policies.list_use_case_rows()}
    pasted = parse_plan(text, use_cases=frozenset(numbers))
    return PlanReview(
        lines=pasted.lines,
        problems=pasted.problems,
        total=pasted.total,
        total_before=_before(pasted.lines, numbers),
    )


def _before(lines: Sequence[PastedLine], numbers: dict[str, int]) -> Nanos:
    if not lines:
        return 0
    first, last = min(line.month for line in lines), max(line.month for line in lines)
    after = months_between(last, date(last.year + 1, last.month, 1))[1]
    cells = plan_cells(first=first, after=after)
    return sum(cells.get((line.month, numbers[line.use_case]), 0) for line in lines)
