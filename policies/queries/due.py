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
      JOIN lease_holder o ON o.host = h.host AND o.kind = h.kind AND o.ended_at IS NULL
       AND (h.kind = 'plane' OR o.fence = h.fence)
      WHERE l.id = r.lease AND l.state IN ('open', 'draining') AND l.expires_at > %s
        AND (o.booked_at IS NULL OR o.booked_at < r.expires_at + make_interval(secs => %s))))
ORDER BY r.expires_at, r.id LIMIT %s
"""


def due_reservations(*, state: str, before: datetime, limit: int) -> list[UUID]:
    """Which reservations of this state ended at or before this instant? Oldest first.

    Not those that a living holder, or another one of its host, may have ended without the
    books knowing it yet, and not those whose unsettled money stands with their lease. A holder
    that let the lease run out ends nothing there any more.
    """
    with connection.cursor() as cursor:
        cursor.execute(DUE, [state, before, before, BOOKED_PAST_S, limit])
        return [row[0] for row in cursor.fetchall()]
