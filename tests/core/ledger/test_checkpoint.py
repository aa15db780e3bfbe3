"""Are checkpoints written and read as C2SP says, also by somebody else's code?"""

import base64
import json
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from ledger.core import verify
from ledger.core.checkpoint import (
    Checkpoint,
    KeyInvalid,
    NoteMalformed,
    SignatureInvalid,
    SigningKey,
    VerifierKey,
    check_note,
    parse_checkpoint,
    parse_note,
    sign_checkpoint,
)

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "ledger_notes.json").read_text())
STATED = Checkpoint(
    GOLDEN["checkpoint"]["origin"],
    GOLDEN["checkpoint"]["size"],
    bytes.fromhex(GOLDEN["checkpoint"]["root"]),
)
SIGNER = SigningKey(name=STATED.origin, seed=bytes.fromhex(GOLDEN["seed"]))
SPECIFICATION = """ledger.example.com/acme
2
bpsFdcKeWTvDZjDoHCQfux+q0p0dhhFkKLTJCGpICMA=

— ledger.example.com/acme XL80FA+0BgNaK/dZiJFdRWOOjhnKpMr95pSEMlvKHW0W\
/Hq7a/mEd9XtyXBQ6ingRq2ZXjZJCjyysSmKd0ur8CnuUwk=
"""


def read_elsewhere(note: str, verifier_key: str) -> tuple[str, int, bytes]:
    """An own reader of notes: splits lines by hand, knows nothing of the module under test."""
    name, hex_id, encoded = verifier_key.split("+", 2)
    public = base64.b64decode(encoded)
    assert public[0] == 1
    assert sha256(name.encode() + b"\n" + public).digest()[:4].hex() == hex_id
    body, signatures = note[: note.rindex("\n\n") + 1], note[note.rindex("\n\n") + 2 :]
    for line in signatures.splitlines():
        dash, signer, raw = line.split(" ")
        signature = base64.b64decode(raw)
        if dash == "\u2014" and signer == name and signature[:4].hex() == hex_id:
            Ed25519PublicKey.from_public_bytes(public[1:]).verify(signature[4:], body.encode())
            origin, size, root = body.splitlines()[:3]
            return origin, int(size), base64.b64decode(root)
    raise AssertionError("not signed by that key")


def test_the_checkpoint_of_the_specification_is_signed_byte_for_byte() -> None:
    assert sign_checkpoint(STATED, SIGNER) == SPECIFICATION == GOLDEN["sound"]["golden"]
    assert SIGNER.verifier.text() == GOLDEN["verifier_key"]
    assert SIGNER.verifier.key_id.hex() == GOLDEN["key_id"] == "5cbf3414"
    assert SIGNER.verifier.public.hex() == GOLDEN["public"]


@pytest.mark.parametrize("name", GOLDEN["sound"])
def test_a_sound_note_is_read_alike_by_three_readers(name: str) -> None:
    note = GOLDEN["sound"][name]
    stated = (STATED.origin, STATED.size, STATED.root)
    assert check_note(note, keys=[SIGNER.verifier]) == (STATED, SIGNER.verifier)
    assert read_elsewhere(note, SIGNER.verifier.text()) == stated
    offline = verify.Checkpoint.parse(note)
    assert offline[:3] == stated
    key = verify.Key.parse(SIGNER.verifier.text())
    assert offline.signers([key]) == ([key], [])


def test_a_note_signed_by_two_keys_is_read_with_either() -> None:
    note, rotated = GOLDEN["sound"]["two_keys_in_rotation"], GOLDEN["rotated_key"]
    assert check_note(note, keys=[VerifierKey.parse(rotated)])[0] == STATED
    assert read_elsewhere(note, rotated)[1] == 2


@pytest.mark.parametrize("name", GOLDEN["unsigned"])
def test_a_note_that_no_known_key_signed_is_refused(name: str) -> None:
    with pytest.raises(SignatureInvalid) as refused:
        check_note(GOLDEN["unsigned"][name], keys=[SIGNER.verifier])
    assert refused.value.code == "signature_invalid"
    offline = verify.Checkpoint.parse(GOLDEN["unsigned"][name])
    assert offline.signers([verify.Key.parse(SIGNER.verifier.text())])[0] == []


@pytest.mark.parametrize("name", GOLDEN["malformed"])
def test_a_malformed_note_is_refused(name: str) -> None:
    with pytest.raises(NoteMalformed):
        check_note(GOLDEN["malformed"][name], keys=[SIGNER.verifier])


@pytest.mark.parametrize("name", GOLDEN["malformed_text"])
def test_a_malformed_checkpoint_is_refused_by_both_readers(name: str) -> None:
    text = GOLDEN["malformed_text"][name]
    with pytest.raises(NoteMalformed):
        parse_checkpoint(text)
    with pytest.raises(verify.NoteError):
        verify.Checkpoint.parse(f"{text}\n{SPECIFICATION.rpartition(chr(10) * 2)[2]}")


def test_a_flipped_bit_anywhere_in_the_text_breaks_the_signature() -> None:
    text, _, block = SPECIFICATION.rpartition("\n\n")
    for place in range(len(text)):
        for bit in (1, 2, 4):
            changed = text[:place] + chr(ord(text[place]) ^ bit) + text[place + 1 :]
            with pytest.raises((SignatureInvalid, NoteMalformed)):
                check_note(f"{changed}\n\n{block}", keys=[SIGNER.verifier])


def test_too_many_signature_lines_are_refused() -> None:
    text, _, line = SPECIFICATION.rpartition("\n\n")
    assert check_note(f"{text}\n\n{line * 100}", keys=[SIGNER.verifier])[0] == STATED
    with pytest.raises(NoteMalformed):
        parse_note(f"{text}\n\n{line * 101}")
    with pytest.raises(NoteMalformed):
        parse_note("x" * 1_000_001)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name",
        "name+5cbf3414+!",
        GOLDEN["verifier_key"].replace("5cbf3414", "5cbf3415"),
        GOLDEN["verifier_key"].replace("acme", "acne"),
        GOLDEN["verifier_key"][:-4],
        GOLDEN["verifier_key"].replace("AQOh", "AgOh"),
        "+" + GOLDEN["verifier_key"].partition("+")[2],
    ],
)
def test_another_text_is_no_key(text: str) -> None:
    with pytest.raises(KeyInvalid):
        VerifierKey.parse(text)
    with pytest.raises(verify.NoteError):
        verify.Key.parse(text)


@pytest.mark.parametrize(("name", "length"), [("a b", 32), ("a+b", 32), ("", 32), ("a", 31)])
def test_a_signing_key_needs_a_name_without_spaces_and_32_bytes(name: str, length: int) -> None:
    with pytest.raises(KeyInvalid):
        SigningKey(name=name, seed=bytes(length))


def test_a_signing_key_never_shows_its_seed() -> None:
    assert "000102" not in repr(SIGNER)
    assert repr(SIGNER) == "SigningKey(ledger.example.com/acme+5cbf3414)"


# RFC 8032 section 7.1, tests 1 to 3: public key, message, signature.
RFC_8032 = [
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bac"
        "c61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e"
        "458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290"
        "ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
]


@pytest.mark.parametrize(("public", "message", "signature"), RFC_8032)
def test_the_built_in_check_follows_rfc_8032(public: str, message: str, signature: str) -> None:
    key, text, signed = (bytes.fromhex(value) for value in (public, message, signature))
    assert verify.is_signed_rfc8032(key, text, signed)
    assert verify.is_signed(key, text, signed)
    for place in (0, 31, 32, 63):
        changed = bytearray(signed)
        changed[place] ^= 1
        assert not verify.is_signed_rfc8032(key, text, bytes(changed))
        assert not verify.is_signed(key, text, bytes(changed))
    assert not verify.is_signed_rfc8032(key, text + b"x", signed)


def test_a_signature_with_a_scalar_above_the_order_is_refused() -> None:
    public, message, signature = (bytes.fromhex(value) for value in RFC_8032[1])
    order = 2**252 + 27742317777372353535851937790883648493
    scalar = int.from_bytes(signature[32:], "little") + order
    forged = signature[:32] + scalar.to_bytes(32, "little")
    assert not verify.is_signed_rfc8032(public, message, forged)
    assert not verify.is_signed(public, message, forged)


@pytest.mark.parametrize(
    "public",
    [
        "0100000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    ],
)
def test_a_key_of_small_order_signs_nothing(public: str) -> None:
    key = bytes.fromhex(public)
    assert verify.is_weak(key)
    # The neutral element as commitment and 0 as scalar fit any message under such a key.
    assert not verify.is_signed(key, b"any", bytes([1]) + bytes(63))
