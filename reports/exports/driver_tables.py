"""Which costs of a unit, volumes and machines leave as files? Those of the pages."""

from collections.abc import Sequence
from datetime import datetime

from o10.kernel.viewquery import ViewQuery, to_text
from reports.core.table import Kind, Table, TableColumn, Value
from reports.queries.cost_page import COST_GRAMMAR, CostPage, get_cost_page
from reports.queries.driver_page import DriversPage, get_drivers_page

VOLUMES_MOST = 10_000


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
    return _table("cost-drivers", "Cost of a unit", page, query, columns, rows)


def volume_table(query: ViewQuery, now: datetime) -> Table:
    """Each volume that holds in the month, all of them."""
    page = get_drivers_page(query=query, now=now, shown=VOLUMES_MOST)
    columns = (
        TableColumn("period", "Days", Kind.TEXT),
        TableColumn("use_case", "Use case", Kind.TEXT),
        TableColumn("driver", "Driver", Kind.TEXT),
        TableColumn("volume", "Volume", Kind.COUNT),
        TableColumn("revision", "Revision", Kind.COUNT),
        TableColumn("source", "Source", Kind.TEXT),
        TableColumn("entry", "Entry", Kind.TEXT),
        TableColumn("recorded_at", "Entered", Kind.INSTANT),
        TableColumn("recorded_by", "By", Kind.TEXT),
    )
    rows = tuple(
        (
            row.period,
            row.use_case,
            row.driver,
            row.volume,
            row.revision,
            row.source,
            row.entry_id,
            row.recorded_at,
            row.recorded_by,
        )
        for row in page.volumes
    )
    return _table("driver-volumes", "Volumes of drivers", page, query, columns, rows)


def machine_table(query: ViewQuery, now: datetime) -> Table:
    """Each owned machine of the period with what it cost."""
    page = get_cost_page(query=query, now=now)
    columns = (
        TableColumn("machine", "Machine", Kind.TEXT),
        TableColumn("month", "Month", Kind.DAY),
        TableColumn("use_case", "Use case", Kind.TEXT),
        TableColumn("purchase", "Purchase", Kind.MONEY),
        TableColumn("residual", "Residual", Kind.MONEY),
        TableColumn("life_hours", "Life, hours", Kind.COUNT),
        TableColumn("planned_ppm", "Planned use, parts per million", Kind.COUNT),
        TableColumn("hours", "Hours ready", Kind.COUNT),
        TableColumn("used_hours", "Hours used", Kind.COUNT),
        TableColumn("used", "Used", Kind.MONEY),
        TableColumn("waste", "Waste", Kind.MONEY),
    )
    rows = tuple(
        (
            row.machine.name,
            row.month,
            row.use_case,
            row.machine.purchase,
            row.machine.residual,
            row.machine.life_hours,
            row.machine.planned_ppm,
            row.machine.hours,
            row.machine.used_hours,
            row.used,
            row.waste,
        )
        for row in page.machines
    )
    return _table("cost-hardware", "Owned hardware", page, query, columns, rows)


def _table(
    name: str,
    title: str,
    page: CostPage | DriversPage,
    query: ViewQuery,
    columns: tuple[TableColumn, ...],
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
