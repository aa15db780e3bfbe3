"""What does an owned machine cost in a month, used and wasted, and by which sum is it said?

The hour costs (purchase - residual) / (life hours x planned utilisation) + power + hosting +
staff. Hours planned and not used are waste, as for a commitment.
Source: product.md section 14; docs/algorithms/fully-loaded-cost.md (worked example).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from o10.kernel import figures
from o10.kernel.money import Nanos, amount_text, half_even, parse_nanos

PPM = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What is a machine, or a fleet of equal ones, and how was it used in a month?

    Units: nanos; `power`, `hosting`, `staff` an hour. `hours` of the month it stood ready, and
    `used_hours` of these; a fleet counts the hours of each.
    """

    name: str
    purchase: Nanos
    residual: Nanos
    life_hours: int
    planned_ppm: int
    power: Nanos
    hosting: Nanos
    staff: Nanos
    hours: int
    used_hours: int

    @property
    def hour(self) -> Fraction:
        """What does one planned hour cost? Nanos, exact."""
        amortised = Fraction(
            (self.purchase - self.residual) * PPM, self.life_hours * self.planned_ppm
        )
        return amortised + self.power + self.hosting + self.staff

    @property
    def planned_hours(self) -> Fraction:
        """How many hours of the month were planned to be used?"""
        return Fraction(self.hours * self.planned_ppm, PPM)

    @property
    def used(self) -> Nanos:
        """What did the used hours cost?"""
        spent = self.hour * self.used_hours
        return half_even(spent.numerator, spent.denominator)

    @property
    def waste(self) -> Nanos:
        """What did planned hours cost that nobody used? With the used ones the whole."""
        whole = self.hour * max(self.planned_hours, Fraction(self.used_hours))
        return half_even(whole.numerator, whole.denominator) - self.used


def find_machine_problem(machine: Machine) -> tuple[str, str]:
    """Which part of this machine can't be, and why? Two empty texts when all can."""
    if not 1 <= len(machine.name) <= 64:
        return "name", "A machine has a name of 1 to 64 characters."
    for name in ("purchase", "residual", "power", "hosting", "staff"):
        if getattr(machine, name) < 0:
            return name, "An amount is not negative."
    if machine.residual > machine.purchase:
        return "residual", "What is left of it is at most what it cost."
    if not 0 < machine.life_hours <= 1_000_000:
        return "life_hours", "A life has 1 to 1,000,000 hours."
    if not 0 < machine.planned_ppm <= PPM:
        return "planned_utilisation", "A share above 0 and up to 1."
    if not 0 <= machine.hours <= 10_000_000:
        return "hours", "Hours of the month it stood ready, all machines together."
    if not 0 <= machine.used_hours <= machine.hours:
        return "used_hours", "Used hours are among the hours it stood ready."
    return "", ""


def machine_basis(machines: Sequence[Machine], currency: str) -> str:
    """By which sum was the amount computed, in up to 200 characters?"""
    if len(machines) != 1:
        names = ", ".join(each.name for each in machines)
        return f"{len(machines)} machines: {names}"[:200]
    one = machines[0]
    hour = one.hour
    rate = figures.unit_cost(half_even(hour.numerator, hour.denominator), currency).text
    planned = half_even(one.planned_hours.numerator, one.planned_hours.denominator)
    return f"{one.name}: {rate} an hour; {one.used_hours:,} of {planned:,} planned hours used"


def machine_as_said(machine: Machine) -> dict[str, object]:
    """How is a machine kept beside the amount it gave? Plain values; amounts as text."""
    return {
        "name": machine.name,
        "purchase": amount_text(machine.purchase),
        "residual": amount_text(machine.residual),
        "life_hours": machine.life_hours,
        "planned_ppm": machine.planned_ppm,
        "power": amount_text(machine.power),
        "hosting": amount_text(machine.hosting),
        "staff": amount_text(machine.staff),
        "hours": machine.hours,
        "used_hours": machine.used_hours,
    }


def machine_of(said: Mapping[str, Any]) -> Machine:
    """Which machine was kept?"""
    money = ("purchase", "residual", "power", "hosting", "staff")
    whole = ("life_hours", "planned_ppm", "hours", "used_hours")
    amounts = {name: parse_nanos(str(said[name])) for name in money}
    counts = {name: int(said[name]) for name in whole}
    return Machine(name=str(said["name"]), **amounts, **counts)
