"""What of a journal is not booked yet, and on which grounds was it written?

A tail follows one journal from the byte up to which it is booked. Records stay here until they
are booked, so that a failed batch is tried again as it was. A place that no writer leaves is
skipped to the next whole record, and counted: what stood there is not known any more.
"""

from collections import OrderedDict
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Final, TypeVar

from o10.kernel.errors import Corrupt
from o10.lease.journal import (
    MAX_PAYLOAD_BYTES,
    JournalReader,
    RecordMissing,
    Tail,
    holder_alive,
    is_held,
    read_at,
)
from o10.lease.records import Ended, Grounds, Record, Seen, encode

READ_AHEAD: Final = 20_000
"""Records kept in memory at most."""
CONTEXT_KEPT: Final = 4_096
SKIP_BYTES: Final = 4 * 1024 * 1024
"""So far a whole record is looked for behind a damaged place."""

_ENDED_BYTES: Final = tuple(
    sorted({8 + len(encode(Ended(at_us=1 << bits))) for bits in range(63)}, reverse=True)
)
"""How long a last record can be, with its head."""

Context = TypeVar("Context", Grounds, Seen)


class ContextMissing(Corrupt):
    """Does a record name grounds or a look that its journal does not have? Fields: `offset`."""

    code = "context_missing"


class JournalTail:
    """Which records of this journal wait for the books?

    `booked_to` is where the first record stands that is not booked. `caught_up` is an instant
    before which everything that the holder wrote is booked, once `booked_to` has reached the
    place that goes with it.
    """

    def __init__(self, *, fence: int, path: Path, booked_to: int) -> None:
        self.fence = fence
        self.path = path
        self.booked_to = booked_to
        self.pending: OrderedDict[int, Record] = OrderedDict()
        self._reader = JournalReader(path, start=booked_to)
        self._context: OrderedDict[int, Grounds | Seen] = OrderedDict()
        self._looked: tuple[int, datetime] | None = None

    @property
    def rest(self) -> Tail:
        """What stands behind the last record that was read?"""
        return self._reader.tail

    @property
    def read_to(self) -> int:
        """Where does the first unread byte stand?"""
        return self._reader.position

    def look(self, *, now: datetime) -> int:
        """How many records wait now? `now` was read before, by the clock of the books."""
        if len(self.pending) < READ_AHEAD:
            while found := self._reader.read(most=READ_AHEAD - len(self.pending)):
                self.pending.update(found)
                if len(self.pending) >= READ_AHEAD:
                    break
            else:
                # Behind a place that can't be read more may have been answered.
                if self._reader.tail is Tail.CLEAN:
                    self._looked = (self._reader.position, now)
        return len(self.pending)

    def first(self, count: int) -> list[tuple[int, Record]]:
        """Which records come next? At most `count`."""
        return list(islice(self.pending.items(), count))

    def end_of(self, count: int) -> int:
        """Where does the record behind the first `count` start?"""
        following = next(islice(self.pending, count, None), None)
        return self._reader.position if following is None else following

    def drop(self, count: int) -> None:
        """These are booked: `booked_to` moves behind them. What they tell of others is kept."""
        self.booked_to = self.end_of(count)
        for _ in range(count):
            offset, record = self.pending.popitem(last=False)
            if isinstance(record, Grounds | Seen):
                self._keep(offset, record)

    def caught_up(self, booked_to: int) -> datetime | None:
        """Before which instant is all booked, when it is booked up to there? None = unknown."""
        if self._looked is None or booked_to < self._looked[0]:
            return None
        return self._looked[1]

    def context(self, offset: int, kind: type[Context]) -> Context:
        """Which grounds, or which look at the balances, stand at this place?

        Raises: ContextMissing (`context_missing`).
        """
        known = self._context.get(offset) or self.pending.get(offset)
        if known is None:
            try:
                known = read_at(self.path, offset)
            except RecordMissing as error:
                raise ContextMissing(offset=offset) from error
        if not isinstance(known, kind):
            raise ContextMissing(offset=offset)
        self._keep(offset, known)
        return known

    def lives(self, *, pid: int, born: int) -> int:
        """May its holder still write? 1 or 0. Ask before the last look."""
        try:
            return int(is_held(self.path))
        except FileNotFoundError:
            return int(holder_alive(pid=pid, born=born))

    def beyond_damage(self) -> int | None:
        """Where does the next whole record start behind this place? None = nowhere near."""
        start = self._reader.position
        with self.path.open("rb") as file:
            file.seek(start)
            chunk = file.read(SKIP_BYTES)
        # A length below 16 MiB begins with a zero byte.
        at = chunk.find(0, 1)
        while at >= 0:
            if _may_start(chunk, at) and _stands_at(self.path, start + at):
                return start + at
            at = chunk.find(0, at + 1)
        return None

    def size(self) -> int:
        """How long is the journal?"""
        return self.path.stat().st_size

    def skip_to(self, offset: int) -> None:
        """Reads on from there: what lies before is put aside."""
        self._reader.close()
        self._reader = JournalReader(self.path, start=offset)
        self.booked_to = offset

    def close(self) -> None:
        """Ends it."""
        self._reader.close()

    def _keep(self, offset: int, record: Grounds | Seen) -> None:
        self._context[offset] = record
        self._context.move_to_end(offset)
        if len(self._context) > CONTEXT_KEPT:
            self._context.popitem(last=False)


def ends_in_order(path: Path) -> int:
    """Does this journal end with the word of its holder that nothing follows? 1 or 0."""
    size = path.stat().st_size
    for length in _ENDED_BYTES:
        try:
            if size >= length and isinstance(read_at(path, size - length), Ended):
                return 1
        except RecordMissing:
            continue
    return 0


def _may_start(chunk: bytes, at: int) -> int:
    """Could a record start here, by its length?"""
    length = int.from_bytes(chunk[at : at + 4])
    return int(0 < length <= MAX_PAYLOAD_BYTES)


def _stands_at(path: Path, offset: int) -> int:
    try:
        read_at(path, offset)
    except RecordMissing:
        return 0
    return 1
