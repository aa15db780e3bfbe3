"""How is it proven to outsiders that an entry is in the ledger and that it only grew?"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from uuid import UUID

from django.db import connection

from ledger.core import canonical, merkle
from ledger.core.chain import chain_start
from ledger.core.document import INTEGER_MAX
from ledger.core.entry import COLUMNS_V1
from ledger.core.tiles import TILE_WIDTH, TileId, pack_images
from ledger.queries.entries import Neighbours, StoredEntry, get_by_uid, list_range
from ledger.queries.entries import get_neighbours as _neighbours
from ledger.queries.ledgers import COMPANY_LEDGER, find_ledger
from ledger.queries.tree import check_tile_exists, read_hash_tile, reader_at, root_at
from o10.kernel.errors import NotFound, NotSealedYet


@dataclass(frozen=True, slots=True)
class InclusionProof:
    """Which path leads from the entry to a signed root?

    `image` is what is hashed; `index` = seq - 1; `note` is the signed checkpoint of `size`.
    """

    entry: StoredEntry
    image: bytes
    leaf: bytes
    seq: int
    index: int
    size: int
    path: tuple[bytes, ...]
    root: bytes
    note: str


@dataclass(frozen=True, slots=True)
class ConsistencyProof:
    """Which hashes show that the tree of `second` begins with that of `first`?"""

    first: int
    second: int
    first_root: bytes
    second_root: bytes
    path: tuple[bytes, ...]


def prove_inclusion(
    *, uid: UUID, size: int | None = None, ledger_id: int = COMPANY_LEDGER
) -> InclusionProof:
    """Which path leads from this entry to the root signed at `size` (None: the newest)?

    Raises: NotFound (`not_found`) for an unknown entry or a size nobody signed; NotSealedYet
    (`not_sealed_yet`) until the entry has a position below a checkpoint.
    """
    stored = get_by_uid(ledger_id=ledger_id, uid=uid)
    if stored.seq is None:
        raise NotSealedYet(uid=str(uid), retry_after_s=1)
    with connection.cursor() as cursor:
        signed = _signed(cursor, ledger_id=ledger_id, size=size)
        if signed is None or signed[0] < stored.seq:
            if size is not None:
                raise NotFound(kind="checkpoint covering the entry", id=str(size))
            raise NotSealedYet(uid=str(uid), retry_after_s=1)
        signed_size, root, note = signed
        path = merkle.inclusion_proof(
            index=stored.seq - 1,
            size=signed_size,
            node_at=reader_at(cursor, ledger_id=ledger_id, size=signed_size),
        )
    return InclusionProof(
        entry=stored,
        image=canonical.encode(stored.entry),
        leaf=stored.leaf,
        seq=stored.seq,
        index=stored.seq - 1,
        size=signed_size,
        path=path,
        root=root,
        note=note,
    )


def prove_consistency(
    *, first: int, second: int, ledger_id: int = COMPANY_LEDGER
) -> ConsistencyProof:
    """Which hashes show that nothing before position `first` changed up to `second`?

    Raises: ProofOutOfRange (`proof_out_of_range`) unless 0 <= first <= second; NotFound
    (`not_found`) when the ledger is not that long.
    """
    with connection.cursor() as cursor:
        size = _sealed(cursor, ledger_id)
        if second > size:
            raise NotFound(kind="position", id=str(second))
        node_at = reader_at(cursor, ledger_id=ledger_id, size=second)
        path = merkle.consistency_proof(first=first, second=second, node_at=node_at)
        roots = partial(root_at, cursor, ledger_id=ledger_id)
        return ConsistencyProof(
            first=first,
            second=second,
            first_root=roots(size=first),
            second_root=roots(size=second),
            path=path,
        )


def read_tile(*, level: int, index: int, width: int, ledger_id: int = COMPANY_LEDGER) -> bytes:
    """Which hashes has this tile (C2SP tlog-tiles)? 32 bytes each, `width` of them.

    Raises: NotFound (`not_found`) when the sealed tree has no such tile.
    """
    tile = TileId(level=level, index=index, width=width)
    with connection.cursor() as cursor:
        check_tile_exists(tile=tile, size=_sealed(cursor, ledger_id))
        return read_hash_tile(cursor, ledger_id=ledger_id, tile=tile)


def read_entry_tile(*, index: int, width: int, ledger_id: int = COMPANY_LEDGER) -> bytes:
    """Which images has this tile of entries, each after its length as uint16?

    Raises: NotFound (`not_found`) when the sealed tree has no such tile.
    """
    tile = TileId(level=None, index=index, width=width)
    with connection.cursor() as cursor:
        check_tile_exists(tile=tile, size=_sealed(cursor, ledger_id))
    first = index * TILE_WIDTH
    entries = list_range(ledger_id=ledger_id, seq_from=first + 1, seq_to=first + width + 1)
    return pack_images(canonical.encode(stored.entry) for stored in entries)


def get_neighbours(*, seq: int, ledger_id: int = COMPANY_LEDGER) -> Neighbours:
    """Who stands before and after this position, and from which chain hash does its link start?

    Raises: NotFound (`not_found`).
    """
    ledger = find_ledger(ledger_id)
    if ledger is None:
        raise NotFound(kind="ledger", id=str(ledger_id))
    return _neighbours(ledger_id=ledger_id, seq=seq, chain_start=chain_start(ledger.origin))


_INSTANTS: Final = frozenset(
    column.name for column in COLUMNS_V1 if column.type == "timestamptz"
)


def as_json(stored: StoredEntry) -> Mapping[str, str | int | None]:
    """What is the JSON view of this entry?

    Shape: the 38 fields by name, then seq, leaf and chain (hex); uuids and instants (RFC 3339,
    UTC) as text; integers outside +/-2^53 as decimal text. It is never hashed.
    """
    view: dict[str, str | int | None] = {}
    for column in COLUMNS_V1:
        value = getattr(stored.entry, column.name)
        if column.name in _INSTANTS:
            view[column.name] = f"{value:%Y-%m-%dT%H:%M:%S.%fZ}"
        elif isinstance(value, bytes):
            view[column.name] = value.hex()
        elif isinstance(value, int):
            view[column.name] = value if abs(value) <= INTEGER_MAX else str(value)
        else:
            view[column.name] = str(value)
    view["seq"] = stored.seq
    view["leaf"] = stored.leaf.hex()
    view["chain"] = None if stored.chain is None else stored.chain.hex()
    return view


def _sealed(cursor: Any, ledger_id: int) -> int:
    cursor.execute("SELECT seq FROM ledger_seal_state WHERE ledger_id = %s", [ledger_id])
    row = cursor.fetchone()
    return row[0] if row else 0


def _signed(cursor: Any, *, ledger_id: int, size: int | None) -> tuple[int, bytes, str] | None:
    cursor.execute(
        "SELECT size, root, note FROM ledger_checkpoint WHERE ledger_id = %s"
        " AND (%s::bigint IS NULL OR size = %s) ORDER BY size DESC LIMIT 1",
        [ledger_id, size, size],
    )
    row = cursor.fetchone()
    return (row[0], bytes(row[1]), row[2]) if row else None
