"""What followed from a decision in the ledger, and is its record what the entries bind?"""

from dataclasses import dataclass

from ledger import facade as ledger
from o10.kernel import ids
from policies.core.record import content_hash
from policies.queries.decision_pages import DecisionDetail

ENTRIES_MOST = 50


@dataclass(frozen=True, slots=True)
class DecisionTrail:
    """Which entries belong to the decision, oldest first, and do they bind this record?

    `binding` is the hash of the record as it stands now; `bound` whether every entry that
    names a decision names this one, None while there is no entry.
    """

    binding: str
    entries: tuple[ledger.EntryLine, ...]
    bound: bool | None


def get_decision_trail(*, detail: DecisionDetail) -> DecisionTrail:
    """Which ledger entries followed, and do they bind what the log says?"""
    binding = content_hash(detail.record).hex
    lines = _lines(detail)
    # An extend decides again: its entry binds a record of its own.
    bound = any(line.decision == binding for line in lines) if lines else None
    return DecisionTrail(binding, lines, bound)


def _lines(detail: DecisionDetail) -> tuple[ledger.EntryLine, ...]:
    if detail.row.reservation:
        page = ledger.list_entries(
            ledger_id=ledger.COMPANY_LEDGER,
            where=ledger.EntryFilter(reservation=ids.uuid_of(detail.row.reservation, "rsv")),
            limit=ENTRIES_MOST,
        )
        return tuple(ledger.lines_of(list(reversed(page.items))))
    if detail.row.entry_uid is None:
        return ()
    found = ledger.find_by_uid(ledger_id=ledger.COMPANY_LEDGER, uid=detail.row.entry_uid)
    return tuple(ledger.lines_of([found])) if found else ()
