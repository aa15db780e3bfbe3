"""What stands at this place of a journal of this host? Files stay open between the looks.

Whoever ends a call reads the record that began it, in the journal of any worker of the host;
to open the file anew each time would cost more than the rest of the look.
"""

import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from threading import Lock

from o10.lease.journal import RecordMissing, read_from
from o10.lease.records import Record


class _Open:
    """Which file is it, and was it asked for since the keeper last came by?"""

    __slots__ = ("fd", "used")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.used = True


class Places:
    """Which journals of this host are open for looking things up?

    `path_of` says where a holder writes, by its fence. Any thread may ask; one thread, the
    keeper, closes what nobody asks for any more, and only a turn after it was put aside.
    """

    __slots__ = ("_aside", "_kept", "_lock", "_path_of")

    def __init__(self, path_of: Callable[[int], Path]) -> None:
        self._path_of = path_of
        self._kept: dict[int, _Open] = {}
        self._aside: list[_Open] = []
        self._lock = Lock()

    def read(self, fence: int, offset: int) -> Record:
        """Which record starts here?

        Raises: RecordMissing when there is no journal, or no whole record at this place.
        """
        if offset < 0:
            raise RecordMissing(offset=offset)
        return read_from(self._open(fence, offset).fd, offset)

    def is_held(self, fence: int) -> bool:
        """Is the writer of this journal alive, wherever on this host it runs?

        Raises: RecordMissing when there is no journal.
        """
        fd = self._open(fence, 0).fd
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        fcntl.flock(fd, fcntl.LOCK_UN)
        return False

    def sync(self, fence: int) -> None:
        """Waits until all that this holder has written is on disk.

        Raises: RecordMissing when there is no journal; OSError.
        """
        os.fdatasync(self._open(fence, 0).fd)

    def close_idle(self) -> None:
        """Closes what nobody asked for since the turn before. One thread calls it."""
        aside, self._aside = self._aside, []
        for each in aside:
            os.close(each.fd)
        with self._lock:
            for fence, each in list(self._kept.items()):
                if each.used:
                    each.used = False
                else:
                    del self._kept[fence]
                    self._aside.append(each)

    def close(self) -> None:
        """Ends all looks."""
        with self._lock:
            gone = [*self._aside, *self._kept.values()]
            self._aside, self._kept = [], {}
        for each in gone:
            os.close(each.fd)

    def _open(self, fence: int, offset: int) -> _Open:
        found = self._kept.get(fence)
        if found is not None:
            found.used = True
            return found
        with self._lock:
            found = self._kept.get(fence)
            if found is None:
                try:
                    fd = os.open(self._path_of(fence), os.O_RDONLY)
                except FileNotFoundError as error:
                    raise RecordMissing(offset=offset) from error
                found = self._kept[fence] = _Open(fd)
            return found
