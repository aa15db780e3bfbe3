"""What does one worker know of one place: balances as last seen, and what it may still lend?

Pure arithmetic over a look at the balances and the free part of a lease. Money lent to this
worker stands in `held`; for its own calls it is available all the same.
Source: decision-plane.md section 3. Units: nanos.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from o10.kernel.money import Nanos, amount_text
from policies.core.envelope import PPM, Balance, binding, left
from policies.core.snapshot import Place

UNBOUNDED = 1 << 62


@dataclass(frozen=True, slots=True)
class View:
    """What stood in the balances of a path at the last look, and what follows from it?

    Shape: `lefts` and `helds` root first, None where there is no cap. `soft_room` is how much
    more exposure, own free money not counted, passes no further soft threshold. `binding` is
    the level with least left.
    """

    path: tuple[Balance, ...]
    at: float
    offset: int
    lefts: tuple[Nanos | None, ...]
    helds: tuple[Nanos, ...]
    texts: dict[str, str]
    soft_room: Nanos
    binding: int | None


def view_of(path: Sequence[Balance], *, place: Place, at: float, offset: int) -> View:
    """What does this look say? `at` by the holder's clock, `offset` in its journal."""
    tightest = binding(path)
    texts: dict[str, str] = {}
    for level, balance in enumerate(path):
        texts[f"s{level}"] = amount_text(balance.settled)
        if balance.cap is not None:
            texts[f"c{level}"] = amount_text(balance.cap)
    return View(
        path=tuple(path),
        at=at,
        offset=offset,
        lefts=tuple(left(balance) for balance in path),
        helds=tuple(balance.held for balance in path),
        texts=texts,
        soft_room=_soft_room(path, place),
        binding=tightest.index if tightest else None,
    )


def own(view: View, free: Nanos) -> tuple[Balance, ...]:
    """How do the balances read to the holder, whose free money is there for its calls?"""
    return tuple(replace(balance, held=balance.held - free) for balance in view.path)


def per_call_least(place: Place) -> Nanos:
    """Which worst case passes every limit for one call?"""
    limits = [rule.per_call_nanos for rule in place.path if rule.per_call_nanos is not None]
    return min(limits, default=UNBOUNDED)


def has_run_limit(place: Place) -> int:
    """How many levels limit what one run may spend?"""
    return sum(rule.per_run_nanos is not None for rule in place.path)


def _soft_room(path: Sequence[Balance], place: Place) -> Nanos:
    """Below which further exposure does no call pass a soft threshold?"""
    rooms = []
    for rule, balance in zip(place.path, path, strict=True):
        amount = rule.amount_nanos if balance.cap is None else balance.cap
        if amount and rule.soft_thresholds_ppm:
            first = min(rule.soft_thresholds_ppm)
            rooms.append(-(-first * amount // PPM) - balance.exposure)
    return min(rooms, default=UNBOUNDED)
