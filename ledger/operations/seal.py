"""Which position does each entry get? Those below the xid horizon, in the order (xid, id).

One sealer a ledger. A batch is one transaction: chain hashes, full tiles, rollups and the state
row are written together or not at all, so a crash at any statement leaves what a restart can go
on from. Every transaction below the horizon is finished, so nothing can appear later below the
cursor; aborted transactions leave holes in `id`, never in `seq`.

The sealer has a connection of its own (role `<database>_sealer`, autocommit) and nothing here
reads the clock. Checkpoints are in `sign.py`, what happens around a batch in `run_sealer.py`.
"""

import struct
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from itertools import chain as joined
from typing import Any, Final

import psycopg
from psycopg import sql

from ledger.core.chain import LINK_PREFIX
from ledger.core.rollup import CLASS_OF_KIND, Increments
from ledger.core.tiles import Frontier
from ledger.operations.append import COPY_HEAD, COPY_TAIL
from ledger.operations.spot_strays import spot_strays
from ledger.queries.ledgers import LedgerRow
from ledger.queries.strays import Stray
from o10.kernel.errors import Corrupt, Unavailable

BATCH_MAX: Final = 10_000
"""Entries of one transaction; above it the rollup upsert stops getting cheaper per entry."""

ADVISORY_CLASS: Final = 0x6F3130  # "o10"
_SEAL_COPY: Final = (
    "COPY ledger_seal (seq, entry_id, recorded_at, ledger_id, chain) FROM STDIN (FORMAT binary)"
)
_SEAL_ROW: Final = struct.Struct(">hiqiqiqiii32s")
_BATCH_ROW: Final = struct.Struct(">hiqiqiqi32s")
_COPY_HEAD_BYTES: Final = len(COPY_HEAD)
_SEAL_RANGE: Final = 1 << 26
_RANGE_AHEAD: Final = 1 << 22


class FenceLost(Unavailable):
    """Has another sealer taken over? Fields: `fence`."""

    code = "unavailable"


class SealBroken(Corrupt):
    """What does not hold together in what was sealed? Fields: `what`, `expected`, `found`."""

    code = "seal_broken"


@dataclass(slots=True)
class Sealer:
    """Where does this sealer stand? Changes with each committed batch and never in between."""

    connection: "psycopg.Connection[Any]"
    ledger: LedgerRow
    fence: int
    seq: int
    last_xid: int
    last_id: int
    chain: bytes
    frontier: Frontier


@dataclass(frozen=True, slots=True)
class Sealed:
    """What did one batch seal? `full` says that more is waiting.

    `strays` of them were recorded more than five minutes from now; `first_strays` names some.
    """

    count: int
    seq: int
    full: bool
    strays: int = 0
    first_strays: tuple[Stray, ...] = ()


@dataclass(frozen=True, slots=True)
class _Batch:
    rows: list[tuple[Any, ...]]
    """(…, id, …, xid, …, recorded_at, …, leaf) as `_BATCH_ROW` unpacks them."""
    last_xid: int
    last_id: int


def seal_once(sealer: Sealer, *, now: datetime, limit: int = BATCH_MAX) -> Sealed:
    """Which entries have a position now? At most `limit`; none when nothing is waiting.

    Raises: FenceLost (`unavailable`) when another sealer took over; SealBroken (`seal_broken`)
    when the state row is not the one this sealer wrote; psycopg.Error. After any of them the
    sealer must be opened anew: nothing of the batch is there.
    Locks: the state row, which only sealers take.
    """
    if not _is_waiting(sealer):
        return Sealed(count=0, seq=sealer.seq, full=False)
    with sealer.connection.transaction(), sealer.connection.cursor() as cursor:
        _lock_state(sealer, cursor)
        batch = _read_batch(sealer, cursor, limit=limit)
        if batch is None:
            return Sealed(count=0, seq=sealer.seq, full=False)
        head, seal_rows = _link(sealer, batch)
        frontier = Frontier(size=sealer.seq, rows=sealer.frontier.rows)
        filled = frontier.extend([row[8] for row in batch.rows])
        with cursor.copy(_SEAL_COPY) as copy:
            copy.write(seal_rows)
        if filled:
            cursor.executemany(
                "INSERT INTO ledger_tile (ledger_id, level, idx, hashes)"
                " VALUES (%s, %s, %s, %s)",
                [(sealer.ledger.id, tile.level, tile.index, tile.hashes) for tile in filled],
            )
        seq = sealer.seq + len(batch.rows)
        recorded = [(row[2], row[6]) for row in batch.rows]
        strays, first = spot_strays(cursor, recorded, after=sealer.seq, now=now)
        _roll_up(sealer, cursor, batch=batch, seq=seq)
        _move_state(
            sealer, cursor, batch=batch, seq=seq, chain=head, frontier=frontier, now=now
        )
    sealer.seq, sealer.chain, sealer.frontier = seq, head, frontier
    sealer.last_xid, sealer.last_id = batch.last_xid, batch.last_id
    return Sealed(
        count=len(batch.rows),
        seq=seq,
        full=len(batch.rows) == limit,
        strays=strays,
        first_strays=first,
    )


def _is_waiting(sealer: Sealer) -> bool:
    # Outside a transaction and without a lock: an idle poll must cost no fsync.
    row = sealer.connection.execute(
        "SELECT EXISTS (SELECT 1 FROM ledger_entry WHERE ledger_id = %s"
        " AND (xid, id) > (%s::xid8, %s)"
        " AND xid < pg_snapshot_xmin(pg_current_snapshot()))",
        [sealer.ledger.id, str(sealer.last_xid), sealer.last_id],
    ).fetchone()
    return bool(row and row[0])


def _lock_state(sealer: Sealer, cursor: Any) -> None:
    cursor.execute(
        "SELECT fence, seq, last_xid::text, last_id, chain FROM ledger_seal_state"
        " WHERE ledger_id = %s FOR UPDATE NOWAIT",
        [sealer.ledger.id],
    )
    row = cursor.fetchone()
    if row is None or row[0] != sealer.fence:
        raise FenceLost(fence=sealer.fence)
    expected = (sealer.seq, str(sealer.last_xid), sealer.last_id, sealer.chain)
    found = (row[1], row[2], row[3], bytes(row[4]))
    if found != expected:
        raise SealBroken(what="seal state", expected=str(expected), found=str(found))


def _read_batch(sealer: Sealer, cursor: Any, *, limit: int) -> _Batch | None:
    # COPY takes no parameters; every value here is an integer of ours.
    statement = sql.SQL(
        "COPY (SELECT id, xid, recorded_at, leaf FROM ledger_entry WHERE ledger_id = {ledger}"
        " AND (xid, id) > ({xid}::xid8, {id})"
        " AND xid < pg_snapshot_xmin(pg_current_snapshot())"
        " ORDER BY xid, id LIMIT {limit}) TO STDOUT (FORMAT binary)"
    ).format(
        ledger=sql.Literal(sealer.ledger.id),
        xid=sql.Literal(str(sealer.last_xid)),
        id=sql.Literal(sealer.last_id),
        limit=sql.Literal(limit),
    )
    with cursor.copy(statement) as copy:
        wire = b"".join(copy)
    rows = list(_BATCH_ROW.iter_unpack(wire[_COPY_HEAD_BYTES : -len(COPY_TAIL)]))
    if not rows:
        return None
    return _Batch(rows=rows, last_id=rows[-1][2], last_xid=rows[-1][4])


def _link(sealer: Sealer, batch: _Batch) -> tuple[bytes, bytes]:
    """What is the chain hash after the batch, and which COPY stream carries its rows?"""
    head, seq, ledger_id = sealer.chain, sealer.seq, sealer.ledger.id
    prefix, pack = LINK_PREFIX, _SEAL_ROW.pack
    rows = []
    # Inline, not `chain.link`: a call for each of a hundred thousand entries a second is felt.
    for _, _, number, _, _, _, recorded, _, leaf in batch.rows:
        head = sha256(prefix + head + leaf).digest()
        seq += 1
        rows.append(pack(5, 8, seq, 8, number, 8, recorded, 4, ledger_id, 32, head))
    return head, b"".join(joined((COPY_HEAD,), rows, (COPY_TAIL,)))


_CELL: Final = (
    "use_case_id",
    "envelope_id",
    "venue_id",
    "model_id",
    "dims_id",
    "kind_class",
)
_SUMS: Final = Increments._fields
_CLASSES: Final = ", ".join(str(int(CLASS_OF_KIND[kind])) for kind in sorted(CLASS_OF_KIND))


def _upsert(table: str, bucket: str) -> str:
    key = f"{bucket}, {', '.join(_CELL)}"
    added = ", ".join(f"{name} = {table}.{name} + excluded.{name}" for name in _SUMS)
    return (
        f"INSERT INTO {table} (ledger_id, bucket, {', '.join(_CELL + _SUMS)}, upto_seq)"
        f" SELECT %(ledger)s, {key}, {', '.join(f'sum({name})' for name in _SUMS)}, %(seq)s"
        f" FROM cells GROUP BY {key} ORDER BY {key}"
        f" ON CONFLICT (ledger_id, bucket, {', '.join(_CELL)}) DO UPDATE SET"
        f" {added}, upto_seq = excluded.upto_seq"
    )


_ROLL_UP: Final = f"""
WITH cells AS MATERIALIZED (
    SELECT date_bin(make_interval(mins => %(minutes)s), effective_at, '2000-01-01Z') AS hour,
           (effective_at AT TIME ZONE %(zone)s)::date AS day,
           use_case_id, envelope_id, venue_id, model_id, dims_id,
           (ARRAY[{_CLASSES}])[kind] AS kind_class,
           {", ".join(f"sum({name})::bigint AS {name}" for name in _SUMS)}
    FROM ledger_entry
    WHERE ledger_id = %(ledger)s
      AND (xid, id) > (%(after_xid)s::xid8, %(after_id)s)
      AND (xid, id) <= (%(upto_xid)s::xid8, %(upto_id)s)
      AND ({" | ".join("n::bigint" if name == "n" else name for name in _SUMS)}) <> 0
    GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
), hours AS (
    {_upsert("rollup_hour", "hour")}
)
{_upsert("rollup_day", "day")}
"""
"""Sums in the server: the batch is there and its cells are few. `ledger_verify` recomputes the
same cells from images in Python (`core.rollup.fold_images`); the two are written independently.
"""


def _roll_up(sealer: Sealer, cursor: Any, *, batch: _Batch, seq: int) -> None:
    cursor.execute(
        _ROLL_UP,
        {
            "ledger": sealer.ledger.id,
            "minutes": sealer.ledger.rollup_minutes,
            "zone": sealer.ledger.time_zone,
            "after_xid": str(sealer.last_xid),
            "after_id": sealer.last_id,
            "upto_xid": str(batch.last_xid),
            "upto_id": batch.last_id,
            "seq": seq,
        },
    )


def _move_state(
    sealer: Sealer,
    cursor: Any,
    *,
    batch: _Batch,
    seq: int,
    chain: bytes,
    frontier: Frontier,
    now: datetime,
) -> None:
    if seq // _SEAL_RANGE != (seq + _RANGE_AHEAD) // _SEAL_RANGE:
        cursor.execute("SELECT ledger_create_seal_range(%s)", [seq + _RANGE_AHEAD])
    cursor.execute(
        "UPDATE ledger_seal_state SET seq = %s, last_xid = %s::xid8, last_id = %s, chain = %s,"
        " ranges = %s, updated_at = %s WHERE ledger_id = %s AND fence = %s AND seq = %s",
        [
            seq,
            str(batch.last_xid),
            batch.last_id,
            chain,
            frontier.compact().to_bytes(),
            now,
            sealer.ledger.id,
            sealer.fence,
            sealer.seq,
        ],
    )
    if cursor.rowcount != 1:
        raise FenceLost(fence=sealer.fence)
