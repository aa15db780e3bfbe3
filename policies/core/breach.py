"""How likely does spend pass the cap before the period ends? Paths of whole weeks that were.

A path continues what is spent with weeks drawn from the last ones, each as it was: within a
week its days stay together and fall on the same weekdays. The draws follow one fixed sequence,
so that equal inputs give the equal answer. It knows no trend and no drivers.
Source: product.md section 7.1 (`p_breach`); docs/algorithms/kill-criteria.md.
Units: nanos; seconds.
"""

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Final

from o10.kernel.money import Nanos

PATHS: Final = 2_000
EXACT_MOST: Final = 4_096
"""Up to so many paths all of them are walked, and nothing is drawn."""
WEEK: Final = 7
DAY_S: Final = 86_400
_PPM: Final = 1_000_000
_FACTOR, _STEP, _MASK = 6364136223846793005, 1442695040888963407, (1 << 64) - 1


def breach_ppm(
    *, weeks: Sequence[Sequence[Nanos]], spent: Nanos, cap: Nanos, seconds_left: int
) -> int | None:
    """Which share of the paths ends above the cap? Millionths; None without a week to draw.

    `weeks` are the spend of seven days each; the first day of a week has the weekday that
    begins now. Golden: spent 60 of 100, weeks of 7 and of 28, one week left: 0 of 2 end above
    with 28; with two weeks left 1 of 4 does, and 250,000 is the answer.
    """
    if not weeks or any(len(week) != WEEK for week in weeks):
        return None
    whole, rest_s = divmod(max(0, seconds_left), WEEK * DAY_S)
    days, part_s = divmod(rest_s, DAY_S)
    full = [sum(week) for week in weeks]
    rest = [sum(week[:days]) + week[days] * part_s // DAY_S for week in weeks]
    above = paths = 0
    for path in _paths(len(weeks), whole + 1):
        ends = spent + sum(full[each] for each in path[:-1]) + rest[path[-1]]
        above += ends > cap
        paths += 1
    return above * _PPM // paths


def _paths(choices: int, length: int) -> Iterator[tuple[int, ...]]:
    if choices**length <= EXACT_MOST:
        yield from product(range(choices), repeat=length)
        return
    state = 0
    for _ in range(PATHS):
        path = []
        for _ in range(length):
            state = (state * _FACTOR + _STEP) & _MASK
            path.append((state >> 33) % choices)
        yield tuple(path)
