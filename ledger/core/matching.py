"""Does a bill say what the ledger says: line against entries, by day, model, tier and account?

Both sides are folded to keys the bill can tell apart: a bill that names no model is compared by
what it names. Per key the amounts agree within max(1 %, 1 unit), or they differ and the class
says how. What is booked already counts as explained. Nothing is judged by floats: shares are
parts per million.
Units: nanos of one currency; quantities in the unit of the bill (tokens).
Source: product.md section 18; docs/algorithms/matching.md, whose example is also the test's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Final

from o10.kernel.money import NANOS_PER_UNIT, Nanos, half_even

TOLERANCE_PPM: Final = 10_000
TOLERANCE_NANOS: Final = NANOS_PER_UNIT
MILLION: Final = 1_000_000


class MatchClass(StrEnum):
    """How do the two sides of one key stand to each other?"""

    MATCHED = "matched"
    PRICE = "price"
    """Both counted the same, at another price; also where the bill counts nothing."""
    QUANTITY = "quantity"
    """The counts differ, and by that most of the money."""
    MISSING_HERE = "missing_here"
    """Billed, and nothing of it in the ledger."""
    MISSING_THERE = "missing_there"
    """In the ledger, and not on the bill."""


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """What is compared: provider days [day, last_day] (both inside), model, tier, account?

    Empty text = the bill does not tell.
    """

    day: date
    last_day: date
    model: str = ""
    tier: str = ""
    account: str = ""


@dataclass(frozen=True, slots=True)
class Billed:
    """What does one line of the bill say? `quantity` None = it counts nothing comparable."""

    key: Key
    amount: Nanos
    quantity: int | None = None


@dataclass(frozen=True, slots=True)
class Spent:
    """What does the ledger hold of one day, model, tier and account?"""

    day: date
    model: str
    tier: str
    account: str
    amount: Nanos
    quantity: int


@dataclass(frozen=True, slots=True)
class BookedBefore:
    """What was booked of a key before, as a difference with its cause?"""

    key: Key
    amount: Nanos


@dataclass(frozen=True, slots=True)
class Match:
    """How does one key stand? Nanos; quantities of the bill's unit.

    `difference` is bill less ledger less what was booked: what would still have to be booked.
    `quantity_part` and `price_part` split the first difference where both sides count.
    """

    key: Key
    found: MatchClass
    billed: Nanos
    spent: Nanos
    booked: Nanos
    billed_quantity: int | None
    spent_quantity: int
    quantity_part: Nanos
    price_part: Nanos

    @property
    def difference(self) -> Nanos:
        """What is not explained by the ledger or by a booking?"""
        return self.billed - self.spent - self.booked

    @property
    def is_open(self) -> bool:
        """Does somebody still have to say why?"""
        return abs(self.difference) > tolerance(self.billed or self.spent)


@dataclass(frozen=True, slots=True)
class Matching:
    """How does a whole bill stand? `lines` ordered by key."""

    lines: tuple[Match, ...] = field(default=())

    @property
    def billed(self) -> Nanos:
        """What does the bill say in all?"""
        return sum(line.billed for line in self.lines)

    @property
    def spent(self) -> Nanos:
        """What does the ledger say of the same days in all?"""
        return sum(line.spent for line in self.lines)

    @property
    def booked(self) -> Nanos:
        """What was booked as difference?"""
        return sum(line.booked for line in self.lines)

    @property
    def unexplained(self) -> Nanos:
        """How much of the differences has no cause yet? Over and under do not cancel."""
        return sum(abs(line.difference) for line in self.lines if line.is_open)

    @property
    def unexplained_ppm(self) -> int | None:
        """Which share of the bill is that, in parts per million? None for a bill of nothing."""
        if not self.billed:
            return None
        return half_even(self.unexplained * MILLION, abs(self.billed))

    def of(self, found: MatchClass) -> list[Match]:
        """Which lines are of this class?"""
        return [line for line in self.lines if line.found is found]


@dataclass(frozen=True, slots=True)
class Fold:
    """To which key of a bill does a cell of the ledger belong?

    `model`, `tier`, `account`: does the bill tell them apart anywhere? `spans` are its days.
    """

    model: bool
    tier: bool
    account: bool
    spans: tuple[tuple[date, date], ...]

    @classmethod
    def of(cls, keys: Iterable[Key]) -> Fold:
        """Which fold has a bill with these keys?"""
        known = list(keys)
        return cls(
            any(key.model for key in known),
            any(key.tier for key in known),
            any(key.account for key in known),
            tuple(sorted({(key.day, key.last_day) for key in known})),
        )

    def key_of(self, spent: Spent) -> Key:
        """Which key? The shortest span of the bill that holds the day, else the day alone."""
        day, last = spent.day, spent.day
        holding = [span for span in self.spans if span[0] <= spent.day <= span[1]]
        if holding:
            day, last = min(holding, key=lambda span: (span[1] - span[0], span[0]))
        return Key(
            day,
            last,
            spent.model if self.model else "",
            spent.tier if self.tier else "",
            spent.account if self.account else "",
        )


def tolerance(amount: Nanos) -> Nanos:
    """By how much may a line of this amount differ? The larger of 1 % and 1 unit."""
    return max(TOLERANCE_NANOS, half_even(abs(amount) * TOLERANCE_PPM, MILLION))


def match(
    billed: Iterable[Billed], spent: Iterable[Spent], booked: Iterable[BookedBefore] = ()
) -> Matching:
    """How does this bill stand to the ledger, key by key?

    Spend of a day that no line covers is left to the key of that day alone; spend that no line
    names stands as missing there. Amounts of the three sides add up to what was given.
    """
    bills = list(billed)
    fold = Fold.of(bill.key for bill in bills)
    cells: dict[Key, _Cell] = {}
    for bill in bills:
        cell = cells.setdefault(bill.key, _Cell())
        cell.billed += bill.amount
        cell.has_bill = True
        if bill.quantity is None:
            cell.is_counted = False
        else:
            cell.billed_quantity += bill.quantity
    for each in spent:
        cell = cells.setdefault(fold.key_of(each), _Cell())
        cell.spent += each.amount
        cell.spent_quantity += each.quantity
    for before in booked:
        cells.setdefault(before.key, _Cell()).booked += before.amount
    return Matching(tuple(_judged(key, cell) for key, cell in sorted(cells.items())))


@dataclass(slots=True)
class _Cell:
    billed: int = 0
    spent: int = 0
    booked: int = 0
    billed_quantity: int = 0
    spent_quantity: int = 0
    has_bill: bool = False
    is_counted: bool = True


def _judged(key: Key, cell: _Cell) -> Match:
    gap = cell.billed - cell.spent
    counted = cell.has_bill and cell.is_counted and cell.billed_quantity != 0
    quantity_part = 0
    if counted and cell.spent_quantity:
        more = cell.billed_quantity - cell.spent_quantity
        quantity_part = half_even(cell.spent * more, cell.spent_quantity)
    price_part = gap - quantity_part
    return Match(
        key=key,
        found=_class(cell, gap, quantity_part, price_part),
        billed=cell.billed,
        spent=cell.spent,
        booked=cell.booked,
        billed_quantity=cell.billed_quantity if counted else None,
        spent_quantity=cell.spent_quantity,
        quantity_part=quantity_part,
        price_part=price_part,
    )


def _class(cell: _Cell, gap: int, quantity_part: int, price_part: int) -> MatchClass:
    if abs(gap) <= tolerance(cell.billed or cell.spent):
        return MatchClass.MATCHED
    if not cell.spent and not cell.spent_quantity:
        return MatchClass.MISSING_HERE
    if not cell.has_bill or (not cell.billed and not cell.billed_quantity):
        return MatchClass.MISSING_THERE
    return MatchClass.QUANTITY if abs(quantity_part) > abs(price_part) else MatchClass.PRICE
