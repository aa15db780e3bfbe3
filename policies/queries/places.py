"""To which use case and envelope does spend belong that nobody asked about before?"""

from collections.abc import Sequence
from datetime import datetime

from ledger import facade as ledger
from policies.core.snapshot import EnvelopeRule, Place, Snapshot
from policies.queries.current_policy import current_policy

UNATTRIBUTED = ledger.Place(use_case_id=0, envelope_id=0, department="")


def find_places(queries: Sequence[ledger.PlaceQuery]) -> list[ledger.Place]:
    """Which place has each query? An unknown use case is unattributed, never guessed."""
    snapshot = current_policy().snapshot
    return [_place(snapshot, query) for query in queries]


def cells_at(
    snapshot: Snapshot, envelope_id: int, at: datetime
) -> list[tuple[EnvelopeRule, datetime]]:
    """Which envelopes and periods stand above this one at this instant? Root first.

    Raises: OutsidePeriod when a level has no period there (a fixed one that is over).
    """
    path = snapshot.path_to(snapshot.envelopes[envelope_id])
    return [(rule, rule.calendar_period_at(at).start) for rule in path]


def _place(snapshot: Snapshot, query: ledger.PlaceQuery) -> ledger.Place:
    rule = snapshot.use_cases.get(query.use_case or "")
    if rule is None:
        return UNATTRIBUTED
    labels = {
        kind: value
        for kind, value in (
            ("environment", query.environment),
            ("customer", query.customer),
            ("run", query.run_id),
        )
        if value
    }
    found = snapshot.place_of(use_case=rule, labels=labels, at=query.at)
    leaf = found.path[-1].id if isinstance(found, Place) else 0
    return ledger.Place(use_case_id=rule.id, envelope_id=leaf, department=rule.department_slug)
