"""Which tables do reports own, and which of them may ever change?"""

from reports.models.plan import PlanLine

APPEND_ONLY = ("reports_plan_line",)
"""Tables on which the application's database role may only SELECT and INSERT."""

MUTABLE: tuple[str, ...] = ()

__all__ = ["APPEND_ONLY", "MUTABLE", "PlanLine"]
