"""Which decisions stand behind these ledger entries, in words?

By the reservation where the entry has one, else by the entry the decision wrote itself: a
denial. Both ways go by an index: the key of the reservation, the instant of the decision.
"""

from collections.abc import Mapping, Sequence
from uuid import UUID

from ledger.facade import DecisionQuery, DecisionWords
from o10.kernel import ids
from policies.models import DecisionLog, Reservation

_FIELDS = ("id", "decision", "reason")


def find_decision_words(queries: Sequence[DecisionQuery]) -> Mapping[UUID, DecisionWords]:
    """Which words has the decision of each entry? Those without one are left out."""
    held = {each.reservation for each in queries if each.reservation is not None}
    alone = [each for each in queries if each.reservation is None]
    decision_of = dict(Reservation.objects.filter(id__in=held).values_list("id", "decision_id"))
    by_id = {
        row[0]: _words(row)
        for row in DecisionLog.objects.filter(id__in=decision_of.values()).values_list(*_FIELDS)
    }
    by_entry = {
        row[-1]: _words(row)
        for row in DecisionLog.objects.filter(
            decided_at__in={each.decided_at for each in alone},
            entry_uid__in=[each.entry_uid for each in alone],
        ).values_list(*_FIELDS, "entry_uid")
    }
    found = {}
    for each in queries:
        words = (
            by_entry.get(each.entry_uid)
            if each.reservation is None
            else by_id.get(decision_of.get(each.reservation))
        )
        if words is not None:
            found[each.entry_uid] = words
    return found


def _words(row: tuple[object, ...]) -> DecisionWords:
    public, outcome, reason = row[:3]
    return DecisionWords(ids.id_of("dec", UUID(str(public))), str(outcome), str(reason))
