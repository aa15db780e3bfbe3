"""Which entries make up one component of full cost? The same question as counting them, in SQL.

A component that an attribution set names has the entries of these sets; calls are told by
purpose and by how they ended; the rest of what moves money are adjustments.
Source: docs/algorithms/fully-loaded-cost.md.
"""

from typing import Final

from ledger.core.allocation_mark import ALLOCATED, ALLOCATION, COMPONENT
from ledger.core.entry import (
    FINISH_MASK,
    FINISH_SHIFT,
    PURPOSE_MASK,
    PURPOSE_SHIFT,
    Finish,
    Kind,
    Purpose,
)
from ledger.queries.cost_rows import COSTING

OF_PURPOSE: Final = {
    "direct": Purpose.SERVE,
    "retries": Purpose.RETRY,
    "hedges": Purpose.HEDGE_LOSER,
    "fallbacks": Purpose.FALLBACK,
    "classifier": Purpose.CLASSIFY,
    "evals": Purpose.EVAL,
    "shadow": Purpose.SHADOW,
}
COMPONENTS: Final = (
    *OF_PURPOSE,
    "commitment_used",
    "commitment_waste",
    *ALLOCATED,
    "adjustments",
)
_CALLS: Final = (Kind.SETTLE, Kind.OVERRUN, Kind.USAGE)
_UNSERVED: Final = (Finish.ERROR, Finish.CANCELLED)
_PURPOSE: Final = f"(e.flags & {PURPOSE_MASK}) >> {PURPOSE_SHIFT}"
_FINISH: Final = f"(e.flags & {FINISH_MASK}) >> {FINISH_SHIFT}"
_NAMED: Final = (
    "SELECT r.number FROM ledger_registry r WHERE r.ledger_id = e.ledger_id"
    " AND r.domain = 'dims'"
    f" AND coalesce(r.body->>'{ALLOCATION}', r.body->>'{COMPONENT}') = ANY(%s)"
)
_OF_A_CALL: Final = (
    f"(e.kind = ANY(%s) OR e.kind = {int(Kind.REVERSAL)}"
    " AND (e.n <> 0 OR e.model_id <> 0 OR e.offer_id <> 0))"
)


def component_clause(component: str) -> tuple[str, list[object]]:
    """Which condition on entries `e` is that, with its values? None match an unknown name."""
    if component not in COMPONENTS:
        return "false", []
    costing = [int(kind) for kind in COSTING]
    named = f"e.dims_id IN ({_NAMED})"
    unnamed = f"e.dims_id NOT IN ({_NAMED})"
    rest, values = _unnamed(component)
    return (
        f"e.kind = ANY(%s) AND ({named} OR ({unnamed} AND {rest}))",
        [costing, [component], list(COMPONENTS), *values],
    )


def _unnamed(component: str) -> tuple[str, list[object]]:
    """Which entries are of this component without saying so?"""
    calls = [int(kind) for kind in _CALLS]
    if component == "commitment_used":
        return f"e.kind = {int(Kind.COMMITMENT)}", []
    if component == "adjustments":
        return f"e.kind <> {int(Kind.COMMITMENT)} AND NOT {_OF_A_CALL}", [calls]
    if component not in OF_PURPOSE:
        return "false", []
    unserved = [int(finish) for finish in _UNSERVED]
    serve = int(Purpose.SERVE)
    if component == "direct":
        wanted = f"{_PURPOSE} = {serve} AND NOT {_FINISH} = ANY(%s)"
        return f"({_OF_A_CALL} AND {wanted})", [calls, unserved]
    purpose = f"{_PURPOSE} = {int(OF_PURPOSE[component])}"
    if component == "retries":
        purpose = f"({purpose} OR {_PURPOSE} = {serve} AND {_FINISH} = ANY(%s))"
        return f"({_OF_A_CALL} AND {purpose})", [calls, unserved]
    return f"({_OF_A_CALL} AND {purpose})", [calls]
