"""What does everything cost, an outcome, a unit of a driver? The figures of the pages, to read.

`p` and `as_of` are those of the pages: a month, quarter, year or range, and a ledger position.
"""

from typing import ClassVar

from django.http import HttpResponse
from rest_framework.request import Request

from o10.access.doors import JSON, Operation
from o10.access.rest import caller_of
from o10.access.roles import Action
from o10.access.views import Door, answer, query_of
from o10.kernel import clock
from o10.kernel.errors import FieldError, ValidationFailed
from o10.kernel.viewquery import ViewQuery, parse
from reports import facade
from reports.web.cost_answers import (
    CostsRead,
    DriverCostsRead,
    UnitCostsRead,
    costs_read,
    driver_costs_read,
    unit_costs_read,
)

_VIEW = {
    "p": "2026-11, 2026-Q4, 2026 or 2026-01..2026-11; the running month without it.",
    "as_of": "Ledger position.",
}


class Costs(Door):
    """Fully loaded cost by component and use case."""

    operations: ClassVar = {
        "GET": Operation(action=Action.READ_SPEND, gives={JSON: CostsRead}, query=_VIEW)
    }

    def get(self, request: Request) -> HttpResponse:
        """The items add up to the total of the period, to the nano."""
        page = facade.get_cost_page(query=_view(request), now=clock.now())
        return answer(costs_read(page, among=caller_of(request).use_case_slugs))


class UnitCosts(Door):
    """Cost per outcome by use case and month."""

    operations: ClassVar = {
        "GET": Operation(action=Action.READ_SPEND, gives={JSON: UnitCostsRead}, query=_VIEW)
    }

    def get(self, request: Request) -> HttpResponse:
        """Each with interval, n, target and verdict, at the position it was computed at."""
        page = facade.get_outcomes_page(query=_view(request), now=clock.now())
        return answer(unit_costs_read(page, among=caller_of(request).use_case_slugs))


class DriverCosts(Door):
    """Cost of one unit of a driver, of the last month of the period."""

    operations: ClassVar = {
        "GET": Operation(action=Action.READ_SPEND, gives={JSON: DriverCostsRead}, query=_VIEW)
    }

    def get(self, request: Request) -> HttpResponse:
        """Fully loaded cost of the use case over the units told."""
        page = facade.get_drivers_page(query=_view(request), now=clock.now())
        return answer(driver_costs_read(page, among=caller_of(request).use_case_slugs))


def _view(request: Request) -> ViewQuery:
    """Raises: ValidationFailed (`validation_failed`) for a period or position that is none."""
    query = query_of(request, allowed=frozenset(_VIEW))
    parsed = parse(query.items(), page=facade.COST_GRAMMAR)
    if parsed.messages:
        field = "/as_of" if parsed.query.as_of is None and "as_of" in query else "/p"
        raise ValidationFailed(errors=[FieldError(field, "bad_format", parsed.messages[0])])
    return parsed.query
