"""Which hashes of the tree stand in the database, and which follow from them?

Full tiles are rows of `ledger_tile`. The rest at the right edge is derived: level 0 from the
leaves of the newest entries, level L from the roots of the full tiles of level L - 1. Every
function takes a cursor, so that the sealer and the pages read on their own connections.
"""

from functools import lru_cache
from typing import Any, Final

from ledger.core.merkle import CompactRange, NodeReader, root
from ledger.core.tiles import (
    TILE_HEIGHT,
    TILE_WIDTH,
    Frontier,
    TileId,
    hashes_of,
    node_reader,
    open_spans,
)
from o10.kernel.errors import Corrupt, NotFound

_ROOTS_KEPT: Final = 4096


class TileMissing(Corrupt):
    """Which full tile or leaf is not there although the seal says so? Fields: `tile`."""

    code = "tile_missing"


def read_leaves(cursor: Any, *, ledger_id: int, first: int, count: int) -> list[bytes]:
    """Which leaves stand at tree indices [first, first + count)?

    Raises: TileMissing (`tile_missing`) when an entry of the range is gone.
    """
    cursor.execute(
        "SELECT e.leaf FROM ledger_seal s JOIN ledger_entry e"
        " ON e.recorded_at = s.recorded_at AND e.id = s.entry_id"
        " WHERE s.ledger_id = %s AND s.seq > %s AND s.seq <= %s ORDER BY s.seq",
        [ledger_id, first, first + count],
    )
    leaves = [bytes(row[0]) for row in cursor.fetchall()]
    if len(leaves) != count:
        raise TileMissing(tile=f"leaves {first} to {first + count}", found=len(leaves))
    return leaves


def read_full_tiles(
    cursor: Any, *, ledger_id: int, level: int, first: int, count: int
) -> list[bytes]:
    """Which bytes have these full tiles, in index order?

    Raises: TileMissing (`tile_missing`).
    """
    cursor.execute(
        "SELECT hashes FROM ledger_tile WHERE ledger_id = %s AND level = %s"
        " AND idx >= %s AND idx < %s ORDER BY idx",
        [ledger_id, level, first, first + count],
    )
    tiles = [bytes(row[0]) for row in cursor.fetchall()]
    if len(tiles) != count:
        raise TileMissing(tile=f"{level}/{first} to {first + count}", found=len(tiles))
    return tiles


def read_hash_tile(cursor: Any, *, ledger_id: int, tile: TileId) -> bytes:
    """Which bytes has this tile of hashes, full or partial?

    Raises: TileMissing (`tile_missing`).
    """
    level = tile.level or 0
    if tile.width == TILE_WIDTH:
        return read_full_tiles(
            cursor, ledger_id=ledger_id, level=level, first=tile.index, count=1
        )[0]
    first = tile.index * TILE_WIDTH
    if level == 0:
        return b"".join(read_leaves(cursor, ledger_id=ledger_id, first=first, count=tile.width))
    below = read_full_tiles(
        cursor, ledger_id=ledger_id, level=level - 1, first=first, count=tile.width
    )
    return b"".join(_root_of_tile(full) for full in below)


def read_frontier(cursor: Any, *, ledger_id: int, size: int) -> Frontier:
    """Which hashes at the right edge are in no full tile yet?

    Raises: TileMissing (`tile_missing`).
    """
    rows = [
        hashes_of(
            read_hash_tile(
                cursor,
                ledger_id=ledger_id,
                tile=TileId(level, first // TILE_WIDTH, count),
            )
        )
        if count
        else []
        for level, first, count in open_spans(size)
    ]
    return Frontier(size=size, rows=rows)


def reader_at(cursor: Any, *, ledger_id: int, size: int) -> NodeReader:
    """How are the complete subtrees of the tree of this size read? Each tile once."""
    return node_reader(
        size=size,
        read_tile=lambda tile: read_hash_tile(cursor, ledger_id=ledger_id, tile=tile),
    )


def root_at(cursor: Any, *, ledger_id: int, size: int) -> bytes:
    """Which root has the tree of the first `size` entries, by its tiles?

    Raises: TileMissing (`tile_missing`).
    """
    node_at = reader_at(cursor, ledger_id=ledger_id, size=size)
    pieces, start = [], 0
    for level in reversed(range(size.bit_length())):
        if size >> level & 1:
            pieces.append(node_at(level, start >> level))
            start += 1 << level
    return CompactRange(size, tuple(pieces)).root()


def check_tile_exists(*, tile: TileId, size: int) -> None:
    """Does the tree of this size have this tile, at this width at least?

    Raises: NotFound (`not_found`).
    """
    height = 0 if tile.level is None else TILE_HEIGHT * tile.level
    count = (size >> height) - tile.index * TILE_WIDTH
    if count < tile.width:
        raise NotFound(kind="tile", id=tile.path())


@lru_cache(maxsize=_ROOTS_KEPT)
def _root_of_tile(full: bytes) -> bytes:
    # Full tiles never change, and one of level L - 1 is asked for with each proof beside it.
    return root(hashes_of(full))
