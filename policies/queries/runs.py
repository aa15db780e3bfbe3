"""To which run and use case do these reservations and decisions belong?"""

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from policies.models import DecisionLog, Reservation


@dataclass(frozen=True, slots=True)
class CallOfDecision:
    """Whose call was decided on? `run_id` as the router named it, empty when it named none."""

    use_case: int
    reservation: UUID | None
    run_id: str


def runs_of_reservations(*, reservations: Collection[UUID]) -> dict[UUID, str]:
    """Which run has each of these reservations? Those without a run are left out."""
    rows = Reservation.objects.filter(id__in=list(reservations)).exclude(run_id="")
    return dict(rows.values_list("id", "run_id"))


def calls_of_decisions(*, decisions: Collection[UUID]) -> dict[UUID, CallOfDecision]:
    """Which call has each of these decisions? Unknown ones are left out."""
    rows = DecisionLog.objects.filter(id__in=list(decisions))
    found = list(rows.values_list("id", "use_case", "reservation"))
    runs = runs_of_reservations(reservations=[row[2] for row in found if row[2] is not None])
    return {
        public: CallOfDecision(use_case, reservation, runs.get(reservation, ""))
        for public, use_case, reservation in found
    }
