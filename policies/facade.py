"""Which names of spend control may other apps and the doors use?"""

from policies.models import APPEND_ONLY, MUTABLE
from policies.queries.decision_pages import (
    DecisionCount,
    DecisionDetail,
    DecisionLogFilter,
    DecisionLogPage,
    DecisionRow,
    HoldState,
    count_by_hour,
    count_decisions,
    count_open_holds,
    get_decision_detail,
    list_decision_rows,
    list_open_holds,
)
from policies.queries.decision_query import DECISION_GRAMMAR, decision_filter_of
from policies.queries.envelope_history import VersionLine, list_version_lines
from policies.queries.envelope_pages import (
    BindingLimit,
    EnvelopeLine,
    Health,
    PeriodLine,
    get_envelope_line,
    list_envelope_lines,
    list_path_lines,
    list_period_lines,
    numbers_below,
)
from policies.queries.use_case_pages import (
    UseCaseRow,
    get_use_case_row,
    list_department_names,
    list_use_case_rows,
)

__all__ = [
    "APPEND_ONLY",
    "BindingLimit",
    "DECISION_GRAMMAR",
    "DecisionCount",
    "DecisionDetail",
    "DecisionLogFilter",
    "DecisionLogPage",
    "DecisionRow",
    "EnvelopeLine",
    "Health",
    "HoldState",
    "MUTABLE",
    "PeriodLine",
    "UseCaseRow",
    "VersionLine",
    "count_by_hour",
    "count_decisions",
    "count_open_holds",
    "decision_filter_of",
    "get_decision_detail",
    "get_envelope_line",
    "get_use_case_row",
    "list_decision_rows",
    "list_department_names",
    "list_envelope_lines",
    "list_open_holds",
    "list_path_lines",
    "list_period_lines",
    "list_use_case_rows",
    "list_version_lines",
    "numbers_below",
]
