"""Which owned machines were stated for a month, and what did they cost?"""

from dataclasses import dataclass
from datetime import date

from o10.kernel.money import Nanos
from policies import facade as policies
from reports.core.cost_components import Component
from reports.core.hardware import Machine, machine_of
from reports.models import ComponentAmount
from reports.queries.components import list_amounts


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineRow:
    """Which machine, for whom? `use_case` a slug, empty = the company. Nanos."""

    month: date
    use_case: str
    machine: Machine
    used: Nanos
    waste: Nanos


def machines_of(*, month: date, use_case: str) -> tuple[Machine, ...]:
    """Which machines are stated for this month and use case? An unknown use case has none."""
    numbers = {row.slug: row.number for row in policies.list_use_case_rows()} | {"": 0}
    newest = (
        ComponentAmount.objects.filter(
            component=Component.HARDWARE.value,
            month=month.replace(day=1),
            use_case=numbers.get(use_case, -1),
        )
        .order_by("-version")
        .first()
    )
    said = newest.inputs.get("machines", []) if newest else []
    return tuple(machine_of(each) for each in said)


def list_machines(*, first: date, after: date) -> list[MachineRow]:
    """Which machines are stated for months in [first, after)? By month, then by name."""
    called = {row.number: row.slug for row in policies.list_use_case_rows()}
    found = []
    for row in list_amounts(first=first, after=after):
        if row.component != Component.HARDWARE:
            continue
        for said in row.inputs.get("machines", []):
            machine = machine_of(said)
            found.append(
                MachineRow(
                    month=row.month,
                    use_case=called.get(row.use_case, ""),
                    machine=machine,
                    used=machine.used,
                    waste=machine.waste,
                )
            )
    return sorted(found, key=lambda each: (each.month, each.machine.name, each.use_case))
