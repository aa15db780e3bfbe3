"""Which months are open, closing or closed, and what came in for a closed one since?"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.db import connection

from ledger.core.entry import Flag, Kind
from ledger.core.prior_period import Placement, month_bounds, place
from ledger.queries.ledgers import COMPANY_LEDGER, ledger_of_company
from ledger.queries.registry import meanings_of
from o10.kernel.errors import NotFound

_COLUMNS: Final = (
    "period, status, starts_at, ends_at, first_seq, last_seq, root, balances_root, closed_at"
)


@dataclass(frozen=True, slots=True)
class PeriodRow:
    """In which state is a month? Positions and roots are empty until it is closed."""

    period: str
    status: str
    starts_at: datetime
    ends_at: datetime
    first_seq: int
    last_seq: int
    root: bytes
    balances_root: bytes
    closed_at: datetime | None


@dataclass(frozen=True, slots=True)
class PeriodSums:
    """What do the entries of a month add up to, and how far are they sealed?

    Units: nanos. `newest` is the largest entry id, so that any later entry changes it.
    """

    entries: int
    amount_nanos: int
    held_nanos: int
    unsettled_nanos: int
    calls: int
    newest: int
    first_seq: int
    last_seq: int
    unsealed: int


@dataclass(frozen=True, slots=True)
class PriorLine:
    """Which entry of an open month is about a closed one? Nanos; `about_at` lies in that one.

    `venue` and `model` are slugs, empty where the entry has none.
    """

    uid: str
    seq: int | None
    kind: int
    recorded_at: datetime
    about_at: str
    venue: str
    model: str
    use_case_id: int
    amount_nanos: int


def find_period(period: str, *, ledger_id: int = COMPANY_LEDGER) -> PeriodRow | None:
    """Which row has this month? None while it was never touched: it is open then."""
    rows = _periods("period = %s", [period], ledger_id)
    return rows[0] if rows else None


def get_period(period: str) -> PeriodRow:
    """In which state is this month? One without a row is open.

    Raises: ValidationFailed (`validation_failed`) for what is no month.
    """
    ledger = ledger_of_company()
    starts, ends = month_bounds(period, time_zone=ledger.time_zone)
    return find_period(period) or PeriodRow(period, "open", starts, ends, 0, 0, b"", b"", None)


def list_periods(*, ledger_id: int = COMPANY_LEDGER) -> list[PeriodRow]:
    """Which months have a row? The newest first."""
    return _periods("true", [], ledger_id)


def closed_until(*, ledger_id: int = COMPANY_LEDGER) -> datetime | None:
    """Before which instant is everything closed? None before the first close."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT max(ends_at) FROM ledger_period WHERE ledger_id = %s AND status = 'closed'",
            [ledger_id],
        )
        row = cursor.fetchone()
    return row[0] if row else None


def placed(*, at: datetime, now: datetime) -> Placement:
    """When is a fact of this instant effective? Now, where its month is closed."""
    ledger = ledger_of_company()
    return place(at, closed_until=closed_until(), now=now, time_zone=ledger.time_zone)


def sum_period(
    *, starts_at: datetime, ends_at: datetime, ledger_id: int = COMPANY_LEDGER
) -> PeriodSums:
    """What do the entries effective in [starts_at, ends_at) add up to now?"""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT count(*), coalesce(sum(e.amount_nanos), 0)::bigint,
                   coalesce(sum(e.held_nanos), 0)::bigint,
                   coalesce(sum(e.unsettled_nanos), 0)::bigint,
                   coalesce(sum(e.n) FILTER (WHERE e.kind <> %(deny)s), 0)::bigint,
                   coalesce(max(e.id), 0), coalesce(min(s.seq), 0), coalesce(max(s.seq), 0),
                   count(*) FILTER (WHERE s.seq IS NULL)
            FROM ledger_entry e
            LEFT JOIN ledger_seal s ON s.entry_id = e.id AND s.ledger_id = e.ledger_id
            WHERE e.ledger_id = %(ledger)s AND e.effective_at >= %(start)s
              AND e.effective_at < %(end)s
              AND e.recorded_at >= %(start)s - interval '1 day'
            """,
            {
                "deny": int(Kind.DENY),
                "ledger": ledger_id,
                "start": starts_at,
                "end": ends_at,
            },
        )
        row = cursor.fetchone()
    if row is None:
        raise NotFound(kind="period", id="")
    return PeriodSums(*row)


def sum_rollups(
    *, starts_at: datetime, ends_at: datetime, ledger_id: int = COMPANY_LEDGER
) -> int:
    """What do the hours of these instants say was spent? Nanos; sealed entries alone."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(sum(amount_nanos), 0)::bigint FROM rollup_hour"
            " WHERE ledger_id = %s AND bucket >= %s AND bucket < %s",
            [ledger_id, starts_at, ends_at],
        )
        row = cursor.fetchone()
    return int(row[0])


def find_close(period: str, *, ledger_id: int = COMPANY_LEDGER) -> dict[str, Any] | None:
    """What says the entry that closed this month? None while it is not closed."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT d.body, s.seq, e.uid::text FROM ledger_entry e"
            " JOIN ledger_document d ON d.hash = e.doc"
            " LEFT JOIN ledger_seal s ON s.entry_id = e.id AND s.ledger_id = e.ledger_id"
            " JOIN ledger_period p ON p.ledger_id = e.ledger_id AND p.period = %s"
            " WHERE e.ledger_id = %s AND e.kind = %s AND p.status = 'closed'"
            " AND e.recorded_at = p.closed_at"
            " AND convert_from(d.body, 'UTF8')::jsonb ->> 'period' = %s",
            [period, ledger_id, int(Kind.PERIOD_CLOSE), period],
        )
        row = cursor.fetchone()
    if row is None:
        return None
    return {**json.loads(bytes(row[0])), "seq": row[1], "uid": row[2]}


def list_prior_lines(period: str, *, ledger_id: int = COMPANY_LEDGER) -> list[PriorLine]:
    """Which entries were booked later and are about this closed month? Oldest first."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT e.uid::text, s.seq, e.kind, e.recorded_at,
                   convert_from(d.body, 'UTF8')::jsonb #>> '{prior_period,at}',
                   e.venue_id, e.model_id, e.use_case_id, e.amount_nanos
            FROM ledger_entry e JOIN ledger_document d ON d.hash = e.doc
            LEFT JOIN ledger_seal s ON s.entry_id = e.id AND s.ledger_id = e.ledger_id
            WHERE e.ledger_id = %s AND e.flags & %s <> 0 AND e.doc <> ''
              AND e.recorded_at >= (SELECT coalesce(min(closed_at), 'infinity')
                                    FROM ledger_period WHERE ledger_id = %s AND period = %s)
              AND convert_from(d.body, 'UTF8')::jsonb #>> '{prior_period,period}' = %s
            ORDER BY e.xid, e.id
            """,
            [ledger_id, int(Flag.PRIOR_PERIOD), ledger_id, period, period],
        )
        found = cursor.fetchall()
    venues = _slugs("venue", {row[5] for row in found})
    models = _slugs("model", {row[6] for row in found})
    return [
        PriorLine(*row[:5], venues.get(row[5], ""), models.get(row[6], ""), *row[7:])
        for row in found
    ]


def _slugs(domain: str, numbers: set[int]) -> dict[int, str]:
    named = meanings_of(domain=domain, numbers=numbers - {0})
    return {number: str(body.get("slug", "")) for number, body in named.items()}


def _periods(where: str, values: Sequence[object], ledger_id: int) -> list[PeriodRow]:
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {_COLUMNS} FROM ledger_period WHERE ledger_id = %s AND {where}"
            " ORDER BY starts_at DESC",
            [ledger_id, *values],
        )
        found = cursor.fetchall()
    return [PeriodRow(*row[:6], bytes(row[6]), bytes(row[7]), row[8]) for row in found]
