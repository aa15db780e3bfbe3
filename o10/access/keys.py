"""Which caller stands behind this Authorization header, and how are stored secrets wrapped?

A key is looked up by the SHA-256 of its secret. What was found is kept in this process for
half a second, so that a router's burst costs one query and a revocation holds within a second.
A decision worker asks nobody: it holds all living keys in memory (`known_keys`), which it reads
again when they changed.
"""

import hmac
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.db import DatabaseError, connection

from o10.access import operations, queries
from o10.access.models import Person, RouterKey
from o10.access.roles import ROLE_ACTIONS, Action, Role
from o10.access.secret import has_form, hash_of
from o10.kernel.errors import Corrupt, Unauthorized

KEPT_S = 0.5
"""How long a key found in the database is believed without asking again."""
_MOST_KEPT = 4096
_TOUCH_EVERY = timedelta(minutes=1)


_WRAP_VERSION = b"\x01"
_NONCE_BYTES = 12
_SCHEME = "Bearer "


class SecretUnreadable(Corrupt):
    """Was a stored secret wrapped under another secret key, or changed?"""

    code = "secret_unreadable"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is calling, under which role, for which use cases, with which verbs?

    Shape: `key_id` is key_… or, for a session, usr_…; `actor` is what entries name (the same
    id); `principal` is who answers for it: the person a key was made by, else the key itself.
    `use_case_slugs` None = all.
    """

    key_id: str
    actor: str
    principal: str
    role: Role
    use_case_slugs: frozenset[str] | None
    verbs: frozenset[Action]


@dataclass(frozen=True, slots=True)
class KnownKey:
    """Which caller has this key, and until when? `ends_at` None = no end is set."""

    caller: Caller
    secret_hash: bytes
    ends_at: datetime | None


@dataclass(frozen=True, slots=True)
class _Kept:
    caller: Caller
    secret_hash: bytes
    ends_at: datetime | None
    until: float


_kept: dict[bytes, _Kept] = {}
_touched: dict[str, float] = {}
_known: dict[str, tuple[queries.KeyStamp, Mapping[bytes, KnownKey]]] = {}
_used: dict[str, datetime] = {}


def authenticate(
    *,
    header: str | None,
    now: datetime,
    monotonic: Callable[[], float] = time.monotonic,
) -> Caller:
    """Who sent `Authorization: Bearer o10_…`?

    Raises: Unauthorized (`unauthorized`) with `reason`: missing, malformed, unknown, expired
    or revoked. The door's sentence does not tell the last three apart.
    """
    secret = _bearer(header)
    secret_hash = hash_of(secret)
    at = monotonic()
    kept = _kept.get(secret_hash)
    if kept is None or kept.until <= at:
        kept = _look_up(secret_hash, at=at, now=now)
    if not hmac.compare_digest(kept.secret_hash, secret_hash):
        raise Unauthorized(reason="unknown")
    if kept.ends_at is not None and kept.ends_at <= now:
        raise Unauthorized(reason="expired")
    _touch(kept.caller.key_id, at=at, now=now)
    return kept.caller


def known_keys(*, now: datetime) -> Mapping[bytes, KnownKey]:
    """Which keys live, by the SHA-256 of their secrets? The same object until a key changes.

    For who asks no database on a call: a poll costs one count of the table. Keys that end
    later are in it; `recognise` looks at their end.
    """
    database = str(connection.settings_dict["NAME"])
    # Before the keys: one that changes in between is found by the next poll.
    stamp = queries.stamp_of_keys()
    kept = _known.get(database)
    if kept is not None and kept[0] == stamp:
        return kept[1]
    keys = {}
    for key in queries.list_keys():
        if key.revoked_at is None and (key.expires_at is None or key.expires_at > now):
            secret_hash = bytes(key.secret_hash)
            keys[secret_hash] = KnownKey(_caller(key), secret_hash, key.expires_at)
    _known[database] = (stamp, MappingProxyType(keys))
    return _known[database][1]


def recognise(*, header: str | None, known: Mapping[bytes, KnownKey], now: datetime) -> Caller:
    """Who sent `Authorization: Bearer o10_…`, as far as is known here? Asks no database.

    A key made since the last look is unknown here: ask `authenticate` then.
    Raises: Unauthorized (`unauthorized`) with `reason`: missing, malformed, unknown or expired.
    """
    if header is not None and header.startswith(_SCHEME):
        # What is in the table has the form of a key; the rest is looked at more closely.
        secret_hash = hash_of(header[len(_SCHEME) :])
        key = known.get(secret_hash)
    else:
        key = None
    if key is None:
        secret_hash = hash_of(_bearer(header))
        key = known.get(secret_hash)
    if key is None or not hmac.compare_digest(key.secret_hash, secret_hash):
        raise Unauthorized(reason="unknown")
    if key.ends_at is not None and key.ends_at <= now:
        raise Unauthorized(reason="expired")
    _used[key.caller.key_id] = now
    return key.caller


def note_uses(*, now: datetime) -> None:
    """Writes down which keys were recognised since the last time. Once a minute is enough."""
    used = {key_id: _used.pop(key_id) for key_id in list(_used)}
    if not used:
        return
    try:
        operations.note_uses(key_ids=used, now=now)
    except DatabaseError:
        for key_id, at in used.items():
            _used.setdefault(key_id, at)
        raise


def caller_of_person(person: Person) -> Caller:
    """Which caller is a signed-in person?

    Raises: Unauthorized (`unauthorized`) when the person is no longer active.
    """
    if not person.is_active:
        raise Unauthorized(reason="inactive")
    role = Role(person.role)
    return Caller(person.id, person.id, person.id, role, None, ROLE_ACTIONS[role])


def forget() -> None:
    """Drops what this process believes about keys: after a change made here, and in tests."""
    _kept.clear()
    _touched.clear()
    _known.clear()
    _used.clear()


def wrap(secret: bytes) -> bytes:
    """How is a secret stored? AES-256-GCM under a key derived from the secret key.

    Shape: version byte 1, nonce of 12 bytes, ciphertext with its tag.
    """
    nonce = os.urandom(_NONCE_BYTES)
    return _WRAP_VERSION + nonce + _wrapping().encrypt(nonce, secret, _WRAP_VERSION)


def unwrap(wrapped: bytes) -> bytes:
    """Which secret was stored?

    Raises: SecretUnreadable when it was wrapped under another secret key, or changed.
    """
    version, nonce = wrapped[:1], wrapped[1 : 1 + _NONCE_BYTES]
    try:
        return _wrapping().decrypt(nonce, wrapped[1 + _NONCE_BYTES :], version)
    except (InvalidTag, ValueError) as error:
        raise SecretUnreadable(bytes=len(wrapped)) from error


def _wrapping() -> AESGCM:
    derive = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"o10-wrap-v1")
    return AESGCM(derive.derive(settings.SECRET_KEY.encode()))


def _bearer(header: str | None) -> str:
    if not header:
        raise Unauthorized(reason="missing")
    scheme, _, secret = header.partition(" ")
    secret = secret.strip()
    if scheme.lower() != "bearer" or not has_form(secret):
        raise Unauthorized(reason="malformed")
    return secret


def _look_up(secret_hash: bytes, *, at: float, now: datetime) -> _Kept:
    key = queries.find_key_by_hash(secret_hash)
    if key is None:
        _kept.pop(secret_hash, None)
        raise Unauthorized(reason="unknown")
    if key.revoked_at is not None and key.revoked_at <= now:
        _kept.pop(secret_hash, None)
        raise Unauthorized(reason="revoked")
    kept = _Kept(_caller(key), bytes(key.secret_hash), key.expires_at, at + KEPT_S)
    if len(_kept) >= _MOST_KEPT:
        _kept.clear()
    _kept[secret_hash] = kept
    return kept


def _caller(key: RouterKey) -> Caller:
    role = Role(key.role)
    allowed = ROLE_ACTIONS[role]
    verbs = allowed if key.verbs is None else allowed & frozenset(map(Action, key.verbs))
    scope = None if key.use_cases is None else frozenset(key.use_cases)
    return Caller(key.id, key.id, key.created_by_id or key.id, role, scope, verbs)


def _touch(key_id: str, *, at: float, now: datetime) -> None:
    last = _touched.get(key_id)
    if last is not None and at - last < _TOUCH_EVERY.total_seconds():
        return
    if len(_touched) >= _MOST_KEPT:
        _touched.clear()
    _touched[key_id] = at
    operations.note_use(key_id=key_id, now=now, no_more_than_every=_TOUCH_EVERY)
