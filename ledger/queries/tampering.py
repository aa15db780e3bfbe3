"""Which column of an entry was changed, if its leaf can tell?

A leaf says that an image was changed, not where. But a right guess proves itself: the one image
that hashes to the leaf is the original. Tried are small differences of every number, the values
that the rules of the ledger imply, and the values of other entries that were changed too (a
swap).
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from ledger.core.chain import LEAF_PREFIX
from ledger.core.entry import COLUMNS_V1
from ledger.core.verify import image_fault

NUDGE_MAX: Final = 1_000
"""Differences up to here are tried on every number: 56,000 hashes, a tenth of a second."""

_FORMATS: Final = {"smallint": ">h", "integer": ">i", "bigint": ">q", "timestamptz": ">q"}
_WIDTHS: Final = {"smallint": 2, "integer": 4, "bigint": 8, "timestamptz": 8, "uuid": 16}


@dataclass(frozen=True, slots=True)
class ChangedColumn:
    """Which column was changed, from what to what (text)?"""

    column: str
    expected: str
    found: str


@dataclass(frozen=True, slots=True)
class _Place:
    name: str
    type: str
    start: int
    end: int


def _places() -> tuple[_Place, ...]:
    places, offset = [], 2
    for column in COLUMNS_V1:
        width = _WIDTHS.get(column.type)
        if width is None:
            break
        places.append(_Place(column.name, column.type, offset + 4, offset + 4 + width))
        offset += 4 + width
    return tuple(places)


_PLACES: Final = _places()
_NUMBERS: Final = tuple(place for place in _PLACES if place.type in _FORMATS)
_EFFECTS: Final = ("amount_nanos", "held_nanos", "unsettled_nanos")


def find_changed_column(
    *, image: bytes, leaf: bytes, others: Sequence[bytes] = ()
) -> ChangedColumn | None:
    """Which single column has to be put back so that the image hashes to this leaf?

    `others` are images that may have been swapped with this one. None when no guess is right.
    """
    if image_fault(image):
        return None
    for place, value in _guesses(image, others):
        guess = image[: place.start] + value + image[place.end :]
        if sha256(LEAF_PREFIX + guess).digest() == leaf:
            found = image[place.start : place.end]
            return ChangedColumn(place.name, _text(place, value), _text(place, found))
    return None


def _guesses(image: bytes, others: Sequence[bytes]) -> Iterator[tuple[_Place, bytes]]:
    yield from _implied(image)
    for other in others:
        if other != image and not image_fault(other):
            yield from ((place, other[place.start : place.end]) for place in _PLACES)
    for place in _NUMBERS:
        present = _number(image, place)
        yield from _packed(place, (present - step for step in _steps()))
        yield from _packed(place, (0, -present, present // 10, present * 10, present // 1000))


def _implied(image: bytes) -> Iterator[tuple[_Place, bytes]]:
    """An entry that moves no exposure has effects that cancel."""
    by_name = {place.name: place for place in _NUMBERS}
    effects = {name: _number(image, by_name[name]) for name in _EFFECTS}
    net = sum(effects.values())
    if net and not _number(image, by_name["env_version"]):
        for name, value in effects.items():
            yield from _packed(by_name[name], (value - net,))


def _steps() -> Iterator[int]:
    for step in range(1, NUDGE_MAX + 1):
        yield step
        yield -step


def _packed(place: _Place, values: Iterable[int]) -> Iterator[tuple[_Place, bytes]]:
    for value in values:
        try:
            yield place, struct.pack(_FORMATS[place.type], value)
        except struct.error:
            continue


def _number(image: bytes, place: _Place) -> int:
    return int.from_bytes(image[place.start : place.end], "big", signed=True)


def _text(place: _Place, value: bytes) -> str:
    return value.hex() if place.type == "uuid" else str(int.from_bytes(value, signed=True))
