"""How much is planned, by month and use case, in the newest version of each cell?"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

from o10.kernel.money import Nanos
from reports.models import PlanLine

Cell = tuple[date, int]


@dataclass(frozen=True, slots=True)
class PlanVersion:
    """Which version of the plan is the newest, and who entered it? 0 = there is no plan."""

    version: int
    entered_at: datetime | None
    entered_by: str


def plan_cells(
    *, first: date, after: date, entered_to: datetime | None = None
) -> Mapping[Cell, Nanos]:
    """How much is planned in months that begin in [first, after)? By month and use case.

    `entered_to` asks for the plan as it was known then: a figure of the past is compared with
    the plan of the past. A cell that was taken back is left out.
    """
    rows = PlanLine.objects.filter(month__gte=first, month__lt=after)
    if entered_to is not None:
        rows = rows.filter(entered_at__lte=entered_to)
    newest = rows.order_by("month", "use_case", "-version").distinct("month", "use_case")
    return {
        (row.month, row.use_case): row.amount_nanos
        for row in newest
        if row.amount_nanos is not None
    }


def newest_plan() -> PlanVersion:
    """Which version of the plan is the newest?"""
    row = PlanLine.objects.order_by("-version").first()
    if row is None:
        return PlanVersion(0, None, "")
    return PlanVersion(row.version, row.entered_at, row.entered_by)
