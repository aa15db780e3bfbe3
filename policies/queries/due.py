"""Which reservations are past their time?"""

from datetime import datetime
from uuid import UUID

from django.db import connection

BOOKED_PAST_S = 4
"""A holder ends a call in its own memory until three seconds after its time at most."""

DUE = """
SELECT r.id FROM reservation r
WHERE r.state = %s AND r.state IN ('open', 'expired') AND r.expires_at <= %s
  AND (r.lease IS NULL OR r.state = 'open' AND NOT EXISTS (
      SELECT 1 FROM lease l
      JOIN lease_holder h ON h.fence = l.fence AND h.ended_at IS NULL
      WHERE l.id = r.lease AND l.state IN ('open', 'draining')
        AND (h.booked_at IS NULL OR h.booked_at < r.expires_at + make_interval(secs => %s))))
ORDER BY r.expires_at, r.id LIMIT %s
"""


def due_reservations(*, state: str, before: datetime, limit: int) -> list[UUID]:
    """Which reservations of this state ended at or before this instant? Oldest first.

    Not those that a living holder may have ended in its memory without the books knowing it
    yet, and not those whose unsettled money stands with their lease.
    """
    with connection.cursor() as cursor:
        cursor.execute(DUE, [state, before, BOOKED_PAST_S, limit])
        return [row[0] for row in cursor.fetchall()]
