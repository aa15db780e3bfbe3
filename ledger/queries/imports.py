"""Which files were imported, how far is each, and what of it was not taken?"""

import csv
import io
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from django.db import connection

from ledger.models import Accrual, Import, ImportReject
from o10.kernel.errors import NotFound
from o10.kernel.figures import csv_text

LIST_MOST: Final = 100


@dataclass(frozen=True, slots=True)
class ImportView:
    """Which import is it, and how far? Rows; nanos of `currency`; seq 0 = not sealed yet."""

    id: str
    source: str
    kind: str
    state: str
    file_name: str
    file_bytes: int
    file_hash: str
    use_case: str
    rows_total: int
    rows_new: int
    rows_known: int
    rows_rejected: int
    rows_done: int
    unpriced: int
    currency: str
    amount_nanos: int
    booked_nanos: int
    first_seq: int
    last_seq: int
    entries_hash: str
    actor: str
    problem: str
    made_at: datetime
    started_at: datetime | None
    beat_at: datetime | None
    finished_at: datetime | None

    @property
    def is_moving(self) -> bool:
        """Is it waiting for a worker, or being booked?"""
        return self.state in ("confirmed", "running")


class Rejected(Protocol):
    """What is told of a row that was not taken?"""

    @property
    def row(self) -> int:
        """Its number as a person counts."""

    @property
    def code(self) -> str:
        """Why, for programs."""

    @property
    def message(self) -> str:
        """Why, for people."""

    @property
    def content(self) -> str:
        """How it begins."""


@dataclass(frozen=True, slots=True)
class RejectView:
    """Which row was not taken, and why?"""

    row: int
    code: str
    message: str
    content: str


@dataclass(frozen=True, slots=True)
class AccrualRow:
    """Which accrual was booked? Nanos."""

    uid: str
    venue: str
    amount_nanos: int
    reason: str
    booked_at: datetime


def list_imports(*, source: str = "", limit: int = LIST_MOST) -> list[ImportView]:
    """Which imports are there? The newest first."""
    rows = Import.objects.defer("body").exclude(state="discarded")
    if source:
        rows = rows.filter(source=source)
    return _views(list(rows.order_by("-id")[:limit]))


def get_import(public: str) -> ImportView:
    """How far is this import?

    Raises: NotFound (`not_found`).
    """
    row = Import.objects.defer("body").filter(public=public).first()
    if row is None:
        raise NotFound(kind="import", id=public[:40])
    return _view(row)


def last_syncs() -> dict[str, ImportView]:
    """Which import of each source was booked last?"""
    rows = Import.objects.defer("body").filter(state="done").order_by("source", "-id")
    return {row.source: _view(row) for row in rows.distinct("source")}


def stream_rejects(public: str) -> Iterator[RejectView]:
    """Which rows of this import were not taken? In the order of the file."""
    rows = ImportReject.objects.filter(imported__public=public).order_by("row")
    for row in rows.iterator(chunk_size=2_000):
        yield RejectView(row.row, row.code, row.message, row.content)


def list_rejects(public: str, *, limit: int = 20) -> list[RejectView]:
    """Which are the first of them?"""
    rows = ImportReject.objects.filter(imported__public=public).order_by("row")[:limit]
    return [RejectView(row.row, row.code, row.message, row.content) for row in rows]


def rejects_csv(rows: Iterable[Rejected]) -> str:
    """Which CSV tells of these rows? Texts that a sheet would run are quoted."""
    written = io.StringIO()
    writer = csv.writer(written)
    writer.writerow(["row", "code", "reason", "content"])
    for each in rows:
        writer.writerow([each.row, each.code, csv_text(each.message), csv_text(each.content)])
    return written.getvalue()


def list_accruals(period: str) -> list[AccrualRow]:
    """Which accruals has this month?"""
    rows = Accrual.objects.filter(period=period).order_by("booked_at")
    return [
        AccrualRow(str(row.uid), row.venue, row.amount_nanos, row.reason, row.booked_at)
        for row in rows
    ]


def _view(row: Import) -> ImportView:
    return _views([row])[0]


def _views(rows: Sequence[Import]) -> list[ImportView]:
    seqs = _positions({entry for row in rows for entry in (row.first_entry, row.last_entry)})
    return [
        _told(row, seqs.get(row.first_entry, 0), seqs.get(row.last_entry, 0)) for row in rows
    ]


def _told(row: Import, first: int, last: int) -> ImportView:
    return ImportView(
        id=row.public,
        source=row.source,
        kind=row.kind,
        state=row.state,
        file_name=row.file_name,
        file_bytes=row.file_bytes,
        file_hash=bytes(row.file_hash).hex(),
        use_case=row.use_case,
        rows_total=row.rows_total,
        rows_new=row.rows_new,
        rows_known=row.rows_known,
        rows_rejected=row.rows_rejected,
        rows_done=row.rows_done,
        unpriced=row.unpriced,
        currency=row.currency,
        amount_nanos=row.amount_nanos,
        booked_nanos=row.booked_nanos,
        first_seq=first,
        last_seq=last,
        entries_hash=bytes(row.digest).hex(),
        actor=row.actor,
        problem=row.problem,
        made_at=row.made_at,
        started_at=row.started_at,
        beat_at=row.beat_at,
        finished_at=row.finished_at,
    )


def _positions(entries: Collection[int]) -> dict[int, int]:
    """Which position has each of these entries? Those that wait for the sealer have none."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT entry_id, seq FROM ledger_seal WHERE entry_id = ANY(%s)",
            [[entry for entry in entries if entry]],
        )
        return dict(cursor.fetchall())
