"""Which process may spend leased money from now on? It gets a number that is never used again.

A holder is one start of one process; its number (fence) names its journal.
"""

from datetime import datetime

from django.db import transaction

from policies.models import LeaseHolder
from policies.queries.this_host import host_of, journal_name, plane_folder, this_host

__all__ = ["end_holder", "host_of", "journal_name", "open_holder", "plane_folder", "this_host"]


def open_holder(
    *, host: str, pid: int, born: int, kind: str, caller: str = "", now: datetime
) -> int:
    """Under which number does this process spend? Committed before it borrows anything.

    `kind` is plane or router, `caller` the key of a router; `born` as
    `o10.lease.journal.process_born`.
    """
    with transaction.atomic():
        row = LeaseHolder.objects.create(
            host=host,
            pid=pid,
            born=born,
            kind=kind,
            caller=caller,
            started_at=now,
            seen_at=now,
        )
        name = journal_name(row.fence)
        LeaseHolder.objects.filter(fence=row.fence).update(journal=name)
    return int(row.fence)


def end_holder(*, fence: int, now: datetime) -> None:
    """Writes down that it is over: its journal is booked to the end, its leases are closed."""
    LeaseHolder.objects.filter(fence=fence, ended_at=None).update(ended_at=now)
