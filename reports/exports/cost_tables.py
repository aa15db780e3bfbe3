"""Which rows of full cost and of outcomes leave as files? Those of the pages, to the nano."""

from collections.abc import Sequence
from datetime import datetime

from o10.kernel.viewquery import ViewQuery, to_text
from reports.core.table import Kind, Table, TableColumn, Value
from reports.queries.cost_page import COST_GRAMMAR, CostPage, get_cost_page
from reports.queries.outcomes_page import OutcomesPage, get_outcomes_page

Columns = tuple[TableColumn, ...]


def component_table(query: ViewQuery, now: datetime) -> Table:
    """Each component with amount, source, basis, grade and coverage."""
    page = get_cost_page(query=query, now=now)
    columns = (
        TableColumn("component", "Component", Kind.TEXT),
        TableColumn("amount", "Amount", Kind.MONEY),
        TableColumn("waiting", "Waits to be booked", Kind.MONEY),
        TableColumn("source", "Source", Kind.TEXT),
        TableColumn("basis", "Basis", Kind.TEXT),
        TableColumn("grade", "Grade", Kind.TEXT),
        TableColumn("coverage_ppm", "Coverage, parts per million", Kind.COUNT),
        TableColumn("known", "Known", Kind.TEXT),
    )
    rows = [
        (
            line.component.value,
            line.nanos,
            line.waiting,
            line.source,
            line.basis,
            line.grade.value if line.grade else "",
            line.coverage_ppm,
            "yes" if line.known else "no",
        )
        for line in page.full.lines
    ]
    return _of_cost("cost", "Components of full cost", page, query, columns, rows)


def case_table(query: ViewQuery, now: datetime) -> Table:
    """Each use case with its full cost; the rows add up to the total of the period."""
    page = get_cost_page(query=query, now=now)
    columns = (
        TableColumn("use_case", "Use case", Kind.TEXT),
        TableColumn("slug", "Slug", Kind.TEXT),
        TableColumn("direct", "Direct tokens", Kind.MONEY),
        TableColumn("other_calls", "Other calls", Kind.MONEY),
        TableColumn("beside", "Beside calls", Kind.MONEY),
        TableColumn("fully_loaded", "Fully loaded", Kind.MONEY),
        TableColumn("ratio_ppm", "Fully loaded / direct, parts per million", Kind.COUNT),
    )
    rows = [
        (
            case.name,
            case.slug,
            case.direct,
            case.other_calls,
            case.beside,
            case.total,
            case.ratio_ppm,
        )
        for case in page.cases
    ]
    return _of_cost("cost-use-cases", "Full cost by use case", page, query, columns, rows)


def amount_table(query: ViewQuery, now: datetime) -> Table:
    """Each amount that finance stated for the period."""
    page = get_cost_page(query=query, now=now)
    columns = (
        TableColumn("component", "Component", Kind.TEXT),
        TableColumn("month", "Month", Kind.DAY),
        TableColumn("use_case", "Use case", Kind.TEXT),
        TableColumn("amount", "Amount", Kind.MONEY),
        TableColumn("source", "Source", Kind.TEXT),
        TableColumn("basis", "Basis", Kind.TEXT),
        TableColumn("grade", "Grade", Kind.TEXT),
        TableColumn("coverage_ppm", "Coverage, parts per million", Kind.COUNT),
        TableColumn("version", "Version", Kind.COUNT),
        TableColumn("entered_at", "Entered", Kind.INSTANT),
        TableColumn("entered_by", "By", Kind.TEXT),
    )
    rows = [
        (
            row.component,
            row.month,
            row.use_case,
            row.nanos,
            row.source,
            row.basis,
            row.grade,
            row.coverage_ppm,
            row.version,
            row.entered_at,
            row.entered_by,
        )
        for row in page.amounts
    ]
    return _of_cost("cost-amounts", "Amounts beside inference", page, query, columns, rows)


def rule_table(query: ViewQuery, now: datetime) -> Table:
    """Each version of each rule of allocation."""
    page = get_cost_page(query=query, now=now)
    columns = (
        TableColumn("component", "Component", Kind.TEXT),
        TableColumn("version", "Version", Kind.COUNT),
        TableColumn("method", "Shared out", Kind.TEXT),
        TableColumn("weights", "Weights", Kind.TEXT),
        TableColumn("driver", "Driver", Kind.TEXT),
        TableColumn("from_month", "From", Kind.DAY),
        TableColumn("reason", "Reason", Kind.TEXT),
        TableColumn("requested_by", "Asked by", Kind.TEXT),
        TableColumn("approved_by", "Approved by", Kind.TEXT),
    )
    rows = [
        (
            row.component,
            row.version,
            row.method,
            "; ".join(f"{slug} {weight}" for slug, weight in row.weights.items()),
            row.driver,
            row.from_month,
            row.reason,
            row.requested_by,
            row.approved_by,
        )
        for row in page.rules
    ]
    return _of_cost("cost-rules", "Rules of allocation", page, query, columns, rows)


def unit_table(query: ViewQuery, now: datetime) -> Table:
    """Each use case and month with what an outcome cost, as known at its position."""
    page = get_outcomes_page(query=query, now=now)
    columns = (
        TableColumn("use_case", "Use case", Kind.TEXT),
        TableColumn("slug", "Slug", Kind.TEXT),
        TableColumn("month", "Month", Kind.DAY),
        TableColumn("type", "Type of outcome", Kind.TEXT),
        TableColumn("verdict", "Verdict", Kind.TEXT),
        TableColumn("months_failing", "Months failing", Kind.COUNT),
        TableColumn("spent", "Fully loaded", Kind.MONEY),
        TableColumn("outcomes", "Outcomes told", Kind.COUNT),
        TableColumn("successes", "Confirmed", Kind.COUNT),
        TableColumn("cost_per_outcome", "Cost per outcome", Kind.MONEY),
        TableColumn("cost_low", "90 % from", Kind.MONEY),
        TableColumn("cost_high", "90 % to", Kind.MONEY),
        TableColumn("failed_cost", "Cost of failed attempts", Kind.MONEY),
        TableColumn("value", "Approved value", Kind.MONEY),
        TableColumn("hurdle", "Hurdle", Kind.MONEY),
        TableColumn("target", "May cost", Kind.MONEY),
        TableColumn("margin", "Margin", Kind.MONEY),
        TableColumn("joined_by_run", "Joined by run", Kind.COUNT),
        TableColumn("joined_by_customer", "Joined by customer", Kind.COUNT),
        TableColumn("restated_until", "Restated until", Kind.INSTANT),
        TableColumn("as_of", "As of entry", Kind.COUNT),
    )
    rows: list[tuple[Value, ...]] = []
    for case in page.cases:
        for line in case.course.lines:
            if line.month not in page.period.month_starts:
                continue
            interval, margin = line.cost.interval, line.margin
            rows.append(
                (
                    case.name,
                    case.slug,
                    line.month,
                    line.kind,
                    case.course.verdict.value,
                    case.course.failing,
                    line.cost.spent,
                    line.cost.attempts,
                    line.cost.successes,
                    line.cost.per_outcome,
                    interval.low if interval else None,
                    interval.high if interval else None,
                    line.cost.failed_cost,
                    line.value,
                    line.hurdle,
                    line.target,
                    margin.margin if margin else None,
                    line.joined_run,
                    line.joined_customer,
                    line.open_until,
                    line.seq,
                )
            )
    return _of_outcomes("cost-outcomes", "Cost per outcome", page, query, columns, rows)


def value_table(query: ViewQuery, now: datetime) -> Table:
    """Each approved value of an outcome."""
    page = get_outcomes_page(query=query, now=now)
    columns = (
        TableColumn("use_case", "Use case", Kind.TEXT),
        TableColumn("type", "Type of outcome", Kind.TEXT),
        TableColumn("version", "Version", Kind.COUNT),
        TableColumn("value", "Value", Kind.MONEY),
        TableColumn("hurdle", "Hurdle", Kind.MONEY),
        TableColumn("window_days", "Window, days", Kind.COUNT),
        TableColumn("from_day", "From", Kind.DAY),
        TableColumn("reason", "Reason", Kind.TEXT),
        TableColumn("requested_by", "Asked by", Kind.TEXT),
        TableColumn("approved_by", "Approved by", Kind.TEXT),
    )
    rows = [
        (
            row.use_case,
            row.kind,
            row.version,
            row.value,
            row.hurdle,
            row.window_days,
            row.from_day,
            row.reason,
            row.requested_by,
            row.approved_by,
        )
        for row in page.values
    ]
    return _of_outcomes("outcome-values", "Approved values", page, query, columns, rows)


def _of_cost(
    name: str,
    title: str,
    page: CostPage,
    query: ViewQuery,
    columns: Columns,
    rows: Sequence[tuple[Value, ...]],
) -> Table:
    return Table(
        name=name,
        title=f"{title} {page.period.label}",
        currency=page.currency,
        columns=columns,
        rows=tuple(rows),
        position=page.position.seq,
        position_at=page.position.at,
        view=to_text(query, page=COST_GRAMMAR),
        totals={"fully_loaded": page.full.total},
    )


def _of_outcomes(
    name: str,
    title: str,
    page: OutcomesPage,
    query: ViewQuery,
    columns: Columns,
    rows: Sequence[tuple[Value, ...]],
) -> Table:
    return Table(
        name=name,
        title=f"{title} {page.period.label}",
        currency=page.currency,
        columns=columns,
        rows=tuple(rows),
        position=page.position.seq,
        position_at=page.position.at,
        view=to_text(query, page=COST_GRAMMAR),
    )
