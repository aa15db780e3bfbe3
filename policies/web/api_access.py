"""How do scripts of the administrator make keys and change roles? `/keys`, `/people`."""

from typing import Annotated, ClassVar

import msgspec
from django.http import HttpResponse
from msgspec import Meta
from rest_framework.request import Request

from o10.access.doors import JSON, KEYED, Operation
from o10.access.rest import caller_of
from o10.access.roles import Action, Role
from o10.access.views import Awaits, Door, Waiting, answer, awaits, key_of
from o10.kernel import clock
from o10.wire import fields as f
from policies import facade
from policies.web.serializers import Note, Title, instant_of


class KeyBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which key shall be made? `use_cases` null = all; `expires_at` null = no end."""

    name: Title
    role: Role
    use_cases: Annotated[list[f.Name], Meta(min_length=1, max_length=500)] | None = None
    expires_at: Annotated[str, Meta(max_length=40)] | None = None
    reason: Note = ""
    request_id: f.Name | None = None


class KeyAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Which key was made? `secret` is shown once and kept nowhere."""

    id: str
    secret: str


class WaitingKey(msgspec.Struct, frozen=True, kw_only=True):
    """Which request waits? `secret` is shown once; it lives when others have agreed."""

    approval: Waiting
    secret: str


class RoleBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which role shall the person have?"""

    role: Role
    reason: Note = ""
    request_id: f.Name | None = None


class PersonAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Which role has the person?"""

    id: str
    role: str


class Keys(Door):
    """Keys of the company."""

    operations: ClassVar = {
        "POST": Operation(
            action=Action.MANAGE_KEYS,
            takes={JSON: KeyBody},
            gives={JSON: KeyAnswer},
            headers=KEYED,
            status=201,
            waits=WaitingKey,
        ),
    }

    def post(self, request: Request) -> HttpResponse:
        """Makes a narrow key at once; a wide or weighty one waits for a second person."""
        body = self.parse(request, KeyBody)
        asked = facade.ask_key(
            name=body.name,
            role=body.role,
            use_cases=body.use_cases,
            expires_at=instant_of(body.expires_at, at="/expires_at"),
            actor=caller_of(request),
            now=clock.now(),
            reason=body.reason,
            key=key_of(request, body),
        )
        if asked.approval is None:
            return answer(KeyAnswer(id=asked.id, secret=asked.secret), status=201)
        waiting = Waiting(asked.approval.id, asked.approval.needs)
        location = {"Location": f"/api/v1/approvals/{asked.approval.id}"}
        told = WaitingKey(approval=waiting, secret=asked.secret)
        return answer(told, status=202, headers=location)


class OnePerson(Door):
    """One person of the company."""

    operations: ClassVar = {
        "PATCH": Operation(
            action=Action.MANAGE_PEOPLE,
            takes={JSON: RoleBody},
            gives={JSON: PersonAnswer},
            headers=KEYED,
            waits=Awaits,
        ),
    }

    def patch(self, request: Request, person: str) -> HttpResponse:
        """Changes the role; `controller`, `cfo` and `admin` are given and taken by two."""
        body = self.parse(request, RoleBody)
        asked = facade.ask_role(
            person=person,
            role=body.role,
            actor=caller_of(request),
            now=clock.now(),
            reason=body.reason,
            key=key_of(request, body),
        )
        if asked is not None:
            return awaits(asked.id, asked.needs)
        return answer(PersonAnswer(id=person, role=body.role.value))
