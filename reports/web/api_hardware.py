"""What do owned machines cost? `/hardware`: state those of a month, list them."""

from datetime import date
from typing import ClassVar

from django.http import HttpResponse
from rest_framework.request import Request

from o10.access.doors import JSON, KEYED, Operation
from o10.access.rest import caller_of
from o10.access.roles import Action
from o10.access.views import Door, answer, key_of, query_of
from o10.kernel import clock
from reports import facade
from reports.web.hardware_bodies import (
    HardwareAnswer,
    HardwareBody,
    HardwareRead,
    hardware_answer,
    machine_read,
    machines_in,
)
from reports.web.serializers import as_of, month_of

_MONTH = {"month": "A month such as 2026-11."}
_EVER = (date(2000, 1, 1), date(2201, 1, 1))


class Hardware(Door):
    """Owned machines by month: what they are, how they were used, what that cost."""

    operations: ClassVar = {
        "GET": Operation(action=Action.READ_SPEND, gives={JSON: HardwareRead}, query=_MONTH),
        "POST": Operation(
            action=Action.CHANGE_PLAN,
            takes={JSON: HardwareBody},
            gives={JSON: HardwareAnswer},
            headers=KEYED,
        ),
    }

    def get(self, request: Request) -> HttpResponse:
        """The machines of one month or of all."""
        query = query_of(request, allowed=frozenset(_MONTH))
        month = month_of(query["month"]) if "month" in query else None
        first, after = (month, facade.next_month(month)) if month else _EVER
        currency = facade.cost_currency()
        rows = facade.list_machines(first=first, after=after)
        return answer(
            HardwareRead(
                items=[machine_read(row, currency) for row in rows], next=None, as_of=as_of()
            )
        )

    def post(self, request: Request) -> HttpResponse:
        """States all machines of a month; cost and waste follow, an allocation books them."""
        body = self.parse(request, HardwareBody)
        found = facade.state_hardware(
            month=month_of(body.month),
            use_case=body.use_case or "",
            machines=machines_in(body),
            source=body.source,
            actor=caller_of(request),
            now=clock.now(),
            key=key_of(request, body),
        )
        return answer(hardware_answer(found, facade.cost_currency()))
