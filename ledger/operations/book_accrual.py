"""How is cost booked that a month owes but nobody metered or billed yet? In, and out again.

Spend that was metered stands in the ledger whether billed or not. What is expected beside it (a
fee, usage that never passed o10) is added to the month by one `adjust` entry and taken out of
the next by another, in one transaction; the bill then brings the real amount.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

from ledger.core.document import canonical_json
from ledger.core.entry import Basis, Entry, Flag, Kind, pack_flags
from ledger.core.prior_period import month_after, month_bounds
from ledger.models import Accrual
from ledger.operations.correct import with_versions
from ledger.operations.funnel import Written, write
from ledger.operations.intern import Domain, intern
from ledger.operations.put_document import put_document
from ledger.operations.seal_period import NotOver
from ledger.queries.ledgers import ledger_of_company
from ledger.queries.periods import get_period
from o10.kernel import ids
from o10.kernel.errors import FieldError, PeriodClosed, SelfApproval, ValidationFailed

TICK: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Accrued:
    """What is expected of which venue for which month? Nanos of the ledger's currency, > 0."""

    period: str
    venue: str
    amount_nanos: int
    reason: str


def check_accrual(accrued: Accrued, *, now: datetime) -> None:
    """Can this be booked at all?

    Raises: ValidationFailed (`validation_failed`); NotOver (`period_not_over`); PeriodClosed
    (`period_closed`).
    """
    if accrued.amount_nanos <= 0:
        message = "An accrual is an amount above 0."
        raise ValidationFailed(errors=[FieldError("/amount", "out_of_range", message)])
    if not accrued.venue or not accrued.reason.strip():
        message = "Say of which venue it is expected, and why."
        raise ValidationFailed(errors=[FieldError("/reason", "required", message)])
    row = get_period(accrued.period)
    if row.status == "closed":
        raise PeriodClosed(period=accrued.period, closed_at=row.closed_at)
    if row.ends_at > now:
        raise NotOver(period=accrued.period, ends_at=row.ends_at)


def book_accrual(
    *,
    accrued: Accrued,
    requested_by: str,
    approved_by: str,
    actor_id: int,
    key: str,
    now: datetime,
) -> Written:
    """What was written: the amount in its month, and out of the next?

    Raises: SelfApproval (`self_approval`); as `check_accrual`; IdempotencyMismatch.
    Locks: the key, then what the exposure keeper locks.
    """
    if requested_by == approved_by:
        raise SelfApproval(action="accrual.book", person=requested_by)
    check_accrual(accrued, now=now)
    ledger = ledger_of_company()
    _, ends = month_bounds(accrued.period, time_zone=ledger.time_zone)

    def run(uid: UUID) -> list[Entry]:
        venue = intern(
            Domain.VENUE,
            {"slug": accrued.venue},
            ledger_id=ledger.id,
            actor=actor_id,
            now=now,
        )
        back = ids.uid(scope="accrual_back", key=key, origin_ms=0)
        body = {
            "approved_by": approved_by,
            "cause": "accrual",
            "period": accrued.period,
            "reason": accrued.reason,
            "requested_by": requested_by,
            "taken_back_by": str(back),
            "taken_back_in": month_after(accrued.period),
        }
        common: dict[str, Any] = {
            "ledger_id": ledger.id,
            "kind": Kind.ADJUST,
            "recorded_at": now,
            "venue_id": venue,
            "actor_id": actor_id,
            "doc": put_document(body, now=now),
        }
        Accrual.objects.create(
            uid=uid,
            back_uid=back,
            ledger_id=ledger.id,
            period=accrued.period,
            venue=accrued.venue,
            amount_nanos=accrued.amount_nanos,
            reason=accrued.reason[:400],
            requested_by=requested_by,
            approved_by=approved_by,
            booked_at=now,
        )
        into = Entry(
            uid=uid,
            effective_at=ends - TICK,
            amount_nanos=accrued.amount_nanos,
            flags=pack_flags(basis=Basis.ESTIMATED, marks=Flag.UNGUARDED),
            **common,
        )
        out = Entry(
            uid=back,
            effective_at=ends,
            amount_nanos=-accrued.amount_nanos,
            flags=pack_flags(basis=Basis.ESTIMATED),
            **common,
        )
        return with_versions([into, out])

    asked = {
        "amount": str(accrued.amount_nanos),
        "period": accrued.period,
        "venue": accrued.venue,
    }
    return write(
        ledger_id=ledger.id,
        scope="accrual",
        key=key,
        request_hash=sha256(canonical_json(asked)).digest(),
        run=run,
    )
