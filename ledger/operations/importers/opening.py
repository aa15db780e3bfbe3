"""Which text stands in a provider's file? Plain or gzip, UTF-8 with or without its mark.

What is packed or encoded otherwise is refused in words; a gzip file that is cut off is no file,
and one that unpacks to more than its limit isn't unpacked.
"""

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final, TextIO, cast

from ledger.operations.importers.rows import FileRejected
from o10.kernel.errors import TooLarge

GZIP: Final = b"\x1f\x8b"
_OTHERS: Final = (
    (b"PK\x03\x04", "it is a ZIP archive or a workbook; unpack it or save it as CSV"),
    (b"\xff\xfe", "it is UTF-16; export it as UTF-8"),
    (b"\xfe\xff", "it is UTF-16; export it as UTF-8"),
    (b"\x28\xb5\x2f\xfd", "it is packed with Zstandard; unpack it first"),
    (b"PAR1", "it is Parquet; export it as CSV"),
)
_CUT_OFF: Final = "it is a gzip file that is cut off or damaged"
_NO_UTF_8: Final = "it is not UTF-8 text"


def open_bytes(body: bytes, *, source: str, limit: int) -> TextIO:
    """Which text is in this upload?

    Raises: FileRejected (`file_rejected`); TooLarge (`too_large`) for a gzip file that unpacks
    to more than `limit` bytes.
    """
    _check_form(body[:4], source)
    if body.startswith(GZIP):
        body = _unpacked(body, source, limit)
        _check_form(body[:4], source)
    return io.TextIOWrapper(io.BytesIO(body), encoding="utf-8-sig", newline="")


@contextmanager
def open_path(path: Path, *, source: str) -> Iterator[TextIO]:
    """Which text is in this file, of any size? It is read as it is asked for.

    Raises: FileRejected (`file_rejected`).
    """
    with path.open("rb") as raw:
        start = raw.read(4)
    _check_form(start, source)
    opened = gzip.open(path) if start.startswith(GZIP) else path.open("rb")
    with opened as packed:
        yield io.TextIOWrapper(cast(IO[bytes], packed), encoding="utf-8-sig", newline="")


@contextmanager
def readable(*, source: str) -> Iterator[None]:
    """What can't be read inside is told as a file that is refused.

    Raises: FileRejected (`file_rejected`).
    """
    try:
        yield
    except UnicodeDecodeError as error:
        raise FileRejected(source=source, what=_NO_UTF_8) from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise FileRejected(source=source, what=_CUT_OFF) from error


def _check_form(start: bytes, source: str) -> None:
    for mark, what in _OTHERS:
        if start.startswith(mark):
            raise FileRejected(source=source, what=what)


def _unpacked(body: bytes, source: str, limit: int) -> bytes:
    unpacked = bytearray()
    rest = body
    while rest.startswith(GZIP):
        unpacker = zlib.decompressobj(wbits=31)
        try:
            unpacked += unpacker.decompress(rest, limit + 1 - len(unpacked))
        except zlib.error as error:
            raise FileRejected(source=source, what=_CUT_OFF) from error
        if len(unpacked) > limit:
            raise TooLarge(limit_bytes=limit)
        if not unpacker.eof:
            raise FileRejected(source=source, what=_CUT_OFF)
        rest = unpacker.unused_data
    return bytes(unpacked)
