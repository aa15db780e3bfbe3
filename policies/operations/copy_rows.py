"""Which bytes does a binary COPY of many rows have? For tables that are filled by the batch.

A row is a count of fields, then each as length and value; NULL has length -1. Each packer
below is named by the PostgreSQL type it writes.
Source: PostgreSQL documentation, COPY, "Binary Format".
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from struct import Struct
from typing import Any, Final

from policies.core.instants import UNIX_EPOCH

HEAD: Final = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
TAIL: Final = b"\xff\xff"
NULL: Final = None
_COUNT: Final = Struct(">h").pack
_LENGTH: Final = Struct(">i").pack
_NO_VALUE: Final = _LENGTH(-1)
_LENGTHS: Final = tuple(_LENGTH(size) for size in range(256))
_UNIX_TO_2000_US: Final = 946_684_800_000_000
_MICROSECOND: Final = timedelta(microseconds=1)
_INT4_OID: Final = 23
_TIMESTAMPTZ_OID: Final = 1184
_ARRAY: Final = Struct(">iiiii").pack

int2: Final = Struct(">h").pack
int4: Final = Struct(">i").pack
int8: Final = Struct(">q").pack
TRUE: Final = b"\x01"
FALSE: Final = b"\x00"


def text(value: str) -> bytes:
    """A text or varchar."""
    return value.encode()


def jsonb(encoded: bytes) -> bytes:
    """A jsonb, from JSON text."""
    return b"\x01" + encoded


def timestamptz(at: datetime) -> bytes:
    """An instant as timestamptz."""
    return micros((at - UNIX_EPOCH) // _MICROSECOND)


def micros(unix_us: int) -> bytes:
    """A timestamptz, from Unix microseconds."""
    return int8(unix_us - _UNIX_TO_2000_US)


@lru_cache(maxsize=4_096)
def int4s(values: tuple[int, ...]) -> bytes:
    """An integer[]; paths are few and written often."""
    return _array(_INT4_OID, [int4(each) for each in values])


@lru_cache(maxsize=4_096)
def instants(unix_us: tuple[int, ...]) -> bytes:
    """A timestamptz[], from Unix microseconds."""
    return _array(_TIMESTAMPTZ_OID, [micros(each) for each in unix_us])


def row(fields: Sequence[bytes | None]) -> bytes:
    """One row."""
    parts = [_COUNT(len(fields))]
    for value in fields:
        if value is None:
            parts.append(_NO_VALUE)
            continue
        size = len(value)
        parts.append(_LENGTHS[size] if size < 256 else _LENGTH(size))  # noqa: PLR2004
        parts.append(value)
    return b"".join(parts)


def send(cursor: Any, *, table: str, columns: Sequence[str], rows: Iterable[bytes]) -> None:
    """Writes these rows through the cursor, in the transaction at hand."""
    statement = f"COPY {table} ({', '.join(columns)}) FROM STDIN (FORMAT binary)"
    with cursor.copy(statement) as copy:
        copy.write(b"".join((HEAD, *rows, TAIL)))


def _array(oid: int, items: Sequence[bytes]) -> bytes:
    if not items:
        return int4(0) + int4(0) + int4(oid)
    return _ARRAY(1, 0, oid, len(items), 1) + b"".join(
        part for item in items for part in (_LENGTH(len(item)), item)
    )
