"""How much does a decision worker borrow of an envelope at once?

Enough for a second of its burn, never more than its share of a quarter of what is left: a
crash strands little, and the last cents stay for everybody. Near exhaustion each call borrows
for itself alone.
Source: decision-plane.md section 3.2; docs/algorithms/lease-slices.md, whose worked example is
also the test's. Units: nanos; seconds.
"""

import math
from dataclasses import dataclass

from o10.kernel.money import Nanos

SHARE = 4
"""All workers together borrow a quarter of what is left, each time."""
NEAR = 8
"""Below this many worst calls left, every call borrows for itself."""
UNLIMITED_S = 10
"""Where nothing is capped, a slice lasts this many seconds."""
HALF_LIFE_S = 10.0
DOUBLES_WITHIN_S = 0.5
_MEMORY = 200
"""After so many calls the dearest call seen is forgotten by half."""


def next_slice(
    *,
    remaining: Nanos | None,
    active_workers: int,
    w99: Nanos,
    burn_1s: Nanos,
    worst: Nanos,
) -> Nanos:
    """How much is borrowed for a call of at most `worst`, which is part of it?

    Equal to `worst` = the call borrows for itself alone (near exhaustion). `remaining` None =
    no cap on the path.
    Golden (2 workers, w99 6,500,000): 60 left at 30 a second: 7.50; at 2 a second: 2.00;
    0.20 left: 0.025; 0.04 left: the call alone.
    """
    dear = max(w99, worst)
    if remaining is None:
        return max(worst, UNLIMITED_S * burn_1s)
    if remaining < NEAR * dear:
        return worst
    part = max(remaining // (SHARE * max(1, active_workers)), dear)
    return max(worst, min(part, max(dear, burn_1s)))


def small_slice(
    *, remaining: Nanos, active_workers: int, w99: Nanos, worst: Nanos, lent: Nanos = 0
) -> Nanos:
    """How much of an envelope with a single user? A worker's full share, with one loan.

    There may be ten thousand of them: a loan each costs more than what a crash could strand,
    which the bookkeeper returns within a second. Near its end each call borrows for itself.
    `lent` is what others have of it already: the first one's share is that of the second.
    """
    if remaining < NEAR * max(w99, worst):
        return worst
    return max(worst, min(remaining, (remaining + lent) // max(1, active_workers)))


def fair_share(left: Nanos, *, users: int, active_workers: int) -> Nanos:
    """How much of what their parent has left may one worker lend to one of so many users?

    All workers together lay up a quarter of it, however many users there are.
    """
    return left // (SHARE * max(1, users) * max(1, active_workers))


@dataclass(slots=True)
class Pace:
    """How fast does one worker spend of one envelope, and how dear are its calls?

    `dearest` stands for the 99th percentile of worst cases: the largest lately, which a run of
    smaller ones halves. `burn` is an exponentially weighted rate with a half-life of 10 s; a
    slice that was used up in less than half a second doubles, so that a burst costs few loans.
    """

    dearest: Nanos = 0
    burn: float = 0.0
    at: float = 0.0
    since: int = 0
    doubled: Nanos = 0

    def note(self, reserved: Nanos, *, calls: int, at: float) -> None:
        """Takes in that `calls` calls reserved so much together since the last loan.

        Called once a loan, not once a call.
        """
        lasted = max(0.001, at - self.at) if self.at else 1.0
        weight = 0.5 ** (lasted / HALF_LIFE_S)
        self.burn = self.burn * weight + (reserved / lasted) * (1 - weight)
        self.doubled = 2 * reserved if lasted < DOUBLES_WITHIN_S else 0
        self.at = at
        self.since += calls

    def see(self, worst: Nanos) -> None:
        """Takes in how dear a call can be."""
        if worst >= self.dearest:
            self.dearest, self.since = worst, 0
        elif self.since > _MEMORY:
            self.dearest, self.since = max(worst, self.dearest // 2), 0

    @property
    def burn_1s(self) -> Nanos:
        """How much is reserved in a second, at most by what was seen?"""
        return max(math.ceil(self.burn), self.doubled)
