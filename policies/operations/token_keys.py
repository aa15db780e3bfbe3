"""With which secret is a reservation token signed today, and with which may it be signed?

A new key every day; old ones are kept, since a token of any age may settle. Secrets lie in the
database under the secret key and in this process in clear.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b

from django.db import connection, transaction

from o10.access import keys as access
from o10.kernel.errors import TokenInvalid
from o10.wire import token
from o10.wire.leasing import ROUTER_TOKEN_KEY
from policies.models import TokenKey

ROTATE_AFTER = timedelta(days=1)
_MOST_KEYS = 32_767


@dataclass(frozen=True, slots=True)
class SigningKey:
    """Which key signs now?"""

    id: int
    secret: bytes
    created_at: datetime


_kept: dict[tuple[str, int], bytes] = {}
_newest: dict[str, SigningKey] = {}


def signing_key(*, now: datetime) -> SigningKey:
    """Which key signs the tokens of this instant? Made when the newest is a day old."""
    database = str(connection.settings_dict["NAME"])
    newest = _newest.get(database)
    if newest is not None and now < newest.created_at + ROTATE_AFTER:
        return newest
    row = _newest_row()
    if row is None or now >= row.created_at + ROTATE_AFTER:
        row = _make_key(after=row.id if row else 0, now=now)
    signer = SigningKey(row.id, access.unwrap(bytes(row.wrapped)), row.created_at)
    # Remembered once committed: a rollback would take the key away under the cache.
    transaction.on_commit(lambda: _remember(database, signer))
    return signer


def _remember(database: str, signer: SigningKey) -> None:
    """What this key signs can be read without the database, too."""
    _newest[database] = signer
    _kept[database, signer.id] = signer.secret


def read_token(text: str) -> token.ReservationToken:
    """What does this token promise?

    Raises: TokenInvalid (`token_invalid`).
    """
    said = token.peek(text)
    if said is not None and said.key_id == ROUTER_TOKEN_KEY:
        fence = said.lease.int & ((1 << 40) - 1)
        return token.read(text, keys={ROUTER_TOKEN_KEY: router_secret(fence)})
    return token.read(text, keys=_Keys())


def router_secret(fence: int) -> bytes:
    """With which secret does this router sign the tokens of its own leases?

    Derived, so that nothing is stored a router: what it signs names a lease, and a lease names
    its holder. Raises: TokenInvalid (`token_invalid`) before the first key was ever made.
    """
    try:
        root = _Keys()[1]
    except KeyError as error:
        raise TokenInvalid() from error
    return blake2b(
        fence.to_bytes(8), key=root, digest_size=token.KEY_BYTES, person=b"o10-router-v1"
    ).digest()


def forget_keys() -> None:
    """Which keys does this process know? None from now on (a test emptied the tables)."""
    _kept.clear()
    _newest.clear()


class _Keys(Mapping[int, bytes]):
    """All keys ever made, read when asked for."""

    def __getitem__(self, key_id: int) -> bytes:
        database = str(connection.settings_dict["NAME"])
        if (database, key_id) not in _kept:
            row = TokenKey.objects.filter(id=key_id).first() if key_id <= _MOST_KEYS else None
            if row is None:
                raise KeyError(key_id)
            secret = access.unwrap(bytes(row.wrapped))
            transaction.on_commit(lambda: _kept.__setitem__((database, key_id), secret))
            return secret
        return _kept[database, key_id]

    def __iter__(self):  # noqa: ANN204 - required by Mapping, never used
        return iter(TokenKey.objects.values_list("id", flat=True))

    def __len__(self) -> int:
        return TokenKey.objects.count()


def _newest_row() -> TokenKey | None:
    return TokenKey.objects.order_by("-id").first()


def _make_key(*, after: int, now: datetime) -> TokenKey:
    wrapped = access.wrap(secrets.token_bytes(token.KEY_BYTES))
    TokenKey.objects.bulk_create(
        [TokenKey(id=after + 1, wrapped=wrapped, created_at=now)], ignore_conflicts=True
    )
    row = _newest_row()
    if row is None:
        raise LookupError("the token key just made is not there")
    return row
