"""What does a month consist of, and how do many months stand at a glance?

The parts of one month come from its entries and add up to its sum to the nano. The list of
months reads day cells, which the sealer writes in the commit of the seal; days of cells are
those of the ledger's zone, and so are months.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Final

from django.db import connection

from ledger.core.allocation_mark import ALLOCATED, allocation_meaning
from ledger.core.document import canonical_json, document_hash
from ledger.core.entry import Flag, Kind
from ledger.queries.ledgers import COMPANY_LEDGER
from o10.kernel.money import Nanos


class Part(StrEnum):
    """Which kind of fact is it?"""

    CALLS = "calls"
    COMMITMENTS = "commitments"
    DIFFERENCES = "differences"
    ACCRUALS = "accruals"
    SHARED = "shared"
    REVALUED = "revalued"
    REVERSED = "reversed"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class PeriodPart:
    """How much of a month is of one kind, in how many entries? Nanos."""

    part: Part
    amount_nanos: Nanos
    entries: int


_PARTS: Final[Mapping[Kind, Part]] = {
    Kind.SETTLE: Part.CALLS,
    Kind.OVERRUN: Part.CALLS,
    Kind.USAGE: Part.CALLS,
    Kind.COMMITMENT: Part.COMMITMENTS,
    Kind.RECONCILE: Part.DIFFERENCES,
    Kind.REVALUATION: Part.REVALUED,
    Kind.REVERSAL: Part.REVERSED,
}
_SHARED: Final = [document_hash(canonical_json(allocation_meaning(each))) for each in ALLOCATED]


def list_period_parts(
    *, starts_at: datetime, ends_at: datetime, ledger_id: int = COMPANY_LEDGER
) -> list[PeriodPart]:
    """What do the entries effective in [starts_at, ends_at) consist of? The largest first."""
    cases = " ".join(f"WHEN {int(kind)} THEN '{part}'" for kind, part in _PARTS.items())
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT CASE WHEN e.kind <> %(adjust)s THEN CASE e.kind {cases} ELSE 'other' END
                        WHEN e.dims_id = ANY(ARRAY(SELECT number FROM ledger_registry
                             WHERE ledger_id = %(ledger)s AND domain = 'dims'
                             AND body_hash = ANY(%(shared)s))) THEN 'shared'
                        WHEN e.uid IN (SELECT uid FROM ledger_accrual
                             UNION ALL SELECT back_uid FROM ledger_accrual) THEN 'accruals'
                        ELSE 'other' END,
                   sum(e.amount_nanos)::bigint, count(*)
            FROM ledger_entry e
            WHERE e.ledger_id = %(ledger)s AND e.effective_at >= %(start)s
              AND e.effective_at < %(end)s AND e.amount_nanos <> 0
              AND e.recorded_at >= %(start)s::timestamptz - interval '1 day'
            GROUP BY 1
            """,
            {
                "adjust": int(Kind.ADJUST),
                "ledger": ledger_id,
                "shared": _SHARED,
                "start": starts_at,
                "end": ends_at,
            },
        )
        rows = [PeriodPart(Part(row[0]), row[1], row[2]) for row in cursor.fetchall()]
    return sorted(rows, key=lambda row: (-abs(row.amount_nanos), row.part))


def sum_months(*, since: date, ledger_id: int = COMPANY_LEDGER) -> dict[str, Nanos]:
    """What was booked in each month from this day on? By sealed entries."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT to_char(bucket, 'YYYY-MM'), sum(amount_nanos)::bigint FROM rollup_day"
            " WHERE ledger_id = %s AND bucket >= %s GROUP BY 1",
            [ledger_id, since],
        )
        return dict(cursor.fetchall())


def sum_prior_lines(*, ledger_id: int = COMPANY_LEDGER) -> dict[str, tuple[Nanos, int]]:
    """What came in later for each closed month: nanos, and the number of entries?"""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT convert_from(d.body, 'UTF8')::jsonb #>> '{prior_period,period}',
                   sum(e.amount_nanos)::bigint, count(*)
            FROM ledger_entry e JOIN ledger_document d ON d.hash = e.doc
            WHERE e.ledger_id = %s AND e.flags & %s <> 0 AND e.doc <> ''
              AND e.recorded_at >= (SELECT coalesce(min(closed_at), 'infinity')
                                    FROM ledger_period WHERE ledger_id = %s)
            GROUP BY 1
            """,
            [ledger_id, int(Flag.PRIOR_PERIOD), ledger_id],
        )
        return {period: (amount, count) for period, amount, count in cursor.fetchall()}
