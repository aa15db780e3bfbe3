"""Which volumes of drivers, and which cost of a unit, leave as files? Those of the page."""

from datetime import datetime

from o10.kernel.viewquery import ViewQuery, to_text
from reports.core.table import Kind, Table, TableColumn
from reports.queries.cost_page import COST_GRAMMAR
from reports.queries.driver_page import get_drivers_page


def driver_table(query: ViewQuery, now: datetime) -> Table:
    """Each use case and driver of the month with what one unit cost."""
    page = get_drivers_page(query=query, now=now)
    columns = (
        TableColumn("use_case", "Use case", Kind.TEXT),
        TableColumn("slug", "Slug", Kind.TEXT),
        TableColumn("month", "Month", Kind.DAY),
        TableColumn("driver", "Driver", Kind.TEXT),
        TableColumn("volume", "Volume", Kind.COUNT),
        TableColumn("calls", "Calls", Kind.COUNT),
        TableColumn("fully_loaded", "Fully loaded", Kind.MONEY),
        TableColumn("per_unit", "Per unit", Kind.MONEY),
        TableColumn("days_told", "Days told", Kind.COUNT),
        TableColumn("days_over", "Days over", Kind.COUNT),
    )
    rows = tuple(
        (
            line.cost.name,
            line.slug,
            page.month,
            line.cost.driver,
            line.cost.volume,
            line.cost.calls,
            line.cost.cost,
            line.cost.per_unit,
            line.cost.days_told,
            line.cost.days_over,
        )
        for line in page.lines
    )
    return Table(
        name="cost-drivers",
        title=f"Cost of a unit {page.month:%B %Y}",
        currency=page.currency,
        columns=columns,
        rows=rows,
        position=page.position.seq,
        position_at=page.position.at,
        view=to_text(query, page=COST_GRAMMAR),
    )
