"""Does an edited balance or reservation come to light by itself? A look between verifications.

Compares all balances, leases and reservations with their entries, and the rules with the policy
in force, in one snapshot, and records what differs, which turns the side bar red. On a large
ledger that is `ledger_verify`'s work alone.
"""

from datetime import datetime

from django.db import connection, transaction

from ledger import facade as ledger
from policies.models import Envelope
from policies.queries.conservation import Finding, check_conservation, policy_findings

ENVELOPES_MOST = 2_000
"""Above this many envelopes rules and policy are compared by `ledger_verify` alone."""
ENTRIES_MOST = 200_000
"""Above this many sealed entries the look takes longer than its turn."""


def watch_balances(*, now: datetime) -> int:
    """How many figures differ from their entries? The first one is recorded.

    -1 = the ledger is too large for a look in passing.
    """
    sealed = ledger.seal_state(now=now).seq
    if sealed > ENTRIES_MOST:
        return -1
    with transaction.atomic(), connection.cursor() as cursor:
        # One snapshot: a transaction between the two reads would look like drift.
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        findings = check_conservation()
        if Envelope.objects.count() <= ENVELOPES_MOST:
            findings += policy_findings()
    if findings:
        _record(findings[0], upto=sealed, now=now)
    return len(findings)


def _record(first: Finding, *, upto: int, now: datetime) -> None:
    ledger.record_verification(
        ledger_id=ledger.COMPANY_LEDGER,
        mode=ledger.VerifierMode.TAIL,
        from_seq=0,
        upto_seq=upto,
        finding=ledger.Finding(
            code=first.code,
            seq=0,
            uid="",
            column=first.column,
            expected=first.expected,
            found=first.found,
            what=first.where,
        ),
        started_at=now,
        finished_at=now,
    )
