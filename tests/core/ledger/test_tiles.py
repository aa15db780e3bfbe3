"""Are tiles named as C2SP names them, and do they hold the tree?"""

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.core.merkle import (
    CompactRange,
    check_consistency,
    check_inclusion,
    consistency_proof,
    inclusion_proof,
    root,
)
from ledger.core.tiles import (
    Frontier,
    TileId,
    TileMalformed,
    TilePathInvalid,
    hashes_of,
    node_reader,
    open_spans,
    pack_images,
    tile_of_path,
    tiles_of,
    unpack_images,
)

LEAVES = [sha256(index.to_bytes(4, "big")).digest() for index in range(70_000)]


@pytest.mark.parametrize(
    ("path", "tile"),
    [
        ("tile/0/000", TileId(0, 0)),
        ("tile/0/999", TileId(0, 999)),
        ("tile/0/x001/000", TileId(0, 1000)),
        ("tile/entries/x001/x234/067", TileId(None, 1_234_067)),
        ("tile/1/x001/000.p/17", TileId(1, 1000, 17)),
        ("tile/63/000.p/1", TileId(63, 0, 1)),
        ("tile/entries/000.p/255", TileId(None, 0, 255)),
    ],
)
def test_a_tile_has_one_path(path: str, tile: TileId) -> None:
    assert tile.path() == path
    assert tile_of_path(path) == tile


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile/0/0",
        "tile/0/0000",
        "tile/00/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/0/x000/001",
        "tile/0/001/000",
        "tile/0/x001",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p/",
        "tile/0/000/",
        "/tile/0/000",
        "tile/entries/../000",
        "tile/0/٠٠٠",
        "tile/0/000\n",
    ],
)
def test_another_path_names_no_tile(path: str) -> None:
    with pytest.raises(TilePathInvalid) as refused:
        tile_of_path(path)
    assert refused.value.code == "tile_path_invalid"


@given(st.integers(0, 10**12), st.integers(1, 256), st.one_of(st.none(), st.integers(0, 63)))
def test_every_tile_comes_back_from_its_path(index: int, width: int, level: int | None) -> None:
    tile = TileId(level, index, width)
    assert tile_of_path(tile.path()) == tile


@given(st.lists(st.binary(min_size=1, max_size=600), max_size=20))
def test_images_come_back_from_their_tile(images: list[bytes]) -> None:
    assert unpack_images(pack_images(images)) == images


@pytest.mark.parametrize("cut", [1, 2, 100])
def test_a_cut_tile_of_entries_is_refused(cut: int) -> None:
    with pytest.raises(TileMalformed):
        unpack_images(pack_images([bytes(400), bytes(433)])[:-cut])


@pytest.mark.parametrize("length", [0, 31, 33, 8193, 8224])
def test_a_hash_tile_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(TileMalformed):
        hashes_of(bytes(length))


@given(st.lists(st.sampled_from([1, 2, 255, 256, 257, 700, 2500]), max_size=12))
@settings(max_examples=40, deadline=None)
def test_a_frontier_grown_in_batches_is_the_tree_and_fills_each_tile_once(
    batches: list[int],
) -> None:
    frontier, size, filled = Frontier(), 0, {}
    for batch in batches:
        for level, index, hashes in frontier.extend(LEAVES[size : size + batch]):
            assert (level, index) not in filled
            filled[level, index] = hashes
        size += batch
    assert frontier.compact() == CompactRange().extended(LEAVES[:size])
    assert frontier.compact().root() == root(LEAVES[:size])
    full = {(tile.level, tile.index) for tile in tiles_of(size) if tile.width == 256}
    assert set(filled) == full
    restored = Frontier(size=size, rows=frontier.rows)
    assert restored.compact() == frontier.compact()
    assert [len(row) for row in frontier.rows] == [count for _, _, count in open_spans(size)]


def test_a_frontier_with_too_few_hashes_is_refused() -> None:
    with pytest.raises(TileMalformed):
        Frontier(size=300, rows=[LEAVES[256:299], LEAVES[:1]])


def test_two_levels_of_tiles_fill_at_65_536_leaves() -> None:
    frontier = Frontier()
    filled = frontier.extend(LEAVES)
    assert {(tile.level, tile.index) for tile in filled if tile.level} == {(1, 0)}
    upper = next(tile for tile in filled if tile.level == 1)
    assert root(hashes_of(upper.hashes)) == root(LEAVES[:65_536])
    assert open_spans(70_000) == [(0, 69_888, 112), (1, 256, 17), (2, 0, 1)]


@given(st.data())
@settings(max_examples=30, deadline=None)
def test_proofs_read_from_tiles_hold(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 3_000))
    index, first = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size))
    asked: list[TileId] = []

    def read_tile(tile: TileId) -> bytes:
        asked.append(tile)
        assert tile in set(tiles_of(size))
        span = 256**tile.level
        start = tile.index * 256
        return b"".join(
            root(LEAVES[place * span : (place + 1) * span])
            for place in range(start, start + tile.width)
        )

    path = inclusion_proof(
        index=index, size=size, node_at=node_reader(size=size, read_tile=read_tile)
    )
    assert len(asked) == len(set(asked))
    check_inclusion(
        leaf=LEAVES[index], index=index, size=size, path=path, root=root(LEAVES[:size])
    )
    path = consistency_proof(
        first=first, second=size, node_at=node_reader(size=size, read_tile=read_tile)
    )
    check_consistency(
        first=first,
        second=size,
        first_root=root(LEAVES[:first]),
        second_root=root(LEAVES[:size]),
        path=path,
    )
