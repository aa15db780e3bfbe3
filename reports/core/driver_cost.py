"""What does one unit of a driver cost, fully loaded, and which sentence says so?

Cost per unit = fully loaded cost of the use case in the month / units told of the month. Days
of the month that nobody told make the ratio too dear: they are counted and shown.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from o10.kernel import figures
from o10.kernel.money import Nanos, half_even

SHOWN_MOST = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverCost:
    """How much of a driver was there in a month, and what did one unit cost?

    Units: nanos; days. `days_over` how many days of the month are over, today included.
    """

    name: str
    driver: str
    volume: int
    calls: int
    cost: Nanos
    days_told: int
    days_over: int

    @property
    def per_unit(self) -> Nanos | None:
        """What did one unit cost? None without a unit."""
        return half_even(self.cost, self.volume) if self.volume else None

    @property
    def calls_per_thousand(self) -> int | None:
        """How many calls did a thousand units cause? None without a unit."""
        return half_even(self.calls * 1_000, self.volume) if self.volume else None

    @property
    def whole(self) -> bool:
        """Was each day told that is over? Today may be missing."""
        return self.days_told >= self.days_over - 1


def drivers_headline(found: Sequence[DriverCost], *, period: str, currency: str) -> str:
    """What does one unit cost, of the dearest drivers?"""
    if not found:
        return f"No volume of a driver was told for {period}."
    priced = [each for each in found if each.per_unit is not None]
    if not priced:
        return f"No unit of a driver was there in {period}."
    dearest = sorted(priced, key=lambda each: -each.cost)[:SHOWN_MOST]
    said = " and ".join(
        f"{figures.unit_cost(each.per_unit, currency).text} {_one(each.driver)} ({each.name})"
        for each in dearest
    )
    return f"In {period}, fully loaded, calls cost {said}."


def _one(driver: str) -> str:
    return f"for one of {driver.replace('_', ' ')}"
