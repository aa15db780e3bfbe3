"""Which tables do reports own, and which of them may ever change?"""

from reports.models.cost import (
    AllocationLine,
    AllocationRule,
    ComponentAmount,
    CostCell,
    CostCount,
    RunCost,
)
from reports.models.driver import DriverVolume
from reports.models.outcome import Outcome, OutcomeValue, UnitMonth
from reports.models.plan import PlanLine

APPEND_ONLY = (
    "reports_plan_line",
    "reports_component_amount",
    "reports_allocation_rule",
    "reports_allocation_line",
    "reports_outcome",
    "reports_outcome_value",
    "reports_unit_month",
    "reports_driver_volume",
)
"""Tables on which the application's database role may only SELECT and INSERT."""

MUTABLE: tuple[str, ...] = (
    "reports_cost_cell",
    "reports_run_cost",
    "reports_cost_count",
)
"""Caches that are counted on from entries."""

__all__ = [
    "APPEND_ONLY",
    "MUTABLE",
    "AllocationLine",
    "AllocationRule",
    "ComponentAmount",
    "CostCell",
    "CostCount",
    "DriverVolume",
    "Outcome",
    "OutcomeValue",
    "PlanLine",
    "RunCost",
    "UnitMonth",
]
