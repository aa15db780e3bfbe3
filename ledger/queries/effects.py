"""What do the entries themselves add up to, for those who keep balances of them?

One scan for many cells: this is how a cache of policies is compared with the truth.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import connection

from ledger.core.entry import ZERO_UUID, Flag, Kind

Cell = tuple[int, int, datetime, datetime]
"""number of the caller's choice, envelope_id, start and end (half-open) of effective_at."""


@dataclass(frozen=True, slots=True)
class Effects:
    """Sums of nanos: settled, held, unsettled, and the settled part nobody had guarded."""

    amount_nanos: int = 0
    held_nanos: int = 0
    unsettled_nanos: int = 0
    unguarded_nanos: int = 0


@dataclass(frozen=True, slots=True)
class HoldEffects:
    """What do the entries of one reservation add up to? Units: nanos.

    `held` and `unsettled` are those outside of any lease; `from_lease` is what its settles
    took out of the held money of a lease; `reserved` what its settles say was reserved.
    """

    amount_nanos: int = 0
    held_nanos: int = 0
    unsettled_nanos: int = 0
    from_lease_nanos: int = 0
    reserved_nanos: int = 0


@dataclass(frozen=True, slots=True)
class LeaseEffects:
    """What do the entries of one lease say became of its money? Units: nanos.

    `grants` is how many entries granted it: one.
    """

    grants: int = 0
    granted_nanos: int = 0
    returned_nanos: int = 0
    settled_nanos: int = 0
    expired_nanos: int = 0
    late_nanos: int = 0
    written_off_nanos: int = 0


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


def sum_effects_by_reservation(reservations: Sequence[UUID]) -> dict[UUID, HoldEffects]:
    """What do the entries of each reservation add up to? Those without entries are left out."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT e.reservation, sum(e.amount_nanos)::bigint,"
            " sum(e.held_nanos) FILTER (WHERE e.lease = %s)::bigint,"
            " sum(e.unsettled_nanos) FILTER (WHERE e.lease = %s)::bigint,"
            " -sum(e.held_nanos) FILTER (WHERE e.lease <> %s)::bigint,"
            " max(e.reserved_nanos) FILTER (WHERE e.kind = %s)::bigint"
            " FROM ledger_entry e"
            " WHERE e.reservation = ANY(%s::uuid[]) AND e.reservation <> %s"
            " GROUP BY e.reservation",
            [ZERO_UUID, ZERO_UUID, ZERO_UUID, int(Kind.SETTLE), list(reservations), ZERO_UUID],
        )
        return {
            reservation: HoldEffects(*(each or 0 for each in sums))
            for reservation, *sums in cursor.fetchall()
        }


def sum_effects_by_lease() -> dict[UUID, LeaseEffects]:
    """What do the entries of every lease say became of its money? One scan.

    A reversal that names a lease takes back a late settle or, without an amount, a write-off.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT e.lease,
                count(*) FILTER (WHERE e.kind = %(lease)s),
                coalesce(sum(e.held_nanos) FILTER (WHERE e.kind = %(lease)s), 0)::bigint,
                coalesce(-sum(e.held_nanos) FILTER (WHERE e.kind = %(return)s), 0)::bigint,
                coalesce(-sum(e.held_nanos)
                    FILTER (WHERE e.kind IN (%(settle)s, %(reversal)s)), 0)::bigint,
                coalesce(-sum(e.held_nanos) FILTER (WHERE e.kind = %(expire)s), 0)::bigint,
                coalesce(-sum(e.unsettled_nanos) FILTER (WHERE e.kind = %(settle)s
                    OR e.kind = %(reversal)s AND e.amount_nanos <> 0), 0)::bigint,
                coalesce(-sum(e.unsettled_nanos) FILTER (WHERE e.kind = %(write_off)s
                    OR e.kind = %(reversal)s AND e.amount_nanos = 0), 0)::bigint
            FROM ledger_entry e WHERE e.lease <> %(none)s GROUP BY e.lease
            """,
            {
                "lease": int(Kind.LEASE),
                "return": int(Kind.LEASE_RETURN),
                "settle": int(Kind.SETTLE),
                "reversal": int(Kind.REVERSAL),
                "expire": int(Kind.EXPIRE),
                "write_off": int(Kind.WRITE_OFF),
                "none": ZERO_UUID,
            },
        )
        return {lease: LeaseEffects(*sums) for lease, *sums in cursor.fetchall()}
