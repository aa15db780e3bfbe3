"""What does it cost beside inference, shared out how? Components, rules, values, allocations.

Amounts are stated by finance alone; a rule, a value and a booking wait for a second person.
"""

from typing import ClassVar

from django.http import HttpResponse
from rest_framework.request import Request

from o10.access.body import idempotency_key_of
from o10.access.doors import JSON, KEYED, Operation
from o10.access.rest import caller_of
from o10.access.roles import Action
from o10.access.views import Awaits, Door, answer, awaits, query_of
from o10.kernel import clock
from o10.kernel.errors import FieldError, ValidationFailed
from reports import facade
from reports.web.serializers import (
    AllocationBody,
    AllocationRead,
    ComponentsAnswer,
    ComponentsBody,
    ComponentsRead,
    RuleBody,
    RulesRead,
    ValueBody,
    ValuesRead,
    allocation_read,
    as_of,
    component_drafts,
    component_read,
    month_of,
    rule_change,
    rule_read,
    value_change,
    value_read,
)

_MONTH = {"month": "A month such as 2026-11."}


class CostComponents(Door):
    """What finance states beside inference, by component, month and use case."""

    max_bytes: ClassVar = 512 * 1024
    operations: ClassVar = {
        "GET": Operation(action=Action.READ_SPEND, gives={JSON: ComponentsRead}, query=_MONTH),
        "POST": Operation(
            action=Action.CHANGE_PLAN,
            takes={JSON: ComponentsBody},
            gives={JSON: ComponentsAnswer},
            headers=KEYED,
        ),
    }

    def get(self, request: Request) -> HttpResponse:
        """The statements in force, of one month or of all."""
        query = query_of(request, allowed=frozenset(_MONTH))
        month = month_of(query["month"]) if "month" in query else None
        currency = facade.cost_currency()
        rows = facade.list_stated(month=month)
        return answer(
            ComponentsRead(
                items=[component_read(row, currency) for row in rows], next=None, as_of=as_of()
            )
        )

    def post(self, request: Request) -> HttpResponse:
        """States amounts, all or none; they are booked by an allocation."""
        body = self.parse(request, ComponentsBody)
        key = idempotency_key_of(request.META, request_id=body.request_id)
        changed = facade.set_component_amounts(
            drafts=component_drafts(body),
            actor=caller_of(request),
            now=clock.now(),
            key=key or "",
        )
        return answer(ComponentsAnswer(changed=changed))


class AllocationRules(Door):
    """By what is each component shared out?"""

    operations: ClassVar = {
        "GET": Operation(action=Action.READ_SPEND, gives={JSON: RulesRead}),
        "POST": Operation(
            action=Action.CHANGE_USE_CASE,
            takes={JSON: RuleBody},
            gives={JSON: Awaits},
            headers=KEYED,
            status=202,
        ),
    }

    def get(self, request: Request) -> HttpResponse:
        """All versions, newest first by component."""
        query_of(request, allowed=frozenset())
        rows = [rule_read(row) for row in facade.list_rule_rows()]
        return answer(RulesRead(items=rows, next=None, as_of=as_of()))

    def post(self, request: Request) -> HttpResponse:
        """Asks for a rule; it holds once a second person agreed."""
        body = self.parse(request, RuleBody)
        key = idempotency_key_of(request.META, request_id=body.request_id)
        return _asked(request, "allocation.rule", rule_change(body), body.reason, key)


class OutcomeValues(Door):
    """What is an outcome worth to a use case?"""

    operations: ClassVar = {
        "GET": Operation(action=Action.READ_SPEND, gives={JSON: ValuesRead}),
        "POST": Operation(
            action=Action.CHANGE_USE_CASE,
            takes={JSON: ValueBody},
            gives={JSON: Awaits},
            headers=KEYED,
            status=202,
        ),
    }

    def get(self, request: Request) -> HttpResponse:
        """All versions, newest first by use case."""
        query_of(request, allowed=frozenset())
        currency = facade.cost_currency()
        rows = [value_read(row, currency) for row in facade.list_value_rows()]
        return answer(ValuesRead(items=rows, next=None, as_of=as_of()))

    def post(self, request: Request) -> HttpResponse:
        """Asks for a value; it holds once a second person agreed."""
        body = self.parse(request, ValueBody)
        key = idempotency_key_of(request.META, request_id=body.request_id)
        return _asked(request, "outcome.value", value_change(body), body.reason, key)


class Allocations(Door):
    """What does a month book of shared costs?"""

    operations: ClassVar = {
        "GET": Operation(action=Action.READ_SPEND, gives={JSON: AllocationRead}, query=_MONTH),
        "POST": Operation(
            action=Action.CHANGE_PLAN,
            takes={JSON: AllocationBody},
            gives={JSON: Awaits},
            headers=KEYED,
            status=202,
        ),
    }

    def get(self, request: Request) -> HttpResponse:
        """The lines of a month as they should stand, beside what is booked."""
        query = query_of(request, allowed=frozenset(_MONTH))
        if "month" not in query:
            message = "Which month, such as 2026-11?"
            raise ValidationFailed(errors=[FieldError("/month", "required", message)])
        plan = facade.plan_allocation(month=month_of(query["month"]))
        return answer(
            allocation_read(
                plan, slugs=facade.use_case_slugs(), currency=facade.cost_currency()
            )
        )

    def post(self, request: Request) -> HttpResponse:
        """Asks to book the month as it stands; it is booked once a second person agreed."""
        body = self.parse(request, AllocationBody)
        key = idempotency_key_of(request.META, request_id=body.request_id)
        change = facade.allocation_change(month=month_of(body.month), reason=body.reason)
        return _asked(request, "allocation.run", change, body.reason, key)


def _asked(
    request: Request, kind: str, change: dict[str, object], reason: str, key: str | None
) -> HttpResponse:
    view = facade.propose_cost_change(
        kind=kind,
        change=change,
        actor=caller_of(request),
        now=clock.now(),
        reason=reason,
        key=key or "",
    )
    return awaits(view.id, view.needs)
