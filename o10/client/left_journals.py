"""What did processes of this router leave that died, and how does o10 hear of it?

A journal whose writer is gone is locked by nobody. It is sent to its end, a last record is
added that says so, and it is removed once o10 has it: the books give the rest of its leases
back then. One process at a time takes a journal over.
"""

import fcntl
import logging
import os
from collections.abc import Callable
from pathlib import Path
from struct import Struct
from time import time_ns
from typing import Final

from o10.kernel.errors import Conflict, Missing, O10Error
from o10.lease import records
from o10.lease.journal import Journal, JournalReader
from o10.wire.leasing import Shipment

SHIP_BYTES: Final = 1_000_000
_HEAD: Final = Struct(">II")
_log = logging.getLogger("o10.client")

Send = Callable[[int, Shipment], int]
"""Gets a fence and a piece of its journal; says up to where it is kept."""


def ship_left_journals(folder: Path, *, own: Path, send: Send) -> int:
    """How many journals of dead processes were sent? What fails is left for the next time."""
    shipped = 0
    for path in sorted(folder.glob("journal-*.bin")):
        if path == own:
            continue
        try:
            shipped += _take_over(path, send)
        except (Conflict, Missing) as error:
            # o10 knows that it is over, or never knew it: a person may want to look at it.
            _log.error("o10 does not take the journal %s: %s", path.name, error)
            path.rename(path.with_suffix(".refused"))
        except (O10Error, OSError) as error:
            _log.warning("the journal %s is not sent yet: %s", path.name, error)
    return shipped


def whole_records(path: Path, *, start: int, end: int) -> bytes:
    """Which bytes from `start` on are whole records, as many as one shipment takes?

    Both are places between two records.
    """
    with path.open("rb") as file:
        file.seek(start)
        content = file.read(end - start)
    if len(content) <= SHIP_BYTES:
        return content
    at = 0
    while at < len(content):
        following = at + _HEAD.size + _HEAD.unpack_from(content, at)[0]
        if following > SHIP_BYTES and at:
            break
        at = following
    return content[:at]


def _take_over(path: Path, send: Send) -> int:
    file = os.open(path, os.O_RDWR | os.O_APPEND)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return 0
    try:
        if not os.fstat(file).st_nlink:
            return 0
        end, last = _end_of(path)
        # A half record was never answered.
        os.ftruncate(file, end)
        journal = Journal(file)
        journal.position = end
        if not isinstance(last, records.Ended):
            journal.append(records.encode(records.Ended(at_us=time_ns() // 1_000)))
        fence, at = int(path.stem.removeprefix("journal-")), 0
        while at < journal.position:
            content = whole_records(path, start=at, end=journal.position)
            at = max(at + len(content), send(fence, Shipment(offset=at, content=content)))
        path.unlink()
        return 1
    finally:
        os.close(file)


def _end_of(path: Path) -> tuple[int, records.Record | None]:
    """Where does the last whole record end, and which is it?"""
    last: records.Record | None = None
    reader = JournalReader(path)
    try:
        while found := reader.read():
            last = found[-1][1]
        return reader.position, last
    finally:
        reader.close()
