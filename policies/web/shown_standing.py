"""How did the envelopes stand when a decision was taken? From its record alone."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.urls import reverse

from o10.kernel import figures
from o10.kernel.money import Nanos
from o10.wire.decisions import Outcome


def _nanos(value: object) -> Nanos | None:
    """Documents hold integers beyond 2^53 as text."""
    return None if value is None else int(str(value))


def show_envelope_then(
    each: Mapping[str, Any], record: Mapping[str, Any], currency: str
) -> dict[str, Any]:
    """How did one envelope of the path stand, and did the call fit?"""
    binding = record.get("binding") == each["id"]
    worst = _nanos((record.get("worst") or {}).get("nanos"))
    left = _nanos(each["available_nanos"])
    return {
        "name": each["name"],
        "url": reverse("envelope", args=[each["id"]]),
        "period": _period(str(each["start"]), str(each["end"])),
        "cap": figures.money_exact(_nanos(each["cap_nanos"]), currency)
        if each["cap_nanos"] is not None
        else None,
        "settled": figures.money_exact(_nanos(each["settled_nanos"]), currency),
        "held": figures.money_exact(_nanos(each["held_nanos"]), currency),
        "unsettled": figures.money_exact(_nanos(each["unsettled_nanos"]), currency),
        "left": figures.money_exact(left, currency),
        "binding": binding,
        "short": worst is not None and left is not None and worst > left,
    }


def _period(start: str, end: str) -> str:
    first = figures.day(datetime.fromisoformat(start)).text
    after = figures.day(datetime.fromisoformat(end)).text
    return f"{first} to before {after}"


def _short(record: Mapping[str, Any]) -> list[tuple[str, Nanos, str]]:
    """Which envelopes had too little left, and by how much? Largest gap first."""
    worst = _nanos((record.get("worst") or {}).get("nanos"))
    if worst is None:
        return []
    gaps = [
        (str(each["name"]), worst - left, str(each["id"]))
        for each in record["envelopes"]
        if (left := _nanos(each["available_nanos"])) is not None and worst > left
    ]
    return sorted(gaps, key=lambda gap: -gap[1])


def envelope_note(record: Mapping[str, Any], currency: str) -> str:
    """Which limit bound first, and how much had it left?"""
    if not record["envelopes"]:
        return ""
    binding = next(
        (each for each in record["envelopes"] if each["id"] == record.get("binding")), None
    )
    if binding is None:
        return "No line has a cap: nothing limits these calls."
    left = figures.money_exact(_nanos(binding["available_nanos"]), currency).text
    return f"{binding['name']} binds first, with {left} left before this call."


def smallest_change(record: Mapping[str, Any], currency: str) -> str:
    """What would have let it go? Only where the gap is an amount that is known."""
    if record.get("would_decision") != Outcome.DENY:
        return ""
    gaps = _short(record)
    if gaps:
        name, gap, _ = gaps[0]
        amount = figures.money_exact(gap, currency).text
        return f"{amount} more in {name}, or a call whose worst case is that much smaller."
    return ""
