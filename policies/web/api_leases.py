"""How does a router that decides by itself get terms and money, and tell what it did?"""

import re
from typing import ClassVar

from django.http import HttpResponse
from rest_framework.request import Request

from o10.access.doors import JSON, Operation
from o10.access.rest import caller_of
from o10.access.roles import Action
from o10.access.views import Door, answer
from o10.kernel import clock
from o10.kernel.errors import NotFound
from o10.wire.leasing import (
    MAX_REQUEST_BYTES,
    GiveBack,
    LeaseAnswer,
    LeaseAsk,
    Returned,
    Shipment,
    ShipmentAnswer,
)
from policies import facade

_FENCE = re.compile(r"[1-9][0-9]{0,11}", re.A)


class Leases(Door):
    """Terms for calls like the one named, and a slice of its envelopes to spend from."""

    operations: ClassVar = {
        "POST": Operation(
            action=Action.AUTHORIZE, takes={JSON: LeaseAsk}, gives={JSON: LeaseAnswer}
        )
    }

    def post(self, request: Request) -> HttpResponse:
        """Lends, as far as the envelopes have it."""
        return answer(
            facade.lend_to_router(
                ask_of=self.parse(request, LeaseAsk),
                caller=caller_of(request),
                now=clock.now(),
            )
        )


class LeaseReturn(Door):
    """Gives back what a lease has left, for a router that keeps no journal."""

    operations: ClassVar = {
        "POST": Operation(
            action=Action.AUTHORIZE, takes={JSON: GiveBack}, gives={JSON: Returned}
        )
    }

    def post(self, request: Request, lease: str) -> HttpResponse:
        """Never what a known call holds."""
        return answer(
            facade.return_from_router(
                lease=lease,
                amount=self.parse(request, GiveBack).amount,
                caller=caller_of(request),
                now=clock.now(),
            )
        )


class HolderJournal(Door):
    """The journal of a router, kept byte for byte; renews its leases."""

    operations: ClassVar = {
        "POST": Operation(
            action=Action.SETTLE, takes={JSON: Shipment}, gives={JSON: ShipmentAnswer}
        )
    }
    max_bytes: ClassVar = MAX_REQUEST_BYTES

    def post(self, request: Request, holder: str) -> HttpResponse:
        """On disk before it is answered."""
        if not _FENCE.fullmatch(holder):
            raise NotFound(kind="holder", id=holder[:40])
        return answer(
            facade.keep_shipment(
                fence=int(holder),
                shipment=self.parse(request, Shipment),
                caller=caller_of(request),
                now=clock.now(),
            )
        )
