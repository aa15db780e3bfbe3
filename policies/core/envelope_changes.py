"""Does a change of an envelope let more be spent, less, or neither? That decides who acts.

More needs a second person first. Less holds at once and is confirmed afterwards. What moves no
money (a name, thresholds that only warn) needs nobody.
Source: product.md section 8; docs/algorithms/approvals.md.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from msgspec import UNSET

from o10.kernel.money import Nanos
from policies.core.drafts import EnvelopeChange


class Direction(StrEnum):
    """Which way does a change go?"""

    MORE = "more"
    LESS = "less"
    NEITHER = "neither"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How does the envelope stand before the change? Units: nanos; None = no limit."""

    amount_nanos: Nanos | None
    per_call_nanos: Nanos | None
    per_run_nanos: Nanos | None
    hard: bool
    allow_overallocation: bool
    end_at: datetime | None
    state: str


_AMOUNTS = ("amount_nanos", "per_call_nanos", "per_run_nanos")


def kind_of(before: Limits, change: EnvelopeChange) -> str:
    """Which kind of approval does this change need first? Empty = none.

    The most telling one, when a change does several things: uncap, raise, loosen, restore.
    """
    more = {name for name, way in directions(before, change).items() if way is Direction.MORE}
    if "amount_nanos" in more:
        return "envelope.uncap" if change.amount_nanos is None else "envelope.raise"
    if more - {"state"}:
        return "envelope.loosen"
    return "envelope.restore" if more else ""


def needs_confirmation(before: Limits, change: EnvelopeChange) -> bool:
    """Does this change hold less money back at once, so that a second person looks at it?"""
    return Direction.LESS in directions(before, change).values()


def directions(before: Limits, change: EnvelopeChange) -> dict[str, Direction]:
    """Which way does each named field go?"""
    found = {}
    for name in change.__struct_fields__:
        value = getattr(change, name)
        if value is UNSET or name == "reason":
            continue
        found[name] = _way(name, getattr(before, name, None), value)
    return found


def _way(name: str, old: Any, new: Any) -> Direction:
    if name in _AMOUNTS:
        return _by_size(old, new)
    if name == "end_at":
        return _by_size(old, new)
    if name == "hard":
        return _by_freedom(not old, not new)
    if name == "allow_overallocation":
        return _by_freedom(old, new)
    if name == "state":
        if old == new:
            return Direction.NEITHER
        # From frozen to closed is less, too: it never comes back.
        return Direction.MORE if new == "active" else Direction.LESS
    return Direction.NEITHER


def _by_size(old: Any, new: Any) -> Direction:
    """None is the largest: no limit, no end."""
    if old == new:
        return Direction.NEITHER
    if new is None or (old is not None and new > old):
        return Direction.MORE
    return Direction.LESS


def _by_freedom(old: object, new: object) -> Direction:
    if old == new:
        return Direction.NEITHER
    return Direction.MORE if new else Direction.LESS
