"""What does a journal say of an allowed call, in the terms of the books? No database here.

The holder writes down the request, what it knew and what it answered. Everything the strict
form writes into its tables follows from that: the hold, the decision record, its hash.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

import msgspec

from ledger import facade as ledger
from o10.kernel import ids
from o10.lease.records import Grounds, Reserved, Seen
from o10.wire.requests import Authorize, read_authorize
from policies.core.instants import UNIX_EPOCH
from policies.core.record import FORMAT, exact, facts_of
from policies.operations.questions import Numbers
from policies.operations.reservations import Hold

NO_NUMBERS: Final = Numbers()
# On documents (texts, integers, null) these are the bytes of `core.record.content_hash`.
_CANONICAL: Final = msgspec.json.Encoder(order="deterministic").encode


class Reason(msgspec.Struct, frozen=True, array_like=False):
    """Which reason was told?"""

    code: str
    detail: str


class Said(msgspec.Struct, frozen=True):
    """What of the answer does the decision record repeat?"""

    decision: str
    would_decision: str
    mode: str
    reasons: tuple[Reason, ...]


_SAID: Final = msgspec.json.Decoder(Said).decode


def reservation_of(lease: UUID, sequence: int) -> UUID:
    """Which uuid has the reservation with this number in this lease?"""
    return ids.uid(scope="reservation", key=f"{lease}#{sequence}", origin_ms=lease.int >> 80)


def reservation_names(lease: UUID) -> ids.UidSeries:
    """Which uuids have all reservations of this lease? `reservation_of`, by number as text."""
    return ids.UidSeries(scope="reservation", prefix=f"{lease}#", origin_ms=lease.int >> 80)


def settle_uid(reservation: UUID, attempt: int) -> UUID:
    """Which uid has the settle of this attempt? The same in both forms."""
    key = f"{reservation}#{attempt}"
    return ids.uid(scope="settle", key=key, origin_ms=reservation.int >> 80)


def release_uid(reservation: UUID) -> UUID:
    """Which uid has the release? The same in both forms."""
    return ids.uid(scope="release", key=str(reservation), origin_ms=reservation.int >> 80)


def instant_of(micros: int) -> datetime:
    """Which instant is so many Unix microseconds?"""
    return UNIX_EPOCH + timedelta(microseconds=micros)


def request_of(reserved: Reserved) -> Authorize:
    """What was asked? Without any prompt, under the request id that counts.

    Raises: msgspec.ValidationError when it is no request.
    """
    asked = read_authorize(reserved.request)
    if (asked.request_id or "") == reserved.request_id:
        return asked
    return msgspec.structs.replace(asked, request_id=reserved.request_id or None)


def said_of(reserved: Reserved) -> Said:
    """What was answered?

    Raises: msgspec.ValidationError when it is no decision.
    """
    return _SAID(reserved.answer)


def hold_of(
    *,
    reserved: Reserved,
    grounds: Grounds,
    sequence: int,
    numbers: Numbers = NO_NUMBERS,
    decision: UUID = ledger.ZERO_UUID,
    request: Authorize | None = None,
) -> Hold:
    """Which hold is this? As the strict form would read it from its row.

    To price a settle neither numbers nor the hash of the decision are needed.
    """
    asked = request or request_of(reserved)
    return hold_with(
        reserved=reserved,
        grounds=grounds,
        reservation=reservation_of(UUID(bytes=reserved.lease), sequence),
        numbers=numbers,
        decision=decision,
        run_id=asked.run_id or "",
        shape=shape_of(reserved, grounds, facts_of(asked, input_tokens=reserved.input_bound)),
    )


def hold_with(
    *,
    reserved: Reserved,
    grounds: Grounds,
    reservation: UUID,
    numbers: Numbers,
    decision: UUID,
    run_id: str,
    shape: Mapping[str, Any],
) -> Hold:
    """As `hold_of`, for whoever has the parts at hand."""
    return Hold(
        id=reservation,
        state="open",
        holds=True,
        caller=grounds.caller,
        actor_id=numbers.actor,
        use_case=grounds.use_case,
        root=grounds.root,
        path_ids=grounds.path_ids,
        path_periods=tuple(map(instant_of, grounds.path_starts_us)),
        dims_id=numbers.dims,
        run_id=run_id,
        model=grounds.model,
        venue=grounds.venue,
        region=grounds.region,
        tier=grounds.tier,
        offer_id=numbers.offer,
        venue_id=numbers.venue,
        model_id=numbers.model,
        price_version=grounds.price_version,
        policy_version=grounds.policy_version,
        decision=decision,
        shape=shape,
        input_bound=reserved.input_bound,
        max_output_tokens=reserved.max_output_tokens,
        amount=reserved.amount,
        open=reserved.amount,
        settled=0,
        attempts=0,
        lease=UUID(bytes=reserved.lease),
        authorized_at=instant_of(reserved.at_us),
        expires_at=UNIX_EPOCH + timedelta(milliseconds=reserved.expires_ms),
    )


def shape_of(reserved: Reserved, grounds: Grounds, facts: Mapping[str, Any]) -> dict[str, Any]:
    """What must be known to decide again on an extend, and to book without usage?"""
    return {
        "use_case": grounds.use_case_slug,
        "worst_nanos": str(reserved.amount),
        "offer": grounds.offer,
        **facts,
    }


def record_of(
    *,
    reserved: Reserved,
    grounds: Grounds,
    seen: Seen,
    said: Said,
    request: Authorize,
    facts: Mapping[str, Any],
) -> dict[str, Any]:
    """What was asked, known and decided? The record of `core.record.decision_record`."""
    envelopes, binding = _envelopes(grounds, seen, reserved.free_before)
    return {
        "format": FORMAT,
        "decision": said.decision,
        "would_decision": said.would_decision,
        "mode": said.mode,
        "use_case": request.use_case,
        "reasons": [{"code": each.code, "detail": each.detail} for each in said.reasons],
        "request": facts,
        "route": {
            "offer": grounds.offer,
            "model": grounds.model,
            "venue": grounds.venue,
            "region": grounds.region or None,
        },
        "price_version": grounds.price_version,
        "policy": {"version": grounds.policy_version, "hash": grounds.policy_hash},
        "worst": {
            "nanos": exact(reserved.amount),
            "input_bound": reserved.input_bound,
            "max_output_tokens": reserved.max_output_tokens,
            "n": request.n,
        },
        "envelopes": envelopes,
        "binding": binding,
        "retry_after_s": 0,
    }


def canonical(record: Mapping[str, Any]) -> bytes:
    """Which bytes is this record? Those that are hashed."""
    return _CANONICAL(record)


def binding_of(encoded: bytes) -> UUID:
    """Which 16 bytes bind this record in entries?"""
    return UUID(bytes=sha256(encoded).digest()[:16])


def _envelopes(
    grounds: Grounds, seen: Seen, free_before: int
) -> tuple[list[dict[str, Any]], str]:
    """What was left along the path, for this holder, and which level bound it?

    What the lease had free is held in the balances, and was there for its call all the same.
    """
    rows: list[dict[str, Any]] = []
    binding, least = "", None
    for public, name, starts, ends, level in zip(
        grounds.path_publics,
        grounds.path_names,
        grounds.path_starts_us,
        grounds.path_ends_us,
        seen.levels,
        strict=True,
    ):
        cap, settled, held, unsettled, contingency = level
        held -= free_before
        available = None
        if cap is not None:
            available = cap - settled - held - unsettled - contingency
            if least is None or available <= least:
                binding, least = public, available
        rows.append(
            {
                "id": public,
                "name": name,
                "start": _iso(starts),
                "end": _iso(ends),
                "cap_nanos": exact(cap),
                "settled_nanos": exact(settled),
                "held_nanos": exact(held),
                "unsettled_nanos": exact(unsettled),
                "available_nanos": exact(available),
            }
        )
    return rows, binding


_instants: dict[int, str] = {}


def _iso(micros: int) -> str:
    """Periods are few and each is written thousands of times."""
    text = _instants.get(micros)
    if text is None:
        if len(_instants) > 10_000:
            _instants.clear()
        text = _instants[micros] = instant_of(micros).isoformat()
    return text
