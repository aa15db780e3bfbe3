"""Which bytes does a verifier read? Entries with leaf and link in sealed order, in chunks.

Read with a LEFT JOIN from the positions, so that a position without its entry shows. The caller
holds one snapshot over all calls.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from uuid import UUID

from psycopg import sql

from ledger.core import canonical
from ledger.core.entry import COLUMNS_V1
from ledger.core.rollup import CLASS_OF_KIND, Increments
from ledger.core.tiles import TILE_WIDTH
from ledger.queries.ledgers import LedgerRow

CHUNK: Final = 20_000
_TILES_READ: Final = 512
_COLUMNS: Final = sql.SQL(", ").join(
    sql.SQL("e.{}").format(sql.Identifier(column.name)) for column in COLUMNS_V1
)
_COPY_HEAD_BYTES: Final = 19
_IMAGE_HEAD: Final = len(COLUMNS_V1).to_bytes(2, "big")
_SUFFIX: Final = (4 + 32) + (4 + 32) + (4 + 8)


class Sealed(NamedTuple):
    """One sealed entry as it stands: position, wire image, stored leaf, stored link."""

    seq: int
    image: bytes
    leaf: bytes
    chain: bytes


@dataclass(frozen=True, slots=True)
class Counted:
    """How many rows are there that must agree in number?"""

    seq: int
    seals: int
    entries: int
    tiles: int


_WALK: Final = (
    *("enable_hashjoin = off", "enable_mergejoin = off", "enable_seqscan = off"),
    *("max_parallel_workers_per_gather = 0", "jit = off"),
)
_SCAN: Final = (
    *("enable_hashjoin = on", "enable_mergejoin = on", "enable_seqscan = on"),
    "max_parallel_workers_per_gather = 2",
)


def lift_limits(cursor: Any) -> None:
    """Which limits has a long read? None, until the transaction ends."""
    for setting in ("statement_timeout = 0", "idle_in_transaction_session_timeout = 0"):
        cursor.execute(f"SET LOCAL {setting}")


def plan_walks(cursor: Any, *, scope: str = "LOCAL") -> None:
    """How are chunks read? Along the positions, whatever the statistics of a new month say.

    `scope`: LOCAL until the transaction ends, SESSION for a connection of one's own.
    """
    for setting in _WALK:
        cursor.execute(f"SET {scope} {setting}")


def plan_scans(cursor: Any) -> None:
    """How is everything read at once? As the planner likes, in parallel."""
    for setting in _SCAN:
        cursor.execute(f"SET LOCAL {setting}")


def read_chunk(
    cursor: Any, *, ledger_id: int, after: int, upto: int
) -> tuple[list[Sealed], int | None]:
    """Which entries stand at (after, upto]? Up to the first gap, which comes second."""
    statement = sql.SQL(
        "COPY (SELECT {columns}, e.leaf, s.chain, s.seq FROM ledger_seal s"
        " LEFT JOIN ledger_entry e ON e.recorded_at = s.recorded_at AND e.id = s.entry_id"
        " WHERE s.ledger_id = {ledger} AND s.seq > {after} AND s.seq <= {upto}"
        " ORDER BY s.seq) TO STDOUT (FORMAT binary)"
    ).format(
        columns=_COLUMNS,
        ledger=sql.Literal(ledger_id),
        after=sql.Literal(after),
        upto=sql.Literal(upto),
    )
    rows: list[Sealed] = []
    gap: int | None = None
    with cursor.copy(statement) as copy:
        skip = _COPY_HEAD_BYTES
        for message in copy:
            row = bytes(message)[skip:]
            skip = 0
            if len(row) <= 2 or gap is not None:
                continue
            seq = int.from_bytes(row[-8:], "big")
            if seq != after + len(rows) + 1 or len(row) < canonical.FIXED_BYTES:
                gap = after + len(rows) + 1
                continue
            image = _IMAGE_HEAD + row[2:-_SUFFIX]
            rows.append(Sealed(seq, image, row[-80:-48], row[-44:-12]))
    if gap is None and len(rows) != upto - after:
        gap = after + len(rows) + 1
    return rows, gap


def read_documents(cursor: Any, hashes: Iterable[bytes]) -> dict[bytes, bytes]:
    """Which bytes stand under these hashes? Missing ones are left out."""
    cursor.execute(
        "SELECT hash, body FROM ledger_document WHERE hash = ANY(%s::bytea[])", [list(hashes)]
    )
    return {bytes(digest): bytes(body) for digest, body in cursor.fetchall()}


def read_originals(
    cursor: Any, *, ledger_id: int, uids: Iterable[bytes]
) -> dict[bytes, tuple[int, bytes]]:
    """Which entries have these uids: position and image each?"""
    cursor.execute(
        f"SELECT s.seq, {', '.join(f'e.{column.name}' for column in COLUMNS_V1)}"
        " FROM ledger_idem i JOIN ledger_entry e ON e.ledger_id = i.ledger_id"
        " AND e.xid = i.xid AND e.id = i.entry_id"
        " JOIN ledger_seal s ON s.entry_id = e.id AND s.ledger_id = e.ledger_id"
        " WHERE i.ledger_id = %s AND i.uid = ANY(%s::uuid[])",
        [ledger_id, [UUID(bytes=uid) for uid in uids]],
    )
    names = [column.name for column in COLUMNS_V1]
    found: dict[bytes, tuple[int, bytes]] = {}
    for seq, *values in cursor.fetchall():
        named = dict(zip(names, values, strict=True))
        entry = canonical.Entry(**{**named, "doc": bytes(named["doc"])})
        # An image that cannot be made any more is reported at its own position.
        if canonical.find_problem(entry) is None:
            found[entry.uid.bytes] = seq, canonical.encode(entry)
    return found


def read_unsealed_versions(
    cursor: Any, *, ledger_id: int, roots: Mapping[int, int]
) -> set[tuple[int, int]]:
    """Which versions of which trees are committed and not sealed yet?"""
    cursor.execute(
        "SELECT DISTINCT e.envelope_id, e.env_version FROM ledger_entry e,"
        " ledger_seal_state t WHERE t.ledger_id = %s AND e.ledger_id = t.ledger_id"
        " AND (e.xid, e.id) > (t.last_xid, t.last_id) AND e.env_version <> 0",
        [ledger_id],
    )
    return {(roots.get(envelope, 0), version) for envelope, version in cursor.fetchall()}


def count_rows(cursor: Any, *, ledger_id: int) -> Counted:
    """How many positions, sealed entries and tiles are there, and how many should be?"""
    cursor.execute(
        "SELECT t.seq, (SELECT count(*) FROM ledger_seal s WHERE s.ledger_id = t.ledger_id),"
        " (SELECT count(*) FROM ledger_entry e WHERE e.ledger_id = t.ledger_id"
        " AND (e.xid, e.id) <= (t.last_xid, t.last_id)),"
        " (SELECT count(*) FROM ledger_tile i WHERE i.ledger_id = t.ledger_id)"
        " FROM ledger_seal_state t WHERE t.ledger_id = %s",
        [ledger_id],
    )
    row = cursor.fetchone()
    return Counted(*row) if row else Counted(0, 0, 0, 0)


def find_stray(cursor: Any, *, ledger_id: int) -> tuple[int, str] | None:
    """Which entry lies below the sealer's cursor without a position: id and uid?"""
    cursor.execute(
        "SELECT e.id, e.uid::text FROM ledger_seal_state t JOIN ledger_entry e"
        " ON e.ledger_id = t.ledger_id AND (e.xid, e.id) <= (t.last_xid, t.last_id)"
        " WHERE t.ledger_id = %s AND NOT EXISTS (SELECT 1 FROM ledger_seal s"
        " WHERE s.entry_id = e.id AND s.ledger_id = e.ledger_id) ORDER BY e.xid, e.id LIMIT 1",
        [ledger_id],
    )
    row = cursor.fetchone()
    return (row[0], row[1]) if row else None


def find_changed_leaves(cursor: Any, *, ledger_id: int, upto: int) -> list[int]:
    """At which positions up to here is the leaf not the hash of its row? At most 100.

    Hashed in the server: half a million rows a second, and it trusts the server.
    """
    cursor.execute(
        "SELECT e.id FROM ledger_entry e, ledger_seal_state t WHERE t.ledger_id = %s"
        " AND e.ledger_id = t.ledger_id AND (e.xid, e.id) <= (t.last_xid, t.last_id)"
        f" AND e.leaf <> sha256({_image_in_sql()}) LIMIT 100",
        [ledger_id],
    )
    changed = [row[0] for row in cursor.fetchall()]
    cursor.execute(
        "SELECT seq FROM ledger_seal WHERE ledger_id = %s AND entry_id = ANY(%s) AND seq <= %s"
        " ORDER BY seq",
        [ledger_id, changed, upto],
    )
    return [row[0] for row in cursor.fetchall()]


def find_gap(cursor: Any, *, ledger_id: int, upto: int) -> int | None:
    """Which is the first position up to here without its entry, if any?"""
    cursor.execute(
        "SELECT min(s.seq) FROM ledger_seal s LEFT JOIN ledger_entry e"
        " ON e.recorded_at = s.recorded_at AND e.id = s.entry_id"
        " WHERE s.ledger_id = %s AND s.seq <= %s AND e.id IS NULL",
        [ledger_id, upto],
    )
    row = cursor.fetchone()
    return row[0] if row else None


def find_leaves_beside_tiles(cursor: Any, *, ledger_id: int, upto: int) -> list[int]:
    """At which positions up to here is the leaf not the hash in its full tile? At most 100."""
    cursor.execute(
        "SELECT s.seq FROM ledger_seal s JOIN ledger_entry e"
        " ON e.recorded_at = s.recorded_at AND e.id = s.entry_id"
        " JOIN ledger_tile t ON t.ledger_id = s.ledger_id AND t.level = 0"
        " AND t.idx = (s.seq - 1) / 256 WHERE s.ledger_id = %s AND s.seq <= %s"
        " AND substr(t.hashes, ((s.seq - 1) %% 256)::int * 32 + 1, 32) <> e.leaf"
        " ORDER BY s.seq LIMIT 100",
        [ledger_id, upto],
    )
    return [row[0] for row in cursor.fetchall()]


def stream_leaf_tiles(cursor: Any, *, ledger_id: int, size: int) -> Iterator[bytes]:
    """Which full tiles of leaf hashes has the tree of this size, in order?"""
    for first in range(0, size // TILE_WIDTH, _TILES_READ):
        cursor.execute(
            "SELECT hashes FROM ledger_tile WHERE ledger_id = %s AND level = 0"
            " AND idx >= %s AND idx < %s ORDER BY idx",
            [ledger_id, first, min(first + _TILES_READ, size // TILE_WIDTH)],
        )
        for row in cursor.fetchall():
            yield bytes(row[0])


_SENDERS: Final = {
    "smallint": r"'\x00000002'::bytea || int2send({0})",
    "integer": r"'\x00000004'::bytea || int4send({0})",
    "bigint": r"'\x00000008'::bytea || int8send({0})",
    "timestamptz": r"'\x00000008'::bytea || timestamptz_send({0})",
    "uuid": r"'\x00000010'::bytea || uuid_send({0})",
    "bytea": "int4send(octet_length({0})) || {0}",
    "text": "int4send(octet_length({0})) || convert_to({0}, 'UTF8')",
}


def _image_in_sql() -> str:
    fields = (_SENDERS[column.type].format(f"e.{column.name}") for column in COLUMNS_V1)
    return r"'\x000026'::bytea || " + " || ".join(fields)


_CELL: Final = ("use_case_id", "envelope_id", "venue_id", "model_id", "dims_id", "kind_class")
_CLASSES: Final = ", ".join(str(int(CLASS_OF_KIND[kind])) for kind in sorted(CLASS_OF_KIND))


def read_cells(cursor: Any, *, ledger_id: int, table: str) -> dict[Any, Increments]:
    """What do the rollups say: (bucket, key…) -> sums?"""
    cursor.execute(
        f"SELECT bucket, {', '.join(_CELL + Increments._fields)} FROM {table}"
        " WHERE ledger_id = %s",
        [ledger_id],
    )
    return {row[:7]: Increments(*row[7:]) for row in cursor.fetchall()}


def sum_cells(cursor: Any, *, ledger: LedgerRow, table: str) -> dict[Any, Increments]:
    """What do the sealed entries say about the same cells, added up by the server?"""
    bucket = {
        "rollup_hour": "date_bin(make_interval(mins => %(minutes)s), e.effective_at,"
        " '2000-01-01Z')",
        "rollup_day": "(e.effective_at AT TIME ZONE %(zone)s)::date",
    }[table]
    sums = ", ".join(f"sum(e.{name})::bigint" for name in Increments._fields)
    nothing = " AND ".join(f"e.{name} = 0" for name in Increments._fields)
    cursor.execute(
        f"SELECT {bucket}, e.use_case_id, e.envelope_id, e.venue_id, e.model_id, e.dims_id,"
        f" (ARRAY[{_CLASSES}])[e.kind], {sums} FROM ledger_entry e, ledger_seal_state t"
        " WHERE t.ledger_id = %(ledger)s AND e.ledger_id = t.ledger_id"
        f" AND (e.xid, e.id) <= (t.last_xid, t.last_id) AND NOT ({nothing})"
        " GROUP BY 1, 2, 3, 4, 5, 6, 7",
        {
            "ledger": ledger.id,
            "minutes": ledger.rollup_minutes,
            "zone": ledger.time_zone,
        },
    )
    return {row[:7]: Increments(*row[7:]) for row in cursor.fetchall()}


def first_difference(
    expected: Mapping[Any, Increments], found: Mapping[Any, Increments]
) -> tuple[Any, str, str, str] | None:
    """In which cell and column do the two differ first: place, column, expected, found?"""
    places: Sequence[Any] = sorted(
        set(expected) | set(found), key=lambda place: tuple(str(part) for part in place)
    )
    zero = Increments(*[0] * len(Increments._fields))
    for place in places:
        right, wrong = expected.get(place, zero), found.get(place, zero)
        for name, a, b in zip(Increments._fields, right, wrong, strict=True):
            if a != b:
                return place, name, str(a), str(b)
    return None
