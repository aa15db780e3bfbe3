"""How does a record reach the disk before its answer leaves, and how is it read again?

One file a process start, opened for appending, one `write` a record: u32 length, u32 CRC-32 of
the payload, payload; both numbers big-endian. No buffer of our own, so that SIGKILL loses
nothing that was answered; `sync` is for those answers that must survive a power cut.
Source: docs/algorithms/journal.md.
"""

import errno
import fcntl
import os
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from struct import Struct
from threading import Condition, RLock
from typing import Final
from zlib import crc32

import msgspec

from o10.kernel.errors import Missing, TooLarge, Unavailable
from o10.lease.records import Record, decode

MAX_PAYLOAD_BYTES: Final = 1 << 22
CHUNK_BYTES: Final = 1 << 20
_HEAD: Final = Struct(">II")
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
_FIRST_READ: Final = 8_192


class JournalFull(Unavailable):
    """Does the disk take no more? Fields: `what`, `errno`, `retry_after_s`."""


class RecordMissing(Missing):
    """Does no whole record start at this place of this journal? Fields: `offset`."""


class Tail(Enum):
    """What stands behind the last whole record?"""

    CLEAN = "clean"
    """Nothing."""
    TORN = "torn"
    """The beginning of a record: its writer is at it, or died in it. It was never answered."""
    DAMAGED = "damaged"
    """Bytes that no writer leaves. What follows cannot be read: the journal is not whole."""


class Journal:
    """Which process writes here, and how far is it?

    `position` is where the next record will start; who needs it before it encodes a record
    holds `lock` (the same thread may take it again) until `append` has returned.
    The file stays locked (flock) while its writer lives: see `is_held`.
    """

    __slots__ = ("_failed", "_fd", "_synced", "_syncing", "_torn", "_turn", "lock", "position")

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.lock = RLock()
        self.position = 0
        self._torn = False
        self._turn = Condition()
        self._syncing = False
        self._synced = 0
        self._failed = 0

    @classmethod
    def create(cls, path: Path) -> "Journal":
        """Starts a journal that did not exist; its name is on disk before this returns.

        Raises: FileExistsError; JournalFull.
        """
        fd = -1
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            if fd >= 0:
                os.close(fd)
            _raise_if_full(error)
            raise
        return cls(fd)

    def append(self, payload: bytes) -> int:
        """Where does the record with this payload start? It survives the process from here.

        Raises: JournalFull when the disk takes it not or not whole; the file stays readable.
        TooLarge beyond MAX_PAYLOAD_BYTES.
        """
        size = len(payload)
        if not 0 < size <= MAX_PAYLOAD_BYTES:
            raise TooLarge(limit_bytes=MAX_PAYLOAD_BYTES)
        record = _HEAD.pack(size, crc32(payload)) + payload
        with self.lock:
            if self._torn:
                self._mend()
            offset = self.position
            try:
                written = os.write(self._fd, record)
            except OSError as error:
                _raise_if_full(error)
                raise
            if written != size + _HEAD.size:
                self._torn = True
                self._mend()
                raise _no_room(errno.ENOSPC)
            self.position = offset + written
            return offset

    def sync(self, upto: int) -> None:
        """Waits until the record at `upto`, an offset that `append` returned, is on disk.

        One caller syncs for all that wait; those that come meanwhile wait for the next turn.
        Appending goes on. After one failure no later sync of this file is believed, because
        the kernel may have dropped the pages that it could not write.
        Raises: JournalFull.
        """
        upto = min(upto, self.position - 1)
        with self._turn:
            while True:
                if self._failed:
                    raise _no_room(self._failed)
                if self._synced > upto:
                    return
                if not self._syncing:
                    break
                self._turn.wait()
            self._syncing = True
        reached, failed = self.position, errno.EIO
        try:
            os.fdatasync(self._fd)
            failed = 0
        except OSError as error:
            failed = error.errno or errno.EIO
            raise _no_room(failed) from error
        finally:
            with self._turn:
                self._syncing = False
                self._failed = failed
                if not failed:
                    self._synced = reached
                self._turn.notify_all()

    def close(self) -> None:
        """Ends it: what was written is synced, the lock on the file is given up.

        Raises: JournalFull when the last sync failed; it is closed all the same.
        """
        with self.lock:
            if self._fd < 0:
                return
            try:
                self.sync(self.position)
            finally:
                fd, self._fd = self._fd, -1
                os.close(fd)

    def _mend(self) -> None:
        """Cuts a half record off; until that has worked nothing is appended behind it."""
        try:
            os.ftruncate(self._fd, self.position)
        except OSError as error:
            _raise_if_full(error)
            raise
        self._torn = False


class JournalReader:
    """What was written since the last look? For who follows a journal while it grows.

    `position` is the offset of the first byte not handed out yet. `tail` says what stands
    there once `read` has come to the end, that is, has returned nothing.
    """

    __slots__ = ("_fd", "position", "tail")

    def __init__(self, path: Path, *, start: int = 0) -> None:
        self._fd = os.open(path, os.O_RDONLY)
        self.position = start
        self.tail = Tail.CLEAN

    def read(self, *, most: int = 10_000) -> list[tuple[int, Record]]:
        """Which records are new, each with its offset? At most `most`; empty at the end.

        One `pread` of no bytes when nothing is new.
        """
        found: list[tuple[int, Record]] = []
        want = CHUNK_BYTES
        doubted = False
        while len(found) < most:
            chunk = os.pread(self._fd, want, self.position)
            before = len(found)
            need = self._cut(chunk, found, most)
            if self.tail is Tail.DAMAGED:
                # Once more: a half record may have been cut off and overwritten meanwhile.
                if doubted and before == len(found):
                    break
                doubted = True
                continue
            if len(chunk) < want:
                break
            want = max(CHUNK_BYTES, need)
        return found

    def _cut(self, chunk: bytes, found: list[tuple[int, Record]], most: int) -> int:
        """Takes the whole records off the front; returns how long the next is, if known."""
        base, at, size = self.position, 0, len(chunk)
        view = memoryview(chunk)
        self.tail, need = Tail.CLEAN, 0
        while at < size and len(found) < most:
            self.tail = Tail.TORN
            begin = at + _HEAD.size
            if begin > size:
                break
            length, check = _HEAD.unpack_from(chunk, at)
            end = begin + length
            if not 0 < length <= MAX_PAYLOAD_BYTES:
                self.tail = Tail.DAMAGED
                break
            if end > size:
                need = end - at
                break
            payload = view[begin:end]
            record = _read(payload, check)
            if record is None:
                self.tail = Tail.DAMAGED
                break
            found.append((base + at, record))
            at = end
            self.tail = Tail.CLEAN
        self.position = base + at
        return need

    def close(self) -> None:
        """Ends the look."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def read_at(path: Path, offset: int) -> Record:
    """Which record starts here?

    Raises: RecordMissing when there is no journal, or no whole record at this place.
    """
    if offset < 0:
        raise RecordMissing(offset=offset)
    try:
        fd = os.open(path, os.O_RDONLY)
    except FileNotFoundError as error:
        raise RecordMissing(offset=offset) from error
    try:
        return read_from(fd, offset)
    finally:
        os.close(fd)


def read_from(fd: int, offset: int) -> Record:
    """Which record starts here, in a journal that is open?

    Raises: RecordMissing when no whole record stands at this place.
    """
    chunk = os.pread(fd, _FIRST_READ, offset)
    if len(chunk) < _HEAD.size:
        raise RecordMissing(offset=offset)
    length, check = _HEAD.unpack_from(chunk)
    end = _HEAD.size + length
    if not 0 < length <= MAX_PAYLOAD_BYTES:
        raise RecordMissing(offset=offset)
    if end > len(chunk):
        chunk = os.pread(fd, end, offset)
    record = _read(memoryview(chunk)[_HEAD.size : end], check)
    if record is None:
        raise RecordMissing(offset=offset)
    return record


def scan(path: Path, *, start: int = 0) -> Iterator[tuple[int, Record]]:
    """Which whole records stand from here on? Stops at whatever is none; see JournalReader."""
    reader = JournalReader(path, start=start)
    try:
        while found := reader.read():
            yield from found
    finally:
        reader.close()


def is_held(path: Path) -> bool:
    """Is the writer of this journal alive, wherever on this host it runs?

    The kernel drops the lock with the last process that has the file open for writing.
    """
    fd = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def process_born(pid: int) -> int:
    """When did this process start, told so that neither a reuse of its number nor a reboot
    gives the same answer? 23 bits of the boot, then 40 bits of clock ticks since it.

    Raises: ProcessLookupError when there is no such process, or only its remains.
    Source: proc(5): fields 3 and 22 of /proc/<pid>/stat; random/boot_id.
    """
    try:
        # The name in brackets may hold brackets and blanks itself.
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError) as error:
        raise ProcessLookupError(pid) from error
    if fields[0] in {b"Z", b"X", b"x"}:
        raise ProcessLookupError(pid)
    boot = int(Path("/proc/sys/kernel/random/boot_id").read_text()[:8], 16) >> 9
    return boot << 40 | int(fields[19])


def holder_alive(*, pid: int, born: int) -> bool:
    """Does the process with this number still run that was born then?"""
    try:
        return process_born(pid) == born
    except ProcessLookupError:
        return False


def _read(payload: memoryview, check: int) -> Record | None:
    if crc32(payload) != check:
        return None
    try:
        return decode(payload)
    except msgspec.DecodeError:
        return None


def _no_room(number: int) -> JournalFull:
    return JournalFull(what="the journal", errno=number, retry_after_s=1)


def _raise_if_full(error: OSError) -> None:
    if error.errno in _FULL:
        raise _no_room(error.errno) from error
