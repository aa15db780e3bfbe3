"""How does a call's real cost get booked? Settle, late settle, overrun; one transaction.

A settle is never refused for money. What the hold covers is guarded; what exceeds it, or comes
after a write-off, is `unguarded`, in entries of its own or flagged. All moves of a reservation
fall into the period of its authorize instant. Inside a lease that its holder still keeps, the
hold pays out of the lease and the holder hears what was paid; the remainder is the holder's.
Source: ledger.md section 3; product.md section 6.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

import msgspec

from ledger import facade as ledger
from o10.access.checks import check
from o10.access.keys import Caller
from o10.access.roles import Action
from o10.kernel import ids
from o10.kernel.errors import ReservationFinalized, ReservationUnknown
from o10.kernel.money import Money, Nanos
from o10.wire.decisions import MoneyView, Settled, encode
from o10.wire.reasons import SettleFlag
from o10.wire.requests import Extend, Release, Settle
from policies.core.lending import split_late
from policies.operations.answer_log import first_answer, keep_answer
from policies.operations.attempt_dims import dims_of_attempt
from policies.operations.authorize import request_hash_of
from policies.operations.balances import Move, lock, move
from policies.operations.detach import detach, holder_keeps, lock_with_lease
from policies.operations.leases import LeaseChange, LeaseRow, change_leases, notify_ended
from policies.operations.open_month import house
from policies.operations.open_periods import open_missing
from policies.operations.price_attempt import Bill, price_attempt
from policies.operations.questions import Numbers, actor_number
from policies.operations.reservations import Hold, end_hold, find_hold, named
from policies.operations.take_promise import take_promise
from policies.operations.throttle import give_back_to_hour
from policies.queries.current_policy import believed_policy

MARKS = {
    SettleFlag.LATE_SETTLE: ledger.Flag.LATE_SETTLE,
    SettleFlag.CAPS_NOT_HONOURED: ledger.Flag.CAPS_NOT_HONOURED,
    SettleFlag.USAGE_INCONSISTENT: ledger.Flag.USAGE_INCONSISTENT,
    SettleFlag.MODEL_SERVED_DIFFERS: ledger.Flag.MODEL_SERVED_DIFFERS,
    SettleFlag.TIER_SERVED_DIFFERS: ledger.Flag.TIER_SERVED_DIFFERS,
    SettleFlag.PROVIDER_COST_DIFFERS: ledger.Flag.PROVIDER_COST_DIFFERS,
    SettleFlag.ZERO_USAGE_CONFIRMED: ledger.Flag.ZERO_USAGE_CONFIRMED,
}
"""Which bit of the entry says the same as a flag of the answer? OVERRUN is its own entry."""


@dataclass(frozen=True, slots=True)
class Split:
    """How does the cost divide between hold and excess, and what does the hold give back?

    Units: nanos. `freed` is what leaves held (or unsettled, when late) in this settle.
    """

    cost: Nanos
    covered: Nanos
    excess: Nanos
    freed: Nanos

    @property
    def refunded(self) -> Nanos:
        """How much of the hold was not needed?"""
        return self.freed - self.covered


@dataclass(frozen=True, slots=True)
class BilledAttempt:
    """Which attempt is booked, by whom, with which numbers?"""

    request: Settle
    bill: Bill
    now: datetime
    numbers: Numbers


def settle(*, request: Settle, caller: Caller, now: datetime) -> bytes:
    """What was booked for this attempt? The answer's bytes, the same for a repeat.

    Raises: ReservationUnknown; TokenInvalid; ReservationFinalized when the reservation has
    ended by another attempt or a release; IdempotencyMismatch for the same attempt with
    another body; Forbidden.
    Locks: the attempt's key, the tree, balances in order, the lease, the reservation.
    """
    check(caller=caller, action=Action.SETTLE)
    hold = hold_for(request.reservation, caller)
    currency = believed_policy().currency
    bill = price_attempt(hold=hold, request=request, currency=currency)
    answers: list[bytes] = []

    def run(uid: UUID) -> list[ledger.Draft]:
        # Numbers before locks; in here, so that a refused settle leaves none behind.
        numbers = _numbers(hold, request, bill, caller, now)
        attempt = BilledAttempt(request, bill, now, numbers)
        answer, drafts = book_attempt(attempt, hold, uid, currency)
        keep_answer(uid=uid, verb="settle", reservation=hold.id, answer=answer, now=now)
        answers.append(answer)
        return drafts

    written = ledger.write(
        ledger_id=ledger.COMPANY_LEDGER,
        scope="settle",
        key=f"{hold.id}#{request.attempt}",
        request_hash=attempt_hash(request, hold),
        origin_ms=hold.origin_ms,
        run=run,
    )
    return answers[0] if written.replayed is None else first_answer(written.uid)


def hold_for(reference: str, caller: Caller) -> Hold:
    """Which reservation does the caller mean? Those of other use cases do not exist for it.

    Raises: ReservationUnknown; TokenInvalid; ServiceUnavailable when a token names a call that
    its holder has not told the books yet.
    """
    try:
        hold = find_hold(named(reference))
    except ReservationUnknown:
        hold = take_promise(reference, caller=caller)
    slugs = caller.use_case_slugs
    if slugs is not None and hold.shape.get("use_case") not in slugs:
        raise ReservationUnknown(id=ids.id_of("rsv", hold.id))
    return hold


def attempt_hash(request: Settle | Release | Extend, hold: Hold) -> bytes:
    """When are two of these requests the same? By reservation, not by how it was named."""
    same = msgspec.structs.replace(request, reservation=str(hold.id), request_id=None)
    return request_hash_of(same)


def split(*, cost: Nanos, open_nanos: Nanos, final: object) -> Split:
    """How does a cost divide over what is still held (or unsettled)?

    A final settle frees the whole rest; another attempt only what it costs.
    """
    covered = min(cost, open_nanos)
    return Split(cost, covered, cost - covered, open_nanos if final else covered)


def book_attempt(
    attempt: BilledAttempt, seen: Hold, uid: UUID, currency: str
) -> tuple[bytes, list[ledger.Draft]]:
    """Which answer does this attempt get, and which entries tell of it? The caller appends.

    Must run in a transaction that has claimed the uid.
    Raises: ReservationFinalized when the reservation has ended.
    Locks: the tree, balances in order, the lease, the reservation.
    """
    request, now = attempt.request, attempt.now
    housed = house(seen, now=now)
    seen, bill = housed.hold, attempt.bill
    if housed.told:
        bill = replace(bill, document={**bill.document, **housed.told})
        attempt = replace(attempt, bill=bill)
    locked = lock(seen.cells)
    opened = open_missing(
        cells=seen.cells,
        locked=locked,
        at=seen.authorized_at,
        actor_id=attempt.numbers.actor,
        now=now,
    )
    hold, lease_row = lock_with_lease(seen)
    if hold.state in ("settled", "released"):
        raise ReservationFinalized(id=ids.id_of("rsv", hold.id), state=hold.state)
    if housed.told:
        hold = house(hold, now=now).hold
    detached: list[ledger.Draft] = []
    if lease_row and hold.state == "open":
        stays = request.final and holder_keeps(lease_row, now=now)
        if not stays:
            hold, detached = detach(
                hold=hold, lease_row=lease_row, version=locked.version, now=now
            )
    cost = hold.at_most if bill.cost is None else bill.cost
    late = hold.state in ("expired", "written_off")
    if lease_row and hold.lease:
        parts, drafts, change = _in_lease(attempt, hold, lease_row, cost, uid, locked.version)
    else:
        parts = split(cost=cost, open_nanos=hold.open, final=request.final)
        drafts, change = _drafts(attempt, hold, parts, uid, locked.version)
    move(cells=hold.cells, version=locked.version, change=change, opened=len(opened))
    end_hold(
        hold=hold,
        state="settled" if request.final else hold.state,
        open_nanos=0 if hold.lease else hold.open - parts.freed,
        settled=cost,
        attempts=1,
        now=now,
    )
    if hold.holds and not hold.lease:
        give_back_to_hour(
            use_case=str(hold.shape.get("use_case", "")),
            authorized_at=hold.authorized_at,
            nanos=parts.refunded,
        )
    flags = set(bill.flags)
    flags |= {SettleFlag.LATE_SETTLE} if late else set()
    flags |= {SettleFlag.PRIOR_PERIOD} if housed.told else set()
    flags |= {SettleFlag.OVERRUN} if parts.excess and hold.holds and hold.amount else set()
    answer = Settled(
        entry_id=ids.id_of("ent", uid),
        cost=MoneyView.of(Money(currency, cost)),
        refunded=MoneyView.of(Money(currency, parts.refunded)),
        overrun=MoneyView.of(Money(currency, parts.excess if hold.holds else 0)),
        late=late,
        flags=tuple(flag for flag in SettleFlag if flag in flags),
    )
    if housed.told:
        drafts = [replace(draft, flags=housed.flags(draft.flags)) for draft in drafts]
    return encode(answer), [*opened, *detached, *drafts]


def _in_lease(
    attempt: BilledAttempt,
    hold: Hold,
    lease_row: LeaseRow,
    cost: Nanos,
    uid: UUID,
    version: int,
) -> tuple[Split, list[ledger.Draft], Move]:
    """The lease pays: out of what the call holds in it or, once it expired, its unsettled."""
    late = hold.state != "open"
    if late:
        found = split_late(cost=cost, reserved=hold.amount, unsettled=lease_row.unsettled)
        parts = Split(cost, found.covered, found.excess, found.covered)
        change = LeaseChange(late=found.covered)
    else:
        covered = min(cost, hold.open, lease_row.rest)
        parts = Split(cost, covered, cost - covered, hold.open)
        change = LeaseChange(settled=covered, open=-hold.open)
        notify_ended(lease_row.fence, [(lease_row.id, hold.sequence, covered)])
    change_leases({lease_row.id: change}, now=attempt.now)
    # Late and with nothing unsettled left, it is one entry that says so itself.
    bare = late and not parts.covered
    marks = ledger.Flag.LATE_SETTLE if late else ledger.Flag(0)
    if bare and cost:
        marks |= ledger.Flag.UNGUARDED
    amount = cost if bare else parts.covered
    draft = _entry(
        attempt,
        hold,
        uid,
        kind=ledger.Kind.SETTLE,
        lease=lease_row.id,
        amount_nanos=amount,
        held_nanos=0 if late else -parts.covered,
        unsettled_nanos=-parts.covered if late else 0,
        reserved_nanos=hold.amount if attempt.request.final else 0,
        env_version=version if bare and cost else 0,
        flags=flags_of(attempt.bill, attempt.request, marks),
    )
    drafts = [draft]
    if parts.excess and not bare:
        drafts.append(_overrun(attempt, hold, parts.excess, version))
    moved = Move(
        settled=cost,
        held=draft.held_nanos,
        unsettled=draft.unsettled_nanos,
        unguarded=parts.excess,
    )
    return parts, drafts, moved


def _drafts(
    attempt: BilledAttempt, hold: Hold, parts: Split, uid: UUID, version: int
) -> tuple[list[ledger.Draft], Move]:
    """Which entries tell of it, and how do the balances move by them?"""
    if not hold.holds:
        draft = _entry(
            attempt,
            hold,
            uid,
            kind=ledger.Kind.USAGE,
            amount_nanos=parts.cost,
            env_version=version if parts.cost else 0,
            flags=flags_of(
                attempt.bill, attempt.request, ledger.Flag.UNGUARDED | ledger.Flag.SHADOW_MODE
            ),
        )
        return [draft], Move(settled=parts.cost, unguarded=parts.cost)
    late = hold.state in ("expired", "written_off")
    if late and hold.open == 0:
        # The hold was written off: nothing guarded this money any more.
        marks = ledger.Flag.UNGUARDED | ledger.Flag.LATE_SETTLE
        draft = _entry(
            attempt,
            hold,
            uid,
            kind=ledger.Kind.SETTLE,
            amount_nanos=parts.cost,
            env_version=version if parts.cost else 0,
            flags=flags_of(attempt.bill, attempt.request, marks),
        )
        return [draft], Move(settled=parts.cost, unguarded=parts.cost)
    held, unsettled = (0, -parts.freed) if late else (-parts.freed, 0)
    draft = _entry(
        attempt,
        hold,
        uid,
        kind=ledger.Kind.SETTLE,
        amount_nanos=parts.covered,
        held_nanos=held,
        unsettled_nanos=unsettled,
        reserved_nanos=hold.amount if attempt.request.final else 0,
        env_version=version if parts.covered != parts.freed else 0,
        flags=flags_of(
            attempt.bill, attempt.request, ledger.Flag.LATE_SETTLE if late else ledger.Flag(0)
        ),
    )
    drafts = [draft]
    if parts.excess:
        drafts.append(_overrun(attempt, hold, parts.excess, version))
    change = Move(settled=parts.cost, held=held, unsettled=unsettled, unguarded=parts.excess)
    return drafts, change


def _overrun(attempt: BilledAttempt, hold: Hold, excess: Nanos, version: int) -> ledger.Draft:
    return hold.draft(
        kind=ledger.Kind.OVERRUN,
        uid=ids.uid(
            scope="overrun",
            key=f"{hold.id}#{attempt.request.attempt}",
            origin_ms=hold.origin_ms,
        ),
        recorded_at=attempt.now,
        actor_id=attempt.numbers.actor,
        amount_nanos=excess,
        attempt=attempt.request.attempt,
        env_version=version,
        flags=int(ledger.Flag.UNGUARDED),
    )


def _entry(attempt: BilledAttempt, hold: Hold, uid: UUID, **fields: object) -> ledger.Draft:
    request, usage, rated = attempt.request, attempt.bill.usage, attempt.bill.rated
    numbers = attempt.numbers
    document = attempt.bill.document
    return hold.draft(
        uid=uid,
        recorded_at=attempt.now,
        actor_id=numbers.actor,
        dims_id=numbers.dims,
        offer_id=numbers.offer,
        venue_id=numbers.venue,
        model_id=numbers.model,
        price_version=rated.price_version if rated else hold.price_version,
        n=1,
        tok_in=usage.input,
        tok_cache_read=usage.cache_read,
        tok_cache_write=usage.cache_write_5m,
        tok_cache_write_1h=usage.cache_write_1h,
        tok_out=usage.output,
        tok_reasoning=usage.reasoning,
        latency_ms=request.latency_ms or 0,
        attempt=request.attempt,
        ref=request.provider_request_id or "",
        doc=ledger.put_document(document, now=attempt.now) if document else b"",
        **fields,
    )


def flags_of(bill: Bill, request: Settle, marks: ledger.Flag) -> int:
    """Which flags has the entry of this attempt, beside `marks`?"""
    for flag in bill.flags:
        marks |= MARKS.get(flag, ledger.Flag(0))
    if bill.edge:
        marks |= ledger.Flag.EDGE_CACHE_HIT
    estimated = SettleFlag.USAGE_ESTIMATED in bill.flags
    return ledger.pack_flags(
        basis=ledger.Basis.ESTIMATED if estimated else ledger.Basis.MEASURED,
        purpose=ledger.Purpose[request.purpose.name],
        finish=ledger.Finish[request.status.name],
        marks=marks,
    )


def _numbers(hold: Hold, request: Settle, bill: Bill, caller: Caller, now: datetime) -> Numbers:
    """Who booked it, under which attribution, and which offer served? Before any lock."""
    actor = actor_number(caller.actor, now=now)
    dims = dims_of_attempt(hold=hold, request=request, actor=actor, now=now)
    if bill.rated is None:
        return Numbers(actor, dims, hold.offer_id, hold.venue_id, hold.model_id)
    served = ledger.offer_numbers(
        key=bill.rated.key, ledger_id=ledger.COMPANY_LEDGER, actor=actor, now=now
    )
    return Numbers(actor, dims, served.offer_id, served.venue_id, served.model_id)
