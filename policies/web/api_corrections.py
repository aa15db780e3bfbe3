"""How does a script of finance ask for an entry to be put right? `:reverse` of an entry."""

from typing import Annotated, ClassVar

import msgspec
from django.http import HttpResponse
from msgspec import Meta
from rest_framework.request import Request

from o10.access.doors import JSON, KEYED, Operation
from o10.access.rest import caller_of
from o10.access.roles import Action
from o10.access.views import Awaits, Door, awaits, key_of
from o10.kernel import clock
from o10.kernel.errors import FieldError, Rejected, ValidationFailed
from o10.kernel.money import Nanos, parse_nanos
from o10.wire import fields as f
from policies import facade
from policies.web.serializers import Note


class ReverseBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why is it wrong? `amount` states what is right; left out, it never happened."""

    reason: Annotated[Note, Meta(min_length=1)]
    amount: f.Decimal | None = None
    request_id: f.Name | None = None


class EntryReverse(Door):
    """The taking back of one entry."""

    operations: ClassVar = {
        "POST": Operation(
            action=Action.CORRECT_LEDGER,
            takes={JSON: ReverseBody},
            gives={JSON: Awaits},
            headers=KEYED,
            status=202,
        ),
    }

    def post(self, request: Request, entry: str) -> HttpResponse:
        """Asks for it; its exact negative is entered once a controller agrees."""
        body = self.parse(request, ReverseBody)
        view = facade.ask_correction(
            uid=facade.entry_uid(entry),
            amount_nanos=_nanos(body.amount),
            reason=body.reason,
            actor=caller_of(request),
            now=clock.now(),
            key=key_of(request, body),
        )
        return awaits(view.id, view.needs)


def _nanos(stated: str | None) -> Nanos | None:
    if stated is None:
        return None
    try:
        return parse_nanos(stated)
    except Rejected as error:
        wrong = FieldError("/amount", "out_of_range", error.errors[0].message)
        raise ValidationFailed(errors=[wrong]) from error
