"""Do the invariants P1 to P8 hold on the live database, now? Asked of its caches alone.

Cheap enough for a health check: each rule is one statement, so it sees one snapshot, and no
entry is read. That the caches say what the entries say is `policies.queries.conservation`.
"""

from collections.abc import Iterator
from typing import Any

from django.db import connection

from policies.core import invariants
from policies.core.envelope import Balance
from policies.core.invariants import Breach
from policies.core.lending import LeaseSums
from policies.queries.conservation import LEASE, OWNED, RESERVATION

BALANCES = f"""
SELECT e.public, b.period_start, b.cap_nanos, b.settled_nanos, b.held_nanos, b.unsettled_nanos,
       b.unguarded_nanos, b.contingency_nanos, b.limit_nanos,
       coalesce(owned.held, 0), coalesce(owned.unsettled, 0),
       coalesce(below.held, 0), coalesce(below.unsettled, 0)
FROM envelope_balance b
JOIN policies_envelope e ON e.id = b.envelope_id
LEFT JOIN ({OWNED}) AS owned (envelope_id, period_start, held, unsettled)
  ON owned.envelope_id = b.envelope_id AND owned.period_start = b.period_start
LEFT JOIN (
    SELECT above.envelope_id, above.period_start, sum(child.held_nanos)::bigint,
           sum(child.unsettled_nanos)::bigint
    FROM envelope_balance child
    JOIN policies_envelope c ON c.id = child.envelope_id
    JOIN envelope_balance above ON above.envelope_id = c.parent_id
     AND above.period_start <= child.period_start AND child.period_end <= above.period_end
    WHERE child.held_nanos > 0 OR child.unsettled_nanos > 0
    GROUP BY 1, 2) AS below (envelope_id, period_start, held, unsettled)
  ON below.envelope_id = b.envelope_id AND below.period_start = b.period_start
"""

LEASES = """
SELECT l.id, l.state, l.granted_nanos, l.returned_nanos, l.settled_nanos, l.expired_nanos,
       l.late_nanos, l.written_off_nanos, coalesce(inside.open, 0)
FROM (
    SELECT * FROM lease WHERE state <> 'closed'
    UNION ALL
    SELECT * FROM lease WHERE state = 'closed' AND id IN (
        SELECT lease FROM reservation WHERE state = 'open' AND lease IS NOT NULL)) l
LEFT JOIN (
    SELECT lease, sum(open_nanos)::bigint AS open FROM reservation
    WHERE state = 'open' AND lease IS NOT NULL GROUP BY lease) AS inside ON inside.lease = l.id
"""

HOLDS = """
SELECT r.id, r.state, r.amount_nanos, r.open_nanos, coalesce(d.worst_nanos, 0)
FROM reservation r LEFT JOIN policies_decision_log d ON d.id = r.decision_id
WHERE r.state IN ('open', 'expired') AND r.held
"""


def check_invariants() -> list[Breach]:
    """Which rules are broken, where? P1, P2, P3, P4, P5, P6 and P8; empty = all hold.

    P7 is a matter of the holder's own clock and of its memory: its tests hold it.
    """
    return [*_levels(), *_leases(), *_holds()]


def _levels() -> Iterator[Breach]:
    for row in _rows(BALANCES):
        public, start, cap, settled, held, unsettled, unguarded, contingency, limit = row[:9]
        where = f"{public} from {start:%Y-%m-%dT%H:%M:%SZ}"
        balance = Balance(0, cap, settled, held, unsettled, unguarded, contingency, limit)
        owned_held, owned_unsettled, below_held, below_unsettled = row[9:]
        yield from invariants.guarded_exposure_within_limit(balance, where=where)
        yield from invariants.excess_is_counted_apart(balance, where=where)
        for column, stands, owned, below in (
            ("held", held, owned_held, below_held),
            ("unsettled", unsettled, owned_unsettled, below_unsettled),
        ):
            yield from invariants.held_money_has_an_owner(
                held=stands, owned=owned, column=column, where=where
            )
            yield from invariants.parent_holds_its_children(
                parent=stands, children=below, column=column, where=where
            )


def _leases() -> Iterator[Breach]:
    for (
        lease,
        state,
        granted,
        returned,
        settled,
        expired,
        late,
        written_off,
        open_inside,
    ) in _rows(LEASES):
        where = f"{LEASE}{lease}"
        sums = LeaseSums(
            granted=granted,
            returned=returned,
            settled=settled,
            expired=expired,
            late=late,
            written_off=written_off,
        )
        yield from invariants.lease_covers_its_reservations(
            sums, open_inside=open_inside, where=where
        )
        yield from invariants.ended_lease_conserves(sums, state=state, where=where)


def _holds() -> Iterator[Breach]:
    for hold, state, amount, open_nanos, worst in _rows(HOLDS):
        where = f"{RESERVATION}{hold}"
        yield from invariants.ended_reservation_holds_nothing(
            state=state, open_nanos=open_nanos, where=where
        )
        yield from invariants.hold_covers_the_worst_case(
            amount=amount, worst=worst, where=where
        )


def _rows(statement: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall())
