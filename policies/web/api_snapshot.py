"""What does the policy say of the use cases of a key? `GET /policy/snapshot`, with an ETag."""

from typing import ClassVar

from django.http import HttpResponse
from rest_framework.request import Request

from o10.access.doors import JSON, Operation
from o10.access.rest import caller_of
from o10.access.roles import Action
from o10.access.views import Door, answer
from o10.kernel import clock
from o10.wire.leasing import SnapshotSlice
from policies import facade


class PolicySnapshot(Door):
    """The policy in force, as far as it concerns this key; 304 while nothing changed."""

    operations: ClassVar = {
        "GET": Operation(
            action=Action.AUTHORIZE,
            gives={JSON: SnapshotSlice},
            headers={"If-None-Match": "The ETag of the last answer: 304 when it still holds."},
        )
    }

    def get(self, request: Request) -> HttpResponse:
        """By its version and that of the prices."""
        tag = f'"{facade.slice_stamp()}"'
        headers = {"ETag": tag, "Cache-Control": "no-cache", "Vary": "Authorization"}
        known = request.headers.get("If-None-Match", "")
        if tag in (each.strip().removeprefix("W/") for each in known.split(",")):
            return HttpResponse(status=304, headers=headers)
        told = facade.policy_slice(caller=caller_of(request), now=clock.now())
        return answer(told, headers=headers)
