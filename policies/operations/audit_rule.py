"""How does a change of a rule or channel get into the ledger? One `policy_change` entry.

For rules beside the compiled policy: its document holds the thing before and after, field by
field, who changed it and why. Never an address or a secret.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

import msgspec

from ledger import facade as ledger
from o10.access.keys import Caller
from o10.kernel import ids
from policies.operations.questions import actor_number

Told = tuple[str, Mapping[str, Any] | None, Mapping[str, Any]]
"""The change as a sentence, the thing before (None = it is new) and after."""


def write_rule_change(
    *,
    scope: str,
    key: str,
    asked: msgspec.Struct,
    actor: Caller,
    now: datetime,
    run: Callable[[UUID], Told | None],
    reason: str = "",
) -> ledger.Written | None:
    """What was written? `run(uid)` makes the change and says what it was.

    Idempotent by `scope`, caller and `key`; `run` is not called for a repeat. None = `run`
    found nothing to change, and nothing was written.
    Raises: IdempotencyMismatch; whatever `run` raises, then nothing was changed.
    Locks: the key, then those of `run`.
    """

    def drafts(uid: UUID) -> list[ledger.Draft]:
        told = run(uid)
        if told is None:
            raise _NothingChanges
        change, before, after = told
        document = {
            "change": change,
            "before": before,
            "after": after,
            "actor": actor.actor,
            "reason": reason.strip(),
        }
        return [
            ledger.Draft(
                ledger_id=ledger.COMPANY_LEDGER,
                kind=ledger.Kind.POLICY_CHANGE,
                uid=uid,
                effective_at=now,
                recorded_at=now,
                actor_id=actor_number(actor.actor, now=now),
                doc=ledger.put_document(document, now=now),
            )
        ]

    try:
        return ledger.write(
            ledger_id=ledger.COMPANY_LEDGER,
            scope=scope,
            key=f"{actor.key_id}#{key or ids.new_uuid()}",
            request_hash=sha256(msgspec.json.encode(asked)).digest(),
            run=drafts,
        )
    except _NothingChanges:
        return None


class _NothingChanges(Exception):  # noqa: N818 - an outcome inside this module, no failure
    """Did the change leave everything as it was? Then the key stays free."""
