"""Which rules stop what fails? `/kill-criteria`: made, changed, drilled, armed, lifted."""

from typing import ClassVar

from django.http import HttpResponse
from msgspec import UnsetType
from rest_framework.request import Request

from o10.access.body import idempotency_key_of
from o10.access.doors import JSON, KEYED, PAGED, Operation
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
from policies import facade
from policies.web.kill_bodies import (
    KillBody,
    KillChangeBody,
    KillDecisionBody,
    KillDrillBody,
    KillOverrideBody,
    KillReasonBody,
    draft_of,
    spec_of,
)

_FILTERS = {
    **PAGED,
    "use_case": "Slug: what concerns this use case.",
    "state": "draft, armed, tripped, restoring, overridden or retired.",
}
_EDIT = {**KEYED, "If-Match": "ETag of the version the change was made on; else 412."}
_CHANGES = Action.CHANGE_KILL_CRITERION


class KillCriteria(Door):
    """The kill criteria of the company."""

    operations: ClassVar = {
        "GET": Operation(
            action=Action.READ_SPEND, gives={JSON: facade.KillPage}, query=_FILTERS
        ),
        "POST": Operation(
            action=_CHANGES,
            takes={JSON: KillBody},
            gives={JSON: facade.KillView},
            headers=KEYED,
            status=201,
        ),
    }

    def get(self, request: Request) -> HttpResponse:
        """One page, by id."""
        query = query_of(request, allowed=frozenset(_FILTERS))
        page = facade.list_criteria(
            slugs=caller_of(request).use_case_slugs,
            use_case=query.get("use_case"),
            state=query.get("state"),
            cursor=query.get("cursor", ""),
            limit=limit_of(query),
        )
        return answer(page)

    def post(self, request: Request) -> HttpResponse:
        """Makes a draft: it watches and pulls nothing until two people have armed it."""
        body = self.parse(request, KillBody)
        key = idempotency_key_of(request.META, request_id=body.request_id)
        public = facade.create_criterion(
            draft=draft_of(body, currency=facade.organisation().currency),
            actor=caller_of(request),
            now=clock.now(),
            key=key or "",
        )
        return _told(request, public, status=201)


class OneKillCriterion(Door):
    """One criterion: its rule and where it stands."""

    operations: ClassVar = {
        "GET": Operation(action=Action.READ_SPEND, gives={JSON: facade.KillView}),
        "PATCH": Operation(
            action=_CHANGES,
            takes={JSON: KillChangeBody},
            gives={JSON: facade.KillView},
            headers=_EDIT,
            waits=Awaits,
        ),
    }

    def get(self, request: Request, criterion: str) -> HttpResponse:
        """By its id; the ETag is its version."""
        query_of(request, allowed=frozenset())
        return _told(request, criterion)

    def patch(self, request: Request, criterion: str) -> HttpResponse:
        """A draft, or a stricter rule, at once; a looser one waits for a second person."""
        body = self.parse(request, KillChangeBody)
        approval = facade.ask_to_change(
            criterion=criterion,
            spec=spec_of(body.spec, currency=facade.organisation().currency),
            name="" if isinstance(body.name, UnsetType) else body.name,
            actor=caller_of(request),
            now=clock.now(),
            reason=body.reason,
            key=key_of(request, body),
            expected_version=version_of(request),
        )
        if approval is not None:
            return awaits(approval.id, approval.needs)
        return _told(request, criterion)


class KillDrill(Door):
    """What a criterion would have done."""

    operations: ClassVar = {
        "POST": Operation(
            action=Action.READ_SPEND,
            takes={JSON: KillDrillBody},
            gives={JSON: facade.KillDrillView},
        ),
    }

    def post(self, request: Request, criterion: str) -> HttpResponse:
        """Walks it over history. Reads only."""
        body = self.parse(request, KillDrillBody)
        found = facade.drill_criterion(
            criterion=criterion,
            now=clock.now(),
            days=body.days,
            slugs=caller_of(request).use_case_slugs,
        )
        return answer(found)


class KillArm(Door):
    """Arming a draft."""

    operations: ClassVar = {
        "POST": Operation(
            action=_CHANGES,
            takes={JSON: KillReasonBody},
            gives={JSON: Awaits},
            headers=KEYED,
            status=202,
        ),
    }

    def post(self, request: Request, criterion: str) -> HttpResponse:
        """Asks a second person; once approved it may trip."""
        body = self.parse(request, KillReasonBody)
        approval = facade.ask_to_arm(
            criterion=criterion,
            actor=caller_of(request),
            now=clock.now(),
            reason=body.reason,
            key=key_of(request, body),
        )
        return awaits(approval.id, approval.needs)


class KillRestore(Door):
    """Lifting the lever of a tripped criterion."""

    operations: ClassVar = {
        "POST": Operation(
            action=_CHANGES,
            takes={JSON: KillReasonBody},
            gives={JSON: facade.KillView},
            headers=KEYED,
            waits=Awaits,
        ),
    }

    def post(self, request: Request, criterion: str) -> HttpResponse:
        """A mild lever at once; from a freeze up it waits for a second person."""
        body = self.parse(request, KillReasonBody)
        approval = facade.ask_to_restore(
            criterion=criterion,
            actor=caller_of(request),
            now=clock.now(),
            reason=body.reason,
            key=key_of(request, body),
        )
        if approval is not None:
            return awaits(approval.id, approval.needs)
        return _told(request, criterion)


class KillDecide(Door):
    """Closing the board review of a trip."""

    operations: ClassVar = {
        "POST": Operation(
            action=_CHANGES,
            takes={JSON: KillDecisionBody},
            gives={JSON: Awaits},
            headers=KEYED,
            status=202,
        ),
    }

    def post(self, request: Request, criterion: str) -> HttpResponse:
        """Asks a second person; then the interim cap holds no longer."""
        body = self.parse(request, KillDecisionBody)
        approval = facade.ask_to_decide(
            criterion=criterion,
            decision=body.decision,
            actor=caller_of(request),
            now=clock.now(),
            key=key_of(request, body),
        )
        return awaits(approval.id, approval.needs)


class KillOverride(Door):
    """Setting a criterion aside for a time."""

    operations: ClassVar = {
        "POST": Operation(
            action=_CHANGES,
            takes={JSON: KillOverrideBody},
            gives={JSON: Awaits},
            headers=KEYED,
            status=202,
        ),
    }

    def post(self, request: Request, criterion: str) -> HttpResponse:
        """Asks a second person; 14 days at most, with a reason that the board reads."""
        body = self.parse(request, KillOverrideBody)
        approval = facade.ask_to_override(
            criterion=criterion,
            until=body.until,
            actor=caller_of(request),
            now=clock.now(),
            reason=body.reason,
            key=key_of(request, body),
        )
        return awaits(approval.id, approval.needs)


class KillRetire(Door):
    """The end of a criterion."""

    operations: ClassVar = {
        "POST": Operation(
            action=_CHANGES,
            takes={JSON: KillReasonBody},
            gives={JSON: facade.KillView},
            headers=KEYED,
            waits=Awaits,
        ),
    }

    def post(self, request: Request, criterion: str) -> HttpResponse:
        """A draft at once; one that was armed waits for a second person."""
        body = self.parse(request, KillReasonBody)
        approval = facade.ask_to_retire(
            criterion=criterion,
            actor=caller_of(request),
            now=clock.now(),
            reason=body.reason,
            key=key_of(request, body),
        )
        if approval is not None:
            return awaits(approval.id, approval.needs)
        return _told(request, criterion)


def _told(request: Request, criterion: str, *, status: int = 200) -> HttpResponse:
    view = facade.get_kill_view(criterion=criterion, slugs=caller_of(request).use_case_slugs)
    return answer(view, status=status, headers={"ETag": f'"v{view.version}"'})
