"""What does a key look like, and what of it is stored?

`o10_` and 32 random bytes in base62; SHA-256 at rest. A key has 256 bits of entropy: a plain
hash of it cannot be searched, and a slow hash would only slow us.
Source: docs/decisions/0020-people-and-keys.md.
"""

import re
import secrets
from dataclasses import dataclass
from hashlib import sha256

PREFIX = "o10_"
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
# 62^43 > 2^256: every value of 32 bytes fits into 43 digits.
_LENGTH = 43
_KEY = re.compile(rf"{PREFIX}[0-9A-Za-z]{{{_LENGTH}}}", re.A)


@dataclass(frozen=True, slots=True, repr=False)
class Secret:
    """Which key was just made? The only moment the text exists on our side."""

    text: str

    @property
    def last_four(self) -> str:
        """What people may see of it."""
        return self.text[-4:]

    @property
    def hash(self) -> bytes:
        """What is stored of it."""
        return hash_of(self.text)

    def __repr__(self) -> str:
        """Never the secret: this may end in a log."""
        return f"Secret(…{self.last_four})"


def new_secret() -> Secret:
    """What is a fresh key?"""
    return Secret(PREFIX + base62(secrets.token_bytes(32)))


def base62(raw: bytes) -> str:
    """How are 32 bytes written in 43 base62 digits? Leading zeroes kept."""
    number = int.from_bytes(raw)
    digits = []
    for _ in range(_LENGTH):
        number, digit = divmod(number, 62)
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))


def has_form(text: str) -> bool:
    """Could this be one of our keys? Cheap test before anything is hashed or looked up."""
    return _KEY.fullmatch(text) is not None


def hash_of(text: str) -> bytes:
    """Which 32 bytes are stored for this key?"""
    return sha256(text.encode()).digest()
