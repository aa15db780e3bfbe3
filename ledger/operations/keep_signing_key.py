"""Which key signs the ledger's checkpoints, and where is it kept?

One PEM file (PKCS #8, RFC 8410), made once with mode 0600; beside it, with the suffix `.pub`,
the public key in C2SP text, one line a key: verifiers need that one only, and after a rotation
the older lines stay.
"""

import base64
import binascii
import os
from pathlib import Path
from typing import Final

from ledger.core.checkpoint import SEED_BYTES, SigningKey, VerifierKey
from o10.kernel.errors import Corrupt

# RFC 8410 section 7: version 0, algorithm 1.3.101.112, an octet string in an octet string.
_PKCS8_PREFIX: Final = bytes.fromhex("302e020100300506032b657004220420")
_BEGIN: Final = "-----BEGIN PRIVATE KEY-----"
_END: Final = "-----END PRIVATE KEY-----"


class SigningKeyUnreadable(Corrupt):
    """Why is this file no Ed25519 key? Fields: `path`, `found`."""

    code = "signing_key_unreadable"


def load_signing_key(*, path: Path, name: str) -> SigningKey:
    """Which key signs under this name? Made at first use.

    Units: `name` is the ledger's origin.
    Raises: SigningKeyUnreadable (`signing_key_unreadable`).
    """
    if not path.exists():
        _create(path)
    key = SigningKey(name=name, seed=_seed(path))
    published = _public_path(path)
    line = key.verifier.text()
    present = published.read_text().splitlines() if published.exists() else []
    if line not in present and os.access(published.parent, os.W_OK):
        published.write_text("\n".join([*present, line]) + "\n")
    return key


def load_verifier_keys(*, path: Path, name: str) -> tuple[VerifierKey, ...]:
    """Which keys may have signed for this ledger? From the public file, else the private one.

    Raises: SigningKeyUnreadable (`signing_key_unreadable`) when neither can be read.
    """
    published = _public_path(path)
    if published.exists():
        keys = tuple(
            VerifierKey.parse(line)
            for line in published.read_text().splitlines()
            if line.strip()
        )
        return tuple(key for key in keys if key.name == name)
    return (SigningKey(name=name, seed=_seed(path)).verifier,)


def _public_path(path: Path) -> Path:
    return path.with_suffix(".pub")


def _create(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    body = base64.b64encode(_PKCS8_PREFIX + os.urandom(SEED_BYTES)).decode()
    # Written beside and linked: another process sees no file or a whole one.
    draft = path.with_suffix(f".{os.getpid()}.new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(f"{_BEGIN}\n{body}\n{_END}\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)
    except FileExistsError:
        # Another process was first; its key holds.
        pass
    finally:
        draft.unlink()


def _seed(path: Path) -> bytes:
    try:
        text = path.read_text()
        framed = text.partition(_BEGIN)[2].partition(_END)[0]
        raw = base64.b64decode("".join(framed.split()), validate=True)
    except (OSError, UnicodeDecodeError, binascii.Error) as error:
        raise SigningKeyUnreadable(path=str(path), found=str(error)) from error
    seed = raw.removeprefix(_PKCS8_PREFIX)
    if len(raw) != len(_PKCS8_PREFIX) + SEED_BYTES or len(seed) != SEED_BYTES:
        raise SigningKeyUnreadable(path=str(path), found="no PKCS #8 Ed25519 key")
    return seed
