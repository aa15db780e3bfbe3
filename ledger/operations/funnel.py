"""How does any write reach the ledger? Key, transaction, run, append, commit or dry run.

The key is claimed before anything else happens, so of two equal requests one waits for the
other and then answers with what the first one wrote; `run` is never called twice for one key.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from django.db import transaction

from ledger.core.entry import Entry
from ledger.operations import append as rows
from ledger.queries.entries import StoredEntry, find_by_uid
from o10.kernel import ids
from o10.kernel.errors import IdempotencyMismatch


class Mode(StrEnum):
    """Shall the write stay, or only be tried?"""

    COMMIT = "commit"
    DRY_RUN = "dry_run"


@dataclass(frozen=True, slots=True)
class ReplayedEntry:
    """What did the first request with this key write?

    `entry` is None when its month has left the database with retention.
    """

    uid: UUID
    entry: StoredEntry | None


@dataclass(frozen=True, slots=True)
class Written:
    """What did a write do? `entries` in the order of the drafts; empty when it was replayed."""

    uid: UUID
    entries: tuple[StoredEntry, ...]
    replayed: ReplayedEntry | None


class KeyWithoutEntry(RuntimeError):
    """Did `run` return no draft that carries the uid it was given?"""


def write(
    *,
    ledger_id: int,
    scope: str,
    key: str,
    request_hash: bytes,
    run: Callable[[UUID], Sequence[Entry]],
    origin_ms: int = 0,
    mode: Mode = Mode.COMMIT,
) -> Written:
    """What was written for this key, or what had been written for it before?

    `run(uid)` takes its own locks and returns the drafts, one of which carries `uid`. Inside an
    outer transaction all of it is a savepoint. A dry run is rolled back, `run`'s changes too.

    Units: `origin_ms` Unix milliseconds of the thing's own origin, 0 for bare client keys;
    `request_hash` SHA-256 of the canonical JSON of the parsed request.
    Raises: IdempotencyMismatch (`idempotency_mismatch`) for the same key with another request;
    EntryExists; KeyWithoutEntry; whatever `run` raises, then nothing was written.
    Locks: the key first, then those of `run`.
    """
    uid = ids.uid(scope=scope, key=key, origin_ms=origin_ms)
    with transaction.atomic():
        ours, taken = rows.claim(ledger_id=ledger_id, hashes={uid: request_hash})
        if uid not in ours:
            if taken.get(uid) != request_hash:
                raise IdempotencyMismatch(scope=scope, key=key)
            first = find_by_uid(ledger_id=ledger_id, uid=uid)
            return Written(uid=uid, entries=(), replayed=ReplayedEntry(uid=uid, entry=first))
        drafts = run(uid)
        if all(draft.uid != uid for draft in drafts):
            raise KeyWithoutEntry(f"no draft of {scope} carries the claimed uid {uid}")
        entries = rows.append(drafts, request_hash=request_hash, claimed=ours)
        if mode is Mode.DRY_RUN:
            transaction.set_rollback(True)
    return Written(uid=uid, entries=tuple(entries), replayed=None)
