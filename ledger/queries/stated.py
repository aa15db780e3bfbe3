"""What do entries state that is more than a sum: the cap of a period, the amount of a hold?

For those who keep caches of it and want to prove them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import connection

from ledger.core.entry import Kind
from ledger.queries.ledgers import COMPANY_LEDGER


@dataclass(frozen=True, slots=True)
class StatedCap:
    """What was last stated of one envelope's period?

    Units: nanos; `cap` and `limit` None = nothing is enforced there; `end` is excluded.
    """

    cap: int | None
    limit: int | None
    end: datetime


def stated_caps(*, ledger_id: int = COMPANY_LEDGER) -> dict[tuple[int, datetime], StatedCap]:
    """Which cap was stated last, by envelope number and start of the period?

    The order is that of `env_version`, in which changes of one tree happened.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT DISTINCT ON (envelope, starts) envelope, starts,
                   (body ->> 'cap_nanos')::bigint, (body ->> 'limit_nanos')::bigint,
                   (body -> 'period' ->> 'end')::timestamptz
            FROM (
                SELECT e.envelope_id AS envelope, e.env_version, e.id,
                       convert_from(d.body, 'UTF8')::jsonb AS body,
                       (convert_from(d.body, 'UTF8')::jsonb -> 'period' ->> 'start')
                           ::timestamptz AS starts
                FROM ledger_entry e JOIN ledger_document d ON d.hash = e.doc
                WHERE e.ledger_id = %s AND e.kind = %s) AS changes
            ORDER BY envelope, starts, env_version DESC, id DESC
            """,
            [ledger_id, int(Kind.ENVELOPE_CHANGE)],
        )
        return {
            (envelope, starts): StatedCap(cap, limit, end)
            for envelope, starts, cap, limit, end in cursor.fetchall()
        }


def sum_taken_by_reservation(reservations: Sequence[UUID]) -> dict[UUID, int]:
    """How many nanos were ever taken for each of these reservations, extends included?"""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT reservation, sum(held_nanos)::bigint FROM ledger_entry"
            " WHERE reservation = ANY(%s::uuid[]) AND kind = %s"
            " AND reservation <> '00000000-0000-0000-0000-000000000000'"
            " GROUP BY reservation",
            [list(reservations), int(Kind.RESERVE)],
        )
        return dict(cursor.fetchall())
