"""Which decision stands behind an entry, in the words of spend control?

An entry binds its decision by hash; the log that has the words belongs to the app above. One
slot, filled at its start, answers for a page of entries at once. While it is empty, pages show
the hash alone.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from ledger.queries.entry_lines import EntryLine
from o10.kernel import ids


@dataclass(frozen=True, slots=True)
class DecisionQuery:
    """Which decision is asked for: that of a reservation, or that of an entry alone?

    `decided_at` is the entry's effective instant, which is the decision's own.
    """

    entry_uid: UUID
    reservation: UUID | None
    decided_at: datetime


@dataclass(frozen=True, slots=True)
class DecisionWords:
    """What is a decision called? `public` dec_…; `outcome`, first `reason` as on the wire."""

    public: str
    outcome: str
    reason: str


Finder = Callable[[Sequence[DecisionQuery]], Mapping[UUID, DecisionWords]]
"""Queries to words by entry uid; entries without a decision are left out."""


def _knows_none(queries: Sequence[DecisionQuery]) -> Mapping[UUID, DecisionWords]:
    return {}


_finder: Finder = _knows_none


def set_decision_finder(finder: Finder) -> None:
    """Fills the slot. Called once, when the app that decides is ready."""
    global _finder  # noqa: PLW0603 - the slot, as in keep_exposure
    _finder = finder


def find_decisions(lines: Iterable[EntryLine]) -> Mapping[UUID, DecisionWords]:
    """Which decisions stand behind these entries, by entry uid?"""
    queries = [
        DecisionQuery(
            entry_uid=line.uid,
            reservation=ids.uuid_of(line.reservation, "rsv") if line.reservation else None,
            decided_at=line.effective_at,
        )
        for line in lines
        if line.decision
    ]
    return _finder(queries) if queries else {}
