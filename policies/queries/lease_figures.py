"""How much money is lent now, how much of it is stranded, and are the books up to date?"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection

SEEN_WITHIN = timedelta(seconds=30)
"""A holder that renewed nothing for longer counts as gone."""

FIGURES = """
SELECT coalesce(sum(l.rest), 0)::bigint,
       coalesce(sum(l.rest - least(l.open_nanos, l.rest)) FILTER (
           WHERE h.ended_at IS NOT NULL OR h.fence IS NULL OR l.expires_at < %(now)s),
           0)::bigint,
       (SELECT count(*) FROM lease_holder
        WHERE ended_at IS NULL AND seen_at > %(alive)s),
       (SELECT coalesce(max(extract(epoch FROM
                   %(now)s - coalesce(booked_at, started_at))), 0)::float8
        FROM lease_holder
        WHERE ended_at IS NULL AND seen_at > %(alive)s AND kind = 'plane'),
       (SELECT coalesce(sum(put_aside), 0)::bigint FROM lease_holder)
FROM (SELECT fence, expires_at, open_nanos,
             granted_nanos - returned_nanos - settled_nanos - expired_nanos AS rest
      FROM lease WHERE state <> 'closed') l
LEFT JOIN lease_holder h ON h.fence = l.fence
"""


@dataclass(frozen=True, slots=True)
class LeaseFigures:
    """What do all leases and their holders say together?

    Units: nanos; seconds. `leased_nanos` is lent and not yet returned or spent;
    `stranded_nanos` of it belongs to holders that ended or did not renew, without their known
    open calls. `lag_seconds` = for how long something that a living holder answered may wait
    to be booked. `put_aside` = records of journals that could not be booked.
    """

    leased_nanos: int
    stranded_nanos: int
    holders: int
    lag_seconds: float
    put_aside: int


def lease_figures(*, now: datetime) -> LeaseFigures:
    """What is lent at this instant?"""
    with connection.cursor() as cursor:
        cursor.execute(FIGURES, {"now": now, "alive": now - SEEN_WITHIN})
        leased, stranded, holders, lag, aside = cursor.fetchone()
        return LeaseFigures(leased, stranded, holders, max(0.0, lag), aside)
