"""Does a key keep its form, its entropy and its silence?"""

from hypothesis import given
from hypothesis import strategies as st

from o10.access.secret import Secret, base62, has_form, hash_of, new_secret

DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def _value(text: str) -> int:
    number = 0
    for digit in text:
        number = number * 62 + DIGITS.index(digit)
    return number


@given(raw=st.binary(min_size=32, max_size=32))
def test_base62_keeps_all_256_bits_in_43_digits(raw):
    text = base62(raw)
    assert len(text) == 43
    assert _value(text).to_bytes(32) == raw


def test_known_digits():
    assert base62(bytes(32)) == "0" * 43
    assert base62((61).to_bytes(32)) == "0" * 42 + "z"
    assert base62((62).to_bytes(32)) == "0" * 41 + "10"


def test_a_new_key_has_the_form_and_no_two_are_equal():
    made = [new_secret().text for _ in range(100)]
    assert all(has_form(text) for text in made)
    assert len(set(made)) == 100


def test_other_texts_are_no_keys():
    good = new_secret().text
    for text in ("", "o10_", good[:-1], good + "a", good.upper(), good + "\n", " " + good):
        assert not has_form(text)


def test_the_hash_is_sha_256_of_the_whole_text():
    assert hash_of("o10_" + "0" * 43).hex() == (
        "5287296c1211dcad3f7a669908b9a5cbfe9a17759acf6cbbb7f9d96763da816e"
    )


def test_a_secret_never_prints_itself():
    secret = Secret("o10_" + "A" * 39 + "WXYZ")
    for shown in (repr(secret), f"{secret}", f"{secret!r}", f"{[secret]}"):
        assert "WXYZ" in shown
        assert "AAAA" not in shown
