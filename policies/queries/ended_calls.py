"""Which of these calls have ended, or left their lease, as the books know it?

For a holder that may have missed being told.
"""

from collections.abc import Iterator, Sequence
from uuid import UUID

from policies.models import Reservation

BATCH = 5_000


def find_ended(reservations: Sequence[UUID]) -> Iterator[tuple[UUID, int | None]]:
    """Reservation, and what its lease paid for it; None = it left the lease with its money.

    Units: nanos.
    """
    for start in range(0, len(reservations), BATCH):
        rows = Reservation.objects.filter(id__in=reservations[start : start + BATCH])
        for row in rows.only("id", "state", "lease", "settled_nanos", "amount_nanos"):
            if row.lease is None:
                yield row.id, None
            elif row.state != "open":
                yield row.id, min(row.settled_nanos, row.amount_nanos)
