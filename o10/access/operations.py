"""How do people and keys change? Every change writes its line of `access_audit` with it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.contrib.auth.hashers import make_password
from django.db import IntegrityError, connection, transaction
from django.db.models import Q

from o10.access.models import AccessAudit, Person, RouterKey, SignInFailure
from o10.access.plane_notice import tell_plane
from o10.access.roles import KEY_ROLES, PERSON_ROLES, ROLE_ACTIONS, Action, Role
from o10.access.secret import Secret, new_secret
from o10.kernel.errors import Conflict, FieldError, NotFound, ValidationFailed
from o10.kernel.ids import new_id

KEYS = "keys"
COMMAND_LINE = "command-line"
"""The actor of a change made by someone with a shell on the server."""

_FAILURES_KEPT = timedelta(days=1)
_NOTE_USES = """
WITH used AS (
    SELECT id FROM access_router_key
    WHERE id = ANY(%s) AND (last_used_at IS NULL OR last_used_at < %s)
    ORDER BY id FOR UPDATE)
UPDATE access_router_key k SET last_used_at = %s FROM used WHERE k.id = used.id
"""


class PersonExists(Conflict):
    """Is this e-mail address taken? Fields: none, so that the answer names nobody."""

    code = "conflict"


class KeyReplaced(Conflict):
    """Was the key rotated or revoked before? Fields: `id`."""

    code = "conflict"


@dataclass(frozen=True, slots=True)
class KnownSecret:
    """What is kept of a secret that was handed out before its key lives?"""

    hash: bytes
    last_four: str


@dataclass(frozen=True, slots=True)
class NewKey:
    """Which key was made? `secret.text` is shown once and never stored."""

    id: str
    secret: Secret
    role: Role
    use_cases: tuple[str, ...] | None
    expires_at: datetime | None


def create_person(
    *,
    email: str,
    display_name: str,
    role: Role,
    password: str | None,
    actor: str,
    now: datetime,
) -> Person:
    """Who is the new person? Without a password nobody can sign in as them yet.

    Raises: ValidationFailed for a role no person may carry; PersonExists (`conflict`).
    """
    _check_role(role, allowed=PERSON_ROLES)
    person = Person(
        id=new_id("usr"),
        email=email.strip().casefold(),
        display_name=display_name.strip(),
        role=role.value,
        password=make_password(password),
        created_at=now,
    )
    try:
        with transaction.atomic():
            person.save(force_insert=True)
            _audit("person_created", person.id, None, _facts(person), actor=actor, now=now)
    except IntegrityError as error:
        raise PersonExists from error
    return person


def change_role(*, person_id: str, role: Role, actor: str, now: datetime) -> Person:
    """What is the person after the change of role?

    Locks: the person's row. Raises: NotFound; ValidationFailed.
    """
    _check_role(role, allowed=PERSON_ROLES)
    with transaction.atomic():
        person = _locked_person(person_id)
        before = _facts(person)
        person.role = role.value
        person.save(update_fields=["role"])
        _audit("role_changed", person.id, before, _facts(person), actor=actor, now=now)
    return person


def deactivate_person(*, person_id: str, actor: str, now: datetime) -> Person:
    """What is the person who may sign in no more? The row stays: entries name it.

    Locks: the person's row. Raises: NotFound.
    """
    with transaction.atomic():
        person = _locked_person(person_id)
        before = _facts(person)
        person.is_active = False
        person.save(update_fields=["is_active"])
        _audit("person_deactivated", person.id, before, _facts(person), actor=actor, now=now)
    return person


def set_password(*, person_id: str, password: str, actor: str, now: datetime) -> None:
    """Gives the person a new password; their other sessions end with it.

    Locks: the person's row. Raises: NotFound.
    """
    with transaction.atomic():
        person = _locked_person(person_id)
        person.password = make_password(password)
        person.save(update_fields=["password"])
        _audit("password_set", person.id, None, None, actor=actor, now=now)


def create_key(
    *,
    name: str,
    role: Role,
    use_cases: Iterable[str] | None,
    verbs: Iterable[Action] | None = None,
    expires_at: datetime | None = None,
    created_by: str | None = None,
    actor: str,
    now: datetime,
    known: KnownSecret | None = None,
) -> NewKey:
    """Which key is new? Its secret is in the answer and nowhere else.

    `use_cases` None = all; `verbs` None = all of its role. `known` = the secret was handed out
    before the key begins to live, and only its hash is left.
    Raises: ValidationFailed for a role, verb, name or end that cannot be.
    """
    wanted = None if verbs is None else frozenset(verbs)
    check_key(name=name, role=role, verbs=wanted, expires_at=expires_at, now=now)
    secret = new_secret()
    kept = known or KnownSecret(secret.hash, secret.last_four)
    key = RouterKey(
        id=new_id("key"),
        name=name.strip(),
        secret_hash=kept.hash,
        last_four=kept.last_four,
        role=role.value,
        use_cases=None if use_cases is None else sorted(set(use_cases)),
        verbs=None if wanted is None else sorted(verb.value for verb in wanted),
        created_at=now,
        created_by_id=created_by,
        expires_at=expires_at,
    )
    with transaction.atomic():
        key.save(force_insert=True)
        _audit("key_created", key.id, None, _facts(key), actor=actor, now=now)
        tell_plane(what=KEYS)
    return _new_key(key, secret if known is None else Secret(""))


def rotate_key(*, key_id: str, grace: timedelta, actor: str, now: datetime) -> NewKey:
    """Which key replaces this one? The old one works on until `now` + `grace`.

    Locks: the old key's row. Raises: NotFound; KeyReplaced (`conflict`).
    """
    secret = new_secret()
    with transaction.atomic():
        old = _locked_key(key_id)
        if old.successor_id is not None or old.revoked_at is not None:
            raise KeyReplaced(id=key_id)
        before = _facts(old)
        fresh = RouterKey(
            id=new_id("key"),
            name=old.name,
            secret_hash=secret.hash,
            last_four=secret.last_four,
            role=old.role,
            use_cases=old.use_cases,
            verbs=old.verbs,
            created_at=now,
            created_by_id=old.created_by_id,
            expires_at=old.expires_at,
        )
        fresh.save(force_insert=True)
        end = now + grace
        old.successor = fresh
        old.expires_at = end if old.expires_at is None else min(end, old.expires_at)
        old.save(update_fields=["successor", "expires_at"])
        _audit("key_created", fresh.id, None, _facts(fresh), actor=actor, now=now)
        _audit("key_rotated", old.id, before, _facts(old), actor=actor, now=now)
        tell_plane(what=KEYS)
    return _new_key(fresh, secret)


def revoke_key(*, key_id: str, actor: str, now: datetime) -> None:
    """Ends the key: within a second no process accepts it. Twice is the same as once.

    Locks: the key's row. Raises: NotFound.
    """
    with transaction.atomic():
        key = _locked_key(key_id)
        if key.revoked_at is not None:
            return
        before = _facts(key)
        key.revoked_at = now
        key.save(update_fields=["revoked_at"])
        _audit("key_revoked", key.id, before, _facts(key), actor=actor, now=now)
        tell_plane(what=KEYS)


def note_use(*, key_id: str, now: datetime, no_more_than_every: timedelta) -> None:
    """Notes when the key was last used; other processes' notes count too."""
    stale = Q(last_used_at=None) | Q(last_used_at__lt=now - no_more_than_every)
    RouterKey.objects.filter(stale, id=key_id).update(last_used_at=now)


def note_uses(*, key_ids: Iterable[str], now: datetime) -> None:
    """Notes that these keys were used, in order of their ids; later notes stay."""
    with connection.cursor() as cursor:
        cursor.execute(_NOTE_USES, [sorted(key_ids), now, now])


def note_failure(*, email_hash: bytes, network_hash: bytes, now: datetime) -> None:
    """Notes a failed sign-in, and forgets those older than a day."""
    SignInFailure.objects.filter(at__lt=now - _FAILURES_KEPT).delete()
    SignInFailure.objects.create(at=now, email_hash=email_hash, network_hash=network_hash)


def forget_failures(*, email_hash: bytes, network_hash: bytes) -> None:
    """Forgets the failures of a person who has just signed in from there."""
    SignInFailure.objects.filter(email_hash=email_hash, network_hash=network_hash).delete()


def _check_role(role: Role, *, allowed: frozenset[Role]) -> None:
    if role not in allowed:
        wanted = ", ".join(sorted(allowed))
        message = f"{role.value} is not possible here; possible are {wanted}."
        raise ValidationFailed(errors=[FieldError("/role", "not_allowed", message)])


def check_key(
    *,
    name: str,
    role: Role,
    verbs: frozenset[Action] | None,
    expires_at: datetime | None,
    now: datetime,
) -> None:
    """Can there be such a key?

    Raises: ValidationFailed (`validation_failed`) for a role, verb, name or end that cannot be.
    """
    _check_role(role, allowed=KEY_ROLES)
    wrong = []
    if not 0 < len(name.strip()) <= 120:
        wrong.append(FieldError("/name", "length", "A name has 1 to 120 characters."))
    beyond = sorted((verbs or frozenset()) - ROLE_ACTIONS[role])
    if beyond:
        message = f"The role {role.value} does not include {', '.join(beyond)}."
        wrong.append(FieldError("/verbs", "not_allowed", message))
    if expires_at is not None and expires_at <= now:
        wrong.append(FieldError("/expires_at", "past", "The end must be ahead."))
    if wrong:
        raise ValidationFailed(errors=wrong)


def _locked_person(person_id: str) -> Person:
    person = Person.objects.select_for_update().filter(id=person_id).first()
    if person is None:
        raise NotFound(kind="person", id=person_id)
    return person


def _locked_key(key_id: str) -> RouterKey:
    key = RouterKey.objects.select_for_update().filter(id=key_id).first()
    if key is None:
        raise NotFound(kind="key", id=key_id)
    return key


def _new_key(key: RouterKey, secret: Secret) -> NewKey:
    scope = None if key.use_cases is None else tuple(key.use_cases)
    return NewKey(key.id, secret, Role(key.role), scope, key.expires_at)


def _facts(row: Person | RouterKey) -> dict[str, object]:
    """What of the row goes into the audit? Never a secret, a hash or a password."""
    if isinstance(row, Person):
        return {
            "email": row.email,
            "display_name": row.display_name,
            "role": row.role,
            "is_active": row.is_active,
        }
    return {
        "name": row.name,
        "last_four": row.last_four,
        "role": row.role,
        "use_cases": row.use_cases,
        "verbs": row.verbs,
        "created_by": row.created_by_id,
        "expires_at": row.expires_at and row.expires_at.isoformat(),
        "revoked_at": row.revoked_at and row.revoked_at.isoformat(),
        "successor": row.successor_id,
    }


def _audit(
    action: str, subject: str, before: object, after: object, *, actor: str, now: datetime
) -> None:
    AccessAudit.objects.create(
        at=now, actor=actor, action=action, subject=subject, before=before, after=after
    )
