"""How does a provider's file get in? Looked at first, then booked batch by batch, once.

The look writes nothing to the ledger and says of every row whether it is new, known or bad.
What was confirmed is booked in batches, each with its progress in one transaction, so that a
worker that dies is followed by another one at the same row. Bad rows are left out with their
reason.
"""

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import file_digest, sha256
from itertools import islice
from pathlib import Path
from typing import Any, Final, TextIO
from uuid import UUID

from django.db import connection, transaction

from ledger.core.offer_names import ModelUnknown
from ledger.models import Import, ImportReject
from ledger.operations.importers.opening import open_bytes, open_path, readable
from ledger.operations.importers.rows import BadRow, BillRow, Row, RowRefused, Terms, UsageRow
from ledger.operations.importers.sources import BILL, get_source, kind_of
from ledger.operations.intern import Domain, intern
from ledger.operations.record_bill import (
    BillBooking,
    in_ledger_currency,
    known_hashes,
    line_hash,
    line_uid,
    record_bill,
)
from ledger.operations.record_usage import FUTURE_MAX, record_usage, usage_hash, usage_uid
from ledger.queries.ledgers import LedgerRow, ledger_of_company
from ledger.queries.periods import closed_until
from ledger.queries.prices import PriceState, price_book, resolve_offer_key
from o10.access.keys import Caller
from o10.access.roles import ROLE_ACTIONS, Role
from o10.kernel import ids
from o10.kernel.errors import Conflict, NotFound, TooLarge

BATCH: Final = 2_000
FILE_MOST: Final = 64 * 1024 * 1024
REJECTS_KEPT: Final = 10_000
STALE: Final = timedelta(seconds=30)
"""A running import whose worker said nothing for so long is taken over."""
LEEWAY: Final = timedelta(days=3)

Progress = Callable[[int], None]


class ImportNotReady(Conflict):
    """Is the import in a state in which this can't be done? Fields: `state`."""

    code = "conflict"


@dataclass(slots=True)
class Tally:
    """What did a look at a file find? Rows; nanos of the ledger's currency.

    `amount_nanos` of a bill is the sum of its new and known lines, of usage what the provider
    says it cost. `unpriced` rows of usage name a model that nobody sells.
    """

    total: int = 0
    new: int = 0
    known: int = 0
    rejected: int = 0
    unpriced: int = 0
    amount_nanos: int = 0
    rejects: list[BadRow] = field(default_factory=list)

    def reject(self, bad: BadRow) -> None:
        """Counts a bad row; the first ten thousand are told one by one."""
        self.rejected += 1
        if len(self.rejects) < REJECTS_KEPT:
            self.rejects.append(bad)


@dataclass(frozen=True, slots=True)
class _Reading:
    source: str
    kind: str
    ledger: LedgerRow
    book: PriceState
    now: datetime


def look(
    stream: TextIO,
    *,
    source: str,
    now: datetime,
    use_case: str = "",
    progress: Progress = lambda done: None,
) -> tuple[str, Tally]:
    """Which kind of file is it, and what would become of its rows? Nothing is written.

    Raises: ValidationFailed for an unknown source; FileRejected (`file_rejected`).
    """
    what = get_source(source)
    tally = Tally()
    seen: dict[UUID, bytes] = {}
    with readable(source=source):
        reading = _Reading(
            source, kind_of(what, stream), ledger_of_company(), price_book(), now
        )
        for batch in _batches(what.read(stream, Terms(source, now, use_case))):
            _sort(batch, reading, tally, seen)
            progress(tally.total)
    return reading.kind, tally


def check_file(
    *,
    source: str,
    file_name: str,
    body: bytes,
    use_case: str = "",
    actor: str,
    now: datetime,
) -> Import:
    """Which import was made of this upload? Looked at, not booked; it waits to be confirmed.

    Raises: TooLarge (`too_large`); as `look`.
    """
    if len(body) > FILE_MOST:
        raise TooLarge(limit_bytes=FILE_MOST)
    stream = open_bytes(body, source=source, limit=FILE_MOST)
    kind, tally = look(stream, source=source, now=now, use_case=use_case)
    upload = Upload(source, kind, file_name, len(body), sha256(body).digest(), use_case)
    return _make(upload, tally, actor, now, body=zlib.compress(body, 6))


def import_path(
    *,
    source: str,
    path: Path,
    use_case: str = "",
    actor: str,
    clock: Callable[[], datetime],
    progress: Progress = lambda done: None,
) -> Import:
    """What became of this file? Looked at and booked at once, streamed, of any size.

    Raises: as `look` and `run_import`.
    """
    now = clock()
    with open_path(path, source=source) as stream:
        kind, tally = look(stream, source=source, now=now, use_case=use_case)
        with path.open("rb") as raw:
            digest = file_digest(raw, "sha256").digest()
        size = path.stat().st_size
        upload = Upload(source, kind, path.name, size, digest, use_case)
        row = _make(upload, tally, actor, now, body=None)
        stream.seek(0)
        return run_import(public=row.public, clock=clock, progress=progress, stream=stream)


@dataclass(frozen=True, slots=True)
class Upload:
    """Which file is it? `use_case` is for rows that name none."""

    source: str
    kind: str
    file_name: str
    file_bytes: int
    file_hash: bytes
    use_case: str


def _make(
    upload: Upload, tally: Tally, actor: str, now: datetime, *, body: bytes | None
) -> Import:
    with transaction.atomic():
        row = Import.objects.create(
            public=ids.new_id("imp"),
            ledger_id=ledger_of_company().id,
            source=upload.source,
            kind=upload.kind,
            state="confirmed" if body is None else "checked",
            file_name=upload.file_name[-200:],
            file_bytes=upload.file_bytes,
            file_hash=upload.file_hash,
            use_case=upload.use_case,
            body=body,
            currency=ledger_of_company().currency,
            actor=actor,
            made_at=now,
            **_counts(tally),
        )
        _keep_rejects(row, tally)
    return row


def confirm_import(*, public: str, now: datetime) -> Import:
    """Shall it be booked? From now on a worker may. Twice is once.

    Raises: NotFound (`not_found`); ImportNotReady (`conflict`) for a discarded one.
    Locks: the row of the import.
    """
    with transaction.atomic():
        row = _locked(public)
        if row.state == "discarded" or (row.state == "failed" and row.body is None):
            raise ImportNotReady(state=row.state)
        if row.state in ("checked", "failed"):
            row.state, row.problem, row.started_at = "confirmed", "", None
            row.save(update_fields=["state", "problem", "started_at"])
    return row


def discard_import(*, public: str, now: datetime) -> Import:
    """Shall it be forgotten? Its file is; that it was looked at stays.

    Raises: NotFound; ImportNotReady (`conflict`) once it is being booked.
    Locks: the row of the import.
    """
    with transaction.atomic():
        row = _locked(public)
        if row.state not in ("checked", "failed", "discarded"):
            raise ImportNotReady(state=row.state)
        row.state, row.body, row.finished_at = "discarded", None, now
        row.save(update_fields=["state", "body", "finished_at"])
    return row


def due_imports(*, now: datetime) -> list[str]:
    """Which imports wait for a worker, or lost theirs?"""
    waiting = Import.objects.filter(state="confirmed", body__isnull=False)
    stale = Import.objects.filter(state="running", beat_at__lt=now - STALE, body__isnull=False)
    return [row.public for row in (waiting | stale).order_by("id")[:10]]


def run_import(
    *,
    public: str,
    clock: Callable[[], datetime],
    progress: Progress = lambda done: None,
    stream: TextIO | None = None,
) -> Import:
    """What became of it? Books the rest of a confirmed import, a batch a transaction.

    `stream` is the file where it was not uploaded.

    Goes on where another worker stopped; ends when another one is faster.
    Raises: NotFound; ImportNotReady; what booking raises, then the batch is not written.
    Locks: the row of the import, then those of booking.
    """
    row = _begin(public, clock())
    if row is None:
        return Import.objects.get(public=public)
    if stream is None:
        body = zlib.decompress(bytes(row.body))
        stream = open_bytes(body, source=row.source, limit=FILE_MOST)
    terms = Terms(row.source, row.made_at, row.use_case)
    rows = get_source(row.source).read(stream, terms)
    done = row.rows_done
    for _ in islice(rows, done):
        pass
    seen: dict[UUID, bytes] = {}
    for batch in _batches(rows):
        following = _book(public, batch, done, seen, clock())
        if following is None:
            return Import.objects.get(public=public)
        done = following
        progress(done)
    return _finish(public, clock())


def fail_import(*, public: str, problem: str, now: datetime) -> None:
    """Writes down why a worker could not go on; it may be confirmed again."""
    Import.objects.filter(public=public, state="running").update(
        state="failed", problem=problem[:200], finished_at=now
    )


def _batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    while batch := list(islice(rows, BATCH)):
        yield batch


def _sort(
    batch: Sequence[Row], reading: _Reading, tally: Tally, seen: dict[UUID, bytes]
) -> list[UsageRow | BillRow]:
    """Which rows of this batch are new? Counts all of them."""
    tally.total += len(batch)
    good: list[tuple[UsageRow | BillRow, UUID, bytes]] = []
    for row in batch:
        if isinstance(row, BadRow):
            tally.reject(row)
        elif isinstance(row, UsageRow):
            good.append((row, usage_uid(row.record), usage_hash(row.record)))
        else:
            good.append((row, line_uid(row, source=reading.source), line_hash(row)))
    known = known_hashes([uid for _, uid, _ in good], ledger_id=reading.ledger.id)
    settled = _settled([row for row, _, _ in good if isinstance(row, UsageRow)])
    fresh: list[UsageRow | BillRow] = []
    for row, uid, digest in good:
        before = known.get(uid) or seen.get(uid)
        if before is not None and before != digest:
            told = "This row was imported before with other figures; they stay as they are."
            tally.reject(BadRow(row.row, "changed_since", told))
            continue
        try:
            amount = _amount(row, reading)
        except RowRefused as failure:
            tally.reject(BadRow(row.row, failure.code, failure.message))
            continue
        tally.amount_nanos += amount
        if before is not None or _is_settled(row, settled):
            tally.known += 1
            continue
        seen[uid] = digest
        tally.new += 1
        tally.unpriced += _is_unpriced(row, reading)
        fresh.append(row)
    return fresh


def _amount(row: UsageRow | BillRow, reading: _Reading) -> int:
    if isinstance(row, BillRow):
        return in_ledger_currency(row, currency=reading.ledger.currency, book=reading.book)[0]
    if row.record.at > reading.now + FUTURE_MAX:
        raise RowRefused("in_the_future", "The usage lies ahead.")
    stated = row.record.provider_cost
    if stated is None or stated.currency != reading.ledger.currency:
        return 0
    return stated.nanos


def _is_unpriced(row: UsageRow | BillRow, reading: _Reading) -> int:
    if isinstance(row, BillRow):
        return 0
    try:
        resolve_offer_key(model=row.record.model, venue=row.record.venue, book=reading.book)
    except ModelUnknown:
        return 1
    return 0


def _settled(rows: Sequence[UsageRow]) -> set[str]:
    """Which provider request ids of these rows were settled or reported by another way?"""
    refs = [row.record.provider_request_id for row in rows if row.record.provider_request_id]
    if not refs:
        return set()
    first = min(row.record.at for row in rows)
    last = max(row.record.at for row in rows)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT ref FROM ledger_entry WHERE ref = ANY(%s) AND ref <> ''"
            " AND kind IN (4, 13) AND recorded_at >= %s AND effective_at BETWEEN %s AND %s",
            [refs, first - timedelta(minutes=5), first - LEEWAY, last + LEEWAY],
        )
        return {row[0] for row in cursor.fetchall()}


def _is_settled(row: UsageRow | BillRow, settled: set[str]) -> bool:
    return isinstance(row, UsageRow) and (row.record.provider_request_id or "") in settled


def _begin(public: str, now: datetime) -> Import | None:
    with transaction.atomic():
        row = _locked(public)
        lives = row.state == "running" and row.beat_at and row.beat_at > now - STALE
        if row.state not in ("confirmed", "running"):
            raise ImportNotReady(state=row.state)
        if lives:
            return None
        row.state, row.beat_at = "running", now
        row.started_at = row.started_at or now
        row.save(update_fields=["state", "beat_at", "started_at"])
    return row


def _book(
    public: str, batch: Sequence[Row], done: int, seen: dict[UUID, bytes], now: datetime
) -> int | None:
    """How many rows are booked now? None when another worker is further."""
    with transaction.atomic():
        row = _locked(public)
        if row.state != "running" or row.rows_done != done:
            return None
        reading = _Reading(row.source, row.kind, ledger_of_company(), price_book(), now)
        tally = Tally()
        fresh = _sort(batch, reading, tally, seen)
        leaves, amount, unpriced = _write(row, reading, fresh, now)
        digest = sha256(bytes(row.digest))
        for _, leaf in leaves:
            digest.update(leaf)
        if leaves:
            numbers = [number for number, _ in leaves]
            row.first_entry = row.first_entry or min(numbers)
            row.last_entry = max(row.last_entry, *numbers)
            row.digest = digest.digest()
        row.booked_nanos += amount
        row.rows_done += len(batch)
        row.beat_at = now
        if done == 0:
            # Counted anew: what was new at the look may be known now.
            row.rows_total = row.rows_new = row.rows_known = row.rows_rejected = 0
            row.amount_nanos = row.unpriced = 0
            ImportReject.objects.filter(imported=row).delete()
        row.rows_total += tally.total
        row.rows_new += tally.new
        row.rows_known += tally.known
        row.rows_rejected += tally.rejected
        row.amount_nanos += tally.amount_nanos
        row.unpriced += unpriced
        _keep_rejects(row, tally)
        row.save()
    return row.rows_done


def _write(
    row: Import, reading: _Reading, fresh: Sequence[UsageRow | BillRow], now: datetime
) -> tuple[list[tuple[int, bytes]], int, int]:
    """Which entries (id, leaf) were written, for how much, and how many had no price?"""
    if not fresh:
        return [], 0, 0
    if row.kind == BILL:
        lines = [each for each in fresh if isinstance(each, BillRow)]
        actor = intern(
            Domain.ACTOR, {"id": row.actor}, ledger_id=reading.ledger.id, actor=0, now=now
        )
        booking = BillBooking(
            ledger=reading.ledger,
            source=row.source,
            imported=row.id,
            file_hash=bytes(row.file_hash),
            actor_id=actor,
            book=reading.book,
            closed_until=closed_until(ledger_id=reading.ledger.id),
            now=now,
        )
        written = record_bill(lines, booking=booking)
        amount = sum(
            in_ledger_currency(each, currency=reading.ledger.currency, book=reading.book)[0]
            for each in lines
        )
        return [(each.id, each.leaf) for each in written], amount, 0
    records = [each.record for each in fresh if isinstance(each, UsageRow)]
    report = record_usage(records=records, caller=_caller(row.actor), now=now)
    return (
        _leaves([item.uid for item in report.items], reading.ledger.id),
        sum(item.amount_nanos for item in report.items if not item.replayed),
        report.unpriced,
    )


def _leaves(uids: Sequence[UUID], ledger_id: int) -> list[tuple[int, bytes]]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT e.id, e.leaf FROM ledger_idem i JOIN ledger_entry e"
            " ON e.ledger_id = i.ledger_id AND e.xid = i.xid AND e.id = i.entry_id"
            " WHERE i.ledger_id = %s AND i.uid = ANY(%s::uuid[]) ORDER BY e.id",
            [ledger_id, list(uids)],
        )
        return [(number, bytes(leaf)) for number, leaf in cursor.fetchall()]


def _finish(public: str, now: datetime) -> Import:
    with transaction.atomic():
        row = _locked(public)
        if row.state == "running":
            row.state, row.finished_at, row.body = "done", now, None
            row.save(update_fields=["state", "finished_at", "body"])
    return row


def _locked(public: str) -> Import:
    row = Import.objects.select_for_update().filter(public=public).first()
    if row is None:
        raise NotFound(kind="import", id=public[:40])
    return row


def _counts(tally: Tally) -> dict[str, Any]:
    return {
        "rows_total": tally.total,
        "rows_new": tally.new,
        "rows_known": tally.known,
        "rows_rejected": tally.rejected,
        "unpriced": tally.unpriced,
        "amount_nanos": tally.amount_nanos,
    }


def _keep_rejects(row: Import, tally: Tally) -> None:
    kept = ImportReject.objects.filter(imported=row).count()
    rejects = tally.rejects[: max(0, REJECTS_KEPT - kept)]
    ImportReject.objects.bulk_create(
        [
            ImportReject(
                imported=row,
                row=bad.row,
                code=bad.code,
                message=bad.message,
                content=bad.content.replace("\0", ""),
            )
            for bad in rejects
        ],
        batch_size=1_000,
        ignore_conflicts=True,
    )


def _caller(actor: str) -> Caller:
    """Who books it: whoever confirmed, by the import's own right."""
    return Caller(actor, actor, actor, Role.FINOPS, None, ROLE_ACTIONS[Role.FINOPS])
