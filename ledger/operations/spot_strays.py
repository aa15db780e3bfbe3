"""Which entries of a batch were recorded far from the instant of their sealing?"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import structlog

from ledger.core.strays import TOLERANCE
from ledger.queries.strays import Stray

NAMED_MAX: Final = 10
"""So many of a batch are named; all are counted."""

_MICROSECOND: Final = timedelta(microseconds=1)
_POSTGRES_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_log = structlog.get_logger("ledger.seal")


def spot_strays(
    cursor: Any, recorded: Sequence[tuple[int, int]], *, after: int, now: datetime
) -> tuple[int, tuple[Stray, ...]]:
    """How many entries stray from `now`, and which are the first of them?

    `recorded` (entry id, microseconds since 2000) in sealing order; `after` the position
    before the first. Costs two passes of comparison when none strays.
    """
    middle = (now - _POSTGRES_EPOCH) // _MICROSECOND
    reach = TOLERANCE // _MICROSECOND
    low, high = middle - reach, middle + reach
    if not recorded or all(low <= at <= high for _, at in recorded):
        return 0, ()
    far = [
        (seq, number, at)
        for seq, (number, at) in enumerate(recorded, after + 1)
        if not low <= at <= high
    ]
    return len(far), tuple(_name(cursor, *each) for each in far[:NAMED_MAX])


def warn_of_strays(*, count: int, first: Sequence[Stray], now: datetime) -> None:
    """Says in the log how many stray, and of the first their position, uid and distance."""
    if not count:
        return
    _log.warning(
        "recorded far from now",
        count=count,
        first=[
            {
                "seq": stray.seq,
                "uid": str(stray.uid),
                "ahead_seconds": (stray.recorded_at - now).total_seconds(),
            }
            for stray in first
        ],
    )


def _name(cursor: Any, seq: int, number: int, at: int) -> Stray:
    recorded_at = _POSTGRES_EPOCH + timedelta(microseconds=at)
    cursor.execute(
        "SELECT uid FROM ledger_entry WHERE recorded_at = %s AND id = %s",
        [recorded_at, number],
    )
    return Stray(seq=seq, uid=cursor.fetchone()[0], recorded_at=recorded_at)
