"""How does a change of rules get in force? A new version, its hash, its ledger entry.

Called at the end of every operation that changes a use case or an envelope, in its transaction;
nothing is published when the compiled rules are the same. What is stored is the change; the
whole policy stands in a version again as soon as the changes since weigh half of it, so that
reading a policy never costs much more than the policy.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection

from ledger import facade as ledger
from o10.access.plane_notice import tell_plane
from o10.kernel import ids
from policies.core.instants import unix_ms
from policies.core.policy_body import change_of, difference
from policies.core.snapshot import PolicyRows, Snapshot, compile_policy
from policies.models import PolicyVersion
from policies.queries.current_policy import NOTHING, current_policy
from policies.queries.snapshot_rows import Touched, read_policy_rows

GOVERNANCE_LOCK = 0x6F3130
"""Advisory lock of everybody who changes rules: they are rare, and versions are a line."""
CHANGES_IN_A_ROW = 100
"""At the latest so many versions after the last whole policy the next one is written."""
# Lengths are read from the heads of the stored texts; five megabytes stay where they are.
_WEIGHTS = """
SELECT whole.weight, count(later.version), coalesce(sum(octet_length(later.change)), 0)
FROM (SELECT version, octet_length(body) AS weight FROM policies_policy_version
      WHERE octet_length(body) > 0 ORDER BY version DESC LIMIT 1) whole
LEFT JOIN policies_policy_version later ON later.version > whole.version
GROUP BY whole.version, whole.weight
"""


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
    touched: Touched | None = None,
    approval: Mapping[str, Any] | None = None,
) -> tuple[ledger.Draft, ...]:
    """Which entry says what is in force from now on? None when the rules are the same.

    `approval` names the request by which it was agreed to, where it was.
    `uid` names the entry where it is the one that an idempotency key claimed. `touched` names
    the rows that the caller changed; without it all rows are compared.
    Run inside the transaction of the change, under `lock_governance`; append the drafts there.
    """
    before = current_policy()
    version = before.stamp.version + 1
    changes = _changes(before.snapshot, touched)
    if before.stamp == NOTHING or changes is None:
        changes = None
        snapshot = compile_policy(read_policy_rows(), version=version)
    else:
        snapshot = before.snapshot.changed(changes, version=version)
    if before.stamp != NOTHING and snapshot.hash == before.stamp.hash:
        return ()
    uid = uid or ids.uid(
        scope="policy", key=f"{version}#{snapshot.hash}", origin_ms=unix_ms(now)
    )
    said = "" if changes is None else change_of(changes)
    PolicyVersion.objects.create(
        version=version,
        hash=snapshot.hash,
        body=snapshot.body if _is_whole_due(said) else "",
        change=said,
        at=now,
        actor=actor,
        entry_uid=uid,
    )
    tell_plane(what="policy")
    document = {
        "change": change,
        "version": version,
        "before": before.stamp.hash,
        "after": snapshot.hash,
        "actor": actor,
        "reason": reason,
        **({"approval": dict(approval)} if approval else {}),
    }
    return (_draft(uid, version, actor_id, document, now),)


def _changes(before: Snapshot, touched: Touched | None) -> PolicyRows | None:
    """Which rules read otherwise now? None when no change can say it."""
    if touched is None:
        return difference(before=before.rows, after=read_policy_rows())
    rows = read_policy_rows(touched=touched)
    known = {rule.id: rule for rule in before.use_cases.values()} if rows.use_cases else {}
    return PolicyRows(
        [rule for rule in rows.use_cases if known.get(rule.id) != rule],
        [rule for rule in rows.envelopes if before.envelopes.get(rule.id) != rule],
    )


def _is_whole_due(said: str) -> bool:
    """Do the changes since the last whole policy weigh half of it, this one included?"""
    if not said:
        return True
    with connection.cursor() as cursor:
        cursor.execute(_WEIGHTS)
        row = cursor.fetchone()
    if row is None:
        return True
    whole, versions, since = row
    return versions + 1 >= CHANGES_IN_A_ROW or 2 * (since + len(said)) >= whole


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
