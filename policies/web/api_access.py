"""How do scripts of the administrator keep people and keys? `/keys`, `/people`."""

from datetime import datetime
from typing import Annotated, ClassVar

import msgspec
from django.http import HttpResponse
from msgspec import Meta
from rest_framework.request import Request

from o10.access import queries as access
from o10.access.doors import JSON, KEYED, Operation
from o10.access.models import RouterKey
from o10.access.rest import caller_of
from o10.access.roles import Action, Role
from o10.access.views import Awaits, Door, Waiting, answer, awaits, key_of, query_of
from o10.kernel import clock
from o10.kernel.errors import NotFound
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


class KeyRow(msgspec.Struct, frozen=True, kw_only=True):
    """Which key is it? `use_cases` null = all; the secret is kept nowhere."""

    id: str
    name: str
    last_four: str
    role: str
    use_cases: tuple[str, ...] | None
    created_at: datetime
    created_by: str | None
    last_used_at: datetime | None
    expires_at: datetime | None
    revoked_at: datetime | None


class KeyList(msgspec.Struct, frozen=True, kw_only=True):
    """Which keys are there? Newest first, revoked ones too."""

    items: tuple[KeyRow, ...]


class PersonBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who shall be a person of the company?"""

    email: Annotated[str, Meta(min_length=3, max_length=254)]
    name: Title
    role: Role
    reason: Note = ""


class PersonRow(msgspec.Struct, frozen=True, kw_only=True):
    """Who is it?"""

    id: str
    name: str
    email: str
    role: str
    is_active: bool


class PersonList(msgspec.Struct, frozen=True, kw_only=True):
    """Who works here? By name."""

    items: tuple[PersonRow, ...]


class NewPerson(msgspec.Struct, frozen=True, kw_only=True):
    """Who is new? `password` is shown once. With a request: a viewer until others agree."""

    id: str
    password: str
    approval: Waiting | None = None


class GoneBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why?"""

    reason: Note = ""
    request_id: f.Name | None = None


class Keys(Door):
    """Keys of the company."""

    operations: ClassVar = {
        "GET": Operation(action=Action.MANAGE_KEYS, gives={JSON: KeyList}),
        "POST": Operation(
            action=Action.MANAGE_KEYS,
            takes={JSON: KeyBody},
            gives={JSON: KeyAnswer},
            headers=KEYED,
            status=201,
            waits=WaitingKey,
        ),
    }

    def get(self, request: Request) -> HttpResponse:
        """All of them, without their secrets."""
        query_of(request, allowed=frozenset())
        return answer(KeyList(items=tuple(_key_row(each) for each in access.list_keys())))

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


class KeyRevoke(Door):
    """The end of one key."""

    operations: ClassVar = {
        "POST": Operation(
            action=Action.MANAGE_KEYS, takes={JSON: GoneBody}, gives={JSON: KeyRow}
        ),
    }

    def post(self, request: Request, key: str) -> HttpResponse:
        """Ends it within a second, for good; twice is the same as once."""
        self.parse(request, GoneBody)
        facade.revoke_key(key=key, actor=caller_of(request), now=clock.now())
        row = access.find_key(key)
        if row is None:
            raise NotFound(kind="key", id=key)
        return answer(_key_row(row))


class People(Door):
    """People of the company."""

    operations: ClassVar = {
        "GET": Operation(action=Action.MANAGE_PEOPLE, gives={JSON: PersonList}),
        "POST": Operation(
            action=Action.MANAGE_PEOPLE,
            takes={JSON: PersonBody},
            gives={JSON: NewPerson},
            status=201,
        ),
    }

    def get(self, request: Request) -> HttpResponse:
        """All of them, those who left too."""
        query_of(request, allowed=frozenset())
        rows = tuple(
            PersonRow(
                id=each.id,
                name=each.display_name,
                email=each.email,
                role=each.role,
                is_active=each.is_active,
            )
            for each in access.list_people()
        )
        return answer(PersonList(items=rows))

    def post(self, request: Request) -> HttpResponse:
        """Makes a person; until two agreed to `controller`, `cfo` or `admin`, a viewer."""
        body = self.parse(request, PersonBody)
        made = facade.ask_person(
            email=body.email,
            name=body.name,
            role=body.role,
            actor=caller_of(request),
            now=clock.now(),
            reason=body.reason,
        )
        waiting = None
        if made.approval is not None:
            waiting = Waiting(made.approval.id, made.approval.needs)
        told = NewPerson(id=made.id, password=made.password, approval=waiting)
        return answer(told, status=201)


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


class PersonDeactivate(Door):
    """The end of one person's access."""

    operations: ClassVar = {
        "POST": Operation(
            action=Action.MANAGE_PEOPLE,
            takes={JSON: GoneBody},
            gives={JSON: PersonAnswer},
            headers=KEYED,
            waits=Awaits,
        ),
    }

    def post(self, request: Request, person: str) -> HttpResponse:
        """Ends it at once; for who has authority over money or people, two agree."""
        body = self.parse(request, GoneBody)
        asked = facade.ask_to_deactivate(
            person=person,
            actor=caller_of(request),
            now=clock.now(),
            reason=body.reason,
            key=key_of(request, body),
        )
        if asked is not None:
            return awaits(asked.id, asked.needs)
        return answer(PersonAnswer(id=person, role=""))


def _key_row(row: RouterKey) -> KeyRow:
    return KeyRow(
        id=row.id,
        name=row.name,
        last_four=row.last_four,
        role=row.role,
        use_cases=None if row.use_cases is None else tuple(row.use_cases),
        created_at=row.created_at,
        created_by=row.created_by_id,
        last_used_at=row.last_used_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
    )
