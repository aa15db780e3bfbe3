"""What does each component cost each use case, as known at one position?

Live sums are the cells of the counter; an earlier position is the same cells without entries
counted after it.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from django.db import connection

from ledger import facade as ledger
from o10.kernel.errors import FieldError, ValidationFailed
from o10.kernel.money import Nanos
from reports.core.allocation import Counted, Measures
from reports.core.cost_components import CALLS, Component, component_of
from reports.models import CostCount

_FIELDS = 4


@dataclass(frozen=True, slots=True)
class CountedCosts:
    """What was counted, and up to which position? `behind` = sealed and not counted yet."""

    cells: tuple[Counted, ...]
    position: ledger.Position
    behind: int


def counted_seq() -> int:
    """Up to which position are costs counted?"""
    row = CostCount.objects.filter(ledger_id=ledger.COMPANY_LEDGER).first()
    return row.seq if row else 0


def read_counted(*, first: date, after: date, as_of: int | None = None) -> CountedCosts:
    """What do the entries of days [first, after) cost, by component and use case?

    Raises: ValidationFailed (`validation_failed`) for a position the ledger hasn't reached.
    """
    company = ledger.ledger_of_company()
    newest = ledger.position_of(ledger_id=company.id)
    counted = counted_seq()
    if as_of is not None and as_of > newest.seq:
        message = f"The ledger has entries 1 to {newest.seq:,}."
        raise ValidationFailed(errors=[FieldError("/as_of", "out_of_reach", message)])
    upto = counted if as_of is None else min(as_of, counted)
    sums = _cells(first, after)
    if upto < counted:
        for row in ledger.list_cost_rows(
            ledger_id=company.id, time_zone=company.time_zone, after=upto, upto=counted
        ):
            if first <= row.day < after:
                whole = sums[row.use_case, _component(row)]
                for place, value in enumerate(
                    (
                        row.amount,
                        row.calls,
                        row.calls if row.estimated else 0,
                        row.tokens,
                    )
                ):
                    whole[place] -= value
    cells = tuple(
        Counted(
            component=component,
            use_case=use_case,
            nanos=whole[0],
            calls=whole[1],
            calls_estimated=whole[2],
            tokens=whole[3],
        )
        for (use_case, component), whole in sorted(sums.items())
        if any(whole)
    )
    position = ledger.position_of(ledger_id=company.id, as_of=upto)
    return CountedCosts(cells, position, newest.seq - counted if as_of is None else 0)


def _cells(first: date, after: date) -> dict[tuple[int, Component], list[int]]:
    sums: dict[tuple[int, Component], list[int]] = defaultdict(lambda: [0] * _FIELDS)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT use_case, component, sum(amount_nanos)::bigint, sum(calls)::bigint,"
            " sum(calls_estimated)::bigint, sum(tokens)::bigint FROM reports_cost_cell"
            " WHERE day >= %s AND day < %s GROUP BY 1, 2",
            [first, after],
        )
        for use_case, component, *values in cursor.fetchall():
            sums[use_case, Component(component)] = values
    return sums


def _component(row: ledger.CostRow) -> Component:
    return component_of(
        kind=row.kind.name.lower(),
        of_a_call=row.of_a_call,
        purpose=row.purpose.name.lower(),
        finish=row.finish.name.lower(),
        stated=row.stated,
    )


def measures_of(
    counted: CountedCosts,
    *,
    outcomes: Mapping[int, int],
    volumes: Mapping[str, Mapping[int, int]],
) -> Measures:
    """By what can amounts of these days be shared out? `outcomes`: successes by use case;
    `volumes`: units of each driver by use case.
    """
    tokens: dict[int, int] = defaultdict(int)
    calls: dict[int, int] = defaultdict(int)
    direct: dict[int, Nanos] = defaultdict(int)
    for cell in counted.cells:
        if cell.component in CALLS:
            tokens[cell.use_case] += cell.tokens
            calls[cell.use_case] += cell.calls
        if cell.component is Component.DIRECT:
            direct[cell.use_case] += cell.nanos
    return Measures(
        tokens=tokens, calls=calls, direct_cost=direct, outcomes=outcomes, volumes=volumes
    )
