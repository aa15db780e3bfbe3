"""Which entries carry a recorded instant that cannot be right? Only reads.

`count_strays` asks the newest checkpoints, which know when an entry was sealed; `sweep_strays`
walks through the whole ledger, a bounded stretch at a time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db import connection

from ledger.core.strays import NEIGHBOURS, TOLERANCE, find_strays
from ledger.queries.ledgers import COMPANY_LEDGER

STRETCH: Final = 10_000
NAMED_MAX: Final = 100
"""So many strays are named; all are counted."""

_MICROSECOND: Final = timedelta(microseconds=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Stray:
    """Which entry says a wrong instant? `seq` is 0 while it has no position."""

    seq: int
    uid: UUID
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class Sweep:
    """What did a sweep find?

    `looked` positions walked through; `among_neighbours` strays by the order of sealing;
    `in_future` entries recorded after now; `named` the first of both; `misplaced`
    positions whose entry is not in the partition where its sealed instant puts it.
    """

    looked: int
    among_neighbours: int
    in_future: int
    named: tuple[Stray, ...]
    misplaced: int


def count_strays(*, since: datetime, ledger_id: int = COMPANY_LEDGER) -> int:
    """How many entries sealed since then were recorded far from the instant of their sealing?

    The instant is that of the checkpoint which first covers the entry; what no checkpoint
    covers yet is not counted.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH base AS (SELECT coalesce((SELECT size FROM ledger_checkpoint"
            " WHERE ledger_id = %(ledger)s AND signed_at < %(since)s"
            " ORDER BY size DESC LIMIT 1), 0) AS size),"
            " signed AS (SELECT c.size, c.signed_at,"
            " lag(c.size, 1, base.size) OVER (ORDER BY c.size) AS after"
            " FROM base JOIN ledger_checkpoint c"
            " ON c.ledger_id = %(ledger)s AND c.size > base.size)"
            " SELECT count(*) FROM signed c JOIN ledger_seal s ON s.ledger_id = %(ledger)s"
            " AND s.seq > c.after AND s.seq <= c.size"
            " WHERE s.recorded_at NOT BETWEEN c.signed_at - %(tolerance)s"
            " AND c.signed_at + %(tolerance)s",
            {"ledger": ledger_id, "since": since, "tolerance": TOLERANCE},
        )
        return int(cursor.fetchone()[0])


def sweep_strays(*, now: datetime, ledger_id: int = COMPANY_LEDGER) -> Sweep:
    """Which entries of the whole ledger carry a recorded instant that cannot be right?

    Bounded memory: STRETCH positions and NAMED_MAX strays at a time, whatever the size.
    """
    named: list[Stray] = []
    among, misplaced, looked, after = 0, 0, 0, 0
    with connection.cursor() as cursor:
        in_future = _name_future(cursor, named, ledger_id=ledger_id, now=now)
        months = _months(cursor)
        while True:
            rows = _read_stretch(cursor, ledger_id=ledger_id, after=after)
            first = sum(row[0] <= after for row in rows)
            end = min(first + STRETCH, len(rows))
            if first == end:
                break
            # What lies in the future is counted above, sealed or not.
            found = [
                row
                for row in _strays_among(rows, first=first, end=end)
                if row[2] <= now + TOLERANCE
            ]
            among += len(found)
            named += _name(cursor, found[: max(NAMED_MAX - len(named), 0)])
            # A month that has left with retention has no partition to look into.
            misplaced += sum(
                row[2].astimezone(UTC).strftime("%Y_%m") in months
                for row in _misplaced(cursor, rows[first:end], ledger_id=ledger_id)
            )
            looked, after = looked + end - first, rows[end - 1][0]
    return Sweep(
        looked=looked,
        among_neighbours=among,
        in_future=in_future,
        named=tuple(named),
        misplaced=misplaced,
    )


Position = tuple[int, int, datetime]
"""seq, entry id, recorded_at."""


def _read_stretch(cursor: Any, *, ledger_id: int, after: int) -> list[Position]:
    cursor.execute(
        "SELECT seq, entry_id, recorded_at FROM ledger_seal"
        " WHERE ledger_id = %s AND seq > %s ORDER BY seq LIMIT %s",
        [ledger_id, after - NEIGHBOURS, STRETCH + 2 * NEIGHBOURS],
    )
    return list(cursor.fetchall())


def _strays_among(rows: Sequence[Position], *, first: int, end: int) -> list[Position]:
    strays = find_strays(
        [(row[2] - _EPOCH) // _MICROSECOND for row in rows],
        first=first,
        end=end,
        tolerance=TOLERANCE // _MICROSECOND,
        neighbours=NEIGHBOURS,
    )
    return [rows[index] for index in strays]


def _name(cursor: Any, found: Sequence[Position]) -> list[Stray]:
    named = []
    for seq, entry_id, recorded_at in found:
        cursor.execute(
            "SELECT uid FROM ledger_entry WHERE recorded_at = %s AND id = %s",
            [recorded_at, entry_id],
        )
        row = cursor.fetchone()
        if row is not None:
            named.append(Stray(seq=seq, uid=row[0], recorded_at=recorded_at))
    return named


def _name_future(cursor: Any, named: list[Stray], *, ledger_id: int, now: datetime) -> int:
    # Also what is not sealed, and the last entry, which no later neighbour contradicts.
    late = [ledger_id, now + TOLERANCE]
    cursor.execute(
        "SELECT coalesce(s.seq, 0), e.uid, e.recorded_at FROM ledger_entry e"
        " LEFT JOIN ledger_seal s ON s.entry_id = e.id AND s.ledger_id = e.ledger_id"
        " WHERE e.ledger_id = %s AND e.recorded_at > %s ORDER BY e.recorded_at LIMIT %s",
        [*late, NAMED_MAX],
    )
    named += [Stray(*row) for row in cursor.fetchall()]
    cursor.execute(
        "SELECT count(*) FROM ledger_entry WHERE ledger_id = %s AND recorded_at > %s", late
    )
    return int(cursor.fetchone()[0])


def _misplaced(cursor: Any, rows: Sequence[Position], *, ledger_id: int) -> list[Position]:
    # Bounded by the stretch's own instants, so that only their partitions are opened.
    instants = [row[2] for row in rows]
    cursor.execute(
        "SELECT s.seq, s.entry_id, s.recorded_at FROM ledger_seal s LEFT JOIN ledger_entry e"
        " ON e.recorded_at = s.recorded_at AND e.id = s.entry_id"
        " AND e.recorded_at BETWEEN %s AND %s"
        " WHERE s.ledger_id = %s AND s.seq BETWEEN %s AND %s AND e.id IS NULL ORDER BY s.seq",
        [min(instants), max(instants), ledger_id, rows[0][0], rows[-1][0]],
    )
    return list(cursor.fetchall())


def _months(cursor: Any) -> frozenset[str]:
    cursor.execute(
        "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
        " WHERE i.inhparent = 'ledger_entry'::regclass"
    )
    return frozenset(row[0].removeprefix("ledger_entry_") for row in cursor.fetchall())
