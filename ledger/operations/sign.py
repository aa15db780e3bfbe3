"""When does the ledger sign its size and root? A second or ten thousand entries after the last.

Once an hour an entry of kind `checkpoint_ref` binds the chain head to the signed root:
checkpoints have no extension lines, so this is where chain and tree vouch for each other.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from ledger.core.checkpoint import Checkpoint, SigningKey, sign_checkpoint
from ledger.core.document import canonical_json, document_hash
from ledger.core.entry import Entry, Kind
from ledger.operations.append import append_rows
from ledger.operations.seal import FenceLost, Sealer
from o10.kernel import ids

EVERY: Final = timedelta(seconds=1)
EVERY_ENTRIES: Final = 10_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class Signed:
    """Up to which size was signed, when, and in which hour was the chain head bound last?"""

    size: int
    at: datetime
    bound_hour: datetime | None = None


def read_signed(sealer: Sealer) -> Signed:
    """What was signed before this sealer started?"""
    row = sealer.connection.execute(
        "SELECT size, signed_at FROM ledger_checkpoint WHERE ledger_id = %s"
        " ORDER BY size DESC LIMIT 1",
        [sealer.ledger.id],
    ).fetchone()
    return Signed(size=row[0], at=row[1]) if row else Signed(size=0, at=_EPOCH)


def sign_if_due(sealer: Sealer, signed: Signed, *, key: SigningKey, now: datetime) -> Signed:
    """What is signed now? Nothing changes without news or before it is time.

    Raises: FenceLost (`unavailable`) when another sealer took over.
    """
    news = sealer.seq - signed.size
    if not news or (news < EVERY_ENTRIES and now - signed.at < EVERY):
        return signed
    root = sealer.frontier.compact().root()
    note = sign_checkpoint(Checkpoint(sealer.ledger.origin, sealer.seq, root), key)
    written = sealer.connection.execute(
        "INSERT INTO ledger_checkpoint (ledger_id, size, root, chain, note, key_id, signed_at)"
        " SELECT %s, %s, %s, %s, %s, %s, %s WHERE EXISTS (SELECT 1 FROM ledger_seal_state"
        " WHERE ledger_id = %s AND fence = %s)",
        [
            *(sealer.ledger.id, sealer.seq, root, sealer.chain, note, key.verifier.key_id, now),
            *(sealer.ledger.id, sealer.fence),
        ],
    )
    if written.rowcount != 1:
        raise FenceLost(fence=sealer.fence)
    hour = now.replace(minute=0, second=0, microsecond=0)
    if signed.bound_hour != hour:
        _bind_head(sealer, root=root, hour=hour, now=now)
    return Signed(size=sealer.seq, at=now, bound_hour=hour)


def sign_now(sealer: Sealer, *, key: SigningKey, now: datetime) -> Signed:
    """What is signed now? All that is sealed, however recent the last signature is.

    Raises: FenceLost (`unavailable`) when another sealer took over.
    """
    due = Signed(size=read_signed(sealer).size, at=_EPOCH)
    return sign_if_due(sealer, due, key=key, now=now)


def _bind_head(sealer: Sealer, *, root: bytes, hour: datetime, now: datetime) -> None:
    body = canonical_json({"chain": sealer.chain.hex(), "root": root.hex(), "size": sealer.seq})
    entry = Entry(
        ledger_id=sealer.ledger.id,
        kind=Kind.CHECKPOINT_REF,
        # One uid an hour: a sealer started twice in an hour binds once.
        uid=ids.uid(
            scope="checkpoint_ref",
            key=f"{sealer.ledger.id}/{hour.isoformat()}",
            origin_ms=(hour - _EPOCH) // timedelta(milliseconds=1),
        ),
        effective_at=now,
        recorded_at=now,
        doc=document_hash(body),
    )
    with sealer.connection.transaction(), sealer.connection.cursor() as cursor:
        if _is_bound(cursor, entry):
            return
        cursor.execute(
            "INSERT INTO ledger_document (hash, body, created_at) VALUES (%s, %s, %s)"
            " ON CONFLICT DO NOTHING",
            [entry.doc, body, now],
        )
        append_rows(cursor, [entry], claimed={})


def _is_bound(cursor: Any, entry: Entry) -> bool:
    cursor.execute(
        "SELECT 1 FROM ledger_idem WHERE ledger_id = %s AND uid = %s",
        [entry.ledger_id, entry.uid],
    )
    return cursor.fetchone() is not None
