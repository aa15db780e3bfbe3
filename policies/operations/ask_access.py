"""How do people's roles and keys change where one administrator is not enough?

Doors call these. What gives no authority over money, people or a whole department happens at
once; the rest waits for a second administrator or a controller. The secret of a key that waits
is handed out with the request and lives only once others have agreed: what is kept is its hash.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from o10.access import operations as access
from o10.access import queries as people
from o10.access.checks import check, check_manage_person
from o10.access.keys import Caller
from o10.access.roles import Action, Role
from o10.access.secret import new_secret
from o10.kernel.errors import FieldError, IdempotencyMismatch, NotFound, ValidationFailed
from policies.core.access_changes import key_needs_two, role_needs_two
from policies.models import UseCase
from policies.operations.ask_person import ROLE
from policies.operations.change_kinds import (
    Applied,
    Change,
    ChangeKind,
    ChangeText,
    DiffRow,
    register,
)
from policies.operations.propose_change import find_proposed, propose_change
from policies.queries.approvals import ApprovalView

KEY_KIND = "key.create"


@dataclass(frozen=True, slots=True)
class AskedKey:
    """Which key was made, or which request waits? `secret` is shown once, "" on a repeat.

    `id` is empty while the request waits.
    """

    id: str
    secret: str
    approval: ApprovalView | None = None


def ask_key(
    *,
    name: str,
    role: Role,
    use_cases: Sequence[str] | None,
    actor: Caller,
    now: datetime,
    expires_at: datetime | None = None,
    reason: str = "",
    key: str = "",
) -> AskedKey:
    """Which key was made, or which request waits for a second person?

    Raises: Forbidden (`forbidden`); ValidationFailed; IdempotencyMismatch.
    """
    check(caller=actor, action=Action.MANAGE_KEYS)
    access.check_key(name=name, role=role, verbs=None, expires_at=expires_at, now=now)
    _check_use_cases(use_cases)
    standing = find_proposed(actor=actor, key=key, now=now)
    if standing is not None:
        wanted = {
            "name": name,
            "role": role.value,
            "use_cases": use_cases and sorted(use_cases),
        }
        if any(standing.change.get(field) != value for field, value in wanted.items()):
            raise IdempotencyMismatch(scope=KEY_KIND, key=key)
        return AskedKey("", "", standing)
    stands_for = actor.principal if actor.principal.startswith("usr_") else None
    if not key_needs_two(role=role, use_cases=use_cases, departments=_departments()):
        made = access.create_key(
            name=name,
            role=role,
            use_cases=use_cases,
            expires_at=expires_at,
            created_by=stands_for,
            actor=actor.actor,
            now=now,
        )
        return AskedKey(made.id, made.secret.text)
    secret = new_secret()
    ends = None if expires_at is None else expires_at.astimezone(UTC).isoformat()
    view = propose_change(
        kind=KEY_KIND,
        subject=f"key {name.strip()}"[:160],
        change={
            "name": name,
            "role": role.value,
            "use_cases": None if use_cases is None else sorted(use_cases),
            "expires_at": ends,
            "created_by": stands_for,
            "secret_hash": secret.hash.hex(),
            "last_four": secret.last_four,
        },
        actor=actor,
        now=now,
        reason=reason,
        key=key,
    )
    return AskedKey("", secret.text, view)


def ask_role(
    *, person: str, role: Role, actor: Caller, now: datetime, reason: str = "", key: str = ""
) -> ApprovalView | None:
    """Which request waits for a second person? None when the role is changed already.

    Raises: Forbidden (`forbidden`); SelfApproval for oneself; NotFound; ValidationFailed.
    """
    check_manage_person(caller=actor, person_id=person)
    row = people.find_person(person)
    if row is None:
        raise NotFound(kind="person", id=person)
    standing = find_proposed(actor=actor, key=key, now=now)
    if standing is None and not role_needs_two(before=Role(row.role), after=role):
        access.change_role(person_id=person, role=role, actor=actor.actor, now=now)
        return None
    return propose_change(
        kind=ROLE,
        subject=person,
        change={"person": person, "role": role.value},
        actor=actor,
        now=now,
        reason=reason,
        key=key,
    )


def register_access_kinds() -> None:
    """Makes the kinds of people and keys possible. Called when spend control starts."""
    register(
        ChangeKind(
            name=KEY_KIND,
            apply=_apply_key,
            base_of=lambda change: f"secret {change['last_four']}",
            describe=_describe_key,
        )
    )


def _departments() -> list[list[str]]:
    found: dict[str, list[str]] = {}
    for slug, department in UseCase.objects.values_list("slug", "department__slug"):
        found.setdefault(department, []).append(slug)
    return list(found.values())


def _check_use_cases(use_cases: Sequence[str] | None) -> None:
    known = set(UseCase.objects.values_list("slug", flat=True))
    wrong = [
        FieldError(f"/use_cases/{place}", "unknown", f"There is no use case {slug[:64]!r}.")
        for place, slug in enumerate(use_cases or ())
        if slug not in known
    ]
    if wrong:
        raise ValidationFailed(errors=wrong)


def _apply_key(change: Change, _: ApprovalView, actor: Caller, now: datetime) -> Applied:
    end = change["expires_at"]
    made = access.create_key(
        name=change["name"],
        role=Role(change["role"]),
        use_cases=change["use_cases"],
        expires_at=None if end is None else datetime.fromisoformat(end),
        created_by=change["created_by"],
        actor=actor.actor,
        now=now,
        known=access.KnownSecret(bytes.fromhex(change["secret_hash"]), change["last_four"]),
    )
    return Applied(ids={"key": made.id})


def _describe_key(change: Change) -> ChangeText:
    scope = change["use_cases"]
    return ChangeText(
        title=f"New key: {change['name']}, {change['role']}",
        rows=(
            DiffRow("Role", "", change["role"]),
            DiffRow("Use cases", "", "all" if scope is None else ", ".join(scope)),
            DiffRow("Ends", "", change["expires_at"] or "no end"),
            DiffRow("Ends in", "", f"…{change['last_four']}"),
        ),
    )
