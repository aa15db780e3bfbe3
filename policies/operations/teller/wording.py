"""How is an answer written in two microseconds? By example.

The answers of one use case, model and place differ in few texts: ids, token, amounts, instants.
A wording is an answer that was really written, by the same code as every answer, from numbers
that occur nowhere else, cut at those numbers. It is tried on a second set of numbers before it
is used; where that does not come out byte for byte there is no wording, and each answer is
written in full.
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter


@dataclass(frozen=True, slots=True)
class Sample:
    """What was written, and which texts in it stand for which changing value?

    Shape: `values` in an order of the caller's choice; an empty one does not occur.
    """

    answer: bytes
    values: Sequence[str]


@dataclass(frozen=True, slots=True)
class Wording:
    """Which parts never change, and which value stands at each gap between them?

    Shape: `pieces` has an empty text at every second place, from the second on: a gap for each
    value that `pick` picks.
    """

    pieces: Sequence[str]
    pick: Callable[[Sequence[str]], tuple[str, ...]]

    def write(self, values: Sequence[str]) -> bytes:
        """Which bytes is the answer with these values?"""
        # Joining is less than half the work of formatting: nothing is looked for.
        text = list(self.pieces)
        text[1::2] = self.pick(values)
        return "".join(text).encode()

    def renamed(self, names: Mapping[str, str]) -> "Wording":
        """The same with other texts in place of these. To be tried before it is used."""
        pieces = self.pieces
        for old, new in names.items():
            pieces = [piece.replace(old, new) for piece in pieces] if old else pieces
        return Wording(tuple(pieces), self.pick)


def wording_of(make: Callable[[], Sample]) -> Wording | None:
    """Which wording do two samples agree on? None = this answer has no fixed wording."""
    first, second = make(), make()
    found = _cut(first)
    if found is None or found.write(second.values) != second.answer:
        return None
    return found


def rare_number(*, digits: int) -> int:
    """Which number is met nowhere else? Without a 0, so that no text of it ends early."""
    return int("".join(secrets.choice("123456789") for _ in range(digits)))


def _cut(sample: Sample) -> Wording | None:
    text = sample.answer.decode()
    places: list[tuple[int, int, int]] = []
    for index, value in enumerate(sample.values):
        places += [(at, at + len(value), index) for at in _all(text, value)]
    places.sort()
    if any(one[1] > other[0] for one, other in zip(places, places[1:], strict=False)):
        return None
    if len(places) < 2:
        return None
    pieces, since = [], 0
    for begin, end, _ in places:
        pieces += [text[since:begin], ""]
        since = end
    return Wording((*pieces, text[since:]), itemgetter(*(index for _, _, index in places)))


def _all(text: str, value: str) -> Sequence[int]:
    found: list[int] = []
    at = text.find(value) if value else -1
    while at >= 0:
        found.append(at)
        at = text.find(value, at + 1)
    return found
