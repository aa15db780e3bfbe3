"""Has every document one form, and is anything without one refused?"""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.core.document import (
    DOCUMENT_BYTES_MAX,
    DocumentInvalid,
    canonical_json,
    document_hash,
    integer_of,
)
from ledger.core.verify import canonical

APPROVAL = {"requested_by": "usr_2", "approved_by": "usr_4", "reason": "wrong use case"}
KEYS = st.text(st.characters(max_codepoint=126, exclude_categories=("Cc",)), max_size=8)
TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
BODIES = st.dictionaries(
    KEYS,
    st.recursive(
        st.one_of(st.none(), TEXTS, st.integers()),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)
        ),
        max_leaves=8,
    ),
    max_size=5,
)


def test_the_approval_of_golden_e2_has_the_hash_of_the_specification() -> None:
    encoded = canonical_json(APPROVAL)
    assert encoded == (
        b'{"approved_by":"usr_4","reason":"wrong use case","requested_by":"usr_2"}'
    )
    assert document_hash(encoded).hex() == (
        "c888d38358576c6e74e8dd0f67366b08fb44db76d5a682acb72ea99ad27e842d"
    )


def test_the_decision_of_golden_e1_has_the_first_16_bytes_of_its_hash() -> None:
    encoded = canonical_json({"decision": "allow", "offer": "o1"})
    assert document_hash(encoded)[:16].hex() == "d079a27d772ac0814ef50031e4649fb5"


@given(BODIES)
def test_the_order_of_keys_does_not_matter_and_the_verifier_writes_the_same(
    body: dict[str, object],
) -> None:
    encoded = canonical_json(body)
    assert canonical_json(dict(reversed(body.items()))) == encoded
    assert canonical(json.loads(encoded)) == encoded
    assert canonical_json(json.loads(encoded)) == encoded


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (2**53, b"9007199254740992"),
        (2**53 + 1, b'"9007199254740993"'),
        (-(2**53), b"-9007199254740992"),
        (-(2**53) - 1, b'"-9007199254740993"'),
    ],
)
def test_an_integer_beyond_2_to_the_53_is_a_decimal_string(number: int, text: bytes) -> None:
    encoded = canonical_json({"cap_nanos": number})
    assert encoded == b'{"cap_nanos":' + text + b"}"
    assert integer_of(json.loads(encoded)["cap_nanos"]) == number


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"share": 0.5}, "/share"),
        ({"share": float("nan")}, "/share"),
        ({"hard": True}, "/hard"),
        ({"raw": b"x"}, "/raw"),
        ({"list": [1, {"x": {1, 2}}]}, "/list/1/x"),
        ({1: "number"}, ""),
        ({"größe": 1}, ""),
        ({"text": "\ud800"}, ""),
        ({"text": "x" * DOCUMENT_BYTES_MAX}, ""),
    ],
)
def test_what_has_no_canonical_form_is_refused_by_place(body: dict, place: str) -> None:
    with pytest.raises(DocumentInvalid) as refused:
        canonical_json(body)
    assert refused.value.fields["place"] == place


def test_a_document_of_more_than_16_levels_is_refused() -> None:
    body: dict[str, object] = {}
    for _ in range(16):
        body = {"in": body}
    assert canonical_json(body).count(b"in") == 16
    with pytest.raises(DocumentInvalid):
        canonical_json({"in": body})
