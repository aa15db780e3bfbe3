"""How much of an envelope's money do open calls hold, and how much is out on lease?

The balance says what is lent in all. Its holds are the open reservations, inside leases (as far
as the books know of them) and outside; out on lease is what leases have not yet spent or
returned, held by a call or still free in the hands of a process.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import connection

from o10.kernel.money import Nanos

FEW = 100
"""Up to so many envelopes each row is asked whether it touches one; above, all are added up."""

SUMS = """
SELECT cell.envelope_id, cell.period_start, sum(o.held)::bigint, sum(o.out)::bigint
FROM (
    SELECT path_ids, path_periods, open_nanos AS held, 0 AS out
    FROM reservation WHERE state = 'open' AND held AND lease IS NULL {touches}
    UNION ALL
    SELECT path_ids, path_periods, open_nanos,
           granted_nanos - returned_nanos - settled_nanos - expired_nanos
    FROM lease WHERE state <> 'closed' {touches}) AS o,
    unnest(o.path_ids, o.path_periods) AS cell (envelope_id, period_start)
JOIN unnest(%s::int[], %s::timestamptz[]) AS asked (envelope_id, period_start)
  USING (envelope_id, period_start)
GROUP BY 1, 2
"""
TOUCHES = "AND path_ids && %s::int[]"

Cell = tuple[int, datetime]


@dataclass(frozen=True, slots=True)
class LentFigures:
    """What of the lent money of one envelope and period is where? Units: nanos.

    `held` by open calls; `out` on lease, not yet spent or returned.
    """

    held: Nanos = 0
    out: Nanos = 0


NOTHING_LENT = LentFigures()


def lent_figures(cells: Sequence[Cell]) -> dict[Cell, LentFigures]:
    """What is held and out in each of these envelopes and periods? Empty ones are left out."""
    if not cells:
        return {}
    envelopes = [each[0] for each in cells]
    few = len(envelopes) <= FEW
    touching: list[object] = [envelopes, envelopes] if few else []
    statement = SUMS.format(touches=TOUCHES if few else "")
    ids = f"{{{','.join(map(str, envelopes))}}}"
    starts = ",".join(f'"{each[1].isoformat()}"' for each in cells)
    with connection.cursor() as cursor:
        cursor.execute(statement, [*touching, ids, f"{{{starts}}}"])
        return {(row[0], row[1]): LentFigures(row[2], row[3]) for row in cursor.fetchall()}
