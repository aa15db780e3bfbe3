"""How is a thing named? Public ids with a prefix that sort by time, and uids derived from keys.

A public id is `<prefix>_<26 characters>`: the TypeID form of a UUID (Crockford base 32, lower
case).
Source: RFC 9562 (UUIDv7, UUIDv8); TypeID 0.3 for the text form; `uid` golden in
tests/golden/ids.json.
"""

import os
import re
from hashlib import sha256
from typing import Final
from uuid import UUID

from o10.kernel import clock
from o10.kernel.errors import FieldError, Rejected

PREFIXES: Final = {
    "ent": "ledger entry",
    "env": "envelope",
    "rsv": "reservation",
    "dec": "decision",
    "uc": "use case",
    "key": "API key",
    "usr": "person",
    "lse": "lease",
    "apr": "approval",
    "imp": "import",
    "inv": "invoice",
    "ppr": "price proposal",
    "cmt": "commitment",
    "kil": "kill criterion",
    "alt": "alert",
    "alr": "alert rule",
    "chn": "alert channel",
    "msg": "message to an alert channel",
}
"""Every prefix in use and what it names."""

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]
_VALUES = {character: value for value, character in enumerate(_ALPHABET)}
# Of the last 80 bits of a uid: the version (8) and the variant (binary 10) are set over them.
_TAIL_KEPT = ((1 << 80) - 1) & ~(0xF << 76) & ~(0b11 << 62)
_TAIL_SET = 0x8 << 76 | 0b10 << 62
# The first character carries 3 bits only (26 x 5 = 130 bits for 128).
_ID = re.compile(r"([a-z]{2,4})_([0-7][0-9a-hjkmnp-tv-z]{25})", re.A)


class IdMalformed(Rejected):
    """Is this text no id of ours? Fields: `got`, `expected` (the prefix wanted)."""

    code = "validation_failed"


def new_id(prefix: str) -> str:
    """What is a fresh id with this prefix? Later ids sort later, to about a microsecond."""
    return id_of(prefix, new_uuid())


def new_uuid() -> UUID:
    """What is a fresh UUIDv7? Milliseconds, then the microsecond fraction, then 62 random bits.

    Source: RFC 9562 section 5.7, with section 6.2 method 3 for the 12 bits after the version.
    """
    micros = clock.unix_us(clock.now())
    millis, rest = divmod(micros, 1_000)
    fraction = rest * 4096 // 1_000
    random = int.from_bytes(os.urandom(8)) >> 2
    return UUID(int=millis << 80 | 0x7 << 76 | fraction << 64 | 0b10 << 62 | random)


def id_of(prefix: str, uuid: UUID) -> str:
    """How is this UUID written with this prefix?

    Raises: KeyError when the prefix is not in PREFIXES.
    """
    if prefix not in PREFIXES:
        raise KeyError(
            f"{prefix!r} is not an id prefix; the prefixes are {', '.join(PREFIXES)}"
        )
    return f"{prefix}_{text_of(uuid.int)}"


def text_of(number: int) -> str:
    """How are these 128 bits written? The part of an id after its prefix."""
    # Two characters a look-up, unrolled: this stands twice in every answer of the plane.
    pair = _PAIRS
    return (
        f"{pair[number >> 120]}{pair[number >> 110 & 1023]}{pair[number >> 100 & 1023]}"
        f"{pair[number >> 90 & 1023]}{pair[number >> 80 & 1023]}{pair[number >> 70 & 1023]}"
        f"{pair[number >> 60 & 1023]}{pair[number >> 50 & 1023]}{pair[number >> 40 & 1023]}"
        f"{pair[number >> 30 & 1023]}{pair[number >> 20 & 1023]}{pair[number >> 10 & 1023]}"
        f"{pair[number & 1023]}"
    )


def uuid_of(text: str, prefix: str | None = None) -> UUID:
    """Which UUID does this id name?

    Raises: IdMalformed (`validation_failed`) when it is no id, or not one with `prefix`.
    """
    found = _ID.fullmatch(text)
    if found is None or found[1] not in PREFIXES or prefix not in (None, found[1]):
        expected = prefix or "|".join(PREFIXES)
        message = f"An id looks like {expected}_ and 26 lower-case characters."
        raise IdMalformed(
            got=text[:40], expected=expected, errors=[FieldError("", "id_malformed", message)]
        )
    number = 0
    for character in found[2]:
        number = number << 5 | _VALUES[character]
    return UUID(int=number)


def uid(*, scope: str, key: str, origin_ms: int) -> UUID:
    """Which UUIDv8 does this key have in this scope? Equal input, equal uid.

    Units: `origin_ms` = Unix milliseconds of the thing's own origin (0 for bare client keys),
    so that the index stays ordered by time.
    Source: 48 bits of milliseconds, then the first 10 bytes of SHA-256 over the three lines
    `o10-uid-v1`, scope and key (joined by line feeds), version 8 and variant set over them.
    """
    if "\n" in scope:
        raise ValueError("a scope is one line")
    digest = sha256(f"o10-uid-v1\n{scope}\n{key}".encode()).digest()
    raw = bytearray(origin_ms.to_bytes(6) + digest[:10])
    raw[6] = raw[6] & 0x0F | 0x80
    raw[8] = raw[8] & 0x3F | 0x80
    return UUID(bytes=bytes(raw))


class UidSeries:
    """Which uids have the keys `<prefix><suffix>` of one scope? `uid`, half of it done."""

    __slots__ = ("_begun", "_head")

    def __init__(self, *, scope: str, prefix: str, origin_ms: int) -> None:
        if "\n" in scope:
            raise ValueError("a scope is one line")
        self._begun = sha256(f"o10-uid-v1\n{scope}\n{prefix}".encode())
        self._head = origin_ms << 80

    def number(self, suffix: str) -> int:
        """Which uid has this suffix, as the 128-bit integer that it is?"""
        digest = self._begun.copy()
        digest.update(suffix.encode())
        tail = int.from_bytes(digest.digest()[:10])
        return self._head | tail & _TAIL_KEPT | _TAIL_SET
