"""Which users below one envelope call here, and how are their answers worded?

Ten thousand users of one use case differ in an id and a name. What one of them taught (that his
parent is in use, how dear its calls are, how their answers read) holds for all.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

import msgspec

from o10.kernel.money import Nanos
from policies.core.snapshot import Place
from policies.operations.balances import Cells
from policies.operations.teller.wording import Wording

FIRST_BATCH: Final = 32
Form = tuple[object, ...]
_encode_json: Final = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Pattern:
    """How is one user's answer worded, and which texts in it are his own?"""

    texts: tuple[str, str]
    wording: Wording

    def for_texts(self, texts: tuple[str, str]) -> Wording:
        """How may another user's be worded? To be tried before it is used."""
        return self.wording.renamed(dict(zip(self.texts, texts, strict=True)))


@dataclass(slots=True, eq=False)
class Crowd:
    """What is known of the users below one envelope?

    Shape: `above` the path that all of them share, with its cells. `touched` counts users that
    had to borrow when they called, `dearest` is the dearest of their calls; `todo` are the
    envelopes that get money ahead of their calls, `done` those that had their turn; `most` is
    how many at once. `patterns` by form of answer, in the words of policy `version`.
    """

    above: Place
    cells: Cells
    use_case: int = 0
    touched: int = 0
    dearest: Nanos = 0
    size: int = 1
    listed_at: float = float("-inf")
    todo: deque[int] = field(default_factory=deque)
    done: set[int] = field(default_factory=set)
    most: int = FIRST_BATCH
    version: int = 0
    patterns: dict[Form, Pattern] = field(default_factory=dict)

    def pattern(self, form: Form, *, version: int) -> Pattern | None:
        """Has one of them an answer of this form already? Not by another policy."""
        if self.version != version:
            self.version = version
            self.patterns = {}
        return self.patterns.get(form)


def own_texts(place: Place) -> tuple[str, str]:
    """Which texts of an answer are those of this envelope alone? As they stand in JSON."""
    leaf = place.path[-1]
    name = _encode_json(place.name_at(len(place.path) - 1)).decode()[1:-1]
    return leaf.public, name


def crowd_key(cells: Cells) -> tuple[object, object]:
    """Who has the same envelopes above him, in the same periods?"""
    return cells.envelopes[:-1], cells.periods[:-1]
