"""How does a person come to o10, and how does one go? Authority is given and taken by two.

A new controller, CFO or administrator is there at once as a viewer, and has the role once a
second administrator or a controller has agreed. Whoever has such a role goes by request, too.
The ledger hears of public ids and roles alone; names and addresses stay with the people.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction

from o10.access import operations as access
from o10.access import queries as people
from o10.access.checks import check, check_manage_person
from o10.access.keys import Caller
from o10.access.models import Person
from o10.access.roles import PERSON_ROLES, Action, Role
from o10.access.secret import new_secret
from o10.kernel.errors import FieldError, NotFound, SelfApproval, ValidationFailed
from policies.core.access_changes import GUARDED
from policies.operations.change_kinds import (
    Applied,
    Change,
    ChangeKind,
    ChangeText,
    DiffRow,
    EffectRow,
    EvidenceRow,
    register,
)
from policies.operations.propose_change import propose_change
from policies.queries.approvals import ApprovalView

CREATE: Final = "person.create"
ROLE: Final = "person.role"
NAME_MOST: Final = 120
EMAIL_MOST: Final = 254
PASSWORD_LENGTH: Final = 24


@dataclass(frozen=True, slots=True)
class AskedPerson:
    """Who is there now, and which request waits, if the role takes two? The first password
    is shown once.
    """

    id: str
    password: str
    approval: ApprovalView | None = None


def ask_person(
    *, email: str, name: str, role: Role, actor: Caller, now: datetime, reason: str = ""
) -> AskedPerson:
    """Who is the new person? With a guarded role they are a viewer until others agree.

    Raises: Forbidden; ValidationFailed; PersonExists (`conflict`).
    """
    check(caller=actor, action=Action.MANAGE_PEOPLE)
    _check_person(email=email, name=name, role=role)
    password = new_secret().text[-PASSWORD_LENGTH:]
    guarded = role in GUARDED
    with transaction.atomic():
        person = access.create_person(
            email=email,
            display_name=name,
            role=Role.VIEWER if guarded else role,
            password=password,
            actor=actor.actor,
            now=now,
        )
        if not guarded:
            return AskedPerson(person.id, password)
        view = propose_change(
            kind=CREATE,
            subject=person.id,
            change={"person": person.id, "role": role.value},
            actor=actor,
            now=now,
            reason=reason,
        )
    return AskedPerson(person.id, password, view)


def ask_to_deactivate(
    *, person: str, actor: Caller, now: datetime, reason: str = "", key: str = ""
) -> ApprovalView | None:
    """Which request waits? None when the person can sign in no more already.

    Raises: Forbidden; SelfApproval for oneself; NotFound.
    """
    check_manage_person(caller=actor, person_id=person)
    row = _find(person)
    if Role(row.role) not in GUARDED or not row.is_active:
        access.deactivate_person(person_id=person, actor=actor.actor, now=now)
        return None
    return propose_change(
        kind=ROLE,
        subject=person,
        change={"person": person, "role": ""},
        actor=actor,
        now=now,
        reason=reason,
        key=key,
    )


def revoke_key(*, key: str, actor: Caller, now: datetime) -> None:
    """Ends a key at once; it takes no second person. Twice is the same as once.

    Raises: Forbidden; NotFound.
    """
    check(caller=actor, action=Action.MANAGE_KEYS)
    access.revoke_key(key_id=key, actor=actor.actor, now=now)


def register_person_kinds() -> None:
    """Makes the kinds of people possible. Called when spend control starts."""
    for name in (CREATE, ROLE):
        register(ChangeKind(name=name, apply=_apply, base_of=_base_of, describe=_describe))


def _check_person(*, email: str, name: str, role: Role) -> None:
    wrong = []
    try:
        validate_email(email.strip())
    except ValidationError:
        wrong.append(FieldError("/email", "bad_format", "An e-mail address."))
    if len(email) > EMAIL_MOST:
        wrong.append(FieldError("/email", "too_long", f"At most {EMAIL_MOST} characters."))
    if not 1 <= len(name.strip()) <= NAME_MOST or not name.isprintable():
        message = f"A name of 1 to {NAME_MOST} characters."
        wrong.append(FieldError("/name", "bad_format", message))
    if role not in PERSON_ROLES:
        wrong.append(FieldError("/role", "not_allowed", "A role that a person may carry."))
    if wrong:
        raise ValidationFailed(errors=wrong)


def _find(person: str) -> Person:
    row = people.find_person(person)
    if row is None:
        raise NotFound(kind="person", id=person)
    return row


def _base_of(change: Change) -> str:
    person = people.find_person(change["person"])
    return f"{person.role} {person.is_active}" if person else "nobody"


def _apply(change: Change, _: ApprovalView, actor: Caller, now: datetime) -> Applied:
    person, role = str(change["person"]), str(change["role"])
    if actor.principal == person:
        # Whoever gets a role, or loses one, is no second person about it.
        raise SelfApproval(person=person)
    if role:
        access.change_role(person_id=person, role=Role(role), actor=actor.actor, now=now)
    else:
        access.deactivate_person(person_id=person, actor=actor.actor, now=now)
    return Applied(ids={"person": person})


def _describe(change: Change) -> ChangeText:
    """Rows and title go into the ledger: no name and no address stands in them."""
    person, role = _find(str(change["person"])), str(change["role"])
    old = str(person.role)
    title = f"Give a person the role {role}, instead of {old}"
    if not role:
        title = f"Let a person go who has the role {old}"
    return ChangeText(
        title=title,
        rows=(
            DiffRow("Person", "", person.id),
            DiffRow("Role", old, role or "none: may not sign in"),
        ),
        effect=(EffectRow("They may act as", role or "nobody", old, old),),
        evidence=(
            EvidenceRow("Who", person.display_name, person.email),
            EvidenceRow("Here since", f"{person.created_at:%Y-%m-%d}"),
        ),
        url="/settings/people/",
    )
