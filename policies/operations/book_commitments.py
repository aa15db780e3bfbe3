"""Who carries the waste of a commitment? Its owner's envelope; then the day is booked."""

from datetime import datetime
from typing import Final

from ledger import facade as ledger
from policies.queries.current_policy import current_policy
from policies.queries.places import UNATTRIBUTED, find_places

SYSTEM: Final = "system"


def book_commitments(*, now: datetime) -> int:
    """How many days of commitments were booked or restated? Due ones; safe to run twice.

    Locks: the price book for each day, then what the exposure keeper locks.
    """
    return ledger.book_commitments(place_of=owner_place, actor=SYSTEM, now=now)


def owner_place(kind: str, slug: str, at: datetime) -> ledger.Place:
    """To which use case and envelope does this owner's part of a charge belong?

    A department or the company carries it in its own envelope; without one it is nobody's and
    shows as unattributed.
    """
    if kind == "use_case":
        query = ledger.PlaceQuery(
            use_case=slug, environment=None, customer=None, run_id=None, at=at
        )
        return find_places([query])[0]
    owned = [
        rule
        for rule in current_policy().snapshot.envelopes.values()
        if rule.scope_kind == kind and (kind == "company" or rule.slug == slug)
    ]
    alive = [rule for rule in owned if _holds(rule.start_at, rule.end_at, at)]
    if not owned:
        return UNATTRIBUTED
    department = slug if kind == "department" else ""
    number = max(alive or owned, key=lambda rule: rule.id).id
    return ledger.Place(use_case_id=0, envelope_id=number, department=department)


def _holds(start: datetime | None, end: datetime | None, at: datetime) -> bool:
    return (start is None or start <= at) and (end is None or at < end)
