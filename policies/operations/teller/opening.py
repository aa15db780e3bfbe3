"""How does a worker become a holder? It gets a number, and starts its journal."""

import os
from datetime import datetime
from pathlib import Path

from django.conf import settings

from o10.lease import records
from o10.lease.claims import Claims
from o10.lease.journal import Journal, process_born
from policies.operations.open_holder import (
    host_of,
    journal_name,
    open_holder,
    plane_folder,
)
from policies.operations.teller.teller import Teller, micros

CLAIMS = 1 << 21
"""Keys kept for ten minutes: 2,400 a second for ever, in 86 MB. More are decided strictly."""


def open_teller(*, now: datetime) -> Teller:
    """Which till has this process from now on?

    Raises: JournalFull (`unavailable`) when the disk takes no journal; the errors of django.db
    while the database is away.
    """
    home = Path(settings.O10_HOME)
    folder, host = plane_folder(home), host_of(home)
    pid = os.getpid()
    born = process_born(pid)
    fence = open_holder(host=host, pid=pid, born=born, kind="plane", now=now)
    journal = Journal.create(folder / journal_name(fence))
    journal.append(
        records.encode(
            records.Started(
                format=records.FORMAT,
                fence=fence,
                host=host,
                pid=pid,
                born=born,
                at_us=micros(now),
            )
        )
    )
    return Teller(
        fence=fence,
        folder=folder,
        journal=journal,
        claims=Claims.open(folder / "claims", slots=CLAIMS),
    )
