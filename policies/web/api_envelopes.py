"""How much may be spent where? `/envelopes`: list, create one or many, read, change."""

from typing import ClassVar

from django.http import HttpResponse
from rest_framework.request import Request

from o10.access.body import idempotency_key_of
from o10.access.checks import check_see_use_case
from o10.access.doors import JSON, KEYED, PAGED, Operation
from o10.access.keys import Caller
from o10.access.rest import caller_of
from o10.access.roles import Action
from o10.access.views import (
    Awaits,
    Door,
    answer,
    awaits,
    key_of,
    limit_of,
    query_of,
    version_of,
)
from o10.kernel import clock
from o10.kernel.errors import NotFound
from policies import facade
from policies.web.serializers import (
    EnvelopeBody,
    EnvelopeChangeBody,
    EnvelopesBody,
    envelope_change,
    envelope_draft,
    envelope_drafts,
    raise_end,
    top_up_of,
)

_FILTERS = {**PAGED, "use_case": "Slug: the envelopes of its path."}
_EDIT = {**KEYED, "If-Match": "ETag of the version the change was made on; else 412."}


class Envelopes(Door):
    """The envelope tree of the company."""

    operations: ClassVar = {
        "GET": Operation(
            action=Action.READ_SPEND, gives={JSON: facade.EnvelopePage}, query=_FILTERS
        ),
        "POST": Operation(
            action=Action.CHANGE_ENVELOPE,
            takes={JSON: EnvelopeBody},
            gives={JSON: Awaits},
            headers=KEYED,
            status=202,
        ),
    }

    def get(self, request: Request) -> HttpResponse:
        """One page, parents before children."""
        query = query_of(request, allowed=frozenset(_FILTERS))
        caller = caller_of(request)
        use_case = query.get("use_case")
        if use_case is not None:
            check_see_use_case(caller=caller, slug=use_case)
        page = facade.list_envelopes(
            now=clock.now(),
            use_case=use_case,
            slugs=caller.use_case_slugs,
            cursor=query.get("cursor", ""),
            limit=limit_of(query),
        )
        return answer(page)

    def post(self, request: Request) -> HttpResponse:
        """Asks for an envelope: 202; it is made once a second person has agreed."""
        body = self.parse(request, EnvelopeBody)
        key = idempotency_key_of(request.META, request_id=body.request_id)
        asked = facade.ask_envelope(
            draft=envelope_draft(body, currency=facade.organisation().currency),
            actor=caller_of(request),
            now=clock.now(),
            key=key or "",
        )
        return awaits(asked.id, asked.needs)


class EnvelopeBatches(Door):
    """Many envelopes below a use case at once: its customers, environments or runs."""

    max_bytes: ClassVar = 8 * 1024 * 1024
    operations: ClassVar = {
        "POST": Operation(
            action=Action.CHANGE_ENVELOPE,
            takes={JSON: EnvelopesBody},
            gives={JSON: Awaits},
            headers=KEYED,
            status=202,
        ),
    }

    def post(self, request: Request) -> HttpResponse:
        """Asks for up to 10,000 envelopes, all or none; mistakes are told with their rows."""
        body = self.parse(request, EnvelopesBody)
        key = idempotency_key_of(request.META, request_id=body.request_id)
        asked = facade.ask_envelopes(
            drafts=envelope_drafts(body, currency=facade.organisation().currency),
            actor=caller_of(request),
            now=clock.now(),
            key=key or "",
        )
        return awaits(asked.id, asked.needs)


class OneEnvelope(Door):
    """One envelope: what is settled, held, unsettled and left in its period."""

    operations: ClassVar = {
        "GET": Operation(action=Action.READ_SPEND, gives={JSON: facade.EnvelopeView}),
        "PATCH": Operation(
            # Freezing is open to more roles than changing; the operation tells them apart.
            action=Action.FREEZE_ENVELOPE,
            takes={JSON: EnvelopeChangeBody},
            gives={JSON: facade.EnvelopeView},
            waits=Awaits,
            headers=_EDIT,
        ),
    }

    def get(self, request: Request, envelope: str) -> HttpResponse:
        """By its public id; the ETag is its version."""
        query_of(request, allowed=frozenset())
        view = facade.get_envelope(envelope=envelope, now=clock.now())
        _check_scope(caller_of(request), view)
        return _told(view)

    def patch(self, request: Request, envelope: str) -> HttpResponse:
        """Less holds from now on; more answers 202 and waits for a second person."""
        body = self.parse(request, EnvelopeChangeBody)
        key = key_of(request, body)
        caller, currency = caller_of(request), facade.organisation().currency
        add = top_up_of(body, currency=currency)
        if add is not None:
            asked = facade.ask_top_up(
                envelope=envelope,
                add_nanos=add,
                reason=body.reason,
                actor=caller,
                now=clock.now(),
                key=key,
            )
            return awaits(asked.id, asked.needs)
        view = facade.ask_envelope_change(
            envelope=envelope,
            change=envelope_change(body, currency=currency),
            expected_version=version_of(request),
            actor=caller,
            now=clock.now(),
            key=key,
            until=raise_end(body),
        )
        if isinstance(view, facade.ApprovalView):
            return awaits(view.id, view.needs)
        return _told(view)


def _told(view: facade.EnvelopeView, *, status: int = 200) -> HttpResponse:
    return answer(view, status=status, headers={"ETag": f'"v{view.version}"'})


def _check_scope(caller: Caller, view: facade.EnvelopeView) -> None:
    """Outside its use cases a key does not learn what exists."""
    if caller.use_case_slugs is not None and view.use_case not in caller.use_case_slugs:
        raise NotFound(kind="envelope", id=view.id)
