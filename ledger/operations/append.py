"""How do drafts become rows? Each gets its id and leaf hash; more than a few go by binary COPY.

The image of an entry is the COPY tuple of its 38 columns, so the bytes that are hashed are the
bytes that are sent. Every entry has its row in `ledger_idem`, in the same transaction; its
primary key makes a uid happen once.
"""

import struct
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain
from typing import Any, Final
from uuid import UUID

import psycopg
from django.db import IntegrityError, connection, transaction

from ledger.core import canonical
from ledger.core.chain import leaf
from ledger.core.entry import COLUMNS_V1, Entry, Kind
from ledger.queries.entries import StoredEntry
from o10.kernel.errors import Conflict, Corrupt

COPY_ABOVE: Final = 8
"""Up to here one INSERT is faster: a COPY needs a round trip more."""

NO_REQUEST: Final = bytes(32)
"""Request hash of an entry that no request asked for."""

COLUMNS: Final = tuple(column.name for column in COLUMNS_V1)
ENTRY_COPY: Final = (
    f"COPY ledger_entry (id, {', '.join(COLUMNS)}, leaf) FROM STDIN (FORMAT binary)"
)
IDEM_COPY: Final = (
    "COPY ledger_idem (entry_id, ledger_id, uid, request_hash) FROM STDIN (FORMAT binary)"
)
COPY_HEAD: Final = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
COPY_TAIL: Final = b"\xff\xff"
_ENTRY_HEAD: Final = struct.Struct(">hiq")
_LEAF_HEAD: Final = struct.pack(">i", 32)
_IDEM_ROW: Final = struct.Struct(">hiqiii16si32s")
_ENTRY_INSERT: Final = f"INSERT INTO ledger_entry (id, {', '.join(COLUMNS)}, leaf) VALUES "
_ENTRY_VALUES: Final = f"({', '.join(['%s'] * (len(COLUMNS) + 2))})"
_IDEM_INSERT: Final = "INSERT INTO ledger_idem (entry_id, ledger_id, uid, request_hash) VALUES "
_IDEM_VALUES: Final = "(nextval('ledger_entry_id_seq'), %s, %s, %s)"
_CLAIM_ONE: Final = f"{_IDEM_INSERT}{_IDEM_VALUES} ON CONFLICT DO NOTHING RETURNING entry_id"
_FIRST_MONTH_MS: Final = 1_577_836_800_000
"""2020-01-01: keys older than that, and those without an origin time, share one partition."""

_ready_months: set[tuple[str, int, int]] = set()


class EntryExists(Conflict):
    """Is an entry with this uid there already? Fields: `uids` (those sent)."""

    code = "entry_exists"


class ExposureUnversioned(Corrupt):
    """Does an entry move exposure without a version of its tree, or the other way round?

    Fields: `uid`, `net_nanos`, `env_version`. It is a fault of the writing code; the verifier
    would name it as I4 for ever.
    """

    code = "exposure_unversioned"


class OutsideTransaction(RuntimeError):
    """Did a caller try to write entries outside a transaction?"""


def append(
    drafts: Sequence[Entry],
    *,
    request_hash: bytes = NO_REQUEST,
    claimed: Mapping[UUID, int] | None = None,
) -> list[StoredEntry]:
    """Which rows were written for these drafts, in this order?

    `claimed` maps uids whose `ledger_idem` row is already written to their entry id (`claim`);
    the others get theirs here with `request_hash`.

    Raises: EntryExists (`entry_exists`) when a uid is taken, then the transaction is lost;
    EntryInvalid (`entry_invalid`); ExposureUnversioned (`exposure_unversioned`);
    OutsideTransaction.
    Locks: no row; the unique key waits for another transaction that writes the same uid.
    """
    if not connection.in_atomic_block:
        raise OutsideTransaction("entries are written inside a transaction")
    ensure_months(drafts)
    try:
        with connection.cursor() as cursor:
            return append_rows(cursor, drafts, request_hash=request_hash, claimed=claimed or {})
    except (IntegrityError, psycopg.IntegrityError) as error:
        if "ledger_idem" not in str(error):
            raise
        raise EntryExists(uids=[str(draft.uid) for draft in drafts]) from error


def append_rows(
    cursor: Any,
    drafts: Sequence[Entry],
    *,
    request_hash: bytes = NO_REQUEST,
    claimed: Mapping[UUID, int],
) -> list[StoredEntry]:
    """Which rows were written through this cursor? As `append`, on a connection of one's own.

    Raises: psycopg or Django IntegrityError when a uid is taken; EntryInvalid.
    """
    if not drafts:
        return []
    _check_versions(drafts)
    images = [canonical.encode(draft) for draft in drafts]
    leaves = [leaf(image) for image in images]
    fresh = [draft for draft in drafts if draft.uid not in claimed]
    taken = {**claimed, **_take_keys(cursor, fresh, request_hash=request_hash)}
    ids = [taken[draft.uid] for draft in drafts]
    if len(drafts) > COPY_ABOVE:
        with cursor.copy(ENTRY_COPY) as copy:
            copy.write(copy_rows(ids=ids, images=images, leaves=leaves))
    else:
        values: list[object] = []
        for draft, number, digest in zip(drafts, ids, leaves, strict=True):
            values += (number, *(getattr(draft, name) for name in COLUMNS), digest)
        cursor.execute(_ENTRY_INSERT + ", ".join([_ENTRY_VALUES] * len(drafts)), values)
    return [
        StoredEntry(entry=draft, id=number, leaf=digest)
        for draft, number, digest in zip(drafts, ids, leaves, strict=True)
    ]


def claim(
    *, ledger_id: int, hashes: Mapping[UUID, bytes]
) -> tuple[dict[UUID, int], dict[UUID, bytes]]:
    """Which uids are ours now (uid -> entry id), which were taken before (uid -> request hash)?

    Must run inside a transaction. A uid being written by another transaction is waited for;
    uids are taken in ascending order, so that two callers cannot block each other.
    """
    uids = sorted(hashes)
    _ensure(_uid_months(uids))
    with connection.cursor() as cursor:
        if len(uids) == 1:
            # The shape of every single write; planned in a third of the time.
            cursor.execute(_CLAIM_ONE, [ledger_id, uids[0], hashes[uids[0]]])
            row = cursor.fetchone()
            if row is not None:
                return {uids[0]: row[0]}, {}
        ours = {} if len(uids) == 1 else _claim_many(cursor, ledger_id, uids, hashes)
        taken: dict[UUID, bytes] = {}
        if len(ours) < len(uids):
            # A statement of its own: only a fresh snapshot sees what the conflict was with.
            cursor.execute(
                "SELECT uid, request_hash FROM ledger_idem"
                " WHERE ledger_id = %s AND uid = ANY(%s::uuid[])",
                [ledger_id, [uid for uid in uids if uid not in ours]],
            )
            taken = {uid: bytes(found) for uid, found in cursor.fetchall()}
    return ours, taken


def _claim_many(
    cursor: Any, ledger_id: int, uids: Sequence[UUID], hashes: Mapping[UUID, bytes]
) -> dict[UUID, int]:
    cursor.execute(
        "INSERT INTO ledger_idem (entry_id, ledger_id, uid, request_hash)"
        " SELECT nextval('ledger_entry_id_seq'), %s, uid, hash"
        " FROM unnest(%s::uuid[], %s::bytea[]) AS asked (uid, hash) ORDER BY uid"
        " ON CONFLICT DO NOTHING RETURNING uid, entry_id",
        [ledger_id, uids, [hashes[uid] for uid in uids]],
    )
    return dict(cursor.fetchall())


def copy_rows(*, ids: Iterable[int], images: Iterable[bytes], leaves: Iterable[bytes]) -> bytes:
    """Which binary COPY stream (ENTRY_COPY) carries these entries?"""
    fields = len(COLUMNS) + 2
    pack = _ENTRY_HEAD.pack
    rows = (
        (pack(fields, 8, number), image[2:], _LEAF_HEAD, digest)
        for number, image, digest in zip(ids, images, leaves, strict=True)
    )
    return b"".join(chain((COPY_HEAD,), chain.from_iterable(rows), (COPY_TAIL,)))


def key_rows(*, ids: Iterable[int], drafts: Iterable[Entry], request_hash: bytes) -> bytes:
    """Which binary COPY stream (IDEM_COPY) claims the uids of these drafts?"""
    pack = _IDEM_ROW.pack
    rows = (
        pack(4, 8, number, 4, draft.ledger_id, 16, draft.uid.bytes, 32, request_hash)
        for number, draft in zip(ids, drafts, strict=True)
    )
    return b"".join(chain((COPY_HEAD,), rows, (COPY_TAIL,)))


def ensure_months(drafts: Iterable[Entry]) -> None:
    """Are there partitions for the months of these drafts and of their uids?

    The sealer makes them ahead; this is for imports of old usage and for a clock that has run
    past what is there. A set lookup each when they are.
    """
    months = {(draft.recorded_at.year, draft.recorded_at.month) for draft in drafts}
    _ensure(months | _uid_months(draft.uid for draft in drafts))


def _check_versions(drafts: Iterable[Entry]) -> None:
    for draft in drafts:
        net = draft.amount_nanos + draft.held_nanos + draft.unsettled_nanos
        if (net != 0 or draft.kind == Kind.ENVELOPE_CHANGE) != (draft.env_version != 0):
            raise ExposureUnversioned(
                uid=str(draft.uid), net_nanos=net, env_version=draft.env_version
            )


def _uid_months(uids: Iterable[UUID]) -> set[tuple[int, int]]:
    # Many uids share few hours; dividing first makes the date arithmetic rare.
    hours = {(uid.int >> 80) // 3_600_000 for uid in uids}
    starts = (
        datetime.fromtimestamp(hour * 3600, UTC)
        for hour in hours
        if hour * 3_600_000 >= _FIRST_MONTH_MS
    )
    return {(start.year, start.month) for start in starts}


def _ensure(months: set[tuple[int, int]]) -> None:
    database = str(connection.settings_dict["NAME"])
    for year, month in sorted(months):
        key = (database, year, month)
        if key in _ready_months:
            continue
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT ledger_create_month(%s)", [datetime(year, month, 1, tzinfo=UTC)]
            )
        # Remembered once committed: a rollback takes a new partition away again.
        transaction.on_commit(lambda key=key: _ready_months.add(key))


def _take_keys(cursor: Any, fresh: Sequence[Entry], *, request_hash: bytes) -> dict[UUID, int]:
    if not fresh:
        return {}
    if len(fresh) <= COPY_ABOVE:
        values: list[object] = []
        for draft in fresh:
            values += (draft.ledger_id, draft.uid, request_hash)
        cursor.execute(
            _IDEM_INSERT + ", ".join([_IDEM_VALUES] * len(fresh)) + " RETURNING uid, entry_id",
            values,
        )
        return dict(cursor.fetchall())
    cursor.execute(
        "SELECT nextval('ledger_entry_id_seq') FROM generate_series(1, %s)", [len(fresh)]
    )
    ids = [row[0] for row in cursor.fetchall()]
    with cursor.copy(IDEM_COPY) as copy:
        copy.write(key_rows(ids=ids, drafts=fresh, request_hash=request_hash))
    return {draft.uid: number for draft, number in zip(fresh, ids, strict=True)}
