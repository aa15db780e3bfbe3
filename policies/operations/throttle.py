"""How much money may throttled use cases still take this hour? Counted by the minute.

While a throttle holds, every call is decided alone, under the lock of its tree; what it takes
is added to the minute of its criterion, and what it did not need is given back to that minute.
Sixty minutes and the running one are added up, so no hour passes the limit.
Source: product.md section 7.3; docs/algorithms/kill-criteria.md. Units: nanos.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from o10.kernel.money import Nanos
from policies.core.levers import throttles
from policies.core.rules import LeverRule
from policies.operations import statements
from policies.queries.current_policy import believed_policy

HOUR: Final = timedelta(hours=1)
SUM_HOUR: Final = """
SELECT coalesce(sum(nanos), 0)::bigint FROM policies_throttle_minute
WHERE criterion = %s AND minute > %s
"""
TAKE: Final = """
INSERT INTO policies_throttle_minute (criterion, minute, nanos) VALUES (%s, %s, %s)
ON CONFLICT (criterion, minute) DO UPDATE
SET nanos = policies_throttle_minute.nanos + excluded.nanos
"""
GIVE_BACK: Final = """
UPDATE policies_throttle_minute SET nanos = greatest(0, nanos - %s)
WHERE criterion = %s AND minute = %s
"""


def hour_left_of(limits: Sequence[LeverRule], *, now: datetime) -> Nanos:
    """How much does the tightest of these levers leave?"""
    after = minute_of(now) - HOUR - timedelta(minutes=1)
    return min((limit.amount or 0) - _taken(limit.criterion, after) for limit in limits)


def take_of_hour(limits: Sequence[LeverRule], *, nanos: Nanos, at: datetime) -> None:
    """Counts what a call holds. In its transaction, under the lock of its tree."""
    for limit in limits:
        statements.run(TAKE, [limit.criterion, minute_of(at), nanos])


def give_back_to_hour(*, use_case: str, authorized_at: datetime, nanos: Nanos) -> None:
    """Counts less for a call that needed less than it held; nothing for others."""
    rule = believed_policy().snapshot.use_cases.get(use_case)
    if nanos <= 0 or rule is None or not rule.levers:
        return
    for limit in throttles(rule):
        if authorized_at >= limit.since:
            statements.run(GIVE_BACK, [nanos, limit.criterion, minute_of(authorized_at)])


def minute_of(at: datetime) -> datetime:
    """In which minute is it counted?"""
    return at.replace(second=0, microsecond=0)


def _taken(criterion: str, after: datetime) -> Nanos:
    row = statements.row(SUM_HOUR, [criterion, after])
    return row[0] if row else 0
