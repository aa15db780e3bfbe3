"""Which process may spend leased money from now on? Its number, its host, its journal's name.

A holder is one start of one process. Its number (fence) is never used again, and names its
journal; a host is one data directory (O10_HOME), named by a random id that is kept in it.
"""

import os
import secrets
from datetime import datetime
from pathlib import Path
from typing import Final

from django.conf import settings
from django.db import transaction

from policies.models import LeaseHolder

FOLDER: Final = "plane"
HOST_FILE: Final = "host"


def plane_folder(home: Path) -> Path:
    """Where do the journals of this host lie? Made here, for its owner alone."""
    folder = home / FOLDER
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def host_of(home: Path) -> str:
    """How is this host named? The same for ever; made the first time it is asked.

    Of two processes that ask at once the first that links its file wins, for both.
    """
    path = plane_folder(home) / HOST_FILE
    if not path.exists():
        draft = path.with_name(f".{HOST_FILE}-{secrets.token_hex(8)}")
        draft.write_text(secrets.token_hex(16))
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text().strip()


def this_host() -> str:
    """How is the host of this process named?"""
    return host_of(Path(settings.O10_HOME))


def journal_name(fence: int) -> str:
    """How is the journal of this holder named?"""
    return f"journal-{fence}.bin"


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


def see_holder(*, fence: int, now: datetime) -> int:
    """Is this holder still one? 1 once noted that it lives; 0 = it was ended and must stop."""
    return LeaseHolder.objects.filter(fence=fence, ended_at=None).update(seen_at=now)


def end_holder(*, fence: int, now: datetime) -> None:
    """Writes down that it is over: its journal is booked to the end, its leases are closed."""
    LeaseHolder.objects.filter(fence=fence, ended_at=None).update(ended_at=now)
