"""What happens around a batch? Find the journals of this host, book them in turn, rest.

One bookkeeper a host: a second one stands by. It rests 50 ms when nothing waits and not at all
while batches are full. A database that goes away ends the session, never the process. A record
that cannot be booked stops nobody: its batch is halved until it stands alone, then it is put
aside, counted and said.
Source: docs/algorithms/bookkeeping.md.
"""

import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Final, Protocol
from uuid import UUID

import psycopg
import structlog
from django.db import InterfaceError, OperationalError, connection, transaction

from o10.lease.journal import Tail, holder_alive
from policies.operations import statements
from policies.operations.book_alone import Awaits, book_alone, move_on
from policies.operations.bookkeeper import Books
from policies.operations.close_holder import FIRST, finish_leases, finish_some, left_open
from policies.operations.flush import MOST, BookedElsewhere, flush, move_holder
from policies.operations.journal_tail import JournalTail, ends_in_order
from policies.operations.leases import CHANNEL
from policies.operations.open_holder import end_holder
from policies.queries.this_host import host_of, plane_folder

REST_S: Final = 0.05
BUSY_REST_S: Final = 0.2
"""Between rounds when the machine has more to do than processors: fewer, larger batches."""
HOT_MOST_S: Final = 0.03
"""So long a batch may make others wait; longer, and the next one is smaller."""
LEAST: Final = 60
HURRY_S: Final = 0.15
"""So long it does not rest after somebody said that money is short."""
RETRY_S: Final = 0.2
RETRY_MOST_S: Final = 3.0
LOOK_ROUND_S: Final = 0.5
TOUCH_S: Final = 1.0
AWAIT_S: Final = 60.0
"""So long a record waits for a journal that does not move on."""
STUCK_S: Final = 2.0
"""So long half a record may stand at the end of a journal before it counts as damage."""
YOUNG: Final = timedelta(seconds=60)
"""A holder so young may not have made its journal yet."""
KEEP_JOURNALS: Final = timedelta(hours=24)
SWEEP_S: Final = 600.0
ROUTER_QUIET_S: Final = 3 * 24 * 3600.0
"""So long the rest of a router's journal is waited for."""
ADVISORY_CLASS: Final = 0x0B00C5

TAKE_TURN = "SELECT pg_try_advisory_lock(%s::int, %s::int)"
READ_HOLDERS = """
SELECT fence, journal, booked_to, pid, born, started_at, put_aside, kind FROM lease_holder
WHERE host = %s AND ended_at IS NULL ORDER BY fence
"""
TOUCH = """
UPDATE lease_holder h SET booked_at = t.at
FROM unnest(%s::bigint[], %s::bigint[], %s::timestamptz[]) AS t (fence, booked_to, at)
WHERE h.fence = t.fence AND h.booked_to = t.booked_to
"""
READ_FINISHED = """
SELECT h.fence, h.journal FROM lease_holder h
WHERE h.host = %s AND h.journal = ANY(%s::text[]) AND h.ended_at < %s AND h.put_aside = 0
  AND NOT EXISTS (SELECT 1 FROM lease l WHERE l.fence = h.fence
                  AND (l.state <> 'closed' OR l.ended_at >= %s))
"""
LOSE_JOURNAL = """
UPDATE lease_holder h SET put_aside = put_aside + 1
WHERE h.fence = %s AND EXISTS (SELECT 1 FROM lease l WHERE l.fence = h.fence)
"""

_log = structlog.get_logger("policies.books")


class Stop(Protocol):
    """When does the loop end? The part of threading.Event that it uses."""

    def is_set(self) -> bool:
        """Shall it end?"""
        ...

    def wait(self, timeout: float) -> bool:
        """Rests, at most this many seconds; true when it shall end."""
        ...


def run_books(
    *,
    home: Path,
    now: Callable[[], datetime],
    stop: Stop,
    monotonic: Callable[[], float] = time.monotonic,
) -> None:
    """How is everything booked that holders of this host ever write?

    Returns when `stop` is set, after the batch at hand.
    """
    folder, host = plane_folder(home), host_of(home)
    away_at, pause = 0.0, RETRY_S
    standing_by = 0
    while not stop.is_set():
        try:
            if not _take_turn(host):
                if not standing_by:
                    _log.info("books_kept_elsewhere", host=host)
                standing_by = 1
                stop.wait(1.0)
                continue
            standing_by = 0
            rounds = Rounds(host=host, folder=folder, now=now, monotonic=monotonic)
            if away_at:
                _log.info("books_resumed", away_s=round(monotonic() - away_at, 1))
            else:
                _log.info("books_open", host=host)
            away_at, pause = 0.0, RETRY_S
            try:
                rounds.run(stop)
            finally:
                rounds.close()
        except (OperationalError, InterfaceError, psycopg.Error) as error:
            if not away_at:
                away_at = monotonic()
                _log.warning("database_away", error=str(error).strip())
            with suppress(Exception):
                connection.close()
            stop.wait(pause)
            pause = min(RETRY_MOST_S, pause * 2)
    connection.close()


@dataclass(slots=True, eq=False)
class _Followed:
    """Which journal is followed, how large may its next batch be, and what stops it?"""

    tail: JournalTail
    pid: int
    born: int
    most: int = MOST
    not_before: float = 0.0
    awaiting_since: float = 0.0
    stuck_at: int = -1
    stuck_since: float = 0.0
    put_aside: int = 0
    kind: str = "plane"
    finished: UUID = FIRST

    def lives(self) -> int:
        """May its holder still write? Ask before the last look.

        A router runs elsewhere and sends what it wrote: it is over when its journal says so,
        or when nobody sent the rest of it for days; its leases expire by time.
        """
        if self.kind == "plane":
            return self.tail.lives(pid=self.pid, born=self.born)
        quiet_s = time.time() - self.tail.path.stat().st_mtime
        return int(not ends_in_order(self.tail.path) and quiet_s < ROUTER_QUIET_S)


class Rounds:
    """One session: from the moment the database is there until it is away or all shall end."""

    def __init__(
        self,
        *,
        host: str,
        folder: Path,
        now: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.host = host
        self.folder = folder
        self.now = now
        self.monotonic = monotonic
        self.books = Books()
        self.followed: dict[int, _Followed] = {}
        self._raw = connection.connection
        self._looked_at = self._touched_at = self._swept_at = float("-inf")
        self._folder_seen = -1
        self._hurry_until = float("-inf")
        _say(f"LISTEN {CHANNEL}")

    def run(self, stop: Stop) -> None:
        """Rounds until `stop`.

        Raises: the errors of django.db and of the driver when the database goes away.
        """
        while not stop.is_set():
            if connection.connection is not self._raw:
                # Another session of ours has no turn.
                raise InterfaceError("the connection was replaced")
            if not self.round():
                self._rest()

    def round(self) -> int:
        """Does it go on at once? 1 after a full batch, or when money is short."""
        at = self.monotonic()
        self._look_round(at)
        busy = 0
        for each in list(self.followed.values()):
            if each.not_before <= at:
                busy |= self._step(each)
        if at - self._touched_at >= TOUCH_S:
            self._touched_at = at
            self._end_the_dead()
            self._touch()
        if at - self._swept_at >= SWEEP_S:
            self._swept_at = at
            self._sweep()
        return busy

    def close(self) -> None:
        """Ends the looks into journals."""
        for each in self.followed.values():
            each.tail.close()
        self.followed.clear()

    # ------------------------------------------------------------------ one journal

    def _step(self, each: _Followed) -> int:
        """Books at most one batch of this journal; 1 = there is more."""
        tail = each.tail
        if not tail.look(now=self.now()):
            self._look_at_rest(each)
            return 0
        try:
            flushed = flush(books=self.books, tail=tail, now=self.now(), most=each.most)
            if flushed.alone:
                book_alone(books=self.books, tail=tail, now=self.now())
        except Awaits as awaits:
            return self._await(each, awaits)
        except BookedElsewhere:
            self._reopen(each)
            return 0
        except (OperationalError, InterfaceError, psycopg.OperationalError) as error:
            if not _is_wait(error):
                raise
            # Somebody held the tree for long: the others go first.
            each.not_before = self.monotonic() + REST_S
            return 0
        except Exception as error:  # noqa: BLE001 - a record must not stop the books
            self._fault(each, error)
            return 1
        each.awaiting_since = 0.0
        if flushed.hot_s > HOT_MOST_S:
            each.most = max(LEAST, each.most // 2)
        else:
            each.most = min(MOST, each.most * 2)
        return int(bool(tail.pending))

    def _await(self, each: _Followed, awaits: Awaits) -> int:
        """Its call began in a journal that comes first; once that is past it, it is lost."""
        other = self.followed.get(int(str(awaits.fields["fence"])))
        at = self.monotonic()
        each.awaiting_since = each.awaiting_since or at
        behind = other is not None and other.tail.booked_to <= int(
            str(awaits.fields["sequence"])
        )
        if behind and at - each.awaiting_since < AWAIT_S:
            return 0
        each.most = 1
        self._fault(each, awaits)
        return 1

    def _fault(self, each: _Followed, error: Exception) -> None:
        """Half the batch; a record alone is put aside."""
        many = min(each.most, len(each.tail.pending))
        if many > 1:
            each.most = many // 2
            return
        offset, record = each.tail.first(1)[0]
        move_on(each.tail, put_aside=1)
        each.tail.drop(1)
        each.put_aside += 1
        each.awaiting_since = 0.0
        _log.error(
            "record_put_aside",
            fence=each.tail.fence,
            offset=offset,
            kind=type(record).__name__,
            code=getattr(error, "code", type(error).__name__),
            error=str(error)[:500],
        )

    def _look_at_rest(self, each: _Followed) -> None:
        """Does the journal end where it ends, or is there a place that no writer leaves?"""
        tail, at = each.tail, self.monotonic()
        if tail.rest is Tail.CLEAN:
            each.stuck_at = -1
            return
        if each.stuck_at != tail.read_to:
            each.stuck_at, each.stuck_since = tail.read_to, at
        if at - each.stuck_since < STUCK_S:
            return
        each.stuck_since = at
        beyond = tail.beyond_damage()
        if beyond is not None:
            self._skip(each, beyond)
        elif tail.rest is Tail.DAMAGED:
            _log.error("journal_unreadable", fence=tail.fence, offset=tail.read_to)

    def _skip(self, each: _Followed, beyond: int) -> None:
        """What stands up to there can't be read: it is put aside, as one."""
        damaged = each.tail.read_to
        with transaction.atomic():
            move_holder(tail=each.tail, booked_to=beyond, put_aside=1)
        each.tail.skip_to(beyond)
        each.put_aside += 1
        each.stuck_at = -1
        _log.error(
            "journal_damaged", fence=each.tail.fence, offset=damaged, bytes=beyond - damaged
        )

    def _reopen(self, each: _Followed) -> None:
        """Another bookkeeper was here: goes on from where it came to."""
        self.followed.pop(each.tail.fence, None)
        each.tail.close()
        self._looked_at = float("-inf")
        _log.warning("booked_elsewhere", fence=each.tail.fence)

    # ------------------------------------------------------------------ all of them

    def _look_round(self, at: float) -> None:
        """Which holders does this host have now? A new journal is seen at once."""
        changed = self.folder.stat().st_mtime_ns
        if at - self._looked_at < LOOK_ROUND_S and changed == self._folder_seen:
            return
        self._looked_at, self._folder_seen = at, changed
        now = self.now()
        for row in statements.rows(READ_HOLDERS, [self.host]):
            fence, journal, booked_to, pid, born, started_at, put_aside, kind = row
            if fence in self.followed:
                continue
            path = self.folder / journal
            if journal and path.exists():
                tail = JournalTail(fence=fence, path=path, booked_to=booked_to)
                self.followed[fence] = _Followed(
                    tail, pid, born, put_aside=put_aside, kind=kind
                )
                _log.info("journal_followed", fence=fence, booked_to=booked_to)
            elif now - started_at > _young(kind) and not holder_alive(pid=pid, born=born):
                self._end_without_journal(fence, now)

    def _end_the_dead(self) -> None:
        """Whose process is gone, with its journal booked to the end? Its leases are closed."""
        for each in list(self.followed.values()):
            tail = each.tail
            # Asked first, looked second: what it wrote before it died is here now.
            if each.lives() or tail.look(now=self.now()):
                continue
            if tail.rest is not Tail.CLEAN and self._damaged_at_the_end(each):
                continue
            self._end(each)
        for fence in left_open(self.host):
            finish_leases(fence=fence, now=self.now())

    def _damaged_at_the_end(self, each: _Followed) -> int:
        """A torn last record was never answered; whole ones behind a bad place were."""
        beyond = each.tail.beyond_damage()
        if beyond is not None:
            self._skip(each, beyond)
            return 1
        if each.tail.rest is Tail.DAMAGED and not each.put_aside:
            self._skip(each, each.tail.size())
            return 1
        return 0

    def _end(self, each: _Followed) -> None:
        fence, now = each.tail.fence, self.now()
        if each.put_aside:
            # What could not be read may have spent money: the leases expire by time.
            _log.warning("leases_left_to_expire", fence=fence, put_aside=each.put_aside)
        elif finished := finish_some(fence=fence, after=each.finished, now=now):
            # Of ten thousand leases a few a round: other journals are booked in between.
            each.finished = finished[-1]
            self._touched_at = float("-inf")
            return
        end_holder(fence=fence, now=now)
        self.followed.pop(fence, None)
        each.tail.close()
        _log.info("holder_ended", fence=fence, bytes=each.tail.booked_to)

    def _end_without_journal(self, fence: int, now: datetime) -> None:
        """It died before it wrote anything, or its journal is lost; then its leases expire."""
        lost = statements.run(LOSE_JOURNAL, [fence]).rowcount
        end_holder(fence=fence, now=now)
        _log.warning("holder_without_journal", fence=fence, with_leases=bool(lost))

    def _touch(self) -> None:
        """Up to which instant is each journal booked, although nothing was new?"""
        known = [
            (each.tail.fence, each.tail.booked_to, upto)
            for each in self.followed.values()
            if (upto := each.tail.caught_up(each.tail.booked_to)) is not None
        ]
        if known:
            statements.run(TOUCH, list(map(list, zip(*known, strict=True))))

    def _sweep(self) -> None:
        """Removes journals a day after everything of them was closed."""
        names = [path.name for path in self.folder.glob("journal-*.bin")]
        before = self.now() - KEEP_JOURNALS
        done = statements.rows(READ_FINISHED, [self.host, names, before, before])
        for fence, name in done:
            (self.folder / name).unlink(missing_ok=True)
            _log.info("journal_removed", fence=fence)

    def _rest(self) -> None:
        """Until something is told, 50 ms at most; not at all while money is short."""
        if self.monotonic() < self._hurry_until:
            time.sleep(0.001)
            return
        busy = os.getloadavg()[0] > (os.cpu_count() or 1)
        rest = max(REST_S, BUSY_REST_S) if busy else REST_S
        for told in self._raw.notifies(timeout=rest, stop_after=1):
            if _kind(told.payload) == "short":
                self._hurry_until = self.monotonic() + HURRY_S


def _take_turn(host: str) -> int:
    """Does this session keep the books of the host from now on? 1 or 0."""
    connection.ensure_connection()
    for setting in ("lock_timeout = '400ms'", "application_name = 'o10 books'"):
        _say(f"SET {setting}")
    key = int.from_bytes(sha256(host.encode()).digest()[:4], signed=True)
    row = statements.row(TAKE_TURN, [ADVISORY_CLASS, key])
    return int(bool(row and row[0]))


def _say(statement: str) -> None:
    """Settings of the session; they are no statements that could be prepared."""
    with connection.cursor() as cursor:
        cursor.execute(statement)


def _is_wait(error: Exception) -> int:
    """Was it only a lock that did not come in time, or a deadlock that PostgreSQL broke?"""
    cause = error.__cause__ if error.__cause__ is not None else error
    kinds = (
        psycopg.errors.LockNotAvailable,
        psycopg.errors.DeadlockDetected,
        psycopg.errors.SerializationFailure,
    )
    return int(isinstance(cause, kinds))


def _young(kind: str) -> timedelta:
    """A router's first words may have to wait until o10 can be reached again."""
    return YOUNG if kind == "plane" else timedelta(seconds=ROUTER_QUIET_S)


def _kind(payload: str) -> object:
    with suppress(ValueError, AttributeError):
        return json.loads(payload).get("k")
    return None
