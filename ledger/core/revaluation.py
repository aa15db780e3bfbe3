"""By how much does a corrected price change an amount that is booked?

History is never priced again in place: the original stays, and a `revaluation` entry books the
difference. What an original stands at is its own amount and the differences posted before.
Source: product.md section 13; pains.md P10, P25; docs/algorithms/revaluation.md.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from o10.kernel.money import Nanos


class Why(StrEnum):
    """Why is an entry revalued, or left as it is?"""

    PRICE_CHANGED = "price_changed"
    PRICE_FOUND = "price_found"
    """It had been booked as an estimate, without a price."""
    SAME = "same"
    NO_PRICE = "no_price"
    """The new book has no price for a class it used: nothing is known better."""
    NO_QUANTITY = "no_quantity"
    """It was booked without quantities (a worst case, a cache hit): no price applies."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What does an entry stand at, and what do the books say? Units: nanos.

    `booked` with its overrun; `posted` is the sum of its earlier revaluations; `old` what its
    own price version says (None: it has none, or none for a class), `new` what today's says.
    """

    booked: Nanos
    posted: Nanos
    old: Nanos | None
    new: Nanos | None
    has_quantity: bool
    estimated: bool


@dataclass(frozen=True, slots=True)
class Difference:
    """What is to be posted? `after` = `before` + `delta`; 0 where nothing is."""

    why: Why
    before: Nanos
    after: Nanos

    @property
    def delta(self) -> Nanos:
        """By how much does the revaluation entry move settled money?"""
        return self.after - self.before


def difference_of(standing: Standing) -> Difference:
    """What is to be posted for this entry? Nothing twice: what was posted before counts."""
    before = standing.booked + standing.posted
    if not standing.has_quantity:
        return Difference(Why.NO_QUANTITY, before, before)
    if standing.new is None:
        return Difference(Why.NO_PRICE, before, before)
    if standing.old is None or standing.estimated:
        after, why = standing.new, Why.PRICE_FOUND
    else:
        # The price alone: what else made up the booked amount stays in it.
        after, why = standing.booked + standing.new - standing.old, Why.PRICE_CHANGED
    return Difference(Why.SAME if after == before else why, before, after)


def posting_instant(
    *, original_at: datetime, closed_until: datetime | None, now: datetime
) -> tuple[datetime, int]:
    """When does the difference take effect, and is it of a prior period (1) or not (0)?

    In the original's own period while that is open; a closed period never moves, so then now.
    """
    if closed_until is not None and original_at < closed_until:
        return now, 1
    return original_at, 0
