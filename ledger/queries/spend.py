"""How much was spent, by whom, when and on what, as known at one position?

Live sums come from `rollup_day`, which the sealer writes in the commit of the seal, so they
belong to a known position. Sums as known at an earlier position are the same cells minus the
entries sealed after it: exact, and cheap where a link was copied lately.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Final

from django.db import connection

from ledger.core.allocation_mark import ALLOCATED, allocation_meaning
from ledger.core.document import canonical_json, document_hash
from ledger.core.rollup import CLASS_OF_KIND, KindClass
from o10.kernel.errors import FieldError, ValidationFailed
from o10.kernel.money import Nanos


class SpendKey(StrEnum):
    """By what is spend grouped?"""

    DAY = "day"
    MONTH = "month"
    USE_CASE = "use_case"
    ENVELOPE = "envelope"
    VENUE = "venue"
    MODEL = "model"


@dataclass(frozen=True, slots=True)
class Position:
    """Up to which entry is a figure computed, and when was that entry recorded?

    `seq` 0 = the ledger is empty; `at` is None then.
    """

    seq: int
    at: datetime | None


@dataclass(frozen=True, slots=True)
class SpendRow:
    """What did one group spend?

    Units: nanos of the ledger's currency; tokens. `keys` in the order asked for: a date for a
    day or month (its first day), else the number that entries carry. `calls` counts calls that
    were served or reported, `denials` calls that were not.
    """

    keys: tuple[date | int, ...]
    spent: Nanos
    calls: int
    denials: int
    tok_in: int
    tok_cache_read: int
    tok_cache_write: int
    tok_out: int
    tok_reasoning: int

    @property
    def tokens(self) -> int:
        """How many tokens of all classes?"""
        read = self.tok_in + self.tok_cache_read + self.tok_cache_write
        return read + self.tok_out + self.tok_reasoning


_FROM_CELL: Final = {
    SpendKey.DAY: "bucket",
    SpendKey.MONTH: "date_trunc('month', bucket::timestamp)::date",
    SpendKey.USE_CASE: "use_case_id",
    SpendKey.ENVELOPE: "envelope_id",
    SpendKey.VENUE: "venue_id",
    SpendKey.MODEL: "model_id",
}
_AMOUNTS: Final = (
    "amount_nanos",
    "n",
    "tok_in",
    "tok_cache_read",
    "tok_cache_write",
    "tok_cache_write_1h",
    "tok_out",
    "tok_reasoning",
)
_CELL: Final = "bucket, use_case_id, envelope_id, venue_id, model_id, kind_class"
_SHARED: Final = [document_hash(canonical_json(allocation_meaning(each))) for each in ALLOCATED]
_NO_ALLOCATION: Final = """AND dims_id <> ALL(ARRAY(
    SELECT number FROM ledger_registry
    WHERE ledger_id = %(ledger)s AND domain = 'dims' AND body_hash = ANY(%(shared)s)))"""
_DENIED: Final = int(KindClass.DENIAL)
_CLASSES: Final = (
    "CASE e.kind "
    + " ".join(f"WHEN {int(kind)} THEN {int(of)}" for kind, of in CLASS_OF_KIND.items())
    + " END"
)


def position_of(*, ledger_id: int, as_of: int | None = None) -> Position:
    """Which position is this, and when was its entry recorded? None asks for the newest.

    Raises: ValidationFailed (`validation_failed`) for a position the ledger hasn't reached.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT seq FROM ledger_seal_state WHERE ledger_id = %s", [ledger_id])
        row = cursor.fetchone()
        newest = int(row[0]) if row else 0
        seq = newest if as_of is None else as_of
        if not 0 <= seq <= newest:
            raise _out_of_reach(newest)
        cursor.execute(
            "SELECT recorded_at FROM ledger_seal WHERE ledger_id = %s AND seq = %s",
            [ledger_id, seq],
        )
        found = cursor.fetchone()
    return Position(seq, found[0] if found else None)


def sum_spend(
    *,
    ledger_id: int,
    time_zone: str,
    by: Sequence[SpendKey],
    start: date,
    end: date,
    as_of: int,
    use_case_ids: Sequence[int] | None = None,
    envelope_ids: Sequence[int] | None = None,
    with_allocations: bool = False,
) -> list[SpendRow]:
    """What was spent on days [start, end) of the ledger's zone, as known at `as_of`?

    `with_allocations` adds the lines that share out what the company pays beside inference:
    they belong to fully loaded cost, not to Spent.

    Shape: one row for each group that has a spend, a call or a denial, ordered by its keys.
    One statement, so that cells and seal belong together even while the sealer runs.
    """
    keys = ", ".join(f"{_FROM_CELL[key]} AS key_{index}" for index, key in enumerate(by))
    groups = ", ".join(str(index + 1) for index in range(len(by)))
    served = f"FILTER (WHERE kind_class <> {_DENIED})"
    scope = "" if use_case_ids is None else "AND use_case_id = ANY(%(use_cases)s)"
    scope += "" if envelope_ids is None else " AND envelope_id = ANY(%(envelopes)s)"
    scope += "" if with_allocations else _NO_ALLOCATION
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            WITH cells AS ({_cells(scope)})
            SELECT {keys}{", " if keys else ""}
                   coalesce(sum(amount_nanos), 0)::bigint,
                   coalesce(sum(n) {served}, 0)::bigint,
                   coalesce(sum(n) FILTER (WHERE kind_class = {_DENIED}), 0)::bigint,
                   coalesce(sum(tok_in), 0)::bigint,
                   coalesce(sum(tok_cache_read), 0)::bigint,
                   coalesce(sum(tok_cache_write + tok_cache_write_1h), 0)::bigint,
                   coalesce(sum(tok_out), 0)::bigint,
                   coalesce(sum(tok_reasoning), 0)::bigint
            FROM cells
            {f"GROUP BY {groups}" if by else ""}
            HAVING bool_or(amount_nanos <> 0 OR n <> 0)
            {f"ORDER BY {groups}" if by else ""}
            """,
            {
                "ledger": ledger_id,
                "zone": time_zone,
                "start": start,
                "end": end,
                "as_of": as_of,
                "use_cases": list(use_case_ids or ()),
                "envelopes": list(envelope_ids or ()),
                "shared": _SHARED,
            },
        )
        found = cursor.fetchall()
    width = len(by)
    return [SpendRow(tuple(row[:width]), *row[width:]) for row in found]


def _cells(scope: str) -> str:
    """All day cells, and the entries after the position taken back out of them."""
    taken_back = ", ".join(f"-e.{name}" for name in _AMOUNTS)
    return f"""
        SELECT {_CELL}, {", ".join(_AMOUNTS)}, dims_id FROM rollup_day
        WHERE ledger_id = %(ledger)s AND bucket >= %(start)s AND bucket < %(end)s {scope}
        UNION ALL
        SELECT * FROM (
            SELECT (e.effective_at AT TIME ZONE %(zone)s)::date AS bucket, e.use_case_id,
                   e.envelope_id, e.venue_id, e.model_id, {_CLASSES} AS kind_class,
                   {taken_back}, e.dims_id
            FROM ledger_seal s
            JOIN ledger_entry e ON e.id = s.entry_id AND e.recorded_at = s.recorded_at
            WHERE s.ledger_id = %(ledger)s AND s.seq > %(as_of)s AND s.seq <= (
                SELECT seq FROM ledger_seal_state WHERE ledger_id = %(ledger)s)
        ) later
        WHERE bucket >= %(start)s AND bucket < %(end)s {scope}
    """


def _out_of_reach(newest: int) -> ValidationFailed:
    message = f"The ledger has entries 1 to {newest:,}." if newest else "The ledger is empty."
    return ValidationFailed(errors=[FieldError("/as_of", "out_of_reach", message)])
