"""Which bytes stand for an entry, and which entry stands for these bytes?

The image is byte for byte the tuple that PostgreSQL's binary COPY emits for the hashed columns,
so a verifier hashes wire bytes untouched. `encode(decode(image)) == image` for every image that
`decode` accepts: there is one image per entry and one entry per image.
Source: docs/algorithms/canonical-image.md. Golden: tests/golden/ledger_images.json.
"""

from __future__ import annotations

import struct
import unicodedata
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from ledger.core.entry import (
    BASIS_MASK,
    COLUMNS_V1,
    DOC_BYTES,
    EPOCH,
    FINISH_MASK,
    FINISH_SHIFT,
    FLAGS_BITS,
    PURPOSE_MASK,
    PURPOSE_SHIFT,
    REF_BYTES_MAX,
    VERSION,
    ZERO_UUID,
    Basis,
    Entry,
    Finish,
    Kind,
    Purpose,
)
from o10.kernel.errors import Corrupt, Rejected

FIXED_BYTES: Final = 420
HEAD_BYTES: Final = 412
# Length word and value of each fixed-width PostgreSQL type, big-endian.
_FORMATS: Final = {
    "smallint": ("ih", 2),
    "integer": ("ii", 4),
    "bigint": ("iq", 8),
    "timestamptz": ("iq", 8),
    "uuid": ("i16s", 16),
}
_FIXED: Final = tuple(c for c in COLUMNS_V1 if c.type in _FORMATS)
_HEAD: Final = struct.Struct(">h" + "".join(_FORMATS[c.type][0] for c in _FIXED))
_WIDTHS: Final = tuple(_FORMATS[c.type][1] for c in _FIXED)
_LENGTH: Final = struct.Struct(">i")
_COUNT: Final = len(COLUMNS_V1)
_NO_DOC: Final = bytes(4)
_DOC_LENGTH: Final = _LENGTH.pack(DOC_BYTES)
_KINDS: Final = frozenset(int(kind) for kind in Kind)
_SECONDS_PER_DAY: Final = 86_400
_MICROS: Final = 1_000_000


class EntryInvalid(Rejected):
    """Which field of the entry has no canonical bytes?"""

    code = "entry_invalid"


class ImageMalformed(Corrupt):
    """At which place are these bytes not an image of version 1?"""

    code = "image_malformed"


def encode(entry: Entry) -> bytes:
    """What is the canonical image of this entry (420 bytes + doc + ref)?

    Raises: EntryInvalid (`entry_invalid`, fields `field` and `found`) when a value is out of
    the range of its column or of version 1.
    """
    problem = find_problem(entry)
    if problem is not None:
        raise EntryInvalid(field=problem, found=repr(getattr(entry, problem)))
    try:
        head = _pack_head(entry)
    except (struct.error, AttributeError, TypeError, OverflowError) as error:
        field = _find_unpackable(entry)
        raise EntryInvalid(field=field, found=repr(getattr(entry, field))) from error
    ref = entry.ref.encode()
    doc = entry.doc
    if doc:
        return b"".join((head, _DOC_LENGTH, doc, _LENGTH.pack(len(ref)), ref))
    return b"".join((head, _NO_DOC, _LENGTH.pack(len(ref)), ref))


def decode(image: bytes) -> Entry:
    """Which entry stands for these bytes?

    Raises: ImageMalformed (`image_malformed`, fields `place` and `found`) unless the bytes are
    exactly what `encode` gives for some entry.
    """
    if len(image) < FIXED_BYTES:
        raise ImageMalformed(place="length", found=len(image))
    values = _HEAD.unpack_from(image)
    if values[0] != _COUNT:
        raise ImageMalformed(place="column count", found=values[0])
    if values[1::2] != _WIDTHS:
        raise ImageMalformed(place="column widths", found=list(values[1::2]))
    fields: dict[str, Any] = {
        column.name: _from_wire(column.type, value)
        for column, value in zip(_FIXED, values[2::2], strict=True)
    }
    doc, offset = _take(image, HEAD_BYTES)
    raw_ref, offset = _take(image, offset)
    if offset != len(image):
        raise ImageMalformed(place="end", found=len(image) - offset)
    try:
        ref = raw_ref.decode()
    except UnicodeDecodeError as error:
        raise ImageMalformed(place="ref", found=raw_ref.hex()) from error
    entry = Entry(**fields, doc=doc, ref=ref)
    problem = find_problem(entry)
    if problem is not None:
        raise ImageMalformed(place=problem, found=repr(getattr(entry, problem)))
    return entry


def find_problem(entry: Entry) -> str | None:
    """Which field has a value that version 1 doesn't define, or None when all are sound?

    Widths are left to the packing; this is about meaning: version, kind, identity, instants,
    flag codes, the length of `doc` and the form of `ref`.
    """
    if entry.ver != VERSION:
        return "ver"
    if entry.kind not in _KINDS:
        return "kind"
    if entry.uid == ZERO_UUID:
        return "uid"
    if not _is_instant(entry.effective_at):
        return "effective_at"
    if not _is_instant(entry.recorded_at):
        return "recorded_at"
    if not _are_flags(entry.flags):
        return "flags"
    if not isinstance(entry.doc, bytes) or len(entry.doc) not in (0, DOC_BYTES):
        return "doc"
    return None if _is_ref(entry.ref) else "ref"


def reader_of(*names: str) -> struct.Struct:
    """Which reader takes just these fixed-width columns out of an image, in image order?

    Units: instants come as microseconds since 2000-01-01T00:00:00Z, uuids as 16 bytes.
    """
    layout = [">2x"]
    for column in _FIXED:
        code, width = _FORMATS[column.type]
        layout.append("4x" + code[1:] if column.name in names else f"{width + 4}x")
    return struct.Struct("".join(layout))


def micros_of(instant: datetime) -> int:
    """How many microseconds after 2000-01-01T00:00:00Z is this aware instant?"""
    gap = instant - EPOCH
    return (gap.days * _SECONDS_PER_DAY + gap.seconds) * _MICROS + gap.microseconds


def instant_of(micros: int) -> datetime:
    """Which UTC instant is this many microseconds after 2000-01-01T00:00:00Z?"""
    return EPOCH + timedelta(microseconds=micros)


def _pack_head(entry: Entry) -> bytes:
    e = entry
    return _HEAD.pack(
        _COUNT,
        *(2, e.ver, 4, e.ledger_id, 2, e.kind, 16, e.uid.bytes),
        *(8, micros_of(e.effective_at), 8, micros_of(e.recorded_at)),
        *(4, e.envelope_id, 4, e.use_case_id, 4, e.dims_id, 4, e.offer_id),
        *(4, e.venue_id, 4, e.model_id, 4, e.actor_id),
        *(8, e.amount_nanos, 8, e.held_nanos, 8, e.unsettled_nanos),
        *(8, e.reserved_nanos, 8, e.counter_nanos, 4, e.n),
        *(8, e.tok_in, 8, e.tok_cache_read, 8, e.tok_cache_write, 8, e.tok_cache_write_1h),
        *(8, e.tok_out, 8, e.tok_reasoning, 4, e.latency_ms),
        *(4, e.price_version, 4, e.policy_version),
        *(16, e.decision.bytes, 16, e.reservation.bytes, 16, e.lease.bytes),
        *(16, e.parent.bytes, 2, e.attempt, 4, e.flags, 8, e.env_version),
        *(16, e.reverses.bytes),
    )


def _find_unpackable(entry: Entry) -> str:
    for column in _FIXED:
        code = _FORMATS[column.type][0]
        value = getattr(entry, column.name)
        try:
            if column.type == "uuid":
                value = value.bytes
            elif column.type == "timestamptz":
                value = micros_of(value)
            struct.pack(">" + code, 0, value)
        except (struct.error, AttributeError, TypeError, OverflowError):
            return column.name
    return "ref"


def _take(image: bytes, offset: int) -> tuple[bytes, int]:
    start = offset + 4
    if start > len(image):
        raise ImageMalformed(place="length word", found=offset)
    end = start + _LENGTH.unpack_from(image, offset)[0]
    if not start <= end <= len(image):
        raise ImageMalformed(place="length word", found=end - start)
    return image[start:end], end


def _from_wire(column_type: str, value: int | bytes) -> int | UUID | datetime:
    if isinstance(value, bytes):
        return UUID(bytes=value)
    if column_type != "timestamptz":
        return value
    try:
        return instant_of(value)
    except OverflowError as error:
        raise ImageMalformed(place="timestamptz", found=value) from error


def _is_instant(value: datetime) -> bool:
    return isinstance(value, datetime) and value.tzinfo is not None and value != EPOCH


def _are_flags(flags: int) -> bool:
    return (
        isinstance(flags, int)
        and flags >> FLAGS_BITS == 0
        and flags & BASIS_MASK <= Basis.ATTESTED
        and (flags & PURPOSE_MASK) >> PURPOSE_SHIFT <= Purpose.SHADOW
        and (flags & FINISH_MASK) >> FINISH_SHIFT <= Finish.LENGTH
    )


def _is_ref(ref: str) -> bool:
    if not isinstance(ref, str):
        return False
    if ref.isascii():
        return len(ref) <= REF_BYTES_MAX and ref.isprintable()
    if not unicodedata.is_normalized("NFC", ref) or len(ref) > REF_BYTES_MAX:
        return False
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in ref):
        return False
    return len(ref.encode()) <= REF_BYTES_MAX
