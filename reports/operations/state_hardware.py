"""How does finance say what owned machines cost? By what they are and how long they were used.

The amounts of `hardware` and `hardware_waste` are computed and stated together; what they were
computed from is kept beside them. An allocation books them like any other statement.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from django.db import transaction

from ledger import facade as ledger
from o10.access.checks import check
from o10.access.keys import Caller
from o10.access.roles import Action
from o10.kernel.errors import FieldError, ValidationFailed
from o10.kernel.money import MAX_NANOS, Nanos
from reports.core.cost_components import Component, Grade
from reports.core.hardware import (
    Machine,
    find_machine_problem,
    machine_as_said,
    machine_basis,
)
from reports.operations.set_component_amounts import (
    ComponentDraft,
    lock_amounts,
    set_component_amounts,
)
from reports.queries.machines import machines_of

MACHINES_MOST = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class HardwareStated:
    """What do the machines of a month cost now? Nanos; `changed` False = it stood so."""

    month: date
    use_case: str
    machines: tuple[Machine, ...]
    used: Nanos
    waste: Nanos
    changed: bool


def state_hardware(
    *,
    month: date,
    use_case: str,
    machines: Sequence[Machine],
    source: str,
    actor: Caller,
    now: datetime,
    key: str = "",
) -> HardwareStated:
    """What do these machines cost in this month? They are all there are; none takes it back.

    `use_case` a slug, empty for machines of the company that a rule shares out.
    Raises: Forbidden (`forbidden`); ValidationFailed (`validation_failed`) with one error for
    each wrong part (`/machines/<place>/…`): nothing is written then.
    Locks: as `set_component_amounts`.
    """
    check(caller=actor, action=Action.CHANGE_PLAN)
    errors = _problems(machines)
    if errors:
        raise ValidationFailed(errors=errors)
    ordered = tuple(sorted(machines, key=lambda each: each.name))
    used = sum(each.used for each in ordered)
    waste = sum(each.waste for each in ordered)
    said = {"machines": [machine_as_said(each) for each in ordered]} if ordered else {}
    currency = ledger.ledger_of_company().currency
    drafts = [
        ComponentDraft(
            component=component.value,
            month=month,
            amount_nanos=nanos if ordered else None,
            use_case=use_case,
            source=source,
            basis=machine_basis(ordered, currency) if ordered else "",
            grade=Grade.DERIVED.value,
            inputs=said,
        )
        for component, nanos in (
            (Component.HARDWARE, used),
            (Component.HARDWARE_WASTE, waste),
        )
    ]
    try:
        changed = set_component_amounts(drafts=drafts, actor=actor, now=now, key=key)
    except ValidationFailed as failure:
        raise ValidationFailed(errors=_in_terms_of_hardware(failure.errors)) from failure
    return HardwareStated(
        month=month.replace(day=1),
        use_case=use_case,
        machines=ordered,
        used=used,
        waste=waste,
        changed=bool(changed),
    )


def put_machine(
    *,
    month: date,
    use_case: str,
    machine: Machine,
    source: str,
    actor: Caller,
    now: datetime,
    key: str = "",
) -> HardwareStated:
    """What do the machines of the month cost with this one? One of its name is replaced.

    Raises and locks: as `state_hardware`.
    """
    with transaction.atomic():
        lock_amounts()
        kept = machines_of(month=month, use_case=use_case)
        others = [each for each in kept if each.name != machine.name]
        return state_hardware(
            month=month,
            use_case=use_case,
            machines=[machine, *others],
            source=source,
            actor=actor,
            now=now,
            key=key,
        )


def take_machine(
    *, month: date, use_case: str, name: str, actor: Caller, now: datetime, key: str = ""
) -> HardwareStated:
    """What do the machines of the month cost without this one? Unknown = as it stands.

    Raises and locks: as `state_hardware`.
    """
    with transaction.atomic():
        lock_amounts()
        kept = machines_of(month=month, use_case=use_case)
        return state_hardware(
            month=month,
            use_case=use_case,
            machines=[each for each in kept if each.name != name],
            source=f"without {name[:100]}",
            actor=actor,
            now=now,
            key=key,
        )


def _problems(machines: Sequence[Machine]) -> list[FieldError]:
    if len(machines) > MACHINES_MOST:
        message = f"At most {MACHINES_MOST} machines in a month; put equal ones together."
        return [FieldError("/machines", "too_many", message)]
    found: list[FieldError] = []
    seen: set[str] = set()
    for place, machine in enumerate(machines):
        part, message = find_machine_problem(machine)
        if part:
            found.append(FieldError(f"/machines/{place}/{part}", "out_of_range", message))
        elif max(machine.used, machine.waste) > MAX_NANOS // 1_000:
            message = "An amount of a month lies within 9,223,372 units."
            found.append(FieldError(f"/machines/{place}", "out_of_range", message))
        if machine.name in seen:
            message = "Another machine has this name."
            found.append(FieldError(f"/machines/{place}/name", "twice", message))
        seen.add(machine.name)
    return found


def _in_terms_of_hardware(errors: Sequence[FieldError]) -> list[FieldError]:
    """Both statements complain alike: once, by the part a caller knows."""
    told = {
        each.pointer.split("/", 3)[-1]: FieldError(
            f"/{each.pointer.split('/', 3)[-1]}", each.code, each.message
        )
        for each in errors
    }
    return list(told.values())
