"""How are facts kept on this machine until they are told? One file a process, one line a fact.

The file is locked as long as its process lives. What a dead process left is read by the next
one. A line cut short by a crash is skipped, the lines around it stand.
"""

import errno
import fcntl
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from o10.client.errors import StateUnusable


class Queued(msgspec.Struct, frozen=True, tag="queued", tag_field="k"):
    """What waits to be sent?"""

    n: int
    path: str
    body: msgspec.Raw


class Sent(msgspec.Struct, frozen=True, tag="sent", tag_field="k"):
    """Which of them was answered?"""

    n: int


class Opened(msgspec.Struct, frozen=True, tag="opened", tag_field="k"):
    """Which call goes out undecided? `since` is the beginning of its outage.

    Shape: `record` fields of a usage record; `bound` the most it can use, in tokens.
    """

    id: str
    since: datetime
    record: dict[str, Any]
    bound: dict[str, int]


class Used(msgspec.Struct, frozen=True, tag="used", tag_field="k"):
    """What did an undecided call use? `told` None: nothing was billed."""

    id: str
    final: bool
    told: dict[str, Any] | None


class Over(msgspec.Struct, frozen=True, tag="over", tag_field="k"):
    """When did the outage that began at `since` end?"""

    since: datetime
    until: datetime


Fact = Queued | Sent | Opened | Used | Over


class FactFile:
    """Which file of this process holds its facts? Made when the first one is written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: int | None = None
        self._path: Path | None = None

    def write(self, fact: Fact) -> None:
        """Keeps one fact; it survives the process.

        Raises: StateUnusable when the disk does not take it.
        """
        self._append(fact)

    def write_durably(self, fact: Fact) -> None:
        """Keeps one fact; it survives the machine.

        Raises: StateUnusable when the disk does not take it.
        """
        file = self._append(fact)
        try:
            os.fdatasync(file)
        except OSError as error:
            raise self._unusable(error) from error

    def empty(self) -> None:
        """Nothing of it is needed any more."""
        if self._file is not None:
            os.ftruncate(self._file, 0)

    def remove(self) -> None:
        """Nothing of it is needed, and no more comes."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Leaves it to the next process."""
        if self._file is not None:
            os.close(self._file)
        self._file = self._path = None

    def left_by_the_dead(self) -> Iterator[list[Fact]]:
        """What did processes leave that are no more? Each file is removed after its turn."""
        for path in sorted(self._folder.glob("outbox-*.jsonl")):
            if path == self._path:
                continue
            try:
                file = os.open(path, os.O_RDWR)
            except FileNotFoundError:
                continue
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(file).st_nlink:
                    yield _facts(path.read_bytes())
                    path.unlink()
            except BlockingIOError:
                continue
            finally:
                os.close(file)

    def _append(self, fact: Fact) -> int:
        line = msgspec.json.encode(fact) + b"\n"
        try:
            file = self._opened()
            if os.write(file, line) != len(line):
                # The half line ends here, so that the next one stands alone.
                os.write(file, b"\n")
                raise OSError(errno.ENOSPC, "the line was cut short")
        except OSError as error:
            raise self._unusable(error) from error
        return file

    def _opened(self) -> int:
        if self._file is None:
            name = f"outbox-{os.getpid()}-{os.urandom(4).hex()}.jsonl"
            path, draft = self._folder / name, self._folder / f"new-{name}"
            flags = os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_RDWR
            file = os.open(draft, flags, 0o600)
            # Locked before it has its name: nobody takes over a file that is just born.
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            draft.rename(path)
            self._file, self._path = file, path
        return self._file

    def _unusable(self, error: OSError) -> StateUnusable:
        return StateUnusable(what="outbox", path=str(self._folder), cause=str(error))


def _facts(content: bytes) -> list[Fact]:
    found: list[Fact] = []
    for line in content.split(b"\n"):
        try:
            found.append(_DECODER.decode(line))
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
    return found


_DECODER: msgspec.json.Decoder[Fact] = msgspec.json.Decoder(Fact)
