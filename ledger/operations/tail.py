"""Is what was just sealed, and what was sealed long ago, still what it was?

Runs in the sealer's rests. New entries are checked right behind the sealer; a patrol walks
through all older ones again and again, a few thousand a turn; once the patrol has been
everywhere, the sums of all images must be the sums of the rollups. A difference is recorded at
once: the side bar turns red within seconds, on a small ledger for any entry, on a large one
when the patrol comes by.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

import psycopg

from ledger.operations.record_verification import VerifierMode, record_verification
from ledger.queries.integrity import (
    ZERO_SUMS,
    Finding,
    check_range,
    compare_sums,
    sum_range,
    sum_rollups,
)
from ledger.queries.ledgers import LedgerRow

FRESH_MAX: Final = 5_000
PATROL_MAX: Final = 2_000
ROLLUPS_EVERY: Final = timedelta(seconds=5)
RECORD_EVERY: Final = timedelta(seconds=20)
PATROL_EVERY: Final = timedelta(milliseconds=500)
_TABLES: Final = ("rollup_day", "rollup_hour")


@dataclass(frozen=True, slots=True)
class Tail:
    """How far has it looked?

    `sums` are those of the images at positions up to `verified`, all of them recomputed since
    the sealer started; `finding` is the first difference, kept until a full verification
    finds nothing.
    """

    ledger: LedgerRow
    verified: int
    patrol: int
    sums: tuple[int, ...]
    recorded_at: datetime
    patrolled_at: datetime
    rollups_at: datetime
    finding: Finding | None = None


def open_tail(*, ledger: LedgerRow, now: datetime) -> Tail:
    """Where does it begin? At the first entry: sums are only worth what they were read from."""
    return Tail(
        ledger=ledger,
        verified=0,
        patrol=0,
        sums=ZERO_SUMS,
        recorded_at=now - RECORD_EVERY,
        patrolled_at=now,
        rollups_at=now,
    )


def verify_tail(
    connection: "psycopg.Connection[Any]", tail: Tail, *, upto: int, now: datetime
) -> Tail:
    """What holds after another look? `upto` is the sealer's position.

    Bounded: at most FRESH_MAX new and PATROL_MAX old entries a turn.
    """
    with connection.cursor() as cursor:
        if tail.finding is not None:
            return open_tail(ledger=tail.ledger, now=now) if _made_good(cursor, tail) else tail
        looked = _fresh(cursor, tail, upto=upto)
        if looked.finding is None and looked.verified == upto:
            if now - looked.patrolled_at >= PATROL_EVERY:
                looked = replace(_patrol(cursor, looked), patrolled_at=now)
            if looked.finding is None and now - looked.rollups_at >= ROLLUPS_EVERY:
                looked = replace(_rollups(cursor, looked), rollups_at=now)
        return _record(cursor, looked, now=now)


def _made_good(cursor: Any, tail: Tail) -> bool:
    """Has a full verification found nothing since the difference was recorded?"""
    cursor.execute(
        "SELECT EXISTS (SELECT 1 FROM ledger_verification WHERE ledger_id = %s AND ok"
        " AND mode = 'full' AND finished_at > %s)",
        [tail.ledger.id, tail.recorded_at],
    )
    return bool(cursor.fetchone()[0])


def _fresh(cursor: Any, tail: Tail, *, upto: int) -> Tail:
    if tail.verified >= upto:
        return tail
    end = min(upto, tail.verified + FRESH_MAX)
    checked = sum_range(
        cursor,
        ledger_id=tail.ledger.id,
        origin=tail.ledger.origin,
        after=tail.verified,
        upto=end,
    )
    sums = tuple(map(int.__add__, tail.sums, checked.sums))
    return replace(tail, verified=checked.upto, sums=sums, finding=checked.finding)


def _patrol(cursor: Any, tail: Tail) -> Tail:
    if tail.verified == 0:
        return tail
    after = tail.patrol if tail.patrol < tail.verified else 0
    end = min(tail.verified, after + PATROL_MAX)
    checked = check_range(
        cursor, ledger_id=tail.ledger.id, origin=tail.ledger.origin, after=after, upto=end
    )
    return replace(tail, patrol=end, finding=checked.finding)


def _rollups(cursor: Any, tail: Tail) -> Tail:
    # The sealer is the one that looks: between its batches the rollups stand at `verified`.
    for table in _TABLES:
        found = sum_rollups(cursor, ledger_id=tail.ledger.id, table=table)
        finding = compare_sums(table=table, seq=tail.verified, expected=tail.sums, found=found)
        if finding is not None:
            return replace(tail, finding=finding)
    return tail


def _record(cursor: Any, tail: Tail, *, now: datetime) -> Tail:
    """Is it time to say so? A sign of life every 20 s, a finding at once."""
    if tail.finding is None and now - tail.recorded_at < RECORD_EVERY:
        return tail
    record_verification(
        ledger_id=tail.ledger.id,
        mode=VerifierMode.TAIL,
        from_seq=0,
        upto_seq=tail.verified,
        finding=tail.finding,
        started_at=now,
        finished_at=now,
        cursor=cursor,
    )
    return replace(tail, recorded_at=now)
