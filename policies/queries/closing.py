"""What of a month is still open in envelopes, and what stood in each when it ended?

Calls and leases belong to the month they began in: until each has its end, the month moves.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import connection

from ledger import facade as ledger
from policies.models import EnvelopeBalance
from policies.queries.conservation import Finding, balance_findings

OPEN = """
SELECT count(*), coalesce(sum(open_nanos), 0)::bigint, max(expires_at) FROM reservation
WHERE state = 'open' AND authorized_at < %s
"""
LENT = """
SELECT count(*),
       coalesce(sum(granted_nanos - returned_nanos - settled_nanos - expired_nanos), 0)::bigint,
       max(expires_at)
FROM lease WHERE state IN ('open', 'draining') AND granted_at < %s
"""
UNSETTLED = """
SELECT (SELECT count(*) FROM reservation WHERE state = 'expired' AND held AND lease IS NULL
        AND open_nanos > 0 AND authorized_at < %(before)s)
     + (SELECT count(*) FROM lease WHERE state = 'expired' AND granted_at < %(before)s
        AND granted_nanos - returned_nanos - settled_nanos
            > late_nanos + written_off_nanos),
       (SELECT coalesce(sum(open_nanos), 0)::bigint FROM reservation WHERE state = 'expired'
        AND held AND lease IS NULL AND authorized_at < %(before)s)
     + (SELECT coalesce(sum(granted_nanos - returned_nanos - settled_nanos - late_nanos
        - written_off_nanos), 0)::bigint FROM lease
        WHERE state = 'expired' AND granted_at < %(before)s)
"""
LIST_UNSETTLED = """
SELECT id FROM reservation WHERE state = 'expired' AND held AND lease IS NULL
  AND authorized_at < %s ORDER BY expires_at, id LIMIT %s
"""


@dataclass(frozen=True, slots=True)
class StillOpen:
    """How many calls and leases of a month have no end yet, with how much money?

    Units: nanos. `last_end` is when the last of them ends by itself.
    """

    holds: int
    held_nanos: int
    leases: int
    lent_nanos: int
    unsettled: int
    unsettled_nanos: int
    last_end: datetime | None


def still_open(*, before: datetime) -> StillOpen:
    """What that began before this instant has no end yet?"""
    with connection.cursor() as cursor:
        cursor.execute(OPEN, [before])
        holds, held, held_until = cursor.fetchone()
        cursor.execute(LENT, [before])
        leases, lent, lent_until = cursor.fetchone()
        cursor.execute(UNSETTLED, {"before": before})
        unsettled, unsettled_nanos = cursor.fetchone()
    ends = [each for each in (held_until, lent_until) if each is not None]
    return StillOpen(
        holds, held, leases, lent, unsettled, unsettled_nanos, max(ends) if ends else None
    )


def list_unsettled(*, before: datetime, limit: int) -> list[UUID]:
    """Which expired holds that began before this instant has nobody resolved?"""
    with connection.cursor() as cursor:
        cursor.execute(LIST_UNSETTLED, [before, limit])
        return [row[0] for row in cursor.fetchall()]


def closing_balances(starts_at: datetime, ends_at: datetime) -> list[ledger.ClosingBalance]:
    """What stands in each envelope that has just this period?"""
    rows = EnvelopeBalance.objects.filter(
        period_start=starts_at, period_end=ends_at
    ).select_related("envelope")
    return [
        ledger.ClosingBalance(
            envelope=row.envelope.public,
            cap_nanos=row.cap_nanos,
            settled_nanos=row.settled_nanos,
        )
        for row in rows
    ]


def period_drift(starts_at: datetime, ends_at: datetime) -> list[Finding]:
    """Which balances of just this period differ from the sum of their entries?"""
    rows = EnvelopeBalance.objects.filter(period_start=starts_at, period_end=ends_at)
    return list(balance_findings(list(rows.order_by("envelope_id"))))
