"""How does a change of rules get in force? A new version, its hash, its ledger entry.

Called at the end of every operation that changes a use case or an envelope, in its transaction;
nothing is published when the compiled rules are the same.
"""

from datetime import datetime
from uuid import UUID

from django.db import connection

from ledger import facade as ledger
from o10.kernel import ids
from policies.core.instants import unix_ms
from policies.core.snapshot import compile_policy
from policies.models import PolicyVersion
from policies.queries.current_policy import NOTHING, newest_stamp
from policies.queries.snapshot_rows import read_policy_rows

GOVERNANCE_LOCK = 0x6F3130
"""Advisory lock of everybody who changes rules: they are rare, and versions are a line."""


def lock_governance() -> None:
    """Is nobody else changing rules until this transaction ends? Take it before other locks."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [GOVERNANCE_LOCK])


def publish_policy(
    *,
    change: str,
    actor: str,
    actor_id: int,
    reason: str,
    now: datetime,
    uid: UUID | None = None,
) -> tuple[ledger.Draft, ...]:
    """Which entry says what is in force from now on? None when the rules are the same.

    `uid` names the entry where it is the one that an idempotency key claimed.
    Run inside the transaction of the change, under `lock_governance`; append the drafts there.
    """
    before = newest_stamp()
    snapshot = compile_policy(read_policy_rows(), version=before.version + 1)
    if before != NOTHING and snapshot.hash == before.hash:
        return ()
    uid = uid or ids.uid(
        scope="policy", key=f"{snapshot.version}#{snapshot.hash}", origin_ms=unix_ms(now)
    )
    PolicyVersion.objects.create(
        version=snapshot.version,
        hash=snapshot.hash,
        body=snapshot.body,
        at=now,
        actor=actor,
        entry_uid=uid,
    )
    document = {
        "change": change,
        "version": snapshot.version,
        "before": before.hash,
        "after": snapshot.hash,
        "actor": actor,
        "reason": reason,
    }
    return (_draft(uid, snapshot.version, actor_id, document, now),)


def _draft(
    uid: UUID, version: int, actor_id: int, document: dict[str, object], now: datetime
) -> ledger.Draft:
    return ledger.Draft(
        ledger_id=ledger.COMPANY_LEDGER,
        kind=ledger.Kind.POLICY_CHANGE,
        uid=uid,
        effective_at=now,
        recorded_at=now,
        actor_id=actor_id,
        policy_version=version,
        doc=ledger.put_document(document, now=now),
    )
