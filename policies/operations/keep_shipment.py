"""How does a router's journal get into the books? Byte for byte, into a journal of this host.

The copy grows at its end only, so an offset is a place in both files, a shipment sent twice is
kept once, and the bookkeeper reads it like the journal of any other holder. What a router may
not say is refused before it is kept: other leases than its own, other keys, broken records.
Locks: the copy (flock), then the leases by id and the holder (renew_leases).
Source: docs/algorithms/local-leases.md.
"""

import fcntl
import os
from datetime import datetime
from pathlib import Path
from struct import Struct
from typing import Final
from uuid import UUID
from zlib import crc32

import msgspec
from django.conf import settings

from ledger import facade as ledger
from o10.access.keys import Caller
from o10.kernel.errors import Conflict, FieldError, ServiceUnavailable, ValidationFailed
from o10.lease.journal import MAX_PAYLOAD_BYTES, RecordMissing, read_at
from o10.lease.records import (
    Denied,
    Ended,
    GivenBack,
    Grounds,
    Record,
    Released,
    Reserved,
    Seen,
    Settled,
    Started,
    decode,
)
from o10.wire.leasing import (
    ROUTER_TTL_S,
    EndedCall,
    Renewed,
    Shipment,
    ShipmentAnswer,
)
from policies.operations import statements
from policies.operations.booked_call import reservation_of
from policies.operations.grant_lease import renew_leases
from policies.operations.lend_to_router import holder_of, stamp_of
from policies.operations.open_holder import journal_name, plane_folder
from policies.operations.teller.teller import fence_of
from policies.queries.current_policy import current_policy

_HEAD: Final = Struct(">II")
"""As o10.lease.journal writes it: length and CRC-32 of the payload, big-endian."""

READ_BOOKED_TO = "SELECT booked_to FROM lease_holder WHERE fence = %s"
READ_ENDED = """
SELECT id, state, lease IS NULL, amount_nanos, settled_nanos FROM reservation
WHERE id = ANY(%s::uuid[]) AND (state <> 'open' OR lease IS NULL)
"""
READ_PATHS = "SELECT id, path_ids, root FROM lease WHERE fence = %s"


class ShipmentGap(Conflict):
    """Does the shipment begin behind what is kept? Send from there. Fields: `kept_to`."""

    code = "conflict"


def keep_shipment(
    *, fence: int, shipment: Shipment, caller: Caller, now: datetime
) -> ShipmentAnswer:
    """Up to where is the journal of this router kept now, and what changed for it?

    On disk before it is answered.
    Raises: HolderElsewhere, ShipmentGap (`conflict`); ValidationFailed (`validation_failed`)
    for records that are not whole or not its own; ServiceUnavailable when the disk is full.
    """
    holder_of(fence, caller=caller, now=now)
    records = _records_of(shipment.content, shipment.offset)
    path = plane_folder(Path(settings.O10_HOME)) / journal_name(fence)
    _check_own(fence, records, caller, path)
    kept_to = _keep(path, shipment)
    renewed = renew_leases(fence=fence, ttl_s=ROUTER_TTL_S, now=now)
    # First how far the books are, then how calls ended: what is booked by then has ended there.
    booked = statements.row(READ_BOOKED_TO, [fence])
    return ShipmentAnswer(
        kept_to=kept_to,
        booked_to=booked[0] if booked else 0,
        stamp=stamp_of(current_policy(), ledger.price_book()),
        leases=tuple(
            Renewed(lease=str(lease), lives_ms=max(0, int((until - now).total_seconds() * 1e3)))
            for lease, until in renewed.items()
        ),
        ended=_ended(fence, shipment),
    )


def _records_of(content: bytes, offset: int) -> list[tuple[int, Record]]:
    """Which records are these, each at its place in the journal?

    Raises: ValidationFailed when they are not whole.
    """
    found: list[tuple[int, Record]] = []
    at, size = 0, len(content)
    while at < size:
        begin = at + _HEAD.size
        if begin > size:
            raise _wrong(at, "ends inside a record")
        length, check = _HEAD.unpack_from(content, at)
        payload = content[begin : begin + length]
        if not 0 < length <= MAX_PAYLOAD_BYTES or len(payload) != length:
            raise _wrong(at, "ends inside a record")
        if crc32(payload) != check:
            raise _wrong(at, "has another check sum than its record")
        try:
            found.append((offset + at, decode(payload)))
        except msgspec.DecodeError as error:
            raise _wrong(at, "is no record of this format") from error
        at = begin + length
    return found


def _check_own(
    fence: int, records: list[tuple[int, Record]], caller: Caller, path: Path
) -> None:
    """Does this router speak of its own leases, its own key, its own use cases alone?

    Raises: ValidationFailed.
    """
    if not records:
        return
    roots: dict[int, tuple[tuple[int, ...], int]] = {}
    leases = {row[0]: (tuple(row[1]), row[2]) for row in statements.rows(READ_PATHS, [fence])}
    for offset, record in records:
        if isinstance(record, Started):
            _check(record.fence == fence and offset == 0, offset, "begins another journal")
        elif isinstance(record, Grounds):
            mine = record.caller == caller.key_id and record.actor == caller.actor
            slugs = caller.use_case_slugs
            _check(mine, offset, "names another key")
            _check(slugs is None or record.use_case_slug in slugs, offset, "is out of scope")
            roots[offset] = (record.path_ids, record.root)
        elif isinstance(record, Reserved):
            lease = leases.get(UUID(bytes=record.lease))
            _check(lease is not None, offset, "spends from a lease that is not its own")
            known = roots.get(record.grounds) or _grounds_at(path, record.grounds)
            _check(known == lease, offset, "has grounds of another path")
        elif isinstance(record, Settled | Released):
            own = record.journal == fence and fence_of(UUID(bytes=record.lease)) == fence
            _check(
                own and record.caller == caller.key_id and record.actor == caller.actor,
                offset,
                "ends a call that is not its own",
            )
        elif isinstance(record, GivenBack):
            own_lease = UUID(bytes=record.lease) in leases
            _check(own_lease, offset, "gives back what is not its own")
        elif isinstance(record, Denied):
            _check(0, offset, "may not come from a router")
        elif not isinstance(record, Seen | Ended):
            _check(0, offset, "is not known here")


def _grounds_at(path: Path, offset: int) -> tuple[tuple[int, ...], int] | None:
    try:
        record = read_at(path, offset)
    except RecordMissing:
        return None
    return (record.path_ids, record.root) if isinstance(record, Grounds) else None


def _keep(path: Path, shipment: Shipment) -> int:
    """Appends what is not kept yet; where does the copy end?

    Raises: ShipmentGap; ValidationFailed when it contradicts what is kept;
    ServiceUnavailable.
    """
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        # Shipments of one router come one after another; two at once are put in order here.
        fcntl.flock(file, fcntl.LOCK_EX)
        size = os.fstat(file).st_size
        if shipment.offset > size:
            raise ShipmentGap(kept_to=size)
        before = size - shipment.offset
        known = os.pread(file, min(before, len(shipment.content)), shipment.offset)
        if known != shipment.content[:before]:
            raise _wrong(shipment.offset, "contradicts what was sent before")
        fresh = shipment.content[before:]
        if fresh:
            _append(file, fresh, size)
        return size + len(fresh)
    finally:
        os.close(file)


def _append(file: int, fresh: bytes, size: int) -> None:
    try:
        written = os.pwrite(file, fresh, size)
        if written != len(fresh):
            os.ftruncate(file, size)
            raise ServiceUnavailable(what="the journal", retry_after_s=5)
        os.fdatasync(file)
    except OSError as error:
        raise ServiceUnavailable(what="the journal", retry_after_s=5) from error


def _ended(fence: int, shipment: Shipment) -> tuple[EndedCall, ...]:
    """How did the named reservations end, as far as the books have them?"""
    named: dict[UUID, tuple[UUID, int]] = {}
    for text, sequence in shipment.named:
        try:
            lease = UUID(text)
        except ValueError:
            continue
        if fence_of(lease) == fence:
            named[reservation_of(lease, sequence)] = (lease, sequence)
    if not named:
        return ()
    return tuple(
        EndedCall(
            lease=str(named[row[0]][0]),
            sequence=named[row[0]][1],
            covered=_covered(*row[1:]),
        )
        for row in statements.rows(READ_ENDED, [list(named)])
    )


def _covered(state: str, left: object, amount: int, settled: int) -> int | None:
    """How much of the hold was spent in the lease? None = the hold left it."""
    if left or state not in ("settled", "released"):
        return None
    return min(settled, amount)


def _check(holds: object, offset: int, what: str) -> None:
    if not holds:
        raise _wrong(offset, what)


def _wrong(offset: int, what: str) -> ValidationFailed:
    message = f"The record at byte {offset} {what}."
    return ValidationFailed(errors=[FieldError("/content", "bad_record", message)])
