"""Which names of reports may the doors use?"""

from ledger.facade import (
    CAUSES,
    FILE_MOST,
    SOURCES,
    BillMoved,
    EntryLine,
    FileRejected,
    ImportView,
    InvoiceRow,
    Match,
    NotClosing,
    NotOver,
    OutOfOrder,
    Part,
    PeriodPart,
    Position,
    PriceCoverage,
    Reconciliation,
    RejectView,
    check_file,
    confirm_import,
    discard_import,
    due_imports,
    fail_import,
    find_close,
    find_ledger,
    get_import,
    get_invoice,
    last_syncs,
    list_imports,
    list_invoices,
    list_period_parts,
    list_periods,
    list_rejects,
    position_of,
    reconcile_invoice,
    reconcile_invoices,
    rejects_csv,
    run_import,
    stream_rejects,
)
from ledger.facade import BookedRow as BookedDifferenceRow
from ledger.facade import Kind as EntryKind
from ledger.facade import list_booked as list_booked_differences
from policies.facade import (
    ApprovalView,
    BindingLimit,
    DecisionCount,
    DecisionRow,
    EnvelopeLine,
    Health,
    UseCaseRow,
    find_open,
    names_of,
)
from reports.charts.cost_waterfall import draw_cost_waterfall
from reports.charts.spend_against_plan import Drawing, draw_spend_against_plan
from reports.charts.spend_by_day import draw_spend_by_day
from reports.core.allocation import ComponentLine, FullCost, Method
from reports.core.cost_components import ABOUT, STATED, Component, Family, Grade
from reports.core.cost_headline import interval_text, times, unit_text
from reports.core.hardware import Machine
from reports.core.headline import Headline, Progress
from reports.core.plan import Stance, Variance
from reports.core.table import Table
from reports.core.unit_economics import Interval, Margin, UnitCost, Verdict
from reports.core.volume_rows import RowProblem, VolumeLine, VolumeRows, parse_volumes
from reports.exports.csv import to_csv
from reports.exports.json import to_json
from reports.exports.tables import EXPORTS, EXPORTS_OF_ONE, build_table
from reports.exports.xlsx import to_xlsx
from reports.models import APPEND_ONLY, MUTABLE
from reports.operations.apply_cost_rules import apply_allocation_rule, apply_outcome_value
from reports.operations.ask_plan import ask_plan
from reports.operations.assess_units import assess_units
from reports.operations.close_changes import (
    propose_accrual,
    propose_differences,
    register_close_changes,
)
from reports.operations.close_period import CloseBlocked, Prepared, prepare_close, subject_of
from reports.operations.cost_changes import (
    allocation_change,
    propose_cost_change,
    register_cost_changes,
)
from reports.operations.count_costs import count_costs, recount_costs
from reports.operations.record_drivers import VolumeDraft, VolumeResult, record_drivers
from reports.operations.record_outcomes import (
    OutcomeDraft,
    OutcomeReport,
    OutcomeResult,
    record_outcomes,
)
from reports.operations.run_allocation import Allocated, run_allocation
from reports.operations.set_component_amounts import ComponentDraft, set_component_amounts
from reports.operations.set_plan import PlanDraft, set_plan
from reports.operations.state_hardware import (
    HardwareStated,
    put_machine,
    state_hardware,
    take_machine,
)
from reports.queries.allocations import (
    AllocationPlan,
    PlannedLine,
    allocations_due,
    next_month,
    plan_allocation,
)
from reports.queries.close_checklist import (
    WAIVABLE,
    Checklist,
    Condition,
    PeriodLine,
    Restated,
    list_period_states,
    read_checklist,
    read_status,
)
from reports.queries.cost_page import COST_GRAMMAR, CaseCost, CostPage, get_cost_page
from reports.queries.driver_page import DriverLine, DriversPage, get_drivers_page
from reports.queries.driver_volumes import VolumeRow, list_driver_names, list_volume_rows
from reports.queries.envelope_burn import Burn, get_burn
from reports.queries.machines import MachineRow, list_machines
from reports.queries.outcome_list import (
    AmountRow,
    OutcomeRow,
    RuleRow,
    ValueRow,
    cost_currency,
    cost_position,
    list_outcomes,
    list_rule_rows,
    list_stated,
    list_value_rows,
    use_case_slugs,
)
from reports.queries.outcomes_page import OutcomesPage, UnitCase, get_outcomes_page
from reports.queries.overview import Headroom, Overview, get_overview
from reports.queries.plan_grid import PlanGrid, PlanReview, read_plan_grid, review_plan
from reports.queries.plan_requests import can_ask_plan, plans_waiting
from reports.queries.plans import PlanVersion, newest_plan, plan_cells
from reports.queries.search import find_target
from reports.queries.unit_metrics import register_unit_metrics
from reports.queries.unit_months import UnitCourse, UnitLine, read_unit_courses
from reports.queries.use_case import Slice, UseCasePage, get_use_case_page
from reports.queries.use_cases import (
    USE_CASE_GRAMMAR,
    UseCaseLine,
    UseCaseTable,
    read_use_case_table,
)

__all__ = [
    "names_of",
    "can_ask_plan",
    "plans_waiting",
    "ApprovalView",
    "ask_plan",
    "CAUSES",
    "FILE_MOST",
    "SOURCES",
    "BillMoved",
    "FileRejected",
    "ImportView",
    "InvoiceRow",
    "Match",
    "NotClosing",
    "NotOver",
    "OutOfOrder",
    "Reconciliation",
    "RejectView",
    "check_file",
    "confirm_import",
    "discard_import",
    "due_imports",
    "fail_import",
    "find_close",
    "find_ledger",
    "get_import",
    "get_invoice",
    "last_syncs",
    "list_imports",
    "list_invoices",
    "list_period_parts",
    "list_periods",
    "Part",
    "PeriodPart",
    "EntryKind",
    "list_rejects",
    "position_of",
    "reconcile_invoice",
    "reconcile_invoices",
    "rejects_csv",
    "run_import",
    "stream_rejects",
    "BookedDifferenceRow",
    "list_booked_differences",
    "find_open",
    "propose_accrual",
    "propose_differences",
    "register_close_changes",
    "CloseBlocked",
    "Prepared",
    "prepare_close",
    "subject_of",
    "WAIVABLE",
    "Checklist",
    "Condition",
    "PeriodLine",
    "Restated",
    "list_period_states",
    "read_checklist",
    "read_status",
    "HardwareStated",
    "Machine",
    "MachineRow",
    "list_machines",
    "next_month",
    "put_machine",
    "state_hardware",
    "take_machine",
    "RowProblem",
    "VolumeDraft",
    "VolumeLine",
    "VolumeResult",
    "VolumeRow",
    "VolumeRows",
    "DriverLine",
    "DriversPage",
    "get_drivers_page",
    "list_driver_names",
    "list_volume_rows",
    "parse_volumes",
    "record_drivers",
    "COST_GRAMMAR",
    "CaseCost",
    "CostPage",
    "OutcomesPage",
    "UnitCase",
    "draw_cost_waterfall",
    "get_cost_page",
    "get_outcomes_page",
    "interval_text",
    "times",
    "unit_text",
    "AmountRow",
    "OutcomeRow",
    "RuleRow",
    "ValueRow",
    "UnitCourse",
    "UnitLine",
    "allocation_change",
    "cost_currency",
    "cost_position",
    "list_outcomes",
    "list_rule_rows",
    "list_stated",
    "list_value_rows",
    "propose_cost_change",
    "read_unit_courses",
    "register_cost_changes",
    "register_unit_metrics",
    "use_case_slugs",
    "ABOUT",
    "Allocated",
    "AllocationPlan",
    "Component",
    "ComponentDraft",
    "ComponentLine",
    "Family",
    "FullCost",
    "Grade",
    "Interval",
    "Margin",
    "Method",
    "OutcomeDraft",
    "OutcomeReport",
    "OutcomeResult",
    "PlannedLine",
    "STATED",
    "UnitCost",
    "Verdict",
    "allocations_due",
    "apply_allocation_rule",
    "apply_outcome_value",
    "assess_units",
    "count_costs",
    "plan_allocation",
    "record_outcomes",
    "recount_costs",
    "run_allocation",
    "set_component_amounts",
    "APPEND_ONLY",
    "EXPORTS",
    "EXPORTS_OF_ONE",
    "MUTABLE",
    "USE_CASE_GRAMMAR",
    "BindingLimit",
    "Burn",
    "DecisionCount",
    "DecisionRow",
    "Drawing",
    "EntryLine",
    "EnvelopeLine",
    "Headline",
    "Headroom",
    "Health",
    "Overview",
    "PlanDraft",
    "PlanGrid",
    "PlanReview",
    "PlanVersion",
    "Position",
    "PriceCoverage",
    "Progress",
    "Slice",
    "Stance",
    "Table",
    "UseCaseLine",
    "UseCasePage",
    "UseCaseRow",
    "UseCaseTable",
    "Variance",
    "build_table",
    "draw_spend_against_plan",
    "draw_spend_by_day",
    "find_target",
    "get_burn",
    "get_overview",
    "get_use_case_page",
    "newest_plan",
    "plan_cells",
    "read_plan_grid",
    "read_use_case_table",
    "review_plan",
    "set_plan",
    "to_csv",
    "to_json",
    "to_xlsx",
]
