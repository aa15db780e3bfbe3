"""Who keeps the balances when the ledger's own doors move money, and who knows whose it is?

The ledger knows no envelopes. Policies puts a function into this one slot when it starts;
usage, adjustments and reversals hand it their effects and write the versions it gives back.
While the slot is empty such a write is refused: an amount without its balance would be a silent
overdraft.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from ledger.core.entry import ZERO_UUID
from o10.kernel.errors import Unavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceQuery:
    """Whose spend is it? What a usage record says about itself; `at` selects the period."""

    use_case: str | None
    environment: str | None
    customer: str | None
    run_id: str | None
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """To which use case and deepest envelope does it belong? 0 and 0 = unattributed."""

    use_case_id: int
    envelope_id: int
    department: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """By how much does one entry move the balances of its envelope path?

    Units: nanos of the ledger's currency. `unguarded_nanos` is the part of the amount that was
    never held: positive amounts of unguarded kinds, 0 for the others. `reservation` and `lease`
    are those of the entry, zero when it belongs to none.
    """

    envelope_id: int
    effective_at: datetime
    amount_nanos: int
    held_nanos: int = 0
    unsettled_nanos: int = 0
    unguarded_nanos: int = 0
    reservation: UUID = ZERO_UUID
    lease: UUID = ZERO_UUID

    @property
    def net(self) -> int:
        """By how much does exposure change? An entry carries a version where it does."""
        return self.amount_nanos + self.held_nanos + self.unsettled_nanos

    @property
    def moves(self) -> bool:
        """Does any balance change?"""
        return bool(self.amount_nanos or self.held_nanos or self.unsettled_nanos)


Keeper = Callable[[Sequence[Effect]], Sequence[int]]
"""Locks the trees of the effects, applies them, answers the tree version of each."""

PlaceFinder = Callable[[Sequence[PlaceQuery]], Sequence[Place]]
"""Answers the place of each query, in their order."""

_keeper: Keeper | None = None
_finder: PlaceFinder | None = None


class ExposureUnkept(Unavailable):
    """Is nobody there who keeps the balances or knows the places? Fields: `what`."""

    code = "unavailable"


def set_exposure_keeper(keeper: Keeper) -> None:
    """Who keeps the balances from now on? Called once, by the app that owns envelopes."""
    global _keeper  # noqa: PLW0603 - the one slot through which the ledger calls upwards
    _keeper = keeper


def set_place_finder(finder: PlaceFinder) -> None:
    """Who knows use cases and envelopes from now on? Called once, by the app that owns them."""
    global _finder  # noqa: PLW0603 - the other slot through which the ledger calls upwards
    _finder = finder


def find_places(queries: Sequence[PlaceQuery]) -> Sequence[Place]:
    """To which use case and envelope does each belong?

    Raises: ExposureUnkept (`unavailable`) while the slot is empty.
    """
    if _finder is None:
        raise ExposureUnkept(what="the finder of places")
    return _finder(queries)


def keep_exposure(effects: Sequence[Effect]) -> list[int]:
    """Which version has the tree of each effect after it? 0 where nothing moves.

    Raises: ExposureUnkept (`unavailable`) while the slot is empty; what the keeper raises.
    Locks: what the keeper locks; call it after interning and before `append`.
    """
    # A net of zero still moves: settled falls and unsettled rises when a late settle is undone.
    moving = [effect for effect in effects if effect.moves]
    if not moving:
        return [0] * len(effects)
    if _keeper is None:
        raise ExposureUnkept(what="the keeper of balances")
    versions = iter(_keeper(moving))
    found = [next(versions) if effect.moves else 0 for effect in effects]
    return [
        version if effect.net else 0 for effect, version in zip(effects, found, strict=True)
    ]
