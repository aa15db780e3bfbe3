"""Which decisions does the address of the decision log ask for?"""

from datetime import datetime, timedelta
from typing import Final

from o10.kernel.viewquery import PageGrammar, ViewQuery
from policies.queries.decision_pages import DecisionLogFilter

DECISION_GRAMMAR: Final = PageGrammar(
    columns=(),
    by=(),
    filters=("use_case", "decision", "reason", "model", "status"),
)
WINDOW: Final = timedelta(hours=24)


def decision_filter_of(query: ViewQuery, *, now: datetime, time_zone: str) -> DecisionLogFilter:
    """Which decisions does this view ask for? Those of the last 24 hours without a period."""
    start, end = now - WINDOW, None
    if query.period is not None:
        start, end = query.period.bounds(time_zone)
    return DecisionLogFilter(
        outcomes=query.values_of("decision"),
        reasons=query.values_of("reason"),
        use_cases=query.values_of("use_case"),
        models=query.values_of("model"),
        modes=query.values_of("status"),
        decided_from=start,
        decided_to=end,
    )
