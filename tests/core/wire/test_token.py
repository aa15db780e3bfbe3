from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o10.kernel.clock import unix_ms
from o10.kernel.errors import TokenInvalid
from o10.wire.token import ReservationToken, looks_like_token, read, sign
from tests.core.kernel.golden import golden

GOLDEN = golden("token")
KEY = bytes.fromhex(GOLDEN["key_hex"])
OTHER_KEY = bytes(32)


def token_of(vector):
    return ReservationToken(
        key_id=vector["key_id"],
        lease=UUID(vector["lease"]),
        sequence=vector["sequence"],
        amount_nanos=vector["amount_nanos"],
        policy_version=vector["policy_version"],
        expires_at_ms=unix_ms(datetime.fromisoformat(vector["expires_at"])),
        max_output_tokens=vector["max_output_tokens"],
    )


TOKEN = token_of(GOLDEN["vectors"][0])
TEXT = GOLDEN["vectors"][0]["token"]
TOKENS = st.builds(
    ReservationToken,
    key_id=st.integers(0, 2**16 - 1),
    lease=st.uuids(),
    sequence=st.integers(0, 2**64 - 1),
    amount_nanos=st.integers(-(2**63), 2**63 - 1),
    policy_version=st.integers(0, 2**32 - 1),
    expires_at_ms=st.integers(0, 2**64 - 1),
    max_output_tokens=st.integers(0, 2**32 - 1),
)


def refused(text, keys=None):
    with pytest.raises(TokenInvalid) as caught:
        read(text, keys={7: KEY} if keys is None else keys)
    assert caught.value.fields == {}


@pytest.mark.parametrize("vector", GOLDEN["vectors"], ids=lambda v: v["token"][:12])
def test_golden_tokens_are_written_and_read(vector):
    assert sign(token_of(vector), key=KEY) == vector["token"]
    assert read(vector["token"], keys={7: KEY}) == token_of(vector)


def test_a_token_names_its_reservation():
    assert TOKEN.reservation_key == "01a1f849-0000-7000-8000-00000000000a#310"


@given(TOKENS, st.binary(min_size=32, max_size=32))
def test_every_token_reads_back(token, key):
    text = sign(token, key=key)
    assert looks_like_token(text)
    assert read(text, keys={token.key_id: key}) == token


@given(st.integers(0, 67 * 8 - 1))
def test_one_flipped_bit_anywhere_is_refused(bit):
    raw = bytearray(urlsafe_b64decode(TEXT + "=="))
    raw[bit // 8] ^= 1 << bit % 8
    refused(urlsafe_b64encode(raw).rstrip(b"=").decode(), keys={n: KEY for n in range(300)})


def test_the_spare_bits_of_the_last_character_give_no_second_spelling():
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    last = alphabet.index(TEXT[-1])
    for spare in range(1, 16):
        other = TEXT[:-1] + alphabet[last ^ spare]
        refused(other)


@pytest.mark.parametrize(
    "text",
    [
        "",
        TEXT[:-1],
        TEXT + "A",
        TEXT + "==",
        TEXT[:-1] + "+",
        " " + TEXT[1:],
        TEXT + "\n",
        "é" * 90,
    ],
)
def test_what_has_not_the_shape_of_a_token_is_refused(text):
    assert not looks_like_token(text)
    refused(text)


def test_an_unknown_or_another_key_is_refused():
    refused(TEXT, keys={})
    refused(TEXT, keys={8: KEY})
    refused(TEXT, keys={7: OTHER_KEY})


def test_a_token_of_no_key_is_not_the_token_of_a_zero_key():
    refused(sign(TOKEN, key=OTHER_KEY), keys={})


def test_a_rotated_key_is_read_while_it_is_kept():
    assert read(TEXT, keys={7: KEY, 8: OTHER_KEY}) == TOKEN


@pytest.mark.parametrize("size", [0, 16, 31, 33, 64])
def test_a_key_of_another_length_signs_nothing(size):
    with pytest.raises(ValueError, match="32 bytes"):
        sign(TOKEN, key=bytes(size))


def test_a_field_out_of_range_signs_nothing():
    with pytest.raises(ValueError, match="out of range"):
        sign(
            ReservationToken(
                key_id=2**16,
                lease=TOKEN.lease,
                sequence=1,
                amount_nanos=1,
                policy_version=1,
                expires_at_ms=1,
                max_output_tokens=1,
            ),
            key=KEY,
        )


def test_a_reservation_id_is_not_taken_for_a_token():
    assert not looks_like_token("rsv_01h455vb4pex5vsknk084sn02q")
