"""Which envelopes may stand below which, and how much may they promise together?

Children promise at most the cap of their parent unless it allows over-allocation. No cap of
its own has a leaf only, and only under an ancestor that has one. Below a use case all children
of one envelope are of one scope kind, so that a call has exactly one path.
What stands below an envelope is read as sums, so that ten thousand children cost one row.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from django.db import connection

from o10.kernel.errors import Conflict, FieldError, ValidationFailed
from o10.kernel.money import Nanos, amount_text
from policies.core.drafts import BELOW_USE_CASE
from policies.core.envelope import allocation_left
from policies.models import Envelope

LIVING = ("active", "frozen")
_BELOW = """
SELECT parent_id, scope_kind, start_at, end_at, sum(amount_nanos)
FROM policies_envelope
WHERE parent_id = ANY(%s) AND state = ANY(%s) AND id <> %s
GROUP BY parent_id, scope_kind, start_at, end_at
"""
Life = tuple[datetime | None, datetime | None]
"""From when until when may an envelope hold money? None = from ever, for ever."""


class Overallocated(Conflict):
    """Would the children promise more than the parent has? Fields: parent, left_nanos."""

    code = "conflict"


class ParentTakesNoChild(Conflict):
    """May no envelope stand below this parent? Fields: parent, reason."""

    code = "conflict"


@dataclass(slots=True)
class Children:
    """What stands below one envelope and lives: of which kinds, and with how much in all?

    Units: nanos, by the start and end of the children's lives.
    """

    kinds: set[str] = field(default_factory=set)
    promised: dict[Life, Nanos] = field(default_factory=dict)

    def add(self, *, kind: str, life: Life, nanos: Nanos) -> None:
        """One more child, or several of one kind and life."""
        self.kinds.add(kind)
        self.promised[life] = self.promised.get(life, 0) + nanos

    def promised_during(self, life: Life) -> Nanos:
        """How much is promised to those that live at some instant of this life?"""
        return sum(nanos for each, nanos in self.promised.items() if lives_meet(each, life))

    @property
    def promised_in_all(self) -> Nanos:
        """How much is promised to all of them?"""
        return sum(self.promised.values())


def read_children(*, parents: Iterable[int], but: int = 0) -> Mapping[int, Children]:
    """What stands below each of these envelopes and lives, one of them left out?"""
    found = {parent: Children() for parent in parents}
    with connection.cursor() as cursor:
        cursor.execute(_BELOW, [list(found), list(LIVING), but])
        for parent, kind, start, end, nanos in cursor.fetchall():
            found[parent].add(kind=kind, life=(start, end), nanos=int(nanos or 0))
    return found


def check_amount_fits(row: Envelope) -> None:
    """Do siblings and children still fit with this amount?

    Raises: Overallocated (`conflict`).
    """
    if row.state not in LIVING:
        return
    if row.parent is not None:
        beside = read_children(parents=[row.parent.id], but=row.id or 0)[row.parent.id]
        check_fits_beside(row, row.parent, beside)
    if row.id is None or row.allow_overallocation:
        return
    below = read_children(parents=[row.id])[row.id]
    promised = allocation_left(
        parent_cap=row.amount_nanos, sibling_caps=[below.promised_in_all]
    )
    if promised is not None and promised < 0:
        raise Overallocated(parent=row.public, left_nanos=promised, left="0.00")


def check_fits_beside(row: Envelope, parent: Envelope, beside: Children) -> None:
    """Does this child fit into what its siblings leave of the parent?

    Raises: Overallocated (`conflict`).
    """
    if parent.allow_overallocation:
        return
    rest = allocation_left(
        parent_cap=parent.amount_nanos, sibling_caps=[beside.promised_during(life_of(row))]
    )
    if rest is not None and (row.amount_nanos or 0) > rest:
        raise Overallocated(
            parent=parent.public, left_nanos=rest, left=amount_text(max(0, rest))
        )


def check_null_cap(row: Envelope) -> None:
    """May this envelope have no cap of its own?

    Raises: ValidationFailed (`validation_failed`) without a numeric ancestor, or with children.
    """
    if row.amount_nanos is not None:
        return
    above = row.parent
    while above is not None and above.amount_nanos is None:
        above = above.parent
    if above is None:
        message = "Without an amount of its own an envelope needs one above it that has one."
        raise ValidationFailed(errors=[FieldError("/amount", "required", message)])
    if row.id is not None and Envelope.objects.filter(parent=row, state__in=LIVING).exists():
        message = "An envelope with others below it has an amount."
        raise ValidationFailed(errors=[FieldError("/amount", "required", message)])


def check_takes_child(parent: Envelope, *, scope_kind: str) -> None:
    """May an envelope of this scope stand below this one?

    Raises: ParentTakesNoChild (`conflict`).
    """
    below = Children()
    if scope_kind in BELOW_USE_CASE:
        below = read_children(parents=[parent.id])[parent.id]
    check_takes_beside(parent, below, scope_kind=scope_kind)


def check_takes_beside(parent: Envelope, beside: Children, *, scope_kind: str) -> None:
    """May an envelope of this scope stand below this one, beside these?

    Raises: ParentTakesNoChild (`conflict`).
    """
    reason = ""
    if parent.state == "closed":
        reason = "it is closed"
    elif parent.depth >= 5:
        reason = "a path has six levels at most"
    elif parent.amount_nanos is None:
        reason = "it has no amount of its own"
    elif scope_kind in BELOW_USE_CASE and beside.kinds - {scope_kind}:
        reason = f"it has children of kind {', '.join(sorted(beside.kinds))}"
    if reason:
        raise ParentTakesNoChild(parent=parent.public, reason=reason)


def overlaps(one: Envelope, other: Envelope) -> int:
    """Can both hold money at one instant? Two fixed years of one scope cannot."""
    return int(lives_meet(life_of(one), life_of(other)))


def life_of(row: Envelope) -> Life:
    """From when until when may it hold money? None = from ever, for ever."""
    return row.start_at, row.end_at


def lives_meet(one: Life, other: Life) -> bool:
    """Is there an instant in both?"""
    (start, end), (other_start, other_end) = one, other
    before = end is not None and other_start is not None and end <= other_start
    after = other_end is not None and start is not None and other_end <= start
    return not (before or after)
