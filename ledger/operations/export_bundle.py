"""How does the ledger leave the house? As files that verify themselves.

A bundle holds everything up to its newest checkpoint: entries, hash tiles, signed notes, keys,
documents, and the verifier. With a period only the entries of that period are inside (in whole
tiles); the hash tiles still cover all, so that the tree can be recomputed.
Source: docs/algorithms/bundle.md; the layout itself is `ledger.core.bundle`.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from django.db import connection, transaction

from ledger.core import verify
from ledger.core.bundle import Contents, lay_out
from ledger.core.checkpoint import VerifierKey
from ledger.core.entry import Kind
from ledger.core.tiles import TILE_WIDTH
from ledger.queries import audit_rows
from ledger.queries.ledgers import LedgerRow, ledger_of_company
from o10.kernel.errors import Conflict, Rejected

Progress = Callable[[int, int], None]


class NothingSigned(Conflict):
    """Is there no checkpoint yet that a bundle could stand on?"""

    code = "not_sealed_yet"


class DirectoryTaken(Rejected):
    """Is the directory there and not empty? Fields: `path`."""

    code = "directory_taken"


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written? `files` counts the manifest too."""

    size: int
    first_seq: int
    last_seq: int
    files: int


def export_bundle(
    *,
    directory: Path,
    keys: Sequence[VerifierKey],
    o10_version: str,
    recorded: tuple[datetime, datetime] | None = None,
    progress: Progress = lambda done, total: None,
) -> Exported:
    """Which bundle was written into this directory, made for it?

    `recorded` (half-open) limits the entries inside to those recorded in it; None = all.
    Raises: DirectoryTaken (`directory_taken`); NothingSigned (`not_sealed_yet`);
    BundleIncomplete (`bundle_incomplete`) when rows are missing; NotFound before a ledger.
    """
    if directory.exists() and any(directory.iterdir()):
        raise DirectoryTaken(path=str(directory))
    files = 0
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        audit_rows.lift_limits(cursor)
        audit_rows.plan_walks(cursor)
        ledger = ledger_of_company()
        contents = _contents(
            cursor, ledger, keys=keys, o10_version=o10_version, recorded=recorded
        )
        laid_out = lay_out(
            contents,
            leaves=_leaves(cursor, ledger, contents.size, progress),
            images=_images(cursor, ledger, contents),
        )
        for path, content in laid_out:
            target = directory / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
            files += 1
    return Exported(
        size=contents.size,
        first_seq=contents.first_seq,
        last_seq=contents.last_seq,
        files=files,
    )


def _contents(
    cursor: Any,
    ledger: LedgerRow,
    *,
    keys: Sequence[VerifierKey],
    o10_version: str,
    recorded: tuple[datetime, datetime] | None,
) -> Contents:
    cursor.execute(
        "SELECT size, note, chain FROM ledger_checkpoint WHERE ledger_id = %s ORDER BY size",
        [ledger.id],
    )
    signed = cursor.fetchall()
    if not signed:
        raise NothingSigned(retry_after_s=1)
    size = signed[-1][0]
    first, last = _range(cursor, ledger, size=size, recorded=recorded)
    return Contents(
        origin=ledger.origin,
        ledger_id=ledger.id,
        currency=ledger.currency,
        time_zone=ledger.time_zone,
        o10_version=o10_version,
        first_seq=first,
        last_seq=last,
        checkpoints={at: note for at, note, _ in signed},
        chain={at: bytes(chain) for at, _, chain in signed},
        keys=keys,
        documents=_documents(cursor),
        verifier=Path(verify.__file__).read_bytes(),
        registry=_registry(cursor, ledger.id),
        periods=_periods(cursor, ledger.id),
        balances=_balances(cursor, ledger.id, size),
        anchors=_anchors(cursor, ledger.id),
        unsealed_versions=_unsealed_versions(cursor, ledger.id, size),
    )


def _range(
    cursor: Any,
    ledger: LedgerRow,
    *,
    size: int,
    recorded: tuple[datetime, datetime] | None,
) -> tuple[int, int]:
    """Which positions, in whole tiles, hold the entries recorded in this span?"""
    if recorded is None:
        return 1, size
    cursor.execute(
        "SELECT min(seq), max(seq) FROM ledger_seal WHERE ledger_id = %s AND seq <= %s"
        " AND recorded_at >= %s AND recorded_at < %s",
        [ledger.id, size, *recorded],
    )
    first, last = cursor.fetchone()
    if first is None:
        first = last = size
    whole_first = (first - 1) // TILE_WIDTH * TILE_WIDTH + 1
    whole_last = min(-(-last // TILE_WIDTH) * TILE_WIDTH, size)
    return whole_first, whole_last


def _leaves(cursor: Any, ledger: LedgerRow, size: int, progress: Progress) -> Iterator[bytes]:
    for after in range(0, size, audit_rows.CHUNK):
        upto = min(after + audit_rows.CHUNK, size)
        cursor.execute(
            "SELECT e.leaf FROM ledger_seal s JOIN ledger_entry e"
            " ON e.recorded_at = s.recorded_at AND e.id = s.entry_id"
            " WHERE s.ledger_id = %s AND s.seq > %s AND s.seq <= %s ORDER BY s.seq",
            [ledger.id, after, upto],
        )
        for row in cursor.fetchall():
            yield bytes(row[0])
        progress(upto, size)


def _images(cursor: Any, ledger: LedgerRow, contents: Contents) -> Iterator[bytes]:
    after = contents.first_seq - 1
    while after < contents.last_seq:
        upto = min(after + audit_rows.CHUNK, contents.last_seq)
        rows, _ = audit_rows.read_chunk(cursor, ledger_id=ledger.id, after=after, upto=upto)
        for row in rows:
            yield row.image
        after = upto


def _documents(cursor: Any) -> dict[bytes, bytes]:
    cursor.execute("SELECT hash, body FROM ledger_document ORDER BY created_at, hash")
    return {bytes(digest): bytes(body) for digest, body in cursor.fetchall()}


def _registry(cursor: Any, ledger_id: int) -> dict[str, dict[int, bytes]]:
    """Which document binds each number? That of its registry entry, the newest one."""
    cursor.execute(
        "SELECT d.hash, d.body FROM ledger_entry e JOIN ledger_document d ON d.hash = e.doc"
        " WHERE e.ledger_id = %s AND e.kind = %s ORDER BY e.xid, e.id",
        [ledger_id, Kind.REGISTRY],
    )
    registry: dict[str, dict[int, bytes]] = {}
    for digest, encoded in cursor.fetchall():
        body = json.loads(bytes(encoded))
        registry.setdefault(body["domain"], {})[int(body["number"])] = bytes(digest)
    return registry


def _periods(cursor: Any, ledger_id: int) -> list[dict[str, object]]:
    cursor.execute(
        "SELECT period, status, starts_at, ends_at, first_seq, last_seq FROM ledger_period"
        " WHERE ledger_id = %s ORDER BY starts_at",
        [ledger_id],
    )
    names = ("period", "status", "start", "end", "first_seq", "last_seq")
    return [
        {
            name: f"{value:%Y-%m-%dT%H:%M:%SZ}" if isinstance(value, datetime) else value
            for name, value in zip(names, row, strict=True)
        }
        for row in cursor.fetchall()
    ]


def _balances(cursor: Any, ledger_id: int, size: int) -> dict[str, bytes]:
    """Which closing balances has each month whose close is inside the bundle?"""
    cursor.execute(
        "SELECT b.period, string_agg(b.line || '\\x0a'::bytea, ''::bytea ORDER BY b.place)"
        " FROM ledger_period_balance b WHERE b.ledger_id = %s AND b.period IN ("
        " SELECT convert_from(d.body, 'UTF8')::jsonb ->> 'period' FROM ledger_entry e"
        " JOIN ledger_document d ON d.hash = e.doc"
        " JOIN ledger_seal s ON s.entry_id = e.id AND s.ledger_id = e.ledger_id"
        " WHERE e.ledger_id = %s AND e.kind = %s AND s.seq <= %s) GROUP BY b.period",
        [ledger_id, ledger_id, int(Kind.PERIOD_CLOSE), size],
    )
    return {period: bytes(lines) for period, lines in cursor.fetchall()}


def _anchors(cursor: Any, ledger_id: int) -> dict[str, bytes]:
    cursor.execute(
        "SELECT id, size, kind, evidence FROM ledger_anchor WHERE ledger_id = %s ORDER BY id",
        [ledger_id],
    )
    return {
        f"{size}-{kind}-{number}": bytes(evidence)
        for number, size, kind, evidence in cursor.fetchall()
    }


def _unsealed_versions(cursor: Any, ledger_id: int, size: int) -> list[tuple[int, int]]:
    """Which versions are committed but behind the newest checkpoint?"""
    cursor.execute(
        "SELECT DISTINCT e.envelope_id, e.env_version FROM ledger_entry e"
        " LEFT JOIN ledger_seal s ON s.entry_id = e.id AND s.ledger_id = e.ledger_id"
        " WHERE e.ledger_id = %s AND e.env_version <> 0 AND (s.seq IS NULL OR s.seq > %s)"
        " AND (e.xid, e.id) > (SELECT b.xid, b.id FROM ledger_seal p JOIN ledger_entry b"
        " ON b.recorded_at = p.recorded_at AND b.id = p.entry_id"
        " WHERE p.ledger_id = %s AND p.seq = %s)",
        [ledger_id, size, ledger_id, size],
    )
    waiting = cursor.fetchall()
    roots = _roots(cursor, ledger_id) if waiting else {}
    return sorted({(roots.get(envelope, 0), version) for envelope, version in waiting})


def _roots(cursor: Any, ledger_id: int) -> dict[int, int]:
    cursor.execute(
        "SELECT d.body FROM ledger_entry e JOIN ledger_document d ON d.hash = e.doc"
        " WHERE e.ledger_id = %s AND e.kind = %s",
        [ledger_id, Kind.ENVELOPE_CHANGE],
    )
    changes = (verify.change_of(json.loads(bytes(row[0]))) for row in cursor.fetchall())
    return {change.envelope: change.root for change in changes}
