"""Which facts decide what an outcome of one use case cost in one month, and what did it cost?

The digest of the facts says without computing whether a statement still holds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from hashlib import sha256

from django.db import connection

from reports.core.unit_economics import UnitCost, unit_cost
from reports.models import OutcomeValue
from reports.queries.allocations import next_month
from reports.queries.outcome_values import WINDOW_DAYS, value_on
from reports.queries.unit_inputs import UnitInputs, unit_inputs


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseMonth:
    """Which use case, month and type of outcome, at which approved value (None = none)?"""

    use_case: int
    month: date
    kind: str
    value: OutcomeValue | None

    @property
    def window_days(self) -> int:
        """How long after its calls does an outcome count?"""
        return self.value.window_days if self.value else WINDOW_DAYS


def case_month(
    *, use_case: int, month: date, common: str, values: Sequence[OutcomeValue]
) -> CaseMonth:
    """Which case is this? The value of the month's last day names the type, else `common`."""
    last = date.fromordinal(next_month(month).toordinal() - 1)
    value = value_on(list(values), use_case=use_case, on=last)
    return CaseMonth(
        use_case=use_case, month=month, kind=value.kind if value else common, value=value
    )


def digest_of(case: CaseMonth) -> bytes:
    """What goes into the figures, in one hash? Any change of it is a restatement."""
    after = next_month(case.month)
    last = date.fromordinal(after.toordinal() + case.window_days)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT component, sum(amount_nanos)::text, sum(calls)::text"
            " FROM reports_cost_cell WHERE use_case = %s AND day >= %s AND day < %s"
            " GROUP BY 1 ORDER BY 1",
            [case.use_case, case.month, after],
        )
        costs = cursor.fetchall()
        cursor.execute(
            "SELECT count(*), max(id) FROM reports_outcome"
            " WHERE use_case = %s AND kind = %s AND day >= %s AND day < %s",
            [case.use_case, case.kind, case.month, last],
        )
        told = cursor.fetchone()
        cursor.execute(
            "SELECT count(*), sum(amount_nanos)::text FROM reports_run_cost"
            " WHERE use_case = %s AND day >= %s AND day < %s",
            [case.use_case, case.month, after],
        )
        runs = cursor.fetchone()
    version = case.value.version if case.value else 0
    place = (case.use_case, str(case.month), case.kind, version)
    return sha256(repr((place, costs, told, runs)).encode()).digest()


def cost_of(case: CaseMonth, *, told_to: datetime) -> tuple[UnitInputs, UnitCost]:
    """What did an outcome cost, as told by then? The seed is the use case and the month."""
    inputs = unit_inputs(
        use_case=case.use_case,
        kind=case.kind,
        first=case.month,
        after=next_month(case.month),
        window_days=case.window_days,
        told_to=told_to,
    )
    cost = unit_cost(
        inputs.clusters,
        overhead=inputs.overhead,
        seed=f"{case.use_case}/{case.month:%Y-%m}",
    )
    return inputs, cost
