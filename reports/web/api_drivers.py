"""How much of what causes calls was there? `/drivers`: tell volumes (JSON, CSV), list them."""

from typing import ClassVar

from django.http import HttpResponse
from rest_framework.request import Request

from o10.access.body import check_media_type
from o10.access.checks import check_see_use_case
from o10.access.doors import JSON, PAGED, Operation
from o10.access.rest import caller_of
from o10.access.roles import Action
from o10.access.views import Door, answer, limit_of, query_of
from o10.kernel import clock
from reports import facade
from reports.web.driver_bodies import (
    VOLUME_BYTES,
    VolumeBody,
    VolumesAnswer,
    VolumesRead,
    read_volume_rows,
    read_volumes,
    volume_read,
    volumes_answer,
)
from reports.web.serializers import as_of

CSV = "text/csv"
_FILTERS = {**PAGED, "use_case": "Slug.", "driver": "Name of the driver."}


class Drivers(Door):
    """Actual volumes of drivers; use case, driver and period are their key for ever."""

    max_bytes: ClassVar = VOLUME_BYTES
    operations: ClassVar = {
        "GET": Operation(action=Action.READ_SPEND, gives={JSON: VolumesRead}, query=_FILTERS),
        "POST": Operation(
            action=Action.RECORD_USAGE,
            takes={JSON: VolumeBody | list[VolumeBody], CSV: None},
            gives={JSON: VolumesAnswer},
        ),
    }

    def get(self, request: Request) -> HttpResponse:
        """One page, newest first."""
        query = query_of(request, allowed=frozenset(_FILTERS))
        caller = caller_of(request)
        if "use_case" in query:
            check_see_use_case(caller=caller, slug=query["use_case"])
        rows, more = facade.list_volume_rows(
            use_case=query.get("use_case", ""),
            driver=query.get("driver", ""),
            among=caller.use_case_slugs,
            cursor=query.get("cursor", ""),
            limit=limit_of(query),
        )
        return answer(
            VolumesRead(items=[volume_read(row) for row in rows], next=more, as_of=as_of())
        )

    def post(self, request: Request) -> HttpResponse:
        """Records one to 10,000 volumes, all or none; again the same changes nothing."""
        body = self.read(request)
        media_type = check_media_type(request.META, media_types=(JSON, CSV))
        drafts = read_volume_rows(body) if media_type == CSV else read_volumes(body)
        results = facade.record_drivers(
            drafts=drafts, actor=caller_of(request), now=clock.now()
        )
        return answer(volumes_answer(results))
