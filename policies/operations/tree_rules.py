"""Which envelopes may stand below which, and how much may they promise together?

Children promise at most the cap of their parent unless it allows over-allocation. No cap of
its own has a leaf only, and only under an ancestor that has one. Below a use case all children
of one envelope are of one scope kind, so that a call has exactly one path.
"""

from o10.kernel.errors import Conflict, FieldError, ValidationFailed
from o10.kernel.money import amount_text
from policies.core.drafts import BELOW_USE_CASE
from policies.core.envelope import allocation_left
from policies.models import Envelope

LIVING = ("active", "frozen")


class Overallocated(Conflict):
    """Would the children promise more than the parent has? Fields: parent, left_nanos."""

    code = "conflict"


class ParentTakesNoChild(Conflict):
    """May no envelope stand below this parent? Fields: parent, reason."""

    code = "conflict"


def check_amount_fits(row: Envelope) -> None:
    """Do siblings and children still fit with this amount?

    Raises: Overallocated (`conflict`).
    """
    parent = row.parent
    if row.state in LIVING and parent is not None and not parent.allow_overallocation:
        siblings = Envelope.objects.filter(parent=parent, state__in=LIVING)
        others = [_cap(each) for each in siblings.exclude(id=row.id) if overlaps(each, row)]
        rest = allocation_left(parent_cap=_cap(parent), sibling_caps=others)
        if rest is not None and (_cap(row) or 0) > rest:
            raise Overallocated(
                parent=parent.public, left_nanos=rest, left=amount_text(max(0, rest))
            )
    if row.id is None or row.allow_overallocation or row.state not in LIVING:
        return
    children = Envelope.objects.filter(parent=row, state__in=LIVING)
    promised = allocation_left(
        parent_cap=_cap(row), sibling_caps=[_cap(child) for child in children]
    )
    if promised is not None and promised < 0:
        raise Overallocated(parent=row.public, left_nanos=promised, left="0.00")


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
    reason = ""
    if parent.state == "closed":
        reason = "it is closed"
    elif parent.depth >= 5:
        reason = "a path has six levels at most"
    elif parent.amount_nanos is None:
        reason = "it has no amount of its own"
    elif scope_kind in BELOW_USE_CASE:
        living = Envelope.objects.filter(parent=parent, state__in=LIVING)
        kinds = set(living.values_list("scope_kind", flat=True))
        if kinds - {scope_kind}:
            reason = f"it has children of kind {', '.join(sorted(kinds))}"
    if reason:
        raise ParentTakesNoChild(parent=parent.public, reason=reason)


def _cap(row: Envelope) -> int | None:
    return row.amount_nanos


def overlaps(one: Envelope, other: Envelope) -> int:
    """Can both hold money at one instant? Two fixed years of one scope cannot."""
    ends_before = one.end_at is not None and other.start_at is not None
    starts_after = other.end_at is not None and one.start_at is not None
    apart = (ends_before and one.end_at <= other.start_at) or (
        starts_after and other.end_at <= one.start_at
    )
    return int(not apart)
