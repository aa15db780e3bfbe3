"""How does an instant stand where the order of calls matters?"""

from datetime import datetime

from o10.kernel.figures import Figure
from o10.kernel.periods import zone_of


def to_the_millisecond(at: datetime, *, time_zone: str) -> Figure:
    """How is an instant written where order matters? "24 Nov 09:45:19.119"."""
    local = at.astimezone(zone_of(time_zone))
    text = f"{local.day} {local:%b} {local:%H:%M:%S}.{local.microsecond // 1000:03d}"
    return Figure(text, f"{at:%Y-%m-%dT%H:%M:%S.%fZ}")


def zone_word(time_zone: str) -> str:
    """How is the zone called in the head of a column? "UTC", "Berlin"."""
    return time_zone if time_zone == "UTC" else time_zone.rpartition("/")[2].replace("_", " ")
