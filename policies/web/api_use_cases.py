"""Which purposes is inference bought for? `/use-cases`: list, register, read, change."""

from typing import ClassVar

import msgspec
from django.http import HttpResponse
from msgspec import UNSET, UnsetType
from rest_framework.request import Request

from o10.access.body import idempotency_key_of
from o10.access.checks import check_see_use_case
from o10.access.doors import JSON, KEYED, PAGED, Operation
from o10.access.queries import find_person_by_email
from o10.access.rest import caller_of
from o10.access.roles import Action
from o10.access.views import Awaits, Door, answer, awaits, limit_of, query_of
from o10.kernel import clock
from policies import facade
from policies.web.serializers import (
    UseCaseBody,
    UseCaseChangeBody,
    use_case_change,
    use_case_draft,
)


class UseCases(Door):
    """The use cases of the company."""

    operations: ClassVar = {
        "GET": Operation(
            action=Action.READ_SPEND, gives={JSON: facade.UseCasePage}, query=PAGED
        ),
        "POST": Operation(
            action=Action.CHANGE_USE_CASE,
            takes={JSON: UseCaseBody},
            gives={JSON: facade.UseCaseView},
            headers=KEYED,
            status=201,
        ),
    }

    def get(self, request: Request) -> HttpResponse:
        """One page, by slug."""
        query = query_of(request, allowed=frozenset(PAGED))
        page = facade.list_use_cases(
            slugs=caller_of(request).use_case_slugs,
            cursor=query.get("cursor", ""),
            limit=limit_of(query),
        )
        return answer(page)

    def post(self, request: Request) -> HttpResponse:
        """Registers a use case; its department is made with it when it is new."""
        body = self.parse(request, UseCaseBody)
        key = idempotency_key_of(request.META, request_id=body.request_id)
        view = facade.create_use_case(
            draft=use_case_draft(body, owner=_owner(body.owner or "")),
            actor=caller_of(request),
            now=clock.now(),
            key=key or "",
        )
        return answer(view, status=201)


class OneUseCase(Door):
    """One use case and its rules."""

    operations: ClassVar = {
        "GET": Operation(action=Action.READ_SPEND, gives={JSON: facade.UseCaseView}),
        "PATCH": Operation(
            action=Action.FREEZE_ENVELOPE,
            takes={JSON: UseCaseChangeBody},
            gives={JSON: facade.UseCaseView},
            headers=KEYED,
            waits=Awaits,
        ),
    }

    def get(self, request: Request, slug: str) -> HttpResponse:
        """By its slug."""
        query_of(request, allowed=frozenset())
        check_see_use_case(caller=caller_of(request), slug=slug)
        return answer(facade.get_use_case(slug=slug))

    def patch(self, request: Request, slug: str) -> HttpResponse:
        """Changes its rules; what makes them cost more waits for other people (202)."""
        body = self.parse(request, UseCaseChangeBody)
        key = idempotency_key_of(request.META, request_id=body.request_id)
        view = facade.ask_use_case_change(
            slug=slug,
            change=use_case_change(body, owner=_owner_or_unset(body.owner)),
            actor=caller_of(request),
            now=clock.now(),
            key=key or "",
        )
        if isinstance(view, facade.ApprovalView):
            return awaits(view.id, view.needs)
        return answer(view)


def _owner(stated: str) -> str:
    """An e-mail address of one of us becomes the person's id: addresses stay in access."""
    person = find_person_by_email(stated) if "@" in stated else None
    return stated if person is None else person.id


def _owner_or_unset(stated: str | UnsetType) -> str | UnsetType:
    return UNSET if isinstance(stated, msgspec.UnsetType) else _owner(stated)
