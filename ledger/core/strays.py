"""Which recorded instants cannot be right, judged by the order of sealing?

Entries are sealed soon after they are written, so their recorded instants rise with the
position, but for the few seconds by which transactions overtake each other. One that lies more
than the tolerance after most of what was sealed next, or before most of what was sealed just
before, was written by a wrong clock. Gaps between entries, however long, say nothing.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

TOLERANCE: Final = timedelta(minutes=5)
NEIGHBOURS: Final = 100
"""So many on either side are asked; more than half, and at least two, must contradict."""


def find_strays(
    instants: Sequence[int], *, first: int, end: int, tolerance: int, neighbours: int
) -> list[int]:
    """Which indexes from `first` up to, not including, `end` hold a stray?

    `instants` in sealing order; what stands outside `first` and `end` is only asked as a
    neighbour. Units: any, the same for `instants` and `tolerance`.
    """
    if _rises(instants, tolerance):
        return []
    return [
        index
        for index in range(first, end)
        if _strays(instants, index, tolerance=tolerance, neighbours=neighbours)
    ]


def _rises(instants: Sequence[int], tolerance: int) -> bool:
    # Nearly every stretch of a ledger ends here.
    highest = instants[0] if instants else 0
    for instant in instants:
        if instant > highest:
            highest = instant
        elif highest - instant > tolerance:
            return False
    return True


def _strays(instants: Sequence[int], index: int, *, tolerance: int, neighbours: int) -> bool:
    before = sorted(instants[max(index - neighbours, 0) : index])
    after = sorted(instants[index + 1 : index + 1 + neighbours])
    # One proves nothing. Of an even number the median that accuses less.
    too_early = len(before) > 1 and instants[index] < before[(len(before) - 1) // 2] - tolerance
    too_late = len(after) > 1 and instants[index] > after[len(after) // 2] + tolerance
    return too_early or too_late
