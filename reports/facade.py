"""Which names of reports may the doors use?"""

from reports.models import APPEND_ONLY, MUTABLE
from reports.operations.set_plan import PlanDraft, set_plan
from reports.queries.plans import PlanVersion, newest_plan, plan_cells
from reports.queries.use_cases import (
    USE_CASE_GRAMMAR,
    UseCaseLine,
    UseCaseTable,
    read_use_case_table,
)

__all__ = [
    "APPEND_ONLY",
    "MUTABLE",
    "USE_CASE_GRAMMAR",
    "PlanDraft",
    "PlanVersion",
    "UseCaseLine",
    "UseCaseTable",
    "newest_plan",
    "plan_cells",
    "read_use_case_table",
    "set_plan",
]
