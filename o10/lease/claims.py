"""Which worker of this host answers a key, and where is its answer? At most one, ever.

A file mapped by all workers: pages of 4 KiB, each a bucket of 100 slots in the order they were
claimed, the oldest next to be overwritten once it has been kept long enough. A page is looked
at under a lock on a byte of the file, which the kernel frees when its holder dies.
A slot keeps who claimed the key (fence) and where its record is (offset in its journal).
Source: docs/algorithms/journal.md, section on claims.
"""

import fcntl
import mmap
import os
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from struct import Struct
from threading import Lock
from typing import Final, NamedTuple

from o10.kernel.errors import ServiceUnavailable

KEPT_S: Final = 600
SLOTS: Final = 100
PAGE_BYTES: Final = 4_096

_MAGIC: Final = b"o10clm1\n"
_HEAD: Final = Struct("=8sQ36s")  # magic, pages, boot
_FLOCK: Final = Struct("hhqqi4x")  # struct flock of 64-bit Linux
_LOCKS: Final = 256
# Locks of the open file: another `Claims` in this process neither shares nor drops them.
_SET: Final = fcntl.F_OFD_SETLKW
_fcntl = fcntl.fcntl
# A page in words of 8 bytes: cursor, 11 spare, then 100 keys (two words each), 100 instants,
# 100 fences, 100 offsets.
_WORDS: Final = PAGE_BYTES // 8
_KEYS: Final = 12
_TIMES: Final = _KEYS + 2 * SLOTS
_FENCES: Final = _TIMES + SLOTS
_OFFSETS: Final = _FENCES + SLOTS
_KEY_BYTES: Final = 16
_COLUMN: Final = SLOTS * _KEY_BYTES


class Claimed(Enum):
    """How did a claim end, if nobody had the key?"""

    OURS = "ours"
    """The caller answers this key and publishes or abandons it."""
    ANSWERED = "answered"
    """It was ours and is answered already, under the lock of the claim."""
    FULL = "full"
    """No slot is free; nothing is known about the key."""


class Found(NamedTuple):
    """Who has claimed the key? `offset` of the answer in its journal; 0 = not answered yet."""

    fence: int
    offset: int

    @property
    def is_pending(self) -> bool:
        """Is the answer not written yet?"""
        return self.offset == 0


class Claims:
    """What have the workers of this host claimed in the last minutes?"""

    __slots__ = ("_fd", "_locks", "_map", "_mine", "_pages", "_ranges", "_words")

    def __init__(self, fd: int, pages: int) -> None:
        self._fd = fd
        self._pages = pages
        self._map = mmap.mmap(fd, (pages + 1) * PAGE_BYTES)
        self._words = memoryview(self._map).cast("Q")
        self._mine: dict[bytes, int] = {}
        self._locks = [Lock() for _ in range(_LOCKS)]
        self._ranges = [
            (
                _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, stripe, 1, 0),
                _FLOCK.pack(fcntl.F_UNLCK, os.SEEK_SET, stripe, 1, 0),
            )
            for stripe in range(_LOCKS)
        ]

    @classmethod
    def open(cls, path: Path, *, slots: int = 1 << 18) -> "Claims":
        """Maps the file, made at first use and anew after a reboot. A file keeps its size.

        `slots` is how many keys it holds in KEPT_S seconds, about 0.7 of them surely.
        """
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            boot = Path("/proc/sys/kernel/random/boot_id").read_bytes()[:36]
            fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            pages = _pages_of(fd, boot)
            if not pages:
                os.close(fd)
                pages = max(1, -(-slots // SLOTS))
                fd = _anew(path, boot, pages)
        finally:
            os.close(folder)
        return cls(fd, pages)

    def claim(
        self,
        key: bytes,
        *,
        fence: int,
        at_s: int,
        answer: Callable[[], int] | None = None,
    ) -> Claimed | Found:
        """Is this key ours to answer? Exactly one caller on the host hears OURS.

        `answer` may give the answer at once: the offset at which it is written, or 0 for not
        yet. It runs under the lock of the claim, so it must be quick and wait for nobody.
        `at_s` are seconds, at least 1, of one clock that all workers of the host share; with
        the host's monotonic clock a step of the wall clock forgets nothing.
        """
        # Spelled out in one piece: this runs on the way of every call.
        if len(key) != _KEY_BYTES:
            raise ValueError("a key has 16 bytes")
        page = int.from_bytes(key[:8], "little") % self._pages + 1
        stripe = page % _LOCKS
        lock, unlock = self._ranges[stripe]
        words, base = self._words, page * _WORDS
        begin = base * 8 + _KEYS * 8
        with self._locks[stripe]:
            _fcntl(self._fd, _SET, lock)
            try:
                if self._map[begin : begin + _COLUMN].find(key) >= 0:
                    found = self._live(key, page, at_s)
                    if found is not None:
                        return found
                slot = words[base]
                since = words[base + _TIMES + slot]
                if since and since + KEPT_S > at_s:
                    slot = self._oldest(base, at_s)
                    if slot < 0:
                        return Claimed.FULL
                words[base] = slot + 1 if slot < SLOTS - 1 else 0
                at = base + slot
                # The instant first and last: whoever dies in between leaves an empty slot.
                words[at + _TIMES] = 0
                words[at + _FENCES] = fence
                words[at + _OFFSETS] = 0
                begin += slot * _KEY_BYTES
                self._map[begin : begin + _KEY_BYTES] = key
                words[at + _TIMES] = at_s
                if answer is not None:
                    try:
                        offset = answer()
                    except BaseException:
                        self._wipe(at)
                        raise
                    if offset:
                        words[at + _OFFSETS] = offset + 1
                        return Claimed.ANSWERED
                self._mine[key] = at
                return Claimed.OURS
            finally:
                _fcntl(self._fd, _SET, unlock)

    def publish(self, key: bytes, *, fence: int, offset: int) -> bool:
        """Tells where the answer to a key of ours is written. One store, no lock.

        False when the slot is not ours any more, which takes KEPT_S: then others may answer
        the key again, and the books find the pair.
        """
        if offset <= 0:
            raise ValueError("the first record of a journal answers nobody")
        at = self._mine.pop(key, 0)
        if not self._is_ours(at, key, fence):
            return False
        self._words[at + _OFFSETS] = offset + 1
        return True

    def abandon(self, key: bytes, *, fence: int) -> bool:
        """Our claim came to nothing: the key is anybody's again. False as for `publish`."""
        page, stripe = self._place(key)
        lock, unlock = self._ranges[stripe]
        with self._locks[stripe]:
            _fcntl(self._fd, _SET, lock)
            try:
                at = self._mine.pop(key, 0)
                if not self._is_ours(at, key, fence):
                    return False
                self._wipe(at)
                return True
            finally:
                _fcntl(self._fd, _SET, unlock)

    def take_over(self, key: bytes, *, of: int, fence: int) -> bool:
        """Is the key ours now that its claimer `of` died before it answered?

        Only once everything that the dead one wrote is in the books, and the key is not among
        it. True for exactly one caller; it answers, and publishes or abandons.
        """
        page, stripe = self._place(key)
        lock, unlock = self._ranges[stripe]
        words = self._words
        with self._locks[stripe]:
            _fcntl(self._fd, _SET, lock)
            try:
                at = self._find(key, page)
                if not at or words[at + _FENCES] != of or words[at + _OFFSETS]:
                    return False
                words[at + _FENCES] = fence
                self._mine[key] = at
                return True
            finally:
                _fcntl(self._fd, _SET, unlock)

    def close(self) -> None:
        """Lets the file go; what was claimed stays claimed."""
        if self._fd >= 0:
            self._words.release()
            self._map.close()
            os.close(self._fd)
            self._fd = -1

    def _place(self, key: bytes) -> tuple[int, int]:
        """In which page is this key, and under which lock?"""
        if len(key) != _KEY_BYTES:
            raise ValueError("a key has 16 bytes")
        page = int.from_bytes(key[:8], "little") % self._pages + 1
        return page, page % _LOCKS

    def _find(self, key: bytes, page: int) -> int:
        """Which slot has this key? First word of its page plus its number; 0 = none."""
        begin = page * PAGE_BYTES + _KEYS * 8
        keys = self._map[begin : begin + _COLUMN]
        at = keys.find(key)
        while at > 0 and at % _KEY_BYTES:
            at = keys.find(key, at + 1)
        return page * _WORDS + at // _KEY_BYTES if at >= 0 else 0

    def _live(self, key: bytes, page: int, at_s: int) -> Found | None:
        """What is known of this key? One that was kept long enough is forgotten here."""
        at = self._find(key, page)
        if not at:
            return None
        since, offset = self._words[at + _TIMES], self._words[at + _OFFSETS]
        if since and since + KEPT_S > at_s:
            return Found(self._words[at + _FENCES], offset - 1 if offset else 0)
        self._wipe(at)
        return None

    def _oldest(self, base: int, at_s: int) -> int:
        """Which slot is free although the one at the cursor is not? -1 = none.

        Happens when the page is full, after an `abandon`, and after a step of the clock.
        """
        times = self._words[base + _TIMES : base + _TIMES + SLOTS].tolist()
        since = min(times)
        return -1 if since and since + KEPT_S > at_s else times.index(since)

    def _is_ours(self, at: int, key: bytes, fence: int) -> bool:
        """Does this slot still hold our unanswered claim?"""
        words = self._words
        return (
            at > 0
            and words[at + _FENCES] == fence
            and words[at + _OFFSETS] == 0
            and words[at + _TIMES] != 0
            and self._read_key(at) == key
        )

    def _wipe(self, at: int) -> None:
        self._words[at + _TIMES] = 0
        self._write_key(at, bytes(_KEY_BYTES))

    def _read_key(self, at: int) -> bytes:
        page, slot = divmod(at, _WORDS)
        begin = page * PAGE_BYTES + _KEYS * 8 + slot * _KEY_BYTES
        return self._map[begin : begin + _KEY_BYTES]

    def _write_key(self, at: int, key: bytes) -> None:
        page, slot = divmod(at, _WORDS)
        begin = page * PAGE_BYTES + _KEYS * 8 + slot * _KEY_BYTES
        self._map[begin : begin + _KEY_BYTES] = key


def _pages_of(fd: int, boot: bytes) -> int:
    """How many pages has this file? 0 when it is none of ours or of another boot."""
    head = os.pread(fd, _HEAD.size, 0)
    if len(head) < _HEAD.size:
        return 0
    magic, pages, since = _HEAD.unpack(head)
    whole = os.fstat(fd).st_size == (pages + 1) * PAGE_BYTES
    return int(pages) if magic == _MAGIC and since == boot and whole else 0


def _anew(path: Path, boot: bytes, pages: int) -> int:
    """Makes an empty file in place of what is there. Its room on the disk is taken at once:
    a full disk must fail here, since later it would kill whoever touches a new page.
    """
    fresh = path.with_name(path.name + ".new")
    fd = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.posix_fallocate(fd, 0, (pages + 1) * PAGE_BYTES)
        os.pwrite(fd, _HEAD.pack(_MAGIC, pages, boot), 0)
        os.replace(fresh, path)
    except OSError as error:
        os.close(fd)
        fresh.unlink(missing_ok=True)
        raise ServiceUnavailable(what="the claims of this host", retry_after_s=1) from error
    return fd
