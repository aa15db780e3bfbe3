"""Which positions does each hash of an inclusion proof stand for, on which side does it join?

For a person who reads a proof: RFC 9162 names the hashes alone. Same walk as
`ledger.core.merkle.inclusion_proof`, so step and hash belong together by place.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Side(StrEnum):
    """On which side of the running hash does the sibling stand?"""

    LEFT = "L"
    RIGHT = "R"


@dataclass(frozen=True, slots=True)
class ProofSpan:
    """Which positions (seq, both included) lie under this sibling, and where does it join?"""

    side: Side
    first: int
    last: int


def proof_spans(*, index: int, size: int) -> tuple[ProofSpan, ...]:
    """Which siblings join leaf `index` to the root of the first `size` leaves, leaf upward?

    Raises: ValueError when the index lies outside of the tree.
    """
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} is not in a tree of {size}")
    spans: list[ProofSpan] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + (1 << (end - start - 1).bit_length() - 1)
        if index < middle:
            spans.append(ProofSpan(Side.RIGHT, middle + 1, end))
            end = middle
        else:
            spans.append(ProofSpan(Side.LEFT, start + 1, middle))
            start = middle
    return tuple(reversed(spans))
