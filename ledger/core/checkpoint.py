"""What does the ledger sign about its size and root, and who signed it?

A checkpoint is the text of C2SP tlog-checkpoint (origin, size, root) inside a C2SP signed note.
Signature lines of keys that the reader doesn't know are ignored: rotation, witnesses and later
algorithms stand on that.
Source: C2SP signed-note and tlog-checkpoint; RFC 8032; docs/algorithms/checkpoint.md.
Golden: tests/golden/ledger_notes.json.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from ledger.core.chain import HASH_BYTES
from o10.kernel.errors import Corrupt, Rejected

ED25519: Final = b"\x01"
KEY_ID_BYTES: Final = 4
SEED_BYTES: Final = 32
NOTE_BYTES_MAX: Final = 1_000_000
SIGNATURES_MAX: Final = 100
_SIGNATURE_LINE: Final = re.compile(r"— ([^\s+]+) ([A-Za-z0-9+/]+={0,2})")
_SIZE: Final = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)
_NAME: Final = re.compile(r"[^\s+]+")


class NoteMalformed(Corrupt):
    """Which part of the note isn't as C2SP writes it? Fields: `place`, `found`."""

    code = "note_malformed"


class SignatureInvalid(Corrupt):
    """Who should have signed, and what is there? Fields: `expected`, `found` (name+key id)."""

    code = "signature_invalid"


class KeyInvalid(Rejected):
    """Why is this no key? Fields: `found`."""

    code = "key_invalid"


class Signature(NamedTuple):
    """Which signature line stands below a note: name, key id (4 bytes), signature bytes?"""

    name: str
    key_id: bytes
    raw: bytes


class Note(NamedTuple):
    """Which text was signed (it ends with a newline), and by which lines?"""

    text: str
    signatures: tuple[Signature, ...]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How large is the ledger of this origin, and which root has it (32 bytes)?"""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """What is the text that gets signed? No extension lines."""
        root = base64.b64encode(self.root).decode()
        return f"{self.origin}\n{self.size}\n{root}\n"


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """Who may sign for the ledger: name and Ed25519 public key (32 bytes)?"""

    name: str
    public: bytes

    @property
    def key_id(self) -> bytes:
        """Which four bytes name the key in a signature line?"""
        return sha256(self.name.encode() + b"\n" + ED25519 + self.public).digest()[
            :KEY_ID_BYTES
        ]

    def text(self) -> str:
        """How is the key published? `<name>+<hex key id>+<base64(0x01 || key)>`."""
        body = base64.b64encode(ED25519 + self.public).decode()
        return f"{self.name}+{self.key_id.hex()}+{body}"

    @classmethod
    def parse(cls, text: str) -> VerifierKey:
        """Which key does this text publish?

        Raises: KeyInvalid (`key_invalid`).
        """
        name, _, rest = text.strip().partition("+")
        key_id, _, body = rest.partition("+")
        try:
            raw = base64.b64decode(body, validate=True)
        except binascii.Error as error:
            raise KeyInvalid(found=text) from error
        key = cls(name, raw[1:])
        if not _NAME.fullmatch(name) or raw[:1] != ED25519 or len(raw) != 1 + HASH_BYTES:
            raise KeyInvalid(found=text)
        if key.key_id.hex() != key_id:
            raise KeyInvalid(found=text)
        return key


class SigningKey:
    """Which key signs for the ledger? The seed never shows in text or repr."""

    __slots__ = ("_private", "name", "verifier")

    def __init__(self, *, name: str, seed: bytes) -> None:
        if not _NAME.fullmatch(name) or len(seed) != SEED_BYTES:
            raise KeyInvalid(found=name)
        self.name = name
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        self.verifier = VerifierKey(name, self._private.public_key().public_bytes_raw())

    def __repr__(self) -> str:
        return f"SigningKey({self.name}+{self.verifier.key_id.hex()})"

    def signature(self, text: str) -> Signature:
        """Which signature does this key put below the text?"""
        return Signature(self.name, self.verifier.key_id, self._private.sign(text.encode()))


def write_note(text: str, signatures: Iterable[Signature]) -> str:
    """How is a signed text written?"""
    lines = (
        f"— {name} {base64.b64encode(key_id + raw).decode()}\n"
        for name, key_id, raw in signatures
    )
    return f"{text}\n{''.join(lines)}"


def sign_checkpoint(checkpoint: Checkpoint, *keys: SigningKey) -> str:
    """Which note states this checkpoint, signed by these keys (several during a rotation)?"""
    text = checkpoint.text()
    return write_note(text, (key.signature(text) for key in keys))


def parse_note(note: str) -> Note:
    """Which text and which signature lines does this note hold? Nothing is verified here.

    Raises: NoteMalformed (`note_malformed`).
    """
    if len(note) > NOTE_BYTES_MAX:
        raise NoteMalformed(place="length", found=len(note))
    if any(ord(character) < ord(" ") and character != "\n" for character in note):
        raise NoteMalformed(place="control character", found="")
    text, blank, block = note.rpartition("\n\n")
    if not blank or not block.endswith("\n"):
        raise NoteMalformed(place="blank line before the signatures", found="")
    lines = block[:-1].split("\n")
    if len(lines) > SIGNATURES_MAX:
        raise NoteMalformed(place="signature count", found=len(lines))
    return Note(text + "\n", tuple(_parse_signature(line) for line in lines))


def parse_checkpoint(text: str) -> Checkpoint:
    """Which checkpoint does this text state? Extension lines are allowed and ignored.

    Raises: NoteMalformed (`note_malformed`).
    """
    lines = text.split("\n")
    if len(lines) < 4 or lines[-1] or not all(lines[:-1]):
        raise NoteMalformed(place="lines", found=len(lines) - 1)
    origin, size, root = lines[:3]
    if not _SIZE.fullmatch(size):
        raise NoteMalformed(place="size", found=size)
    try:
        raw = base64.b64decode(root, validate=True)
    except binascii.Error as error:
        raise NoteMalformed(place="root", found=root) from error
    if len(raw) != HASH_BYTES or base64.b64encode(raw).decode() != root:
        raise NoteMalformed(place="root", found=root)
    return Checkpoint(origin, int(size), raw)


def check_note(note: str, *, keys: Iterable[VerifierKey]) -> tuple[Checkpoint, VerifierKey]:
    """Which checkpoint does this note state, and which of these keys signed it?

    Every signature line of a known key must be right; lines of unknown keys are ignored.
    Raises: NoteMalformed (`note_malformed`); SignatureInvalid (`signature_invalid`) when the
    line of a known key is wrong or no known key signed.
    """
    parsed = parse_note(note)
    known = {(key.name, key.key_id): key for key in keys}
    signed: list[VerifierKey] = []
    for line in parsed.signatures:
        key = known.get((line.name, line.key_id))
        if key is None:
            continue
        _check_signature(parsed.text, line, key)
        signed.append(key)
    if not signed:
        raise SignatureInvalid(
            expected=[f"{name}+{key_id.hex()}" for name, key_id in known],
            found=[f"{line.name}+{line.key_id.hex()}" for line in parsed.signatures],
        )
    return parse_checkpoint(parsed.text), signed[0]


def _check_signature(text: str, line: Signature, key: VerifierKey) -> None:
    try:
        Ed25519PublicKey.from_public_bytes(key.public).verify(line.raw, text.encode())
    except InvalidSignature as error:
        raise SignatureInvalid(
            expected=f"a signature of {key.name}+{key.key_id.hex()}", found=line.raw.hex()
        ) from error


def _parse_signature(line: str) -> Signature:
    match = _SIGNATURE_LINE.fullmatch(line)
    if match is None:
        raise NoteMalformed(place="signature line", found=line)
    try:
        raw = base64.b64decode(match[2], validate=True)
    except binascii.Error as error:
        raise NoteMalformed(place="signature line", found=line) from error
    if len(raw) <= KEY_ID_BYTES:
        raise NoteMalformed(place="signature line", found=line)
    return Signature(match[1], raw[:KEY_ID_BYTES], raw[KEY_ID_BYTES:])
