"""Which figures do the rules of alerts compare? Balances, burns, overruns, leaks, denials.

Read once an evaluation, for all rules together, from balances, hour cells and short windows of
the decision log; no query scans entries.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db import connection

from ledger import facade as ledger
from o10.kernel.money import Nanos
from policies.core.alert_rules import BURN_WINDOW, EnvelopeFigures

LOOK_BACK: Final = timedelta(minutes=5)
"""Denials are looked for so far back: evaluations are seconds apart, and late ones overlap."""
_MOST_UNPRICED: Final = 200

_BALANCES: Final = """
SELECT e.id, e.public, e.name, e.scope_kind, coalesce(d.slug, ud.slug, ''),
       coalesce(u.slug, ''), e.use_case_id, coalesce(b.cap_nanos, e.amount_nanos, 0),
       b.settled_nanos, b.held_nanos, b.unsettled_nanos, b.period_start, b.period_end,
       e.soft_thresholds_ppm
FROM envelope_balance b
JOIN policies_envelope e ON e.id = b.envelope_id
LEFT JOIN policies_department d ON d.id = e.department_id
LEFT JOIN policies_use_case u ON u.id = e.use_case_id
LEFT JOIN policies_department ud ON ud.id = u.department_id
WHERE b.period_start <= %(now)s AND b.period_end > %(now)s AND e.state <> 'closed'
ORDER BY e.depth, e.id
"""
_DENIED: Final = """
SELECT envelope, count(*) FROM policies_decision_log
WHERE decided_at >= %s AND would_decision = 'deny' AND reason = 'ENVELOPE_HARD_LIMIT'
  AND envelope <> 0
GROUP BY envelope
"""
_UNPRICED: Final = """
SELECT use_case_slug, model, count(*) FROM policies_decision_log
WHERE decided_at >= %s AND would_decision = 'deny' AND reason = 'PRICE_UNKNOWN'
GROUP BY use_case_slug, model ORDER BY 1, 2 LIMIT %s
"""
_LEAKED: Final = """
SELECT (SELECT count(*) FROM reservation
        WHERE state = 'open' AND lease IS NULL AND expires_at < %(before)s),
       (SELECT coalesce(sum(open_nanos), 0)::bigint FROM reservation
        WHERE state = 'open' AND lease IS NULL AND expires_at < %(before)s),
       (SELECT coalesce(sum(granted_nanos - returned_nanos - settled_nanos - expired_nanos), 0)
               ::bigint FROM lease
        WHERE state <> 'closed' AND expires_at < %(before)s)
"""


@dataclass(frozen=True, slots=True)
class Leaked:
    """What is kept past its time? Units: nanos."""

    holds: int
    held: Nanos
    stranded: Nanos


@dataclass(frozen=True, slots=True)
class Unpriced:
    """Which calls were denied lately, or served, though their model has no price?"""

    use_case: str
    model: str
    calls: int
    served: int = 0


def envelope_figures(*, now: datetime) -> list[EnvelopeFigures]:
    """What does every envelope say that has been drawn on in its current period?

    Shape: parents before children.
    """
    parents = _parents()
    burnt = _with_ancestors(ledger.spent_by_envelope(since=now - BURN_WINDOW), parents)
    with connection.cursor() as cursor:
        cursor.execute(_DENIED, [now - LOOK_BACK])
        denied = dict(cursor.fetchall())
        cursor.execute(_BALANCES, {"now": now})
        rows = cursor.fetchall()
    overruns = _overruns(min((row[11] for row in rows), default=now))
    since = {
        start: _with_ancestors(_by_envelope(overruns, start), parents)
        for start in {row[11] for row in rows}
    }
    return [
        EnvelopeFigures(
            number=row[0],
            public=row[1],
            name=row[2],
            scope_kind=row[3],
            department=row[4],
            use_case=row[5],
            use_case_number=row[6],
            cap=row[7],
            settled=row[8],
            lent=row[9],
            unsettled=row[10],
            start=row[11],
            end=row[12],
            thresholds_ppm=tuple(row[13]),
            burnt=burnt.get(row[0], 0),
            overruns=since[row[11]].get(row[0], 0),
            denied=denied.get(row[0], 0),
        )
        for row in rows
    ]


def list_unpriced(*, now: datetime) -> list[Unpriced]:
    """Which models were denied, or served, without a price in the last minutes?"""
    with connection.cursor() as cursor:
        cursor.execute(_UNPRICED, [now - LOOK_BACK, _MOST_UNPRICED])
        denied = [Unpriced(*row) for row in cursor.fetchall()]
        cursor.execute("SELECT id, slug FROM policies_use_case")
        slugs = dict(cursor.fetchall())
    served = ledger.list_served_unpriced(ledger_id=ledger.COMPANY_LEDGER, since=now - LOOK_BACK)
    return denied + [
        Unpriced(slugs.get(use_case, ""), model, calls, served=calls)
        for use_case, model, calls in served[:_MOST_UNPRICED]
    ]


def leaked(*, past_s: int, now: datetime) -> Leaked:
    """What is held, or lent, more than so many seconds after its end?"""
    with connection.cursor() as cursor:
        cursor.execute(_LEAKED, {"before": now - timedelta(seconds=past_s)})
        return Leaked(*cursor.fetchone())


def _parents() -> dict[int, int | None]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT id, parent_id FROM policies_envelope")
        return dict(cursor.fetchall())


def _with_ancestors(
    own: Mapping[int, Nanos], parents: Mapping[int, int | None]
) -> Mapping[int, Nanos]:
    """What does each envelope have, itself and below?"""
    sums: Counter[int] = Counter()
    for envelope, nanos in own.items():
        at: int | None = envelope
        while at is not None:
            sums[at] += nanos
            at = parents.get(at)
    return sums


def _by_envelope(
    overruns: Mapping[tuple[int, datetime], Nanos], start: datetime
) -> Mapping[int, Nanos]:
    sums: Counter[int] = Counter()
    for (envelope, hour), nanos in overruns.items():
        if hour >= start:
            sums[envelope] += nanos
    return sums


def _overruns(since: datetime) -> dict[tuple[int, datetime], Nanos]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT envelope_id, hour, overrun_nanos FROM policies_overrun_hour"
            " WHERE hour >= %s",
            [since],
        )
        return {(row[0], row[1]): row[2] for row in cursor.fetchall()}
