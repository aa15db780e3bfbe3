"""How is a wrong entry put right? Its exact negative and, when needed, the right one beside it.

Nothing is edited. Maker and checker differ, and the approval document says who they were and
why. `ledger_reversed` lets an entry be taken back once.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from hashlib import sha256
from uuid import UUID

from django.db import connection

from ledger.core.corrections import in_open_period, replacing, reversing
from ledger.core.document import canonical_json
from ledger.core.entry import Entry, Flag
from ledger.operations.funnel import Written, write
from ledger.operations.keep_exposure import Effect, keep_exposure
from ledger.operations.put_document import put_document
from ledger.queries.entries import get_by_uid
from ledger.queries.ledgers import COMPANY_LEDGER
from ledger.queries.periods import placed
from o10.kernel import ids
from o10.kernel.errors import Conflict, SelfApproval


class AlreadyReversed(Conflict):
    """Was this entry taken back before? Fields: `uid`, `by` (uid of the reversal)."""

    code = "already_reversed"


def reverse(
    *,
    uid: UUID,
    key: str,
    reason: str,
    requested_by: str,
    approved_by: str,
    actor_id: int,
    now: datetime,
    replacement: Mapping[str, object] | None = None,
    ledger_id: int = COMPANY_LEDGER,
    approval: str = "",
) -> Written:
    """What was written to take this entry back, and to state it anew?

    `replacement` names the fields that were wrong with their right values; None = it never
    happened. `requested_by` and `approved_by` are public ids, `actor_id` the maker's number;
    `key` is the caller's idempotency key, `approval` the request that was agreed to.
    Raises: SelfApproval (`self_approval`); AlreadyReversed (`already_reversed`); NotReversible
    (`not_reversible`); NotFound (`not_found`); IdempotencyMismatch; ExposureUnkept.
    Locks: the key, the row of `ledger_reversed`, then what the exposure keeper locks.
    """
    if requested_by == approved_by:
        raise SelfApproval(action="reverse", person=requested_by)
    request = {
        "approved_by": approved_by,
        "reason": reason,
        "requested_by": requested_by,
        **({"approval": approval} if approval else {}),
    }
    asked = {
        **request,
        "reverses": str(uid),
        "replacement": {name: str(value) for name, value in (replacement or {}).items()},
    }

    def run(own_uid: UUID) -> list[Entry]:
        original = get_by_uid(ledger_id=ledger_id, uid=uid).entry
        placement = placed(at=original.effective_at, now=now)
        doc = put_document({**request, **placement.told}, now=now)
        back = reversing(original, uid=own_uid, recorded_at=now, actor_id=actor_id, doc=doc)
        drafts = [in_open_period(back, placement, doc=doc)]
        _mark_reversed(ledger_id=ledger_id, uid=uid, by_uid=own_uid)
        if replacement is not None:
            anew = replacing(
                original,
                uid=ids.uid(scope="replacement", key=f"{uid}#{key}", origin_ms=0),
                recorded_at=now,
                actor_id=actor_id,
            )
            stated = _guarded(replace(anew, **replacement))
            drafts.append(in_open_period(stated, placement, doc=doc))
        return with_versions(drafts)

    return write(
        ledger_id=ledger_id,
        scope="reversal",
        key=key,
        request_hash=sha256(canonical_json(asked)).digest(),
        run=run,
    )


def reversed_by(*, uid: UUID, ledger_id: int = COMPANY_LEDGER) -> UUID | None:
    """Which reversal took this entry back? None = it stands."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT by_uid FROM ledger_reversed WHERE ledger_id = %s AND uid = %s",
            [ledger_id, uid],
        )
        row = cursor.fetchone()
    return None if row is None else UUID(str(row[0]))


def with_versions(drafts: list[Entry]) -> list[Entry]:
    """Which drafts are these once the balances have followed them?

    Locks: what the exposure keeper locks.
    """
    versions = keep_exposure(
        [
            Effect(
                envelope_id=draft.envelope_id,
                effective_at=draft.effective_at,
                amount_nanos=draft.amount_nanos,
                held_nanos=draft.held_nanos,
                unsettled_nanos=draft.unsettled_nanos,
                unguarded_nanos=draft.amount_nanos if draft.flags & Flag.UNGUARDED else 0,
                reservation=draft.reservation,
                lease=draft.lease,
            )
            for draft in drafts
        ]
    )
    return [
        replace(draft, env_version=version)
        for draft, version in zip(drafts, versions, strict=True)
    ]


def _guarded(draft: Entry) -> Entry:
    """Only a positive amount is unguarded."""
    if draft.amount_nanos > 0:
        return replace(draft, flags=draft.flags | Flag.UNGUARDED)
    return replace(draft, flags=draft.flags & ~int(Flag.UNGUARDED))


def _mark_reversed(*, ledger_id: int, uid: UUID, by_uid: UUID) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO ledger_reversed (ledger_id, uid, by_uid) VALUES (%s, %s, %s)"
            " ON CONFLICT DO NOTHING",
            [ledger_id, uid, by_uid],
        )
        if cursor.rowcount == 1:
            return
    raise AlreadyReversed(uid=str(uid), by=str(reversed_by(uid=uid, ledger_id=ledger_id) or ""))
