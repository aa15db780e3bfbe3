"""Which rows does a record of a journal become? Decision, reservation, answer; by COPY."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from ledger import facade as ledger
from o10.kernel import ids
from o10.kernel.errors import Corrupt
from o10.lease.records import Denied, Grounds, Released, Reserved, Seen, Settled
from o10.wire.reasons import Reason
from o10.wire.requests import Authorize, read_authorize
from policies.core.instants import unix_ms
from policies.core.record import facts_of
from policies.operations import copy_rows as to
from policies.operations.authorize import request_hash_of
from policies.operations.booked_call import (
    Said,
    binding_of,
    canonical,
    hold_with,
    instant_of,
    record_of,
    request_of,
    reservation_of,
    said_of,
    shape_of,
)
from policies.operations.journal_tail import JournalTail
from policies.operations.leases import LeaseRow
from policies.operations.numbering import Numbering
from policies.operations.questions import Numbers
from policies.operations.reservations import Hold

DECISION_COLUMNS: Final = (
    "id", "caller", "request_id", "request_hash", "decided_at", "use_case", "use_case_slug",
    "envelope", "decision", "would_decision", "mode", "reason", "reason_code", "model",
    "worst_nanos", "reservation", "entry_uid", "folded", "policy_version", "price_version",
    "record", "answer",
)  # fmt: skip
RESERVATION_COLUMNS: Final = (
    "id", "state", "held", "caller", "actor_id", "use_case", "root", "path_ids",
    "path_periods", "dims_id", "run_id", "model", "venue", "region", "tier", "offer_id",
    "venue_id", "model_id", "price_version", "policy_version", "decision_id", "decision",
    "shape", "input_bound", "max_output_tokens", "amount_nanos", "open_nanos",
    "settled_nanos", "attempts", "authorized_at", "expires_at", "ended_at", "lease",
    "sequence", "alias_of",
)  # fmt: skip
ANSWER_COLUMNS: Final = ("uid", "verb", "reservation", "answer", "at")

_NUMBERS: Final = {reason.value: reason.number for reason in Reason}
_JSON: Final = msgspec.json.Encoder().encode


class PathDiffers(Corrupt):
    """Is a call written under another path than its lease? Fields: `lease`, `offset`."""

    code = "path_differs"


@dataclass(frozen=True, slots=True)
class First:
    """Which reservation, by which request, was answered first under a request id?"""

    reservation: UUID | None
    request_hash: bytes


@dataclass(slots=True, kw_only=True)
class Call:
    """What is written of an allowed call? Nanos; the state moves on while a batch is read.

    `logged_as` is the request id in the decision log, empty where another decision has it.
    """

    offset: int
    lease: UUID
    reserved: Reserved
    grounds: Grounds
    said: Said
    hold: Hold
    content: bytes
    request_hash: bytes
    logged_as: str
    alias_of: UUID | None
    state: str = "open"
    settled: int = 0
    attempts: int = 0
    ended_us: int | None = None

    def end(self, record: Settled | Released) -> None:
        """It ended before it was booked."""
        if isinstance(record, Settled):
            self.state, self.settled, self.attempts = "settled", record.cost, 1
        else:
            self.state = "released"
        self.ended_us = record.at_us


@dataclass(slots=True, kw_only=True)
class Denial:
    """What is written of a refused call? `folded` 1 = it gets no entry of its own.

    `place` is that in its batch.
    """

    place: int
    record: Denied
    request: Authorize
    numbers: Numbers
    at: datetime
    content: bytes
    doc: bytes
    request_hash: bytes
    logged_as: str
    folded: int = 0

    @property
    def uid(self) -> UUID:
        """Which uid has its entry? That of its request id, if it is the first under it."""
        record = self.record
        key = f"{record.caller}#{self.logged_as or UUID(bytes=record.id)}"
        origin = 0 if self.logged_as else unix_ms(self.at)
        return ids.uid(scope="authorize", key=key, origin_ms=origin)

    def draft(self, *, now: datetime) -> ledger.Draft:
        """Which entry has it?"""
        record, numbers = self.record, self.numbers
        trial = record.decision != record.would_decision
        return ledger.Draft(
            ledger_id=ledger.COMPANY_LEDGER,
            kind=ledger.Kind.DENY,
            uid=self.uid,
            effective_at=self.at,
            recorded_at=now,
            envelope_id=record.envelope,
            use_case_id=record.use_case,
            dims_id=numbers.dims,
            offer_id=numbers.offer,
            venue_id=numbers.venue,
            model_id=numbers.model,
            actor_id=numbers.actor,
            price_version=record.price_version,
            policy_version=record.policy_version,
            decision=binding_of(self.content),
            attempt=record.attempt,
            n=1,
            flags=int(ledger.Flag.SHADOW_MODE) if trial else 0,
            doc=self.doc,
        )


def call_of(
    *,
    offset: int,
    record: Reserved,
    tail: JournalTail,
    lease: LeaseRow,
    numbering: Numbering,
    repeated: dict[tuple[str, str], First],
    now: datetime,
) -> Call:
    """What is written of this allowed call? It is the first under its request id, or not.

    Raises: ContextMissing, PathDiffers; msgspec.ValidationError for what cannot be read.
    """
    grounds = tail.context(record.grounds, Grounds)
    request, said = request_of(record), said_of(record)
    facts = facts_of(request, input_tokens=record.input_bound)
    content = canonical(
        record_of(
            reserved=record,
            grounds=grounds,
            seen=tail.context(record.seen, Seen),
            said=said,
            request=request,
            facts=facts,
        )
    )
    hold = hold_with(
        reserved=record,
        grounds=grounds,
        reservation=reservation_of(lease.id, offset),
        numbers=numbering.of_call(request, grounds, now=now),
        decision=binding_of(content),
        run_id=request.run_id or "",
        shape=shape_of(record, grounds, facts),
    )
    if hold.path_ids != lease.path_ids or hold.path_periods != lease.path_periods:
        raise PathDiffers(lease=str(lease.id), offset=offset)
    request_hash = record.request_hash or request_hash_of(request)
    logged_as, alias = record.request_id, None
    if logged_as:
        key = (grounds.caller, logged_as)
        first = repeated.setdefault(key, First(hold.id, request_hash))
        if first.reservation != hold.id:
            logged_as = ""
            # Another request under the same id is a call of its own, and so is one whose
            # first answer held nothing.
            alias = first.reservation if first.request_hash == request_hash else None
    call = Call(
        offset=offset,
        lease=lease.id,
        reserved=record,
        grounds=grounds,
        said=said,
        hold=hold,
        content=content,
        request_hash=request_hash,
        logged_as=logged_as,
        alias_of=alias,
    )
    if alias is not None:
        call.state, call.ended_us = "released", record.at_us
    return call


def denial_of(
    *,
    place: int,
    record: Denied,
    numbering: Numbering,
    repeated: dict[tuple[str, str], First],
    now: datetime,
) -> Denial:
    """What is written of this refused call?

    Raises: msgspec.DecodeError for what cannot be read; DocumentInvalid.
    """
    request = read_authorize(record.request)
    if (request.request_id or "") != record.request_id:
        request = msgspec.structs.replace(request, request_id=record.request_id or None)
    content = canonical(msgspec.json.decode(record.record))
    request_hash = record.request_hash or request_hash_of(request)
    logged_as = record.request_id
    if logged_as:
        own = First(None, request_hash)
        if repeated.setdefault((record.caller, logged_as), own) is not own:
            logged_as = ""
    return Denial(
        place=place,
        record=record,
        request=request,
        numbers=numbering.of_denial(request, record, now=now),
        at=instant_of(record.at_us),
        content=content,
        doc=numbering.encoded(content),
        request_hash=request_hash,
        logged_as=logged_as,
    )


def copy_reservations(cursor: Any, calls: Sequence[Call]) -> None:
    """Writes the reservation of each."""
    if calls:
        to.send(
            cursor,
            table="reservation",
            columns=RESERVATION_COLUMNS,
            rows=[to.row(_reservation(call)) for call in calls],
        )


def copy_decisions(cursor: Any, calls: Sequence[Call]) -> None:
    """Writes the decision of each."""
    if calls:
        to.send(
            cursor,
            table="policies_decision_log",
            columns=DECISION_COLUMNS,
            rows=[to.row(_decision(call)) for call in calls],
        )


def copy_denials(cursor: Any, denials: Sequence[Denial]) -> None:
    """Writes the decision of each."""
    if denials:
        to.send(
            cursor,
            table="policies_decision_log",
            columns=DECISION_COLUMNS,
            rows=[to.row(_denied(denial)) for denial in denials],
        )


def copy_answers(cursor: Any, answers: Sequence[tuple[UUID, UUID, Settled | Released]]) -> None:
    """Writes the bytes that were answered: uid, reservation, record."""
    if answers:
        to.send(
            cursor,
            table="policies_answer_log",
            columns=ANSWER_COLUMNS,
            rows=[to.row(_answer(*each)) for each in answers],
        )


def _answer(
    uid: UUID, reservation: UUID, record: Settled | Released
) -> tuple[bytes | None, ...]:
    verb = b"settle" if isinstance(record, Settled) else b"release"
    return uid.bytes, verb, reservation.bytes, record.answer, to.micros(record.at_us)


def _decision(call: Call) -> tuple[bytes | None, ...]:
    hold, grounds, said = call.hold, call.grounds, call.said
    first = said.reasons[0].code
    return (
        hold.id.bytes,
        to.text(grounds.caller),
        to.text(call.logged_as),
        call.request_hash,
        to.micros(call.reserved.at_us),
        to.int4(grounds.use_case),
        to.text(grounds.use_case_slug[:64]),
        to.int4(hold.path_ids[-1]),
        to.text(said.decision),
        to.text(said.would_decision),
        to.text(said.mode),
        to.text(first),
        to.int2(_NUMBERS[first]),
        to.text(grounds.model),
        to.int8(hold.amount),
        hold.id.bytes,
        to.NULL,
        to.FALSE,
        to.int4(grounds.policy_version),
        to.int4(grounds.price_version),
        to.jsonb(call.content),
        call.reserved.answer,
    )


def _denied(denial: Denial) -> tuple[bytes | None, ...]:
    record = denial.record
    return (
        record.id,
        to.text(record.caller),
        to.text(denial.logged_as),
        denial.request_hash,
        to.micros(record.at_us),
        to.int4(record.use_case),
        to.text(record.use_case_slug[:64]),
        to.int4(record.envelope),
        to.text(record.decision),
        to.text(record.would_decision),
        to.text(record.mode),
        to.text(record.reason),
        to.int2(record.reason_code),
        to.text(record.model),
        to.int8(record.worst),
        to.NULL,
        to.NULL if denial.folded else denial.uid.bytes,
        to.TRUE if denial.folded else to.FALSE,
        to.int4(record.policy_version),
        to.int4(record.price_version),
        to.jsonb(denial.content),
        record.answer,
    )


def _reservation(call: Call) -> tuple[bytes | None, ...]:
    hold, grounds = call.hold, call.grounds
    return (
        hold.id.bytes,
        to.text(call.state),
        to.TRUE,
        to.text(hold.caller),
        to.int4(hold.actor_id),
        to.int4(hold.use_case),
        to.int4(hold.root),
        to.int4s(hold.path_ids),
        to.instants(grounds.path_starts_us),
        to.int4(hold.dims_id),
        to.text(hold.run_id),
        to.text(hold.model),
        to.text(hold.venue),
        to.text(hold.region),
        to.text(hold.tier),
        to.int4(hold.offer_id),
        to.int4(hold.venue_id),
        to.int4(hold.model_id),
        to.int4(hold.price_version),
        to.int4(hold.policy_version),
        hold.id.bytes,
        hold.decision.bytes,
        to.jsonb(_JSON(hold.shape)),
        to.int8(hold.input_bound),
        to.int4(hold.max_output_tokens),
        to.int8(hold.amount),
        to.int8(hold.amount if call.state == "open" else 0),
        to.int8(call.settled),
        to.int2(call.attempts),
        to.micros(call.reserved.at_us),
        to.micros(call.reserved.expires_ms * 1_000),
        to.NULL if call.ended_us is None else to.micros(call.ended_us),
        call.lease.bytes,
        to.int8(call.offset),
        to.NULL if call.alias_of is None else call.alias_of.bytes,
    )
