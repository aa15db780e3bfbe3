"""How is the difference of a bill booked? Entries of kind `reconcile`, with cause and people.

What is booked is what the match says at that moment, else nothing: a bill that changed
meanwhile is looked at again. Each difference goes to those who spent, by what they spent; what
nobody here spent has no envelope. In a closed month it stands in the open one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

from ledger.core.document import canonical_json
from ledger.core.entry import REF_BYTES_MAX, Basis, Entry, Flag, Kind, pack_flags
from ledger.core.matching import Key, Match
from ledger.core.prior_period import place
from ledger.models import BookedDifference
from ledger.operations.correct import with_versions
from ledger.operations.funnel import Written, write
from ledger.operations.put_document import put_document
from ledger.queries.ledgers import LedgerRow, ledger_of_company
from ledger.queries.periods import closed_until
from ledger.queries.reconciliation import Reconciliation, reconcile_invoice
from o10.kernel import ids
from o10.kernel.errors import Conflict, FieldError, SelfApproval, ValidationFailed
from o10.kernel.money import split

LINES_MOST: Final = 2_000
CAUSES: Final = {
    "price": "the provider's price differs from the price book",
    "usage_not_metered": "usage that never passed o10",
    "usage_not_billed": "usage the provider did not bill",
    "count": "the provider counted otherwise",
    "rounding": "rounding within tolerance",
    "fee": "fee or surcharge",
    "credit": "credit or discount",
    "tax": "tax",
    "timing": "billed in another month",
    "other": "other, see the reason",
}
"""Why a bill differs: code and words."""


class BillMoved(Conflict):
    """Did the bill or the ledger change since this was asked? Fields: `invoice`."""

    code = "base_changed"


@dataclass(frozen=True, slots=True)
class Difference:
    """Which difference shall be booked, why? Nanos, as the match said when it was asked."""

    key: Key
    amount_nanos: int
    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bookings:
    """Which differences of which bill, asked and agreed by whom?"""

    invoice: str
    differences: tuple[Difference, ...]
    reason: str
    requested_by: str
    approved_by: str
    actor_id: int
    key: str


def book_differences(*, bookings: Bookings, now: datetime) -> Written:
    """What was written for these differences?

    Raises: SelfApproval (`self_approval`); ValidationFailed for none, too many or an unknown
    cause; BillMoved (`base_changed`) when one of them is another amount now; NotFound;
    IdempotencyMismatch.
    Locks: the key, then what the exposure keeper locks.
    """
    if bookings.requested_by == bookings.approved_by:
        raise SelfApproval(action="reconcile.book", person=bookings.requested_by)
    check_differences(bookings.differences)
    ledger = ledger_of_company()
    asked = {
        "invoice": bookings.invoice,
        "lines": [
            [*_key_text(each.key), str(each.amount_nanos)] for each in bookings.differences
        ],
    }

    def run(uid: UUID) -> list[Entry]:
        return with_versions(_book(bookings, ledger, uid, now))

    return write(
        ledger_id=ledger.id,
        scope="reconcile",
        key=bookings.key,
        request_hash=sha256(canonical_json(_short(asked))).digest(),
        run=run,
    )


def check_differences(differences: Sequence[Difference]) -> None:
    """Can these be booked at all?

    Raises: ValidationFailed (`validation_failed`).
    """
    if not 1 <= len(differences) <= LINES_MOST:
        message = f"1 to {LINES_MOST} differences."
        raise ValidationFailed(errors=[FieldError("/lines", "too_many", message)])
    wrong = [
        FieldError(f"/lines/{place_of}/cause", "not_a_choice", f"One of {', '.join(CAUSES)}.")
        for place_of, each in enumerate(differences)
        if each.cause not in CAUSES
    ]
    if wrong:
        raise ValidationFailed(errors=wrong[:100])


def _book(bookings: Bookings, ledger: LedgerRow, uid: UUID, now: datetime) -> list[Entry]:
    now_so = reconcile_invoice(bookings.invoice)
    bound = closed_until(ledger_id=ledger.id)
    drafts: list[Entry] = []
    stored: list[BookedDifference] = []
    for each in bookings.differences:
        line = now_so.find(each.key)
        if line is None or line.difference != each.amount_nanos or not each.amount_nanos:
            raise BillMoved(invoice=bookings.invoice)
        own = _drafts(each, line, now_so, bookings, ledger, bound, now)
        # The key of the whole write names its first entry.
        if not drafts:
            own[0] = replace(own[0], uid=uid)
        drafts += own
        stored.append(_row(each, line, now_so, bookings, own[0], now))
    BookedDifference.objects.bulk_create(stored, batch_size=500)
    return drafts


def _drafts(
    each: Difference,
    line: Match,
    now_so: Reconciliation,
    bookings: Bookings,
    ledger: LedgerRow,
    bound: datetime | None,
    now: datetime,
) -> list[Entry]:
    invoice, key = now_so.invoice, each.key
    noon = datetime.combine(key.last_day, time(12), tzinfo=UTC)
    placement = place(min(noon, now), closed_until=bound, now=now, time_zone=ledger.time_zone)
    body: dict[str, Any] = {
        "approved_by": bookings.approved_by,
        "billed_nanos": str(line.billed),
        "cause": each.cause,
        "class": line.found.value,
        "invoice": invoice.public,
        "key": dict(zip(_NAMES, _key_text(key), strict=True)),
        "number": invoice.number,
        "reason": bookings.reason,
        "requested_by": bookings.requested_by,
        "spent_nanos": str(line.spent),
        **placement.told,
    }
    doc = put_document(body, now=now)
    drafts = []
    for number, (owner, part) in enumerate(_parts(now_so, key, each.amount_nanos)):
        marks = Flag.UNGUARDED if part > 0 else Flag(0)
        marks |= Flag.PRIOR_PERIOD if placement.is_prior else Flag(0)
        drafts.append(
            Entry(
                ledger_id=ledger.id,
                kind=Kind.RECONCILE,
                uid=ids.uid(
                    scope="reconcile_part",
                    key=f"{bookings.key}#{'/'.join(_key_text(key))}#{number}",
                    origin_ms=0,
                ),
                effective_at=placement.effective_at,
                recorded_at=now,
                use_case_id=owner[0],
                envelope_id=owner[1],
                venue_id=invoice.venue_id,
                model_id=now_so.model_ids.get(key.model, 0),
                actor_id=bookings.actor_id,
                amount_nanos=part,
                flags=pack_flags(basis=Basis.INVOICE, marks=marks),
                doc=doc,
                ref=(invoice.number or invoice.public)
                .encode()[:REF_BYTES_MAX]
                .decode(errors="ignore"),
            )
        )
    return drafts


def _parts(now_so: Reconciliation, key: Key, amount: int) -> list[tuple[tuple[int, int], int]]:
    """Whose is which part of the difference? By what each spent; exact to the nano."""
    shares = now_so.shares.get(key)
    owners = sorted(
        (owner, spent)
        for owner, spent in (shares.by_owner if shares else {}).items()
        if spent > 0
    )
    if not owners:
        return [((0, 0), amount)]
    parts = split(amount, [spent for _, spent in owners])
    kept = [(owner, part) for (owner, _), part in zip(owners, parts, strict=True) if part]
    return kept or [((0, 0), amount)]


def _row(
    each: Difference,
    line: Match,
    now_so: Reconciliation,
    bookings: Bookings,
    draft: Entry,
    now: datetime,
) -> BookedDifference:
    key = each.key
    return BookedDifference(
        uid=draft.uid,
        invoice_id=now_so.invoice.id,
        day=key.day,
        last_day=key.last_day,
        model=key.model,
        tier=key.tier,
        account=key.account,
        found=line.found.value,
        amount_nanos=each.amount_nanos,
        cause=each.cause,
        reason=bookings.reason[:400],
        requested_by=bookings.requested_by,
        approved_by=bookings.approved_by,
        is_late=bool(draft.flags & Flag.PRIOR_PERIOD),
        booked_at=now,
    )


_NAMES: Final = ("day", "last_day", "model", "tier", "account")


def _key_text(key: Key) -> list[str]:
    return [str(getattr(key, name)) for name in _NAMES]


def _short(asked: dict[str, Any]) -> dict[str, Any]:
    """Many lines would be too long for a canonical form: their hash stands for them."""
    lines = sha256("\n".join("|".join(line) for line in asked["lines"]).encode())
    return {"invoice": asked["invoice"], "lines": lines.hexdigest()}
