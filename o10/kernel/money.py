"""How is money counted, rounded, divided and written as a number?

An amount is an integer of nano-units (1e-9) of a currency. Loops use bare `int` nanos;
`Money` stands at boundaries, where an amount without its currency would be a bug. There is no
float and no `decimal` context here: every operation is exact, and the one rounding is
`half_even`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from o10.kernel.errors import FieldError, Rejected, UnitMismatch

Nanos: TypeAlias = int
"""Nano-units of a currency: 1 USD = 1_000_000_000."""

NANOS_PER_UNIT = 1_000_000_000
MAX_NANOS = 2**63 - 1
"""What a signed 64-bit column holds: 9,223,372,036.854775807 units."""

_DECIMAL = re.compile(r"(?P<sign>[+-]?)(?P<whole>\d{1,10})(?:\.(?P<fraction>\d{1,9}))?", re.A)
_CURRENCY = re.compile(r"[A-Z]{3}", re.A)


class AmountMalformed(Rejected):
    """Is this text no amount? One has at most 9 decimals and fits signed 64-bit nano-units."""

    code = "validation_failed"


@dataclass(frozen=True, slots=True)
class Money:
    """How much, in which currency?

    Units: `nanos` are nano-units of the ISO 4217 code `currency`; within signed 64 bits.
    Raises: UnitMismatch (`unit_mismatch`) when two currencies meet; AmountMalformed
    (`validation_failed`) for a currency that is not three capital letters or an amount out of
    range.
    """

    currency: str
    nanos: Nanos

    def __post_init__(self) -> None:
        if not _CURRENCY.fullmatch(self.currency):
            raise _malformed(self.currency, "A currency is an ISO 4217 code such as USD.")
        if not -MAX_NANOS <= self.nanos <= MAX_NANOS:
            raise _malformed(str(self.nanos), "An amount fits into signed 64-bit nano-units.")

    @classmethod
    def parse(cls, text: str, currency: str) -> "Money":
        """What amount does this decimal text name?

        Units: at most 9 decimals, no exponent, no separators; nothing is rounded away.
        Raises: AmountMalformed (`validation_failed`).
        """
        return cls(currency, parse_nanos(text))

    @property
    def amount(self) -> str:
        """How is the amount written on the wire? At least two decimals, no exponent."""
        return amount_text(self.nanos)

    def as_json(self) -> dict[str, str]:
        """How does the amount stand in an answer?"""
        return {
            "amount": self.amount,
            "amount_nanos": str(self.nanos),
            "currency": self.currency,
        }

    def __add__(self, other: "Money") -> "Money":
        return Money(self.currency, self.nanos + self._same(other))

    def __sub__(self, other: "Money") -> "Money":
        return Money(self.currency, self.nanos - self._same(other))

    def __neg__(self) -> "Money":
        return Money(self.currency, -self.nanos)

    def __lt__(self, other: "Money") -> bool:
        return self.nanos < self._same(other)

    def __le__(self, other: "Money") -> bool:
        return self.nanos <= self._same(other)

    def __gt__(self, other: "Money") -> bool:
        return self.nanos > self._same(other)

    def __ge__(self, other: "Money") -> bool:
        return self.nanos >= self._same(other)

    def _same(self, other: "Money") -> Nanos:
        if other.currency != self.currency:
            raise UnitMismatch(expected=self.currency, got=other.currency)
        return other.nanos


def parse_nanos(text: str) -> Nanos:
    """How many nano-units does this decimal text name?

    Raises: AmountMalformed (`validation_failed`): exponent, separators, NaN, more than 9
    decimals, or outside signed 64-bit nano-units.
    """
    found = _DECIMAL.fullmatch(text)
    if found is None:
        raise _malformed(text, "An amount is a plain decimal with at most 9 decimals.")
    fraction = (found["fraction"] or "").ljust(9, "0")
    nanos = int(found["whole"]) * NANOS_PER_UNIT + int(fraction)
    if nanos > MAX_NANOS:
        raise _malformed(text, "An amount fits into signed 64-bit nano-units.")
    return -nanos if found["sign"] == "-" else nanos


def amount_text(nanos: Nanos) -> str:
    """How are nano-units written as a plain decimal? Two decimals at least, no exponent."""
    digits = f"{nanos:010d}" if nanos >= 0 else f"{nanos:011d}"
    fraction = digits[-9:].rstrip("0")
    if len(fraction) < 2:
        fraction = digits[-9:-7]
    return f"{digits[:-9]}.{fraction}"


def half_even(numerator: int, denominator: int) -> int:
    """What is numerator / denominator, rounded to the nearest integer, ties to the even one?

    Source: docs/algorithms/rounding.md. Golden: tests/golden/money.json.
    Raises: ZeroDivisionError for a zero denominator.
    """
    if denominator < 0:
        numerator, denominator = -numerator, -denominator
    quotient, rest = divmod(numerator, denominator)
    twice = 2 * rest
    if twice > denominator or (twice == denominator and quotient % 2 == 1):
        return quotient + 1
    return quotient


def ceil_div(numerator: int, denominator: int) -> int:
    """What is numerator / denominator, rounded up? Holds use it: a hold is never too small."""
    return -(-numerator // denominator)


def split(total: Nanos, weights: Sequence[int]) -> tuple[Nanos, ...]:
    """How is an amount divided by weights so that the parts add up to it exactly?

    Largest remainder: each part gets its share rounded toward zero, and the nanos left over
    go one each to the largest remainders, earlier parts first when equal. A negative total is
    the mirror image of the positive one, so that a reversal divides as the original did.
    Raises: ValueError when there is no weight, one is negative, or all are zero.
    Source: docs/algorithms/rounding.md.
    """
    if not weights or min(weights) < 0 or sum(weights) == 0:
        raise ValueError("weights are non-negative and one of them is positive")
    if total < 0:
        return tuple(-part for part in split(-total, weights))
    whole = sum(weights)
    parts = [total * weight // whole for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda i: (-(total * weights[i] % whole), i))
    for index in by_remainder[: total - sum(parts)]:
        parts[index] += 1
    return tuple(parts)


def _malformed(text: str, message: str) -> AmountMalformed:
    shown = text[:40]
    return AmountMalformed(got=shown, errors=[FieldError("", "amount_malformed", message)])
