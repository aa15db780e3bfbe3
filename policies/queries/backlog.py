"""How far are the books behind the journals of this host?

Workers stop borrowing when it is too far; health and metrics show it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from django.conf import settings

from o10.lease.journal import JournalReader
from policies.core.instants import UNIX_EPOCH
from policies.models import LeaseHolder
from policies.queries.this_host import host_of, plane_folder

_LOOKED_AT: Final = 50
"""Records read to find one that says when it was written."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """How much waits for the books, for how long, and what did they not take?

    `unbooked_bytes` and `oldest` are those of journals whose holders are not ended; `oldest` is
    zero when nothing waits. `put_aside` counts records of this host that could not be booked,
    `differing` settles that were booked as answered although their price comes out otherwise.
    """

    holders: int
    unbooked_bytes: int
    oldest: timedelta
    put_aside: int
    differing: int


def backlog(*, now: datetime) -> Backlog:
    """How far are they behind on this host?"""
    return backlog_at(home=Path(settings.O10_HOME), now=now)


def backlog_at(*, home: Path, now: datetime) -> Backlog:
    """How far are they behind on the host with this data directory?"""
    folder = plane_folder(home)
    rows = list(
        LeaseHolder.objects.filter(host=host_of(home)).values_list(
            "journal", "booked_to", "ended_at", "put_aside", "differing"
        )
    )
    waiting, oldest, holders = 0, timedelta(), 0
    for journal, booked_to, ended_at, _, _ in rows:
        if ended_at is not None:
            continue
        holders += 1
        unread, written_at = _waiting(folder / journal, booked_to)
        waiting += unread
        if written_at is not None:
            oldest = max(oldest, now - written_at)
    return Backlog(
        holders=holders,
        unbooked_bytes=waiting,
        oldest=oldest,
        put_aside=sum(row[3] for row in rows),
        differing=sum(row[4] for row in rows),
    )


def get_booked_to(*, fence: int) -> int:
    """How many bytes of this holder's journal are booked?"""
    row = LeaseHolder.objects.filter(fence=fence).values_list("booked_to", flat=True).first()
    return row or 0


def ends_of_journals(*, home: Path) -> dict[str, int]:
    """Where do the journals end that holders of this host are writing? Bytes, by file name."""
    folder, ends = plane_folder(home), {}
    rows = LeaseHolder.objects.filter(host=host_of(home), ended_at=None)
    for journal in rows.values_list("journal", flat=True):
        try:
            ends[journal] = (folder / journal).stat().st_size
        except FileNotFoundError:
            continue
    return ends


def count_unbooked(ends: Mapping[str, int]) -> int:
    """How many of these journals are not booked up to there yet?"""
    rows = LeaseHolder.objects.filter(journal__in=list(ends), ended_at=None)
    return sum(booked < ends[name] for name, booked in rows.values_list("journal", "booked_to"))


def _waiting(path: Path, booked_to: int) -> tuple[int, datetime | None]:
    """How many bytes wait in this journal, and when was the first of their records written?"""
    try:
        unread = path.stat().st_size - booked_to
        if unread <= 0:
            return 0, None
        reader = JournalReader(path, start=booked_to)
    except FileNotFoundError:
        return 0, None
    try:
        found = reader.read(most=_LOOKED_AT)
    finally:
        reader.close()
    instants = (getattr(record, "at_us", 0) for _, record in found)
    first = next((each for each in instants if each), None)
    return unread, None if first is None else UNIX_EPOCH + timedelta(microseconds=first)
