"""How is the tree kept in files and rows of 256 hashes, and how do they grow?

A tile (level L, index N) holds the hashes of tree level 8 L at `[256 N, 256 N + width)`. Full
tiles never change; the partial one at the right edge of each level is derived when it is read.
A tile of entries holds up to 256 images, each after its length as big-endian uint16.
Source: C2SP tlog-tiles; docs/algorithms/chain-and-tree.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from ledger.core.chain import HASH_BYTES
from ledger.core.merkle import CompactRange, NodeReader, root
from o10.kernel.errors import Corrupt, Rejected

TILE_HEIGHT: Final = 8
TILE_WIDTH: Final = 1 << TILE_HEIGHT
TILE_BYTES: Final = TILE_WIDTH * HASH_BYTES
LEVEL_MAX: Final = 63
ENTRIES: Final = "entries"
_LENGTH_BYTES: Final = 2
_PATH: Final = re.compile(
    r"tile/(entries|0|[1-9][0-9]?)/((?:x[0-9]{3}/)*)([0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?",
    re.ASCII,
)

TileReader = Callable[["TileId"], bytes]


class TilePathInvalid(Rejected):
    """Why does this path name no tile? Fields: `path`."""

    code = "tile_path_invalid"


class TileMalformed(Corrupt):
    """Why are these bytes no tile? Fields: `tile`, `found` (bytes)."""

    code = "tile_malformed"


class TileId(NamedTuple):
    """Which tile: its level (None for a tile of entries), index and width (1 to 256)?"""

    level: int | None
    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody calls here
    width: int = TILE_WIDTH

    def path(self) -> str:
        """Where does the tile stand under the ledger's prefix? `tile/0/x001/234.p/17`."""
        level = ENTRIES if self.level is None else str(self.level)
        groups = [f"{self.index % 1000:03d}"]
        rest = self.index // 1000
        while rest:
            groups.append(f"x{rest % 1000:03d}")
            rest //= 1000
        tail = "" if self.width == TILE_WIDTH else f".p/{self.width}"
        return f"tile/{level}/{'/'.join(reversed(groups))}{tail}"


class Tile(NamedTuple):
    """Which full tile came to be: its level, index and 8,192 bytes?"""

    level: int
    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody calls here
    hashes: bytes


def tile_of_path(path: str) -> TileId:
    """Which tile does this path name?

    Raises: TilePathInvalid (`tile_path_invalid`) unless the path is the one way to name it.
    """
    match = _PATH.fullmatch(path)
    if match is None:
        raise TilePathInvalid(path=path)
    level, leading, last, width = match.groups()
    index = int(leading.replace("x", "").replace("/", "") + last)
    tile = TileId(
        level=None if level == ENTRIES else int(level),
        index=index,
        width=TILE_WIDTH if width is None else int(width),
    )
    if tile.path() != path or (tile.level or 0) > LEVEL_MAX:
        raise TilePathInvalid(path=path)
    return tile


def tiles_of(size: int) -> Iterator[TileId]:
    """Which hash tiles does the tree of this size have, lowest level first?"""
    level, count = 0, size
    while count:
        for index in range(count // TILE_WIDTH):
            yield TileId(level, index)
        if count % TILE_WIDTH:
            yield TileId(level, count // TILE_WIDTH, count % TILE_WIDTH)
        level, count = level + 1, count // TILE_WIDTH


def pack_images(images: Iterable[bytes]) -> bytes:
    """Which bytes are the tile of entries with these images?"""
    return b"".join(
        piece
        for image in images
        for piece in (len(image).to_bytes(_LENGTH_BYTES, "big"), image)
    )


def unpack_images(tile: bytes) -> list[bytes]:
    """Which images does this tile of entries hold?

    Raises: TileMalformed (`tile_malformed`) when the last one is cut.
    """
    images: list[bytes] = []
    place, size = 0, len(tile)
    while place < size:
        start = place + _LENGTH_BYTES
        place = start + int.from_bytes(tile[place:start], "big")
        if start > size or place > size:
            raise TileMalformed(tile=ENTRIES, found=size)
        images.append(tile[start:place])
    return images


def hashes_of(tile: bytes) -> list[bytes]:
    """Which hashes does this hash tile hold?

    Raises: TileMalformed (`tile_malformed`) unless it holds 1 to 256 whole hashes.
    """
    if not tile or len(tile) % HASH_BYTES or len(tile) > TILE_BYTES:
        raise TileMalformed(tile="hashes", found=len(tile))
    return [tile[place : place + HASH_BYTES] for place in range(0, len(tile), HASH_BYTES)]


def node_reader(*, size: int, read_tile: TileReader) -> NodeReader:
    """How does a proof read the complete subtrees of the tree of this size out of its tiles?

    Each tile is read at most once by one reader. Partial tiles are asked for at their width in
    the tree of `size`.
    """
    kept: dict[tuple[int, int], list[bytes]] = {}

    def hashes_in(level: int, index: int) -> list[bytes]:
        if (level, index) not in kept:
            count = (size >> (TILE_HEIGHT * level)) - index * TILE_WIDTH
            tile = TileId(level, index, min(count, TILE_WIDTH))
            kept[level, index] = hashes_of(read_tile(tile))
        return kept[level, index]

    def node_at(level: int, index: int) -> bytes:
        height = level % TILE_HEIGHT
        first = index << height
        hashes = hashes_in(level // TILE_HEIGHT, first // TILE_WIDTH)
        start = first % TILE_WIDTH
        return root(hashes[start : start + (1 << height)])

    return node_at


class Frontier:
    """Which hashes of the tree aren't in a full tile yet, and which tiles do new leaves fill?

    Shape: `rows[L]` holds the hashes of tile level L to the right of its last full tile, fewer
    than 256. The sealer keeps one in memory and rebuilds it from `open_spans` after a restart.
    """

    __slots__ = ("rows", "size")

    def __init__(self, *, size: int = 0, rows: Sequence[Sequence[bytes]] = ()) -> None:
        expected = [count for _, _, count in open_spans(size)]
        if [len(row) for row in rows] != expected:
            raise TileMalformed(tile="frontier", found=sum(map(len, rows)))
        self.size = size
        self.rows = [list(row) for row in rows]

    def extend(self, leaves: Sequence[bytes]) -> list[Tile]:
        """Which tiles do these leaf hashes fill? Each level in index order, lowest first."""
        self.size += len(leaves)
        filled: list[Tile] = []
        level, arriving = 0, list(leaves)
        while arriving:
            if level == len(self.rows):
                self.rows.append([])
            row = self.rows[level] + arriving
            whole = len(row) - len(row) % TILE_WIDTH
            first = (self.size >> (TILE_HEIGHT * level)) // TILE_WIDTH - whole // TILE_WIDTH
            chunks = [row[place : place + TILE_WIDTH] for place in range(0, whole, TILE_WIDTH)]
            filled += [
                Tile(level, first + order, b"".join(chunk))
                for order, chunk in enumerate(chunks)
            ]
            self.rows[level] = row[whole:]
            level, arriving = level + 1, [root(chunk) for chunk in chunks]
        return filled

    def compact(self) -> CompactRange:
        """Which compact range stands for the whole tree now (at most 64 hashes)?"""
        pieces: list[bytes] = []
        for row in reversed(self.rows):
            start = 0
            for bit in reversed(range(TILE_HEIGHT)):
                if len(row) >> bit & 1:
                    pieces.append(root(row[start : start + (1 << bit)]))
                    start += 1 << bit
        return CompactRange(self.size, tuple(pieces))


def open_spans(size: int) -> list[tuple[int, int, int]]:
    """Which hashes does a frontier of this size hold: (tile level, first index, count) each?"""
    spans: list[tuple[int, int, int]] = []
    level, count = 0, size
    while count:
        spans.append((level, count - count % TILE_WIDTH, count % TILE_WIDTH))
        level, count = level + 1, count // TILE_WIDTH
    return spans
