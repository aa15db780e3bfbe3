"""What did each use case spend against plan, and what is left of its envelope?

One read serves the overview, the list of use cases, and their CSV, XLSX and JSON: so their
totals agree. Spend is computed at one ledger position; envelopes and modes are live.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Final

from ledger import facade as ledger
from o10.kernel.money import Nanos, half_even
from o10.kernel.periods import zone_of
from o10.kernel.viewquery import (
    Direction,
    Match,
    PageGrammar,
    Sort,
    ViewQuery,
)
from policies import facade as policies
from reports.core.headline import Headline, Part, headline
from reports.core.plan import Variance, plan_to_date, sum_variances
from reports.core.reporting_period import ReportingPeriod, reporting_period
from reports.queries.plans import plan_cells
from reports.queries.unit_months import UnitCourse, UnitLine, read_unit_courses

USE_CASE_GRAMMAR: Final = PageGrammar(
    columns=("name", "spent", "plan", "var", "calls", "denials", "cost", "outcome", "left"),
    by=(),
    filters=("use_case", "department", "owner", "status"),
    default_sort=Sort("var", Direction.DESCENDING),
)
UNATTRIBUTED: Final = "Unattributed"


@dataclass(frozen=True, slots=True, kw_only=True)
class UseCaseLine:
    """What does one row of the table say?

    Units: nanos; `plan` is the plan to date, `plan_whole` that of the whole period. `row` None
    = spend that no known use case answers for. `envelope` None = it has no envelope of its
    own, or the period is not the one that its balances are of. `units` is the course of its
    cost per outcome, `unit` that of the period's last month; None = no outcome was told.
    """

    name: str
    slug: str
    row: policies.UseCaseRow | None
    spent: Nanos
    plan: Nanos | None
    plan_whole: Nanos | None
    calls: int
    denials: int
    tokens: int
    envelope: policies.EnvelopeLine | None
    units: UnitCourse | None
    unit: UnitLine | None

    @property
    def variance(self) -> Variance:
        """How far is it from plan?"""
        return Variance(self.spent, self.plan)

    @property
    def cost_per_call(self) -> Nanos | None:
        """What did one call cost? None without a call."""
        return half_even(self.spent, self.calls) if self.calls > 0 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class UseCaseTable:
    """Which rows, in which order, at which position, and what do they add up to?"""

    currency: str
    time_zone: str
    position: ledger.Position
    frozen: bool
    period: ReportingPeriod
    lines: tuple[UseCaseLine, ...]
    planned: bool = field(default=False)

    @property
    def today(self) -> date:
        """Which day is it in the ledger's zone, seen from the page's instant?"""
        return self.period.at.astimezone(zone_of(self.time_zone)).date()

    @property
    def total(self) -> Variance:
        """How far is the whole from plan?"""
        return sum_variances(line.variance for line in self.lines)

    @property
    def plan_whole(self) -> Nanos | None:
        """What is planned for the whole period? None without a plan."""
        known = [line.plan_whole for line in self.lines if line.plan_whole is not None]
        return sum(known) if known else None

    @property
    def calls(self) -> int:
        """How many calls were served?"""
        return sum(line.calls for line in self.lines)

    @property
    def denials(self) -> int:
        """How many calls were denied?"""
        return sum(line.denials for line in self.lines)

    @property
    def headline(self) -> Headline:
        """Which sentence says this table?"""
        return headline(
            period=self.period.name,
            progress=self.period.progress,
            currency=self.currency,
            parts=[Part(line.name, line.variance) for line in self.lines],
        )


def read_use_case_table(*, query: ViewQuery, now: datetime) -> UseCaseTable:
    """What did each use case spend against plan in the period asked for?

    Raises: ValidationFailed (`validation_failed`) for a position the ledger hasn't reached.
    """
    company = ledger.ledger_of_company()
    position = ledger.position_of(ledger_id=company.id, as_of=query.as_of)
    frozen = query.as_of is not None
    at = position.at if frozen and position.at is not None else now
    period = reporting_period(asked=query.period, at=at, time_zone=company.time_zone)
    rows = ledger.sum_spend(
        ledger_id=company.id,
        time_zone=company.time_zone,
        by=(ledger.SpendKey.USE_CASE,),
        start=period.first_day,
        end=period.after,
        as_of=position.seq,
    )
    plan = _plan(period, entered_to=at if frozen else None)
    courses = read_unit_courses(
        upto=period.month_starts[-1],
        at=at,
        time_zone=company.time_zone,
        as_of=position.seq if frozen else None,
    )
    envelopes = _envelopes(period, frozen=frozen, now=now)
    lines = _lines(period, rows, plan, envelopes, courses, at)
    kept = [line for line in lines if _matches(line, query)]
    return UseCaseTable(
        currency=company.currency,
        time_zone=company.time_zone,
        position=position,
        frozen=frozen,
        period=period,
        lines=tuple(_sorted(kept, query.sort or USE_CASE_GRAMMAR.default_sort)),
        planned=bool(plan),
    )


def _plan(period: ReportingPeriod, *, entered_to: datetime | None) -> Mapping[int, Nanos]:
    """The plan of the whole period by use case."""
    summed: dict[int, Nanos] = {}
    cells = plan_cells(first=period.first_day, after=period.after, entered_to=entered_to)
    for (_, use_case), amount in cells.items():
        summed[use_case] = summed.get(use_case, 0) + amount
    return summed


def _envelopes(
    period: ReportingPeriod, *, frozen: bool, now: datetime
) -> Mapping[int, policies.EnvelopeLine]:
    """The own envelope of each use case, where its balance speaks of the period shown."""
    if frozen or not period.starts_at <= now < period.ends_at:
        return {}
    found: dict[int, policies.EnvelopeLine] = {}
    for line in policies.list_envelope_lines(now=now):
        if line.scope_kind == "use_case" and line.use_case is not None and line.period:
            found.setdefault(line.use_case, line)
    return found


def _lines(
    period: ReportingPeriod,
    rows: Sequence[ledger.SpendRow],
    plan: Mapping[int, Nanos],
    envelopes: Mapping[int, policies.EnvelopeLine],
    courses: Mapping[int, UnitCourse],
    at: datetime,
) -> list[UseCaseLine]:
    spent = {int(str(row.keys[0])): row for row in rows}
    known = {row.number: row for row in policies.list_use_case_rows()}
    numbers = [*known, *sorted((spent.keys() | plan.keys()) - known.keys())]
    lines = []
    for number in numbers:
        use_case, spend, whole = known.get(number), spent.get(number), plan.get(number)
        course = courses.get(number)
        due = (
            None
            if whole is None
            else plan_to_date(plan=whole, start=period.starts_at, end=period.ends_at, at=at)
        )
        lines.append(
            UseCaseLine(
                name=use_case.name if use_case else UNATTRIBUTED,
                slug=use_case.slug if use_case else "",
                row=use_case,
                spent=spend.spent if spend else 0,
                plan=due,
                plan_whole=whole,
                calls=spend.calls if spend else 0,
                denials=spend.denials if spend else 0,
                tokens=spend.tokens if spend else 0,
                envelope=envelopes.get(number),
                units=course,
                unit=course.of(period.month_starts[-1]) if course else None,
            )
        )
    return lines


def _matches(line: UseCaseLine, query: ViewQuery) -> bool:
    row = line.row
    said = {
        "use_case": line.slug,
        "department": row.department_slug if row else "",
        "owner": row.owner if row else "",
        "status": row.mode if row else "",
    }
    for key, value in said.items():
        wanted, unwanted = query.values_of(key), query.values_of(key, Match.IS_NOT)
        if (wanted and value not in wanted) or value in unwanted:
            return False
    return True


def _sorted(lines: Sequence[UseCaseLine], sort: Sort | None) -> list[UseCaseLine]:
    """By the column asked for; rows without a value stand last, equal ones by name."""
    by_name = sorted(lines, key=lambda line: (line.name.casefold(), line.slug))
    if sort is None or sort.column == "name":
        turned = sort is not None and sort.direction is Direction.DESCENDING
        return by_name[::-1] if turned else by_name
    planned = any(line.plan is not None for line in lines)
    # Without any plan there is no ΔPL to sort by: the largest spender comes first.
    value = _SORT_VALUES["spent" if sort.column == "var" and not planned else sort.column]
    having = [line for line in by_name if value(line) is not None]
    missing = [line for line in by_name if value(line) is None]
    sign = -1 if sort.direction is Direction.DESCENDING else 1
    return [*sorted(having, key=lambda line: sign * (value(line) or 0)), *missing]


_SORT_VALUES: Final = {
    "spent": lambda line: line.spent,
    "plan": lambda line: line.plan,
    "var": lambda line: line.variance.delta,
    "calls": lambda line: line.calls,
    "denials": lambda line: line.denials,
    "cost": lambda line: line.cost_per_call,
    "outcome": lambda line: line.unit.cost.per_outcome if line.unit else None,
    "left": lambda line: line.envelope.available if line.envelope else None,
}
