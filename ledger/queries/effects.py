"""What do the entries themselves add up to, for those who keep balances of them?

One scan for many cells: this is how a cache of policies is compared with the truth.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import connection

from ledger.core.entry import Flag

Cell = tuple[int, int, datetime, datetime]
"""number of the caller's choice, envelope_id, start and end (half-open) of effective_at."""


@dataclass(frozen=True, slots=True)
class Effects:
    """Sums of nanos: settled, held, unsettled, and the settled part nobody had guarded."""

    amount_nanos: int = 0
    held_nanos: int = 0
    unsettled_nanos: int = 0
    unguarded_nanos: int = 0


_SUMS = (
    "coalesce(sum(e.amount_nanos), 0)::bigint, coalesce(sum(e.held_nanos), 0)::bigint,"
    " coalesce(sum(e.unsettled_nanos), 0)::bigint,"
    f" coalesce(sum(e.amount_nanos) FILTER (WHERE e.flags & {int(Flag.UNGUARDED)} <> 0), 0)"
    "::bigint"
)


def sum_effects(cells: Sequence[Cell]) -> dict[int, Effects]:
    """What do the entries of each cell add up to? Cells of the same number are added up.

    Cells may overlap; every number asked for is in the answer.
    """
    totals = {number: Effects() for number, _, _, _ in cells}
    if not cells:
        return totals
    numbers, envelopes, starts, ends = zip(*cells, strict=True)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT c.number, {_SUMS} FROM unnest(%s::bigint[], %s::integer[],"
            " %s::timestamptz[], %s::timestamptz[]) AS c (number, envelope_id, starts, ends)"
            " JOIN ledger_entry e ON e.envelope_id = c.envelope_id"
            " AND e.effective_at >= c.starts AND e.effective_at < c.ends GROUP BY c.number",
            [list(numbers), list(envelopes), list(starts), list(ends)],
        )
        for number, *sums in cursor.fetchall():
            totals[number] = Effects(*sums)
    return totals


def sum_effects_by_reservation(reservations: Sequence[UUID]) -> dict[UUID, Effects]:
    """What do the entries of each reservation add up to? Those without entries are left out."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT e.reservation, {_SUMS} FROM ledger_entry e"
            " WHERE e.reservation = ANY(%s::uuid[])"
            " AND e.reservation <> '00000000-0000-0000-0000-000000000000'"
            " GROUP BY e.reservation",
            [list(reservations)],
        )
        return {reservation: Effects(*sums) for reservation, *sums in cursor.fetchall()}
