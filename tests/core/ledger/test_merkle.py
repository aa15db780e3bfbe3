"""Does one hash stand for every entry, and do proofs lead to it and nowhere else?"""

import json
import time
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.core.merkle import (
    EMPTY_ROOT,
    CompactRange,
    ProofInvalid,
    ProofOutOfRange,
    RangeMalformed,
    check_consistency,
    check_inclusion,
    consistency_proof,
    inclusion_proof,
    root,
)

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "ledger_tree.json").read_text())
EIGHT = [sha256(b"\x00" + bytes.fromhex(text)).digest() for text in GOLDEN["eight"]["inputs"]]
COUNTED = [sha256(b"\x00" + index.to_bytes(4, "big")).digest() for index in range(300)]


def nodes_of(leaves: list[bytes]):
    def node_at(level: int, index: int) -> bytes:
        span = leaves[index << level : (index + 1) << level]
        assert len(span) == 1 << level, "only complete subtrees may be asked for"
        return root(span)

    return node_at


def digest(hashes: list[bytes]) -> str:
    return sha256(b"".join(hashes)).hexdigest()


def test_the_eight_leaf_roots_are_those_of_certificate_transparency() -> None:
    found = [root(EIGHT[:size]).hex() for size in range(1, 9)]
    assert found == GOLDEN["eight"]["roots"]
    assert found[7].startswith("5dc9da79") and found[7].endswith("4328")


def test_the_empty_root_is_the_hash_of_nothing() -> None:
    assert root([]) == EMPTY_ROOT == sha256(b"").digest()


def test_roots_at_sizes_0_to_300() -> None:
    found = [root(COUNTED[:size]).hex() for size in range(301)]
    assert found == GOLDEN["counted"]["roots"]


@pytest.mark.parametrize("case", GOLDEN["eight"]["inclusion"], ids=str)
def test_known_inclusion_proofs(case: dict) -> None:
    path = inclusion_proof(index=case["index"], size=case["size"], node_at=nodes_of(EIGHT))
    assert [step.hex() for step in path] == case["path"]


@pytest.mark.parametrize("case", GOLDEN["eight"]["consistency"], ids=str)
def test_known_consistency_proofs(case: dict) -> None:
    path = consistency_proof(
        first=case["first"], second=case["second"], node_at=nodes_of(EIGHT)
    )
    assert [step.hex() for step in path] == case["path"]


def test_inclusion_proofs_of_all_leaves_of_all_trees_up_to_64() -> None:
    node_at = nodes_of(COUNTED)
    for size, expected in enumerate(GOLDEN["counted"]["inclusion_to_64"], start=1):
        steps: list[bytes] = []
        for index in range(size):
            path = inclusion_proof(index=index, size=size, node_at=node_at)
            assert len(path) <= (size - 1).bit_length()
            check_inclusion(
                leaf=COUNTED[index],
                index=index,
                size=size,
                path=path,
                root=root(COUNTED[:size]),
            )
            steps += path
        assert digest(steps) == expected


def test_consistency_proofs_between_all_trees_up_to_64() -> None:
    node_at = nodes_of(COUNTED)
    roots = [root(COUNTED[:size]) for size in range(65)]
    for second, expected in enumerate(GOLDEN["counted"]["consistency_to_64"], start=1):
        steps: list[bytes] = []
        for first in range(second + 1):
            path = consistency_proof(first=first, second=second, node_at=node_at)
            check_consistency(
                first=first,
                second=second,
                first_root=roots[first],
                second_root=roots[second],
                path=path,
            )
            steps += path if 0 < first < second else ()
        assert digest(steps) == expected


@given(st.data())
@settings(max_examples=200)
def test_a_changed_inclusion_proof_is_refused(data: st.DataObject) -> None:
    size = data.draw(st.integers(2, 300))
    index = data.draw(st.integers(0, size - 1))
    path = list(inclusion_proof(index=index, size=size, node_at=nodes_of(COUNTED)))
    place = data.draw(st.integers(0, len(path) * 32 - 1))
    step = bytearray(path[place // 32])
    step[place % 32] ^= data.draw(st.integers(1, 255))
    path[place // 32] = bytes(step)
    with pytest.raises(ProofInvalid):
        check_inclusion(
            leaf=COUNTED[index], index=index, size=size, path=path, root=root(COUNTED[:size])
        )


@pytest.mark.parametrize("change", ["other leaf", "other index", "longer", "shorter", "size"])
def test_an_inclusion_proof_of_something_else_is_refused(change: str) -> None:
    path = list(inclusion_proof(index=5, size=11, node_at=nodes_of(COUNTED)))
    claim = {"leaf": COUNTED[5], "index": 5, "size": 11, "path": path}
    claim |= {
        "other leaf": {"leaf": COUNTED[6]},
        "other index": {"index": 4},
        "longer": {"path": [*path, EMPTY_ROOT]},
        "shorter": {"path": path[:-1]},
        "size": {"index": 11},
    }[change]
    with pytest.raises(ProofInvalid) as refused:
        check_inclusion(**claim, root=root(COUNTED[:11]))
    assert refused.value.code == "proof_invalid"


@given(st.data())
@settings(max_examples=200)
def test_a_rewritten_past_has_no_consistency_proof(data: st.DataObject) -> None:
    second = data.draw(st.integers(2, 200))
    first = data.draw(st.integers(1, second - 1))
    place = data.draw(st.integers(0, first - 1))
    rewritten = [*COUNTED]
    rewritten[place] = sha256(b"another entry").digest()
    path = consistency_proof(first=first, second=second, node_at=nodes_of(rewritten))
    with pytest.raises(ProofInvalid):
        check_consistency(
            first=first,
            second=second,
            first_root=root(COUNTED[:first]),
            second_root=root(rewritten[:second]),
            path=path,
        )


@given(st.lists(st.integers(0, 70), max_size=8))
@settings(max_examples=100)
def test_appending_in_any_batches_gives_the_root_of_the_whole(batches: list[int]) -> None:
    grown, done = CompactRange(), 0
    for batch in batches:
        if done + batch > len(COUNTED):
            break
        grown, done = grown.extended(COUNTED[done : done + batch]), done + batch
        kept = CompactRange.from_bytes(grown.to_bytes())
        assert kept == grown
        assert kept.size == done
        assert kept.root() == root(COUNTED[:done])
        assert len(kept.hashes) == done.bit_count()


@pytest.mark.parametrize("extra", [b"", b"\x00" * 31, b"\x00" * 64])
def test_a_range_of_another_length_is_refused(extra: bytes) -> None:
    with pytest.raises(RangeMalformed):
        CompactRange.from_bytes((1).to_bytes(8, "big") + extra)


def test_nothing_is_proven_outside_the_tree() -> None:
    node_at = nodes_of(COUNTED)
    with pytest.raises(ProofOutOfRange):
        inclusion_proof(index=5, size=5, node_at=node_at)
    with pytest.raises(ProofOutOfRange):
        consistency_proof(first=6, second=5, node_at=node_at)
    with pytest.raises(ProofInvalid):
        check_consistency(
            first=6, second=5, first_root=EMPTY_ROOT, second_root=EMPTY_ROOT, path=[]
        )
    with pytest.raises(ProofInvalid):
        check_consistency(
            first=0, second=5, first_root=COUNTED[0], second_root=EMPTY_ROOT, path=[]
        )
    with pytest.raises(ProofInvalid):
        check_consistency(
            first=2, second=5, first_root=root(COUNTED[:2]), second_root=EMPTY_ROOT, path=[]
        )


@pytest.mark.soak
def test_the_root_of_a_million_leaves_costs_at_most_its_hash_calls_and_a_half() -> None:
    leaves = [sha256(index.to_bytes(4, "big")).digest() for index in range(1_000_000)]
    node, ratios = bytes(65), []
    for _ in range(3):
        start = time.perf_counter()
        for _ in range(999_999):
            sha256(node).digest()
        bare = time.perf_counter() - start
        start = time.perf_counter()
        root(leaves)
        ratios.append(bare / (time.perf_counter() - start))
    assert sorted(ratios)[1] >= 0.70
