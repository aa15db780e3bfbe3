"""What does a reservation token say, and who signed it?

The token lets any worker settle a call whose reservation nobody remembers: 67 bytes,
base64url without padding, big-endian, 16 bytes of keyed BLAKE2b at the end. It does not
expire for settling: a late settle is accepted for ever, `expires_at_ms` only tells that it is
late.
Source: docs/algorithms/reservation-token.md. Golden: tests/golden/token.json.
"""

import hmac
import re
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import b2a_base64
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from uuid import UUID

from o10.kernel.errors import TokenInvalid
from o10.kernel.money import Nanos

VERSION = 1
TOKEN_CHARACTERS = 90
KEY_BYTES = 32

_BODY = struct.Struct(">BH16sQqIQI")
_MAC_BYTES = 16
_PERSON = b"o10-rsv-v1"
_URLSAFE = bytes.maketrans(b"+/", b"-_")
_TEXT = re.compile(r"[A-Za-z0-9_-]{90}", re.A)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReservationToken:
    """What is promised?

    Units: `amount_nanos` of the ledger currency, worst case held; `expires_at_ms` Unix
    milliseconds; `max_output_tokens` the output cap granted. `lease` and `sequence` name the
    reservation.
    """

    key_id: int
    lease: UUID
    sequence: int
    amount_nanos: Nanos
    policy_version: int
    expires_at_ms: int
    max_output_tokens: int

    @property
    def reservation_key(self) -> str:
        """Which key has it in the uid scope `reservation`? `<lease>#<sequence>`."""
        return f"{self.lease}#{self.sequence}"


def sign(token: ReservationToken, *, key: bytes) -> str:
    """How is the token written, signed with the secret of its `key_id`?

    Raises: ValueError when a field does not fit its width or the key is not 32 bytes: our own
    bug.
    """
    return sign_parts(
        token.key_id,
        token.lease.bytes,
        token.sequence,
        token.amount_nanos,
        token.policy_version,
        token.expires_at_ms,
        token.max_output_tokens,
        key=key,
    )


def sign_parts(
    key_id: int,
    lease: bytes,
    sequence: int,
    amount_nanos: Nanos,
    policy_version: int,
    expires_at_ms: int,
    max_output_tokens: int,
    *,
    key: bytes,
) -> str:
    """How is a token of these parts written? `sign`, for who has no object of it.

    Raises: ValueError, as `sign`.
    """
    if len(key) != KEY_BYTES:
        raise ValueError("a token key has 32 bytes")
    try:
        body = _BODY.pack(
            VERSION,
            key_id,
            lease,
            sequence,
            amount_nanos,
            policy_version,
            expires_at_ms,
            max_output_tokens,
        )
    except struct.error as error:
        raise ValueError(f"a token field is out of range: {error}") from error
    # 67 bytes are 90 characters, which are followed by two of padding.
    text = b2a_base64(body + _mac(body, key), newline=False)[:TOKEN_CHARACTERS]
    return text.translate(_URLSAFE).decode()


def read(text: str, *, keys: Mapping[int, bytes]) -> ReservationToken:
    """Which promise does this text carry? Compared in constant time.

    Shape: `keys` maps key id to secret, every key still accepted.
    Raises: TokenInvalid (`token_invalid`) when it is no token, of another version, of an
    unknown key, or signed otherwise; the answer does not say which.
    """
    if not _TEXT.fullmatch(text):
        raise TokenInvalid()
    raw = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    body, mac = raw[: _BODY.size], raw[_BODY.size :]
    version, key_id, lease, sequence, amount, policy, expiry, maximum = _BODY.unpack(body)
    # An unknown key costs the same comparison as a known one, against a secret nobody has.
    known = key_id in keys
    genuine = hmac.compare_digest(mac, _mac(body, keys[key_id] if known else bytes(KEY_BYTES)))
    # The 4 spare bits of the last character must be zero, or one promise had sixteen spellings.
    canonical = urlsafe_b64encode(raw).rstrip(b"=").decode() == text
    if not (known and genuine and canonical and version == VERSION):
        raise TokenInvalid()
    return ReservationToken(
        key_id=key_id,
        lease=UUID(bytes=lease),
        sequence=sequence,
        amount_nanos=amount,
        policy_version=policy,
        expires_at_ms=expiry,
        max_output_tokens=maximum,
    )


@dataclass(frozen=True, slots=True)
class Said:
    """What does a text of a token's shape say, unproven?"""

    key_id: int
    lease: UUID
    sequence: int


def peek(text: str) -> Said | None:
    """What does this token say? Nobody vouches for it; None = it has no token's shape."""
    if not _TEXT.fullmatch(text):
        return None
    _, key_id, lease, sequence, *_ = _BODY.unpack(urlsafe_b64decode(text + "==")[: _BODY.size])
    return Said(key_id, UUID(bytes=lease), sequence)


def looks_like_token(text: str) -> bool:
    """Is this the shape of a token, rather than a reservation id?"""
    return _TEXT.fullmatch(text) is not None


def _mac(body: bytes, key: bytes) -> bytes:
    return blake2b(body, digest_size=_MAC_BYTES, key=key, person=_PERSON).digest()
