"""What was spent since a position, entry by entry, and what do the calls of a time cost?

For watches that run beside the requests: they read what is sealed, in its order, each entry
once. Costs of calls come as exact sums, so that no statistic depends on the order of rows.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from django.db import connection

from ledger.core.entry import PURPOSE_MASK, PURPOSE_SHIFT, Kind, Purpose
from ledger.core.rollup import KindClass
from ledger.queries.ledgers import COMPANY_LEDGER
from o10.kernel.money import Nanos

_WATCHED: Final = (int(Kind.SETTLE), int(Kind.USAGE), int(Kind.OVERRUN))
_SERVED: Final = (
    int(Purpose.SERVE),
    int(Purpose.RETRY),
    int(Purpose.HEDGE_LOSER),
    int(Purpose.FALLBACK),
)
_AFTER: Final = """
SELECT s.seq, e.uid, e.kind, e.effective_at, e.recorded_at, e.use_case_id, e.envelope_id,
       e.dims_id, e.venue_id, e.model_id, e.attempt, e.n, e.amount_nanos, e.flags, e.reservation
FROM ledger_seal s
JOIN ledger_entry e ON e.id = s.entry_id AND e.recorded_at = s.recorded_at
WHERE s.ledger_id = %s AND s.seq > %s AND s.seq <= %s AND e.kind = ANY(%s)
ORDER BY s.seq
"""
# One row a call: its attempts and its overrun together; usage without a reservation is a call
# of its own. Aggregates of many calls say nothing about one.
_COSTS: Final = f"""
SELECT count(*), coalesce(sum(cost), 0)::text, coalesce(sum(cost::numeric * cost), 0)::text,
       min(at), max(at)
FROM (
    SELECT sum(e.amount_nanos)::bigint AS cost, min(e.effective_at) AS at
    FROM ledger_entry e
    WHERE e.ledger_id = %(ledger)s AND e.use_case_id = %(use_case)s
      AND e.effective_at >= %(start)s AND e.effective_at < %(end)s
      AND e.recorded_at >= %(start)s AND e.kind = ANY(%(kinds)s) AND e.n <= 1
      AND (e.flags & {PURPOSE_MASK}) >> {PURPOSE_SHIFT} = ANY(%(purposes)s)
    GROUP BY CASE WHEN e.reservation = %(none)s THEN e.uid ELSE e.reservation END
    ORDER BY min(e.effective_at) DESC LIMIT %(most)s
) calls
"""
_SETS: Final = f"""
SELECT DISTINCT use_case_id, dims_id, venue_id, model_id FROM rollup_day
WHERE ledger_id = %s AND kind_class = {int(KindClass.CALL)} AND use_case_id <> 0
"""
_HOURS: Final = """
SELECT envelope_id, sum(amount_nanos)::bigint FROM rollup_hour
WHERE ledger_id = %s AND bucket >= %s AND envelope_id <> 0 GROUP BY envelope_id
"""


@dataclass(frozen=True, slots=True)
class WatchedEntry:
    """Which settle, usage or overrun is it? Numbers as entries carry them."""

    seq: int
    uid: UUID
    kind: int
    effective_at: datetime
    recorded_at: datetime
    use_case_id: int
    envelope_id: int
    dims_id: int
    venue_id: int
    model_id: int
    attempt: int
    n: int
    amount: Nanos
    flags: int
    reservation: UUID


@dataclass(frozen=True, slots=True)
class SeenSet:
    """Which attribution, venue and model did calls of this use case have?"""

    use_case_id: int
    dims_id: int
    venue_id: int
    model_id: int


@dataclass(frozen=True, slots=True)
class CallCosts:
    """How many calls, what did they cost together, and what is the sum of their squares?

    Units: nanos; nanos squared. Instants are those of the first and last call; None = no call.
    """

    n: int
    total: Nanos
    squares: int
    first_at: datetime | None
    last_at: datetime | None


def watched_after(
    *, seq: int, most: int, ledger_id: int = COMPANY_LEDGER
) -> tuple[int, list[WatchedEntry]]:
    """Up to which position was read, and which settles, usages and overruns are there?

    At most `most` positions from `seq` on (itself excluded), in their order.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT seq FROM ledger_seal_state WHERE ledger_id = %s", [ledger_id])
        row = cursor.fetchone()
        upto = min(int(row[0]) if row else 0, seq + most)
        if upto <= seq:
            return seq, []
        cursor.execute(_AFTER, [ledger_id, seq, upto, list(_WATCHED)])
        return upto, [WatchedEntry(*each) for each in cursor.fetchall()]


def call_costs(
    *,
    use_case_id: int,
    start: datetime,
    end: datetime,
    most: int,
    ledger_id: int = COMPANY_LEDGER,
) -> CallCosts:
    """What did the calls authorized in [start, end) cost, attempts together? The newest `most`.

    Only calls that served people: no shadow, eval or classifier calls, no aggregates.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            _COSTS,
            {
                "ledger": ledger_id,
                "use_case": use_case_id,
                "start": start,
                "end": end,
                "kinds": list(_WATCHED),
                "purposes": list(_SERVED),
                "none": UUID(int=0),
                "most": most,
            },
        )
        n, total, squares, first_at, last_at = cursor.fetchone()
    return CallCosts(int(n), int(total), int(squares), first_at, last_at)


def seen_sets(*, ledger_id: int = COMPANY_LEDGER) -> list[SeenSet]:
    """Which combinations had calls ever? From the day cells, not from entries."""
    with connection.cursor() as cursor:
        cursor.execute(_SETS, [ledger_id])
        return [SeenSet(*row) for row in cursor.fetchall()]


def spent_by_envelope(*, since: datetime, ledger_id: int = COMPANY_LEDGER) -> dict[int, Nanos]:
    """What did calls spend since this hour began, by the deepest envelope of their path?"""
    hour = since.replace(minute=0, second=0, microsecond=0)
    with connection.cursor() as cursor:
        cursor.execute(_HOURS, [ledger_id, hour])
        return dict(cursor.fetchall())
