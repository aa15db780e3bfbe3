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

    Shape: `levels` root first: left (None where there is no cap), held, and settled and cap as
    text. `passed` is how many soft thresholds each level has passed as long as the exposure
    differs from the one seen by at least `soft_least` and less than `soft_most`. `binding` is
    the level with least left.
    """

    path: tuple[Balance, ...]
    at: float
    offset: int
    levels: tuple[tuple[Nanos | None, Nanos, str, str], ...]
    passed: tuple[int, ...]
    soft_least: Nanos
    soft_most: Nanos
    binding: int | None

    @property
    def helds(self) -> tuple[Nanos, ...]:
        """How much was held at each level?"""
        return tuple(balance.held for balance in self.path)


def view_of(
    path: Sequence[Balance], *, place: Place, at: float, offset: int, free: Nanos
) -> View:
    """What does this look say? `at` by the holder's clock, `offset` in its journal."""
    tightest = binding(path)
    passed, least, most = _soft(path, place, free)
    return View(
        path=tuple(path),
        at=at,
        offset=offset,
        levels=tuple(
            (
                left(balance),
                balance.held,
                amount_text(balance.settled),
                "" if balance.cap is None else amount_text(balance.cap),
            )
            for balance in path
        ),
        passed=passed,
        soft_least=least,
        soft_most=most,
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


def soft_band(*, amount: Nanos, thresholds: Sequence[int], passed: int) -> tuple[Nanos, Nanos]:
    """Between which exposures are just so many thresholds passed? From, and below."""
    order = [-(-each * amount // PPM) for each in sorted(thresholds)]
    least = order[passed - 1] if passed else -UNBOUNDED
    return least, (order[passed] if passed < len(order) else UNBOUNDED)


def _soft(
    path: Sequence[Balance], place: Place, free: Nanos
) -> tuple[tuple[int, ...], Nanos, Nanos]:
    """Which thresholds are passed now, and by how much may exposure differ for it to stay so?

    `free` of the exposure is our own and spent by nobody yet.
    """
    counts, least, most = [], -UNBOUNDED, UNBOUNDED
    for rule, balance in zip(place.path, path, strict=True):
        amount = rule.amount_nanos if balance.cap is None else balance.cap
        thresholds = rule.soft_thresholds_ppm if amount else ()
        exposure = balance.exposure
        spent = (exposure - free) * PPM
        passed = sum(1 for each in thresholds if spent >= each * (amount or 0))
        low, high = soft_band(amount=amount or 0, thresholds=thresholds, passed=passed)
        counts.append(passed)
        least, most = max(least, low - exposure), min(most, high - exposure)
    return tuple(counts), least, most
