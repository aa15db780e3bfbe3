"""What does an outcome of each use case cost, is it worth that, and who does not pay?

One read serves the page, the block of a use case and the files, at one ledger position.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

from ledger import facade as ledger
from o10.kernel.viewquery import ViewQuery
from policies import facade as policies
from reports.core.cost_headline import units_headline
from reports.core.reporting_period import ReportingPeriod, reporting_period
from reports.core.unit_economics import Verdict
from reports.queries.cost_page import find_waiting
from reports.queries.outcome_list import ValueRow, list_value_rows
from reports.queries.unit_months import UnitCourse, UnitLine, read_unit_courses


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitCase:
    """How does one use case do? `line` is the month shown, None without a statement of it.

    `envelope` the public id of its own envelope, empty without one or on a frozen page.
    """

    name: str
    slug: str
    course: UnitCourse
    line: UnitLine | None
    envelope: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomesPage:
    """What stands on the page of outcomes? The month is the last of the period asked for."""

    period: ReportingPeriod
    month: date
    currency: str
    time_zone: str
    position: ledger.Position
    frozen: bool
    cases: tuple[UnitCase, ...]
    values: tuple[ValueRow, ...]
    waiting: tuple[policies.ApprovalView, ...]
    use_cases: Mapping[str, str]

    @property
    def headline(self) -> str:
        """Which sentence opens the page?"""
        return units_headline(
            [(each.name, each.course.verdict, each.course.failing) for each in self.cases]
        )

    @property
    def failing(self) -> tuple[UnitCase, ...]:
        """Which use cases fail or may fail? The worst first."""
        words = (Verdict.FAILS, Verdict.AT_RISK)
        return tuple(each for each in self.cases if each.course.verdict in words)


def get_outcomes_page(*, query: ViewQuery, now: datetime) -> OutcomesPage:
    """What did an outcome cost in the last month of the period asked for?

    Raises: ValidationFailed (`validation_failed`) for a position the ledger hasn't reached.
    """
    company = ledger.ledger_of_company()
    position = ledger.position_of(ledger_id=company.id, as_of=query.as_of)
    frozen = query.as_of is not None
    at = position.at if frozen and position.at is not None else now
    period = reporting_period(asked=query.period, at=at, time_zone=company.time_zone)
    month = period.month_starts[-1]
    courses = read_unit_courses(
        upto=month,
        at=at,
        time_zone=company.time_zone,
        as_of=position.seq if frozen else None,
    )
    known = {row.number: row for row in policies.list_use_case_rows()}
    envelopes = {} if frozen else _own_envelopes(now)
    cases = [
        UnitCase(
            name=known[number].name,
            slug=known[number].slug,
            course=course,
            line=course.of(month),
            envelope=envelopes.get(number, ""),
        )
        for number, course in courses.items()
        if number in known
    ]
    return OutcomesPage(
        period=period,
        month=month,
        currency=company.currency,
        time_zone=company.time_zone,
        position=position,
        frozen=frozen,
        cases=tuple(sorted(cases, key=lambda each: (-each.course.failing, each.name))),
        values=tuple(list_value_rows()),
        waiting=() if frozen else find_waiting(now=now),
        use_cases={row.slug: row.name for row in known.values()},
    )


def _own_envelopes(now: datetime) -> Mapping[int, str]:
    return {
        line.use_case: line.public
        for line in policies.list_envelope_lines(now=now)
        if line.scope_kind == "use_case" and line.use_case is not None and line.period
    }
