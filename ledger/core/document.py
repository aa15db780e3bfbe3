"""Which bytes stand for a document, and what is its hash?

A document is what an entry says beyond its 38 fields; the entry carries its hash in `doc`. The
bytes are a subset of RFC 8785 on which sorted-key JSON of the standard library gives the same
bytes: objects, arrays, strings, integers and null, no fractions, no booleans; an integer
outside +/-2^53 stands as a decimal string.
Source: RFC 8785 section 3.2; docs/algorithms/canonical-image.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Final

from o10.kernel.errors import Rejected

DOCUMENT_BYTES_MAX: Final = 64 * 1024
DEPTH_MAX: Final = 16
INTEGER_MAX: Final = 2**53

Json = None | int | str | list["Json"] | dict[str, "Json"]


class DocumentInvalid(Rejected):
    """Which part of the document has no canonical form? Fields: `place`, `found`."""

    code = "document_invalid"


def canonical_json(body: Mapping[str, object]) -> bytes:
    """What are the canonical bytes of this document (at most 64 KiB)?

    Raises: DocumentInvalid (`document_invalid`) for a fraction, a boolean, another type, a key
    that is no text, text that is no Unicode, more than 16 levels or more than 64 KiB.
    """
    tree = _canonical(body, place="", depth=0)
    text = json.dumps(tree, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    try:
        encoded = text.encode()
    except UnicodeEncodeError as error:
        raise DocumentInvalid(place="", found="a lone surrogate") from error
    if len(encoded) > DOCUMENT_BYTES_MAX:
        raise DocumentInvalid(place="", found=len(encoded))
    return encoded


def document_hash(encoded: bytes) -> bytes:
    """What is the hash that an entry carries for these canonical bytes (32 bytes)?"""
    return sha256(encoded).digest()


def integer_of(value: int | str) -> int:
    """Which integer does a document mean by this number or decimal string?"""
    return int(value)


def _canonical(value: object, *, place: str, depth: int) -> Json:
    if depth > DEPTH_MAX:
        raise DocumentInvalid(place=place, found="too deep")
    if value is None or isinstance(value, str):
        # A StrEnum member is text; the encoder would write its value anyway.
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        number = int(value)
        return number if -INTEGER_MAX <= number <= INTEGER_MAX else str(number)
    if isinstance(value, Mapping):
        return {
            _key(key, place=place): _canonical(item, place=f"{place}/{key}", depth=depth + 1)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [
            _canonical(item, place=f"{place}/{index}", depth=depth + 1)
            for index, item in enumerate(value)
        ]
    raise DocumentInvalid(place=place, found=type(value).__name__)


def _key(key: object, *, place: str) -> str:
    # Beyond ASCII the order of RFC 8785 (UTF-16 units) and of Python (code points) may differ.
    if not isinstance(key, str) or not key.isascii():
        raise DocumentInvalid(place=place, found=repr(key))
    return key
