"""How much money do holds keep now, and how much of it is overdue?"""

from dataclasses import dataclass
from datetime import datetime

from django.db import connection


@dataclass(frozen=True, slots=True)
class HoldFigures:
    """What do all reservations hold together?

    Units: nanos. `overdue_nanos` = of the held, past its time; `unsettled_nanos` = expired
    without an answer.
    """

    held_nanos: int
    overdue_nanos: int
    unsettled_nanos: int


def hold_figures(*, now: datetime) -> HoldFigures:
    """What do all reservations hold at this instant?"""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(sum(open_nanos) FILTER (WHERE state = 'open'), 0)::bigint,"
            " coalesce(sum(open_nanos) FILTER (WHERE state = 'open' AND expires_at < %s), 0)"
            "::bigint, coalesce(sum(open_nanos) FILTER (WHERE state = 'expired'), 0)::bigint"
            " FROM reservation WHERE state IN ('open', 'expired')",
            [now],
        )
        return HoldFigures(*cursor.fetchone())
