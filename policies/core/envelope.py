"""What does an envelope have left, along its whole path?

left = cap - settled - leased - unsettled - contingency, at every level; a call fits at each.
Source: product.md section 5 and docs/algorithms/envelopes.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from o10.kernel.money import Nanos

PPM = 1_000_000


@dataclass(frozen=True, slots=True)
class Balance:
    """How much of one envelope's period is used?

    Units: nanos. `cap` None = no cap at this level; 0 = hard stop. `held` is what the API
    calls leased. `unguarded` is inside `settled`.
    """

    envelope_id: int
    cap: Nanos | None
    settled: Nanos = 0
    held: Nanos = 0
    unsettled: Nanos = 0
    unguarded: Nanos = 0
    contingency: Nanos = 0
    limit: Nanos | None = None
    epoch: int = 1

    @property
    def exposure(self) -> Nanos:
        """How much is spent or may still be?"""
        return self.settled + self.held + self.unsettled

    @property
    def guarded_exposure(self) -> Nanos:
        """How much of the exposure went through a hold? What the limit bounds at any time."""
        return self.exposure - self.unguarded


def left(balance: Balance) -> Nanos | None:
    """What does this level have left? None = no cap here; negative after unguarded spend."""
    if balance.cap is None:
        return None
    return balance.cap - balance.exposure - balance.contingency


@dataclass(frozen=True, slots=True)
class Binding:
    """Which level binds a path, and how much does it leave? `index` counts from the root."""

    index: int
    available: Nanos


def binding(path: Sequence[Balance]) -> Binding | None:
    """Which level of the path, root first, has least left? None = no level has a cap.

    Of equals the deepest: the owner of the nearer envelope can act sooner.
    """
    found: Binding | None = None
    for index, balance in enumerate(path):
        available = left(balance)
        if available is not None and (found is None or available <= found.available):
            found = Binding(index, available)
    return found


def too_small(path: Sequence[Balance], amount: Nanos) -> int | None:
    """At which level does the amount not fit? None = it fits everywhere.

    The deepest level comes first (its own envelope), then the binding one above it.
    """
    if not path:
        return None
    own = left(path[-1])
    if own is not None and own < amount:
        return len(path) - 1
    tightest = binding(path)
    if tightest is not None and tightest.available < amount:
        return tightest.index
    return None


def soft_thresholds_passed(
    *, balance: Balance, amount: Nanos, thresholds_ppm: Sequence[int]
) -> tuple[int, ...]:
    """Which soft thresholds does the exposure reach once this amount is added?

    Units: millionths of the cap. An envelope without a cap, or with cap 0, has none.
    """
    if not balance.cap:
        return ()
    after = (balance.exposure + amount) * PPM
    return tuple(each for each in sorted(thresholds_ppm) if after >= each * balance.cap)


def limit_after(*, cap: Nanos | None, limit: Nanos | None, guarded: Nanos) -> Nanos | None:
    """Which guarded exposure is still lawful after a change?

    The cap; or, after a cap was cut below the exposure, that exposure, which only falls until
    it is back at the cap. None where there is no cap.
    """
    if cap is None:
        return None
    highest = guarded if limit is None else min(limit, guarded)
    return max(cap, highest)


def allocation_left(
    *, parent_cap: Nanos | None, sibling_caps: Sequence[Nanos | None]
) -> Nanos | None:
    """How much of the parent's cap may a further child get? None = the parent has no cap.

    A sibling without a cap takes no share: it is bounded by the parent itself.
    """
    if parent_cap is None:
        return None
    return parent_cap - sum(cap for cap in sibling_caps if cap is not None)
