"""Which entries does a settle inside a lease make? Those of the strict form, inside the lease.

The cost was answered, so it is booked as it stands in the journal. It is computed again for
tokens, flags and document; where it comes out otherwise, the document of the entry says so.
Source: ledger.md section 3.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from ledger import facade as ledger
from o10.kernel import ids
from o10.kernel.errors import Corrupt, Missing
from o10.lease.records import Settled
from o10.wire.requests import Settle, read_settle
from policies.core.record import exact
from policies.operations.attempt_dims import dims_of_attempt
from policies.operations.booked_call import settle_uid
from policies.operations.numbering import Numbering, place_of
from policies.operations.price_attempt import NOTHING_USED, Bill, price_attempt
from policies.operations.questions import Numbers
from policies.operations.reservations import Hold
from policies.operations.settle import attempt_hash, flags_of


class CostDiffers(Corrupt):
    """Was a settle answered with another cost than its usage and price book give?

    Fields: `reservation`, `answered`, `computed`. It is booked as answered.
    """

    code = "cost_differs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What is to be booked of one settle of a journal?

    Units: nanos. `differs` = the cost comes out otherwise today, None when it does not.
    """

    hold: Hold
    request: Settle
    bill: Bill
    uid: UUID
    request_hash: bytes
    cost: int
    numbers: Numbers
    document: Mapping[str, Any]
    doc: bytes
    differs: CostDiffers | None


def attempt_of(
    *, record: Settled, hold: Hold, currency: str, numbering: Numbering, now: datetime
) -> Attempt:
    """What does this record bill? Prices it again; numbers and document are made here.

    Raises: msgspec.ValidationError when the request cannot be read.
    """
    request = read_settle(record.request)
    try:
        bill = price_attempt(hold=hold, request=request, currency=currency)
    except Missing:
        # Its price book is gone: the usage stands, the cost is the one that was answered.
        usage = request.usage.disjoint().usage if request.usage else NOTHING_USED
        bill = Bill(cost=record.cost, usage=usage, flags=frozenset())
    computed = bill.cost
    if computed is None:
        # What was still open when it was answered is known only while nothing happened since.
        untouched = hold.state == "open" and not hold.settled
        computed = hold.at_most if untouched else record.cost
    document = bill.document
    differs = None
    if computed != record.cost:
        differs = CostDiffers(reservation=str(hold.id), answered=record.cost, computed=computed)
        document = {**document, "computed_nanos": exact(computed)}
    return Attempt(
        hold=hold,
        request=request,
        bill=bill,
        uid=settle_uid(hold.id, record.attempt),
        request_hash=record.request_hash or attempt_hash(request, hold),
        cost=record.cost,
        numbers=_numbers(record, request, hold, bill, numbering, now),
        document=document,
        doc=numbering.document(document),
        differs=differs,
    )


def settle_of(attempt: Attempt, *, now: datetime, **fields: Any) -> ledger.Draft:
    """Which entry has this attempt? `fields` are what moves, where, and further marks.

    `marks` = flags beside those of the bill.
    """
    request, bill, usage = attempt.request, attempt.bill, attempt.bill.usage
    numbers, hold = attempt.numbers, attempt.hold
    marks = fields.pop("marks", ledger.Flag(0))
    return ledger.Draft(
        ledger_id=ledger.COMPANY_LEDGER,
        kind=ledger.Kind.SETTLE,
        uid=attempt.uid,
        effective_at=hold.authorized_at,
        recorded_at=now,
        envelope_id=hold.path_ids[-1] if hold.path_ids else 0,
        use_case_id=hold.use_case,
        dims_id=numbers.dims,
        offer_id=numbers.offer,
        venue_id=numbers.venue,
        model_id=numbers.model,
        actor_id=numbers.actor,
        n=1,
        tok_in=usage.input,
        tok_cache_read=usage.cache_read,
        tok_cache_write=usage.cache_write_5m,
        tok_cache_write_1h=usage.cache_write_1h,
        tok_out=usage.output,
        tok_reasoning=usage.reasoning,
        latency_ms=request.latency_ms or 0,
        price_version=bill.rated.price_version if bill.rated else hold.price_version,
        policy_version=hold.policy_version,
        decision=hold.decision,
        reservation=hold.id,
        attempt=request.attempt,
        flags=flags_of(attempt.bill, attempt.request, marks),
        doc=attempt.doc,
        ref=request.provider_request_id or "",
        **fields,
    )


def overrun_uid(attempt: Attempt) -> UUID:
    """Which uid has the overrun of this attempt? The same in both forms."""
    hold = attempt.hold
    key = f"{hold.id}#{attempt.request.attempt}"
    return ids.uid(scope="overrun", key=key, origin_ms=hold.origin_ms)


def overrun_of(*, attempt: Attempt, excess: int, now: datetime, version: int) -> ledger.Draft:
    """Which entry has what neither hold nor lease cover?"""
    hold = attempt.hold
    return hold.draft(
        kind=ledger.Kind.OVERRUN,
        uid=overrun_uid(attempt),
        recorded_at=now,
        actor_id=attempt.numbers.actor,
        amount_nanos=excess,
        attempt=attempt.request.attempt,
        env_version=version,
        flags=int(ledger.Flag.UNGUARDED),
    )


def _numbers(
    record: Settled,
    request: Settle,
    hold: Hold,
    bill: Bill,
    numbering: Numbering,
    now: datetime,
) -> Numbers:
    actor = numbering.actor(record.actor, now=now)
    dims = dims_of_attempt(hold=hold, request=request, actor=actor, now=now)
    if bill.rated is None:
        return Numbers(actor, dims, hold.offer_id, hold.venue_id, hold.model_id)
    served = numbering.offer(place_of(bill.rated.key), actor, now=now)
    return Numbers(actor, dims, *served)
