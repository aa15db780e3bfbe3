"""By how much is this process's clock behind the database's?"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import structlog
from django.db import InterfaceError, OperationalError, connection

MOST_ROUND_TRIP: Final = timedelta(seconds=1)
"""Half the round trip bounds the error; a slower answer says too little."""

NOTABLE: Final = timedelta(seconds=1)
_MICROSECOND: Final = timedelta(microseconds=1)
_log = structlog.get_logger("ledger.clock")


def measure_clock_offset(clock: Callable[[], datetime]) -> int | None:
    """By how much is `clock` behind the database? Microseconds, negative when it is ahead.

    One round trip; the database is taken to have looked in the middle of it. None when the
    database is away or slow: whoever asks goes on with what was measured before.
    """
    try:
        # Connecting is no part of the round trip.
        connection.ensure_connection()
        asked = clock()
        with connection.cursor() as cursor:
            cursor.execute("SELECT clock_timestamp()")
            told: datetime = cursor.fetchone()[0]
        answered = clock()
    except (OperationalError, InterfaceError):
        # The next use opens a new connection; an open transaction is its owner's to end.
        if not connection.in_atomic_block:
            connection.close_if_unusable_or_obsolete()
        return None
    round_trip = answered - asked
    if not timedelta(0) <= round_trip <= MOST_ROUND_TRIP:
        return None
    offset = told - asked - round_trip // 2
    if abs(offset) >= NOTABLE:
        _log.warning("clock off", behind_seconds=offset.total_seconds())
    return offset // _MICROSECOND
