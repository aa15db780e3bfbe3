"""What must be known before a call is decided? One read: policy, earlier answer, balances."""

from collections.abc import Sequence
from dataclasses import dataclass

from policies.queries.current_policy import NOTHING, Stamp

READ_STANDING = """
SELECT p.version, p.hash, d.request_hash, d.answer, b.envelope_id,
       b.period_start, b.cap_nanos, b.settled_nanos, b.held_nanos, b.unsettled_nanos,
       b.unguarded_nanos, b.contingency_nanos, b.limit_nanos, b.epoch
FROM (SELECT 1) AS one
LEFT JOIN LATERAL (SELECT version, hash FROM policies_policy_version
                   ORDER BY version DESC LIMIT 1) p ON true
LEFT JOIN policies_decision_log d
       ON d.caller = %s AND d.request_id = %s AND d.request_id <> ''
LEFT JOIN (envelope_balance b JOIN unnest(%s::int[], %s::timestamptz[])
           AS cell (envelope_id, period_start)
           ON b.envelope_id = cell.envelope_id AND b.period_start = cell.period_start) ON true
"""

SUM_RUN = """
SELECT coalesce(sum(open_nanos + settled_nanos), 0)::bigint FROM reservation
WHERE use_case = %s AND run_id = %s AND run_id <> ''
"""


@dataclass(frozen=True, slots=True)
class FirstAnswer:
    """What was answered when this request id came first?"""

    request_hash: bytes
    answer: bytes


@dataclass(frozen=True, slots=True)
class Standing:
    """Which policy is newest, was this asked before, and what do the balances say?

    Shape: `balances` are rows of `policies.operations.balances.READ_BALANCES`, any order.
    """

    stamp: Stamp
    first: FirstAnswer | None
    balances: tuple[tuple[object, ...], ...]


def standing_of(rows: Sequence[tuple[object, ...]]) -> Standing:
    """What do the rows of READ_STANDING say?"""
    head = rows[0]
    stamp = NOTHING if head[0] is None else Stamp(int(str(head[0])), str(head[1]))
    first = None
    if head[2] is not None:
        first = FirstAnswer(bytes(head[2]), bytes(head[3]))  # type: ignore[arg-type, call-overload]
    return Standing(stamp, first, tuple(row[4:] for row in rows if row[4] is not None))
