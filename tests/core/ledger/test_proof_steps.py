"""Do the named spans belong to the hashes of the proof?"""

from hypothesis import given
from hypothesis import strategies as st

from ledger.core.merkle import inclusion_proof, root
from ledger.core.proof_steps import Side, proof_spans

LEAVES = [bytes([number]) * 32 for number in range(200)]


def node_at(level, index):
    return root(LEAVES[index << level : (index + 1) << level])


@given(st.data())
def test_each_span_is_the_subtree_whose_hash_stands_in_the_proof(data):
    size = data.draw(st.integers(1, len(LEAVES)))
    index = data.draw(st.integers(0, size - 1))
    path = inclusion_proof(index=index, size=size, node_at=node_at)
    spans = proof_spans(index=index, size=size)
    assert [root(LEAVES[span.first - 1 : span.last]) for span in spans] == list(path)


@given(st.integers(1, 10**7), st.data())
def test_spans_and_the_entry_itself_cover_the_ledger_once(size, data):
    index = data.draw(st.integers(0, size - 1))
    spans = [(span.first, span.last) for span in proof_spans(index=index, size=size)]
    covered = sorted([*spans, (index + 1, index + 1)])
    assert covered[0][0] == 1 and covered[-1][1] == size
    assert all(a[1] + 1 == b[0] for a, b in zip(covered, covered[1:], strict=False))


@given(st.integers(2, 10**7), st.data())
def test_the_side_says_where_the_sibling_stands(size, data):
    index = data.draw(st.integers(0, size - 1))
    for span in proof_spans(index=index, size=size):
        assert (span.side is Side.LEFT) == (span.last <= index)
