"""What was spent without asking first? `POST /usage`, one to 10,000 records."""

from typing import ClassVar

from django.http import HttpResponse
from rest_framework.request import Request

from ledger import facade
from ledger.web.serializers import UsageAnswer, usage_answer
from o10.access.checks import can_see_use_case
from o10.access.doors import JSON, Operation
from o10.access.keys import Caller
from o10.access.rest import caller_of
from o10.access.roles import Action
from o10.access.views import Door, answer
from o10.kernel import clock
from o10.kernel.errors import FieldError, Forbidden
from o10.wire.facts import (
    BATCH,
    MAX_USAGE_BYTES,
    NATIVE,
    STRUCTURED,
    CloudEvent,
    UsageRecord,
    decode_usage,
)

_EVENT_HEADER = "HTTP_CE_"
_MOST_NAMED = 100


class UsageAppend(Door):
    """Usage after the fact, native or as CloudEvents; `source` + `id` is its key for ever."""

    operations: ClassVar = {
        "POST": Operation(
            action=Action.RECORD_USAGE,
            takes={
                NATIVE: UsageRecord | list[UsageRecord],
                STRUCTURED: CloudEvent,
                BATCH: list[CloudEvent],
            },
            gives={JSON: UsageAnswer},
        )
    }
    max_bytes: ClassVar = MAX_USAGE_BYTES

    def post(self, request: Request) -> HttpResponse:
        """Books all records or none."""
        caller = caller_of(request)
        body = self.read(request)
        records = decode_usage(
            body,
            content_type=request.META["CONTENT_TYPE"],
            event_attributes=_event_attributes(request),
        )
        _check_scope(caller, records)
        report = facade.record_usage(records=records, caller=caller, now=clock.now())
        currency = facade.ledger_of_company().currency
        return answer(usage_answer(report, currency=currency))


def _event_attributes(request: Request) -> dict[str, str] | None:
    """The `ce-*` headers of a CloudEvent in binary mode, whose body is the record."""
    if "HTTP_CE_SPECVERSION" not in request.META:
        return None
    return {
        name.removeprefix(_EVENT_HEADER).lower(): value
        for name, value in request.META.items()
        if name.startswith(_EVENT_HEADER)
    }


def _check_scope(caller: Caller, records: tuple[UsageRecord, ...]) -> None:
    outside = [
        FieldError(f"/{place}/use_case", "not_scoped", "Outside this key's use cases.")
        for place, record in enumerate(records)
        if not can_see_use_case(caller=caller, slug=record.use_case or "")
    ]
    if outside:
        raise Forbidden(action="use_case_scope", errors=outside[:_MOST_NAMED])
