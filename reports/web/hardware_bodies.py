"""Which machines does a body state, and how do they stand on the wire?"""

from typing import Annotated

import msgspec
from msgspec import Meta

from o10.kernel.errors import FieldError, ValidationFailed
from o10.kernel.money import AmountMalformed, amount_text, parse_nanos
from o10.wire import fields as f
from reports import facade
from reports.web.serializers import AsOf, Month, Share, Text, share_text

PPM = 1_000_000
_DECIMALS = 6
Hours = Annotated[int, Meta(ge=0, le=10_000_000)]


class MachineBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is a machine, or a fleet of equal ones, and how was it used in the month?

    `power`, `hosting`, `staff` cost an hour. `hours` it stood ready, `used_hours` of these.
    """

    name: f.Word
    purchase: f.Decimal
    residual: f.Decimal = "0"
    life_hours: Annotated[int, Meta(ge=1, le=1_000_000)]
    planned_utilisation: Share
    power: f.Decimal = "0"
    hosting: f.Decimal = "0"
    staff: f.Decimal = "0"
    hours: Hours
    used_hours: Hours


class HardwareBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which machines were there in this month? All of them: none takes the statement back.

    `use_case` null = machines of the company that a rule shares out.
    """

    month: Month
    machines: list[MachineBody]
    source: Text
    use_case: f.Name | None = None
    request_id: f.Name | None = None


class MachineRead(msgspec.Struct, frozen=True, kw_only=True):
    """What is a machine, how was it used, what did that cost?"""

    month: str
    use_case: str | None
    name: str
    purchase: str
    residual: str
    life_hours: int
    planned_utilisation: str
    power: str
    hosting: str
    staff: str
    hours: int
    used_hours: int
    used_cost: str
    used_cost_nanos: str
    waste: str
    waste_nanos: str
    currency: str


class HardwareRead(msgspec.Struct, frozen=True, kw_only=True):
    """Which machines are stated?"""

    items: list[MachineRead]
    next: str | None
    as_of: AsOf


class HardwareAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What do the machines of the month cost now? `changed` false = it stood so already."""

    changed: bool
    hardware: str
    hardware_nanos: str
    hardware_waste: str
    hardware_waste_nanos: str
    currency: str


def machines_in(body: HardwareBody) -> list[facade.Machine]:
    """Which machines does this body state?

    Raises: ValidationFailed (`validation_failed`) for an amount or a share that isn't.
    """
    errors: list[FieldError] = []
    found = []
    for place, item in enumerate(body.machines):
        at = f"/machines/{place}"
        found.append(
            facade.Machine(
                name=item.name,
                life_hours=item.life_hours,
                planned_ppm=_ppm(item.planned_utilisation),
                hours=item.hours,
                used_hours=item.used_hours,
                **{
                    name: _nanos(getattr(item, name), f"{at}/{name}", errors)
                    for name in ("purchase", "residual", "power", "hosting", "staff")
                },
            )
        )
    if errors:
        raise ValidationFailed(errors=errors[:100])
    return found


def machine_read(row: facade.MachineRow, currency: str) -> MachineRead:
    """How does a machine stand on the wire?"""
    one = row.machine
    return MachineRead(
        month=f"{row.month:%Y-%m}",
        use_case=row.use_case or None,
        name=one.name,
        life_hours=one.life_hours,
        planned_utilisation=share_text(one.planned_ppm),
        hours=one.hours,
        used_hours=one.used_hours,
        purchase=amount_text(one.purchase),
        residual=amount_text(one.residual),
        power=amount_text(one.power),
        hosting=amount_text(one.hosting),
        staff=amount_text(one.staff),
        used_cost=amount_text(row.used),
        used_cost_nanos=str(row.used),
        waste=amount_text(row.waste),
        waste_nanos=str(row.waste),
        currency=currency,
    )


def hardware_answer(found: facade.HardwareStated, currency: str) -> HardwareAnswer:
    """How is a statement of machines answered?"""
    return HardwareAnswer(
        changed=found.changed,
        hardware=amount_text(found.used),
        hardware_nanos=str(found.used),
        hardware_waste=amount_text(found.waste),
        hardware_waste_nanos=str(found.waste),
        currency=currency,
    )


def _ppm(text: str) -> int:
    whole, _, fraction = text.partition(".")
    return int(whole) * PPM + int(fraction.ljust(_DECIMALS, "0") or 0)


def _nanos(text: str, at: str, errors: list[FieldError]) -> int:
    try:
        return parse_nanos(text)
    except AmountMalformed:
        message = "A plain decimal with at most 9 decimals."
        errors.append(FieldError(at, "amount_malformed", message))
        return 0
