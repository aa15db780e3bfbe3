"""How do many equal denials become one ledger entry a second?

The first ten of a second have entries of their own; the others wait in the decision log,
marked as folded. What is still uncounted of a second is counted into one entry with n; rows
that were committed late get a further entry, so that the sum is always exact.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from uuid import UUID

from ledger import facade as ledger
from policies.core.instants import instant_text, unix_ms
from policies.models import DenialFold
from policies.operations import statements
from policies.operations.questions import actor_number

SETTLED_AFTER = timedelta(seconds=3)
"""A second is folded once it is this long ago: its last rows are committed by then."""
LOOK_BACK = timedelta(days=1)
BATCH = 1_000

UNCOUNTED = """
SELECT d.second, d.caller, d.use_case, d.reason_code, d.reason, d.n - coalesce(f.n, 0),
       coalesce(f.parts, 0), d.envelope, d.policy_version
FROM (
    SELECT date_trunc('second', decided_at, 'UTC') AS second, caller, use_case, reason_code,
           min(reason) AS reason, count(*)::int AS n, min(envelope) AS envelope,
           max(policy_version) AS policy_version
    FROM policies_decision_log
    WHERE folded AND decided_at >= %s AND decided_at < %s
    GROUP BY 1, 2, 3, 4) AS d
LEFT JOIN (
    SELECT second, caller, use_case, reason_code, sum(n)::int AS n, count(*)::int AS parts
    FROM policies_denial_fold WHERE second >= %s AND second < %s
    GROUP BY 1, 2, 3, 4) AS f USING (second, caller, use_case, reason_code)
WHERE d.n > coalesce(f.n, 0)
ORDER BY 1, 2, 3, 4
LIMIT %s
"""


@dataclass(frozen=True, slots=True)
class Group:
    """Which denials of one second have no entry yet? `parts` = entries it has already."""

    second: datetime
    caller: str
    use_case: int
    reason_code: int
    reason: str
    n: int
    parts: int
    envelope: int
    policy_version: int

    @property
    def key(self) -> str:
        """Which idempotency key has this part of it?"""
        at = instant_text(self.second)
        return f"{at}#{self.caller}#{self.use_case}#{self.reason_code}#{self.parts}"


def fold_denials(*, now: datetime, limit: int = BATCH) -> int:
    """How many denials got into entries now? Entries: one per second, key, use case, reason."""
    since = (now - LOOK_BACK).replace(microsecond=0)
    until = (now - SETTLED_AFTER).replace(microsecond=0)
    found = statements.rows(UNCOUNTED, [since, until, since, until, limit])
    return sum(_fold(Group(*row), now) for row in found)


def _fold(group: Group, now: datetime) -> int:
    actor = actor_number(group.caller, now=now)

    def run(uid: UUID) -> list[ledger.Draft]:
        DenialFold.objects.create(
            second=group.second,
            caller=group.caller,
            use_case=group.use_case,
            reason_code=group.reason_code,
            n=group.n,
            entry_uid=uid,
        )
        return [_draft(group, uid, actor, now)]

    written = ledger.write(
        ledger_id=ledger.COMPANY_LEDGER,
        scope="denials",
        key=group.key,
        # The key is all there is to it: a repeat finds the first entry whatever was counted.
        request_hash=sha256(group.key.encode()).digest(),
        origin_ms=unix_ms(group.second),
        run=run,
    )
    return 0 if written.replayed is not None else group.n


def _draft(group: Group, uid: UUID, actor: int, now: datetime) -> ledger.Draft:
    document = {
        "format": "o10-denials-v1",
        "second": instant_text(group.second),
        "reason": group.reason,
        "n": group.n,
        "caller": group.caller,
    }
    return ledger.Draft(
        ledger_id=ledger.COMPANY_LEDGER,
        kind=ledger.Kind.DENY,
        uid=uid,
        effective_at=group.second,
        recorded_at=now,
        envelope_id=group.envelope,
        use_case_id=group.use_case,
        actor_id=actor,
        n=group.n,
        policy_version=group.policy_version,
        doc=ledger.put_document(document, now=now),
    )
