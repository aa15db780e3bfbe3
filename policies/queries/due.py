"""Which reservations are past their time?"""

from datetime import datetime
from uuid import UUID

from policies.models import Reservation


def due_reservations(*, state: str, before: datetime, limit: int) -> list[UUID]:
    """Which reservations of this state ended at or before this instant? Oldest first."""
    rows = Reservation.objects.filter(state=state, expires_at__lte=before)
    return list(rows.order_by("expires_at", "id").values_list("id", flat=True)[:limit])
