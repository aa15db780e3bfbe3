"""What has one worker at hand for one place: leases in memory, the last look, its wordings?"""

from dataclasses import dataclass, field
from datetime import datetime
from threading import Lock
from uuid import UUID

from o10.kernel.ids import UidSeries
from o10.lease.book import Book
from policies.core.slices import Pace
from policies.core.snapshot import Place
from policies.core.till import View, has_run_limit, per_call_least
from policies.operations.balances import Cells
from policies.operations.questions import cells_of
from policies.operations.teller.wording import Wording

SMALL = frozenset({"environment", "customer", "run"})
"""Scopes below a use case: there may be ten thousand of them, each with little money."""


@dataclass(slots=True, eq=False)
class Till:
    """Where is the money of one path in one period, as far as this worker has any?

    `book` is the lease that calls draw on, `names` makes the ids of its reservations; `retired`
    ones are given back as far as they are free and wait for their calls to end. `refill` is
    held by the one thread that borrows. `busy_until` = another transaction kept the tree
    locked; nobody waits for it until then. All periods of the path run from `begins` to `ends`:
    a clock that steps back over midnight asks for another till. `small` = of a scope below the
    use case. `wordings` and `grounds` by terms (their identity), in the words of policy
    `version`.
    """

    place: Place
    cells: Cells
    begins: datetime
    ends: datetime
    per_call_least: int
    run_limited: int
    small: bool
    version: int = 0
    book: Book | None = None
    names: UidSeries | None = None
    view: View | None = None
    use_case: int = 0
    retired: dict[UUID, Book] = field(default_factory=dict)
    pace: Pace = field(default_factory=Pace)
    reserved: int = 0
    calls: int = 0
    used_at: float = 0.0
    busy_until: float = 0.0
    refill: Lock = field(default_factory=Lock)
    wordings: dict[tuple[object, ...], Wording | None] = field(default_factory=dict)
    grounds: dict[int, int] = field(default_factory=dict)

    def books(self) -> list[Book]:
        """Which leases are here? The current one first."""
        current = [self.book] if self.book is not None else []
        return [*current, *self.retired.values()]

    def stands_at(self, place: Place, *, version: int) -> None:
        """Takes over the words of this policy; names and limits may differ."""
        self.version = version
        self.place = place
        self.begins = max(period.start for period in place.periods)
        self.ends = min(period.end for period in place.periods)
        self.per_call_least = per_call_least(place)
        self.run_limited = has_run_limit(place)
        self.wordings.clear()
        self.grounds.clear()


def till_at(place: Place) -> Till:
    """Which till is opened at this place?"""
    return Till(
        place=place,
        cells=cells_of(place),
        begins=max(period.start for period in place.periods),
        ends=min(period.end for period in place.periods),
        per_call_least=per_call_least(place),
        run_limited=has_run_limit(place),
        small=place.path[-1].scope_kind in SMALL,
    )
