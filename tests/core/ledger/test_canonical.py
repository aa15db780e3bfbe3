"""Does one entry have one image, and one image one entry?"""

import json
import unicodedata
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.core.canonical import EntryInvalid, ImageMalformed, decode, encode, reader_of
from ledger.core.chain import chain_start, leaf, link
from ledger.core.entry import (
    COLUMNS_V1,
    EPOCH,
    MARKS_MASK,
    Basis,
    Entry,
    Finish,
    Flag,
    Kind,
    Purpose,
    pack_flags,
    unpack_flags,
)

from .books import ORIGIN, make_entry

GOLDEN = Path(__file__).parents[2] / "golden"
IMAGES = json.loads((GOLDEN / "ledger_images.json").read_text())["vectors"]
CHAIN = json.loads((GOLDEN / "ledger_chain.json").read_text())
E1_LEAF = "99a3448ae3fcce61e743585af2bfd4dadcd78226e86e6e67351e59a28213f4c4"
E2_LEAF = "6285bec49465411d6664694d2ca30023e009ffd729a7a43fd79d4199361c9e52"
FROZEN_V1 = (
    "ver:smallint ledger_id:integer kind:smallint uid:uuid effective_at:timestamptz "
    "recorded_at:timestamptz envelope_id:integer use_case_id:integer dims_id:integer "
    "offer_id:integer venue_id:integer model_id:integer actor_id:integer amount_nanos:bigint "
    "held_nanos:bigint unsettled_nanos:bigint reserved_nanos:bigint counter_nanos:bigint "
    "n:integer tok_in:bigint tok_cache_read:bigint tok_cache_write:bigint "
    "tok_cache_write_1h:bigint tok_out:bigint tok_reasoning:bigint latency_ms:integer "
    "price_version:integer policy_version:integer decision:uuid reservation:uuid lease:uuid "
    "parent:uuid attempt:smallint flags:integer env_version:bigint reverses:uuid doc:bytea "
    "ref:text"
)
BITS = {"smallint": 15, "integer": 31, "bigint": 63}


def entry_of(fields_: dict[str, object]) -> Entry:
    read = {
        "uuid": UUID,
        "timestamptz": datetime.fromisoformat,
        "bytea": bytes.fromhex,
        "text": str,
    }
    return Entry(
        **{c.name: read.get(c.type, int)(fields_[c.name]) for c in COLUMNS_V1}  # type: ignore[operator]
    )


def whole_numbers(bits: int) -> st.SearchStrategy[int]:
    return st.integers(-(2**bits), 2**bits - 1)


def instants() -> st.SearchStrategy[datetime]:
    return st.datetimes(timezones=st.just(UTC)).filter(lambda value: value != EPOCH)


FLAGS = st.builds(
    pack_flags,
    basis=st.sampled_from(Basis),
    purpose=st.sampled_from(Purpose),
    finish=st.sampled_from(Finish),
    marks=st.integers(0, MARKS_MASK).map(lambda bits: Flag(bits & MARKS_MASK)),
)
REFS = (
    st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=16)
    .map(lambda text: unicodedata.normalize("NFC", text))
    .filter(lambda text: len(text.encode()) <= 64)
)
ENTRIES = st.builds(
    Entry,
    **{c.name: whole_numbers(BITS[c.type]) for c in COLUMNS_V1 if c.type in BITS}
    | {c.name: st.uuids() for c in COLUMNS_V1 if c.type == "uuid"}
    | {
        "ver": st.just(1),
        "kind": st.sampled_from(Kind).map(int),
        "flags": FLAGS,
        "effective_at": instants(),
        "recorded_at": instants(),
        "doc": st.one_of(st.just(b""), st.binary(min_size=32, max_size=32)),
        "ref": REFS,
    },
)


def test_the_column_list_of_version_1_is_frozen() -> None:
    assert " ".join(f"{c.name}:{c.type}" for c in COLUMNS_V1) == FROZEN_V1
    assert tuple(field.name for field in fields(Entry)) == tuple(c.name for c in COLUMNS_V1)


def test_there_are_at_least_fifty_vectors_and_one_of_every_kind() -> None:
    assert len(IMAGES) >= 50
    assert {vector["entry"]["kind"] for vector in IMAGES} == set(map(int, Kind))


@pytest.mark.parametrize("vector", IMAGES, ids=lambda vector: vector["name"])
def test_every_vector_encodes_and_decodes_to_itself(vector: dict) -> None:
    image, entry = bytes.fromhex(vector["image"]), entry_of(vector["entry"])
    assert encode(entry) == image
    assert decode(image) == entry
    assert leaf(image).hex() == vector["leaf"]
    assert len(image) == 420 + len(entry.doc) + len(entry.ref.encode())


def test_the_first_two_vectors_are_the_settle_and_its_reversal_of_the_specification() -> None:
    assert [vector["leaf"] for vector in IMAGES[:2]] == [E1_LEAF, E2_LEAF]
    assert [len(bytes.fromhex(vector["image"])) for vector in IMAGES[:2]] == [433, 452]


def test_the_chain_links_every_vector() -> None:
    head = chain_start(ORIGIN)
    assert head.hex() == CHAIN["start"]
    for vector, expected in zip(IMAGES, CHAIN["links"], strict=True):
        head = link(head, bytes.fromhex(vector["leaf"]))
        assert head.hex() == expected
    assert CHAIN["links"][1].startswith("5524294effd05fa4")


@given(ENTRIES.filter(lambda entry: entry.uid.int != 0))
@settings(max_examples=150)
def test_any_entry_survives_its_image(entry: Entry) -> None:
    assert decode(encode(entry)) == entry


@given(st.data())
@settings(max_examples=150)
def test_a_flipped_bit_gives_another_entry_or_no_image(data: st.DataObject) -> None:
    image = bytearray(encode(make_entry()))
    place = data.draw(st.integers(0, len(image) * 8 - 1))
    image[place // 8] ^= 1 << place % 8
    changed = bytes(image)
    try:
        entry = decode(changed)
    except ImageMalformed:
        return
    assert entry != make_entry()
    assert encode(entry) == changed


@given(st.binary(max_size=500))
def test_bytes_that_decode_are_the_image_of_what_they_decode_to(noise: bytes) -> None:
    try:
        entry = decode(noise)
    except ImageMalformed:
        return
    assert encode(entry) == noise


@pytest.mark.parametrize("length", [0, 1, 2, 411, 419, 420, 432, 434])
def test_an_image_of_another_length_is_refused(length: int) -> None:
    image = encode(make_entry())
    with pytest.raises(ImageMalformed) as refused:
        decode((image + b"\x00")[:length])
    assert refused.value.code == "image_malformed"


def test_a_null_field_is_refused() -> None:
    image = bytearray(encode(make_entry()))
    image[2:6] = b"\xff\xff\xff\xff"
    with pytest.raises(ImageMalformed):
        decode(bytes(image))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ver", 2),
        ("kind", 0),
        ("kind", 33),
        ("uid", UUID(int=0)),
        ("uid", "01a1f84a-96ba-8b5f-a944-e044bf6327fc"),
        ("effective_at", EPOCH),
        ("recorded_at", datetime(2026, 11, 20, 9, 30)),  # noqa: DTZ001
        ("envelope_id", 2**31),
        ("amount_nanos", 2**63),
        ("amount_nanos", 1.0),
        ("amount_nanos", None),
        ("attempt", -(2**15) - 1),
        ("flags", 1 << 24),
        ("flags", -1),
        ("flags", 5),
        ("flags", 7 << 3),
        ("flags", 4 << 21),
        ("lease", None),
        ("doc", b"short"),
        ("doc", "x" * 32),
        ("ref", "x" * 65),
        ("ref", "é" * 33),
        ("ref", "e\u0301"),
        ("ref", "line\n"),
        ("ref", "\x7f"),
        ("ref", "\u0085"),
        ("ref", "\ud800"),
        ("ref", None),
    ],
)
def test_a_value_without_canonical_bytes_is_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(EntryInvalid) as refused:
        encode(replace(make_entry(), **{field: value}))
    assert refused.value.fields["field"] == field


def test_an_instant_of_another_zone_has_the_image_of_the_same_instant() -> None:
    entry = make_entry()
    elsewhere = entry.effective_at.astimezone(ZoneInfo("Asia/Kathmandu"))
    assert encode(replace(entry, effective_at=elsewhere)) == encode(entry)


def test_flags_come_apart_into_what_they_were_made_of() -> None:
    marks = Flag.UNGUARDED | Flag.LATE_SETTLE
    flags = pack_flags(
        basis=Basis.INVOICE, purpose=Purpose.FALLBACK, finish=Finish.ERROR, marks=marks
    )
    assert unpack_flags(flags) == (Basis.INVOICE, Purpose.FALLBACK, Finish.ERROR, marks)
    assert flags == 3 | 3 << 3 | 1 << 7 | 1 << 8 | 1 << 21
    with pytest.raises(ValueError, match="bits above"):
        unpack_flags(1 << 24)


def test_marks_and_sub_fields_fill_the_24_bits_without_overlap() -> None:
    assert MARKS_MASK | 0b111 | 0b111 << 3 | 0b111 << 21 == 2**24 - 1
    assert sum(flag.value for flag in Flag) == MARKS_MASK


def test_a_reader_takes_single_columns_out_of_an_image() -> None:
    image = encode(make_entry())
    assert reader_of("kind", "amount_nanos", "flags").unpack_from(image) == (4, 3_915_000, 0)
    assert reader_of("uid").unpack_from(image) == (make_entry().uid.bytes,)


def test_an_image_is_the_same_a_microsecond_apart_only_in_its_instant() -> None:
    entry = make_entry()
    later = replace(entry, effective_at=entry.effective_at + timedelta(microseconds=1))
    differing = [
        place
        for place, (a, b) in enumerate(zip(encode(entry), encode(later), strict=True))
        if a != b
    ]
    assert differing == [53]
