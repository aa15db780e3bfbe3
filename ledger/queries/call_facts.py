"""What happened to calls in a stretch of time, cut into buckets of one width?

Read from entries, not from rollups: rules that stop spend ask right after it was booked, before
it is sealed. By use case and instant, which entries are indexed by; months outside of the
stretch are not looked at.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import connection

from ledger.core.entry import (
    BASIS_MASK,
    FINISH_MASK,
    FINISH_SHIFT,
    PURPOSE_MASK,
    PURPOSE_SHIFT,
    Basis,
    Finish,
    Flag,
    Kind,
    Purpose,
)
from o10.kernel.money import Nanos

_BILLED: Final = (int(Kind.SETTLE), int(Kind.USAGE))
_DIRECT: Final = (*_BILLED, int(Kind.OVERRUN))
_SPENT: Final = (*_DIRECT, int(Kind.REVERSAL))
_FAILED: Final = (int(Finish.ERROR), int(Finish.CANCELLED))
_FINISH: Final = f"((e.flags & {FINISH_MASK}) >> {FINISH_SHIFT})"
_PURPOSE: Final = f"((e.flags & {PURPOSE_MASK}) >> {PURPOSE_SHIFT})"
_TOKENS: Final = (
    "(e.tok_in + e.tok_cache_read + e.tok_cache_write + e.tok_cache_write_1h"
    " + e.tok_out + e.tok_reasoning)"
)
_WASTED: Final = f"({_FINISH} IN {_FAILED} OR {_PURPOSE} = {int(Purpose.HEDGE_LOSER)})"
_WIDTH: Final = "floor(extract(epoch FROM (e.effective_at - %(start)s)) / %(width)s)::int"
_WHERE: Final = """
    e.ledger_id = %(ledger)s AND e.effective_at >= %(start)s AND e.effective_at < %(end)s
    AND e.recorded_at >= %(start)s
"""


@dataclass(frozen=True, slots=True)
class CallFacts:
    """What was spent and what became of the calls of one bucket?

    Units: nanos; tokens. `number` counts buckets from the start. `waste` is the cost of billed
    attempts that failed, were cancelled or lost a race; `actual` and `reserved` are those of
    calls that held money; `differs` counts calls served by another model than decided;
    `unsettled` is by how much the money rose that may be spent and nobody settled.
    `latencies` in milliseconds, only where they were asked for.
    """

    number: int
    spent: Nanos
    direct: Nanos
    waste: Nanos
    calls: int
    failed: int
    reserved: Nanos
    actual: Nanos
    reserved_calls: int
    tokens: int
    tokens_priced: int
    differs: int
    unguarded: Nanos
    unsettled: Nanos
    latencies: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What did one model serve in one bucket? Nanos, tokens, calls."""

    number: int
    model_id: int
    direct: Nanos
    tokens: int
    calls: int


def list_call_facts(
    *,
    ledger_id: int,
    start: datetime,
    end: datetime,
    width: timedelta,
    use_case_ids: Sequence[int] | None,
    latencies: int = 0,
) -> list[CallFacts]:
    """What happened in [start, end), bucket by bucket? Empty buckets are left out.

    `use_case_ids` None = of the whole company. `latencies` 1 = with every latency.
    """
    times = "'{}'::int[]"
    if latencies:
        times = (
            "coalesce(array_agg(e.latency_ms) FILTER (WHERE e.latency_ms > 0"
            f" AND e.kind IN {_BILLED}), '{{}}')"
        )
    query = f"""
        SELECT {_WIDTH} AS bucket,
            coalesce(sum(e.amount_nanos) FILTER (WHERE e.kind IN {_SPENT}), 0)::bigint,
            coalesce(sum(e.amount_nanos) FILTER (WHERE e.kind IN {_DIRECT}), 0)::bigint,
            coalesce(sum(e.amount_nanos)
                     FILTER (WHERE e.kind IN {_DIRECT} AND {_WASTED}), 0)::bigint,
            coalesce(sum(e.n) FILTER (WHERE e.kind IN {_BILLED}), 0)::bigint,
            coalesce(sum(e.n) FILTER (WHERE e.kind IN {_BILLED}
                                      AND {_FINISH} IN {_FAILED}), 0)::bigint,
            coalesce(sum(e.reserved_nanos) FILTER (WHERE e.kind = {int(Kind.SETTLE)}),
                     0)::bigint,
            coalesce(sum(e.amount_nanos) FILTER (WHERE e.kind IN ({int(Kind.SETTLE)},
                     {int(Kind.OVERRUN)})), 0)::bigint,
            count(*) FILTER (WHERE e.kind = {int(Kind.SETTLE)} AND e.reserved_nanos > 0),
            coalesce(sum({_TOKENS}) FILTER (WHERE e.kind IN {_BILLED}), 0)::bigint,
            coalesce(sum({_TOKENS}) FILTER (WHERE e.kind IN {_BILLED} AND e.price_version > 0
                     AND (e.flags & {BASIS_MASK}) <> {int(Basis.ESTIMATED)}), 0)::bigint,
            coalesce(sum(e.n) FILTER (WHERE e.kind IN {_BILLED}
                     AND e.flags & {int(Flag.MODEL_SERVED_DIFFERS)} <> 0), 0)::bigint,
            coalesce(sum(e.amount_nanos) FILTER (WHERE e.kind IN {_DIRECT}
                     AND e.flags & {int(Flag.UNGUARDED)} <> 0), 0)::bigint,
            coalesce(sum(e.unsettled_nanos), 0)::bigint,
            {times}
        FROM ledger_entry e WHERE {_WHERE} {_scope(use_case_ids)}
        GROUP BY 1 ORDER BY 1
    """
    rows = _rows(query, ledger_id, start, end, width, use_case_ids)
    return [CallFacts(*row) for row in rows]


def list_model_facts(
    *,
    ledger_id: int,
    start: datetime,
    end: datetime,
    width: timedelta,
    use_case_ids: Sequence[int] | None,
) -> list[ModelFacts]:
    """What did each model serve in [start, end), bucket by bucket?"""
    query = f"""
        SELECT {_WIDTH} AS bucket, e.model_id, sum(e.amount_nanos)::bigint,
            sum({_TOKENS})::bigint, sum(e.n)::bigint
        FROM ledger_entry e
        WHERE {_WHERE} {_scope(use_case_ids)} AND e.kind IN {_BILLED}
        GROUP BY 1, 2 ORDER BY 1, 2
    """
    return [
        ModelFacts(*row) for row in _rows(query, ledger_id, start, end, width, use_case_ids)
    ]


def list_task_facts(
    *,
    ledger_id: int,
    start: datetime,
    end: datetime,
    width: timedelta,
    use_case_ids: Sequence[int] | None,
    task_type: str,
) -> list[ModelFacts]:
    """What did each model serve of one type of task in [start, end), bucket by bucket?"""
    query = f"""
        SELECT {_WIDTH} AS bucket, e.model_id, sum(e.amount_nanos)::bigint,
            sum({_TOKENS})::bigint, sum(e.n)::bigint
        FROM ledger_entry e
        WHERE {_WHERE} {_scope(use_case_ids)} AND e.kind IN {_DIRECT} AND e.dims_id IN (
            SELECT number FROM ledger_registry WHERE ledger_id = %(ledger)s
                AND domain = 'dims' AND body ->> 'task_type' = %(task_type)s)
        GROUP BY 1, 2 ORDER BY 1, 2
    """
    rows = _rows(query, ledger_id, start, end, width, use_case_ids, task_type=task_type)
    return [ModelFacts(*row) for row in rows]


def list_served_unpriced(*, ledger_id: int, since: datetime) -> list[tuple[int, str, int]]:
    """Which models served calls lately whose usage is known and whose price is not?

    Use case, model, calls; such calls are booked at their worst case. By time of recording.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT e.use_case_id, convert_from(d.body, 'UTF8')::jsonb ->> 'model', sum(e.n)
            FROM ledger_entry e JOIN ledger_document d ON d.hash = e.doc
            WHERE e.ledger_id = %s AND e.recorded_at >= %s AND e.kind IN {_BILLED}
                AND (e.flags & {BASIS_MASK}) = {int(Basis.ESTIMATED)} AND {_TOKENS} > 0
                AND e.flags & {int(Flag.MODEL_SERVED_DIFFERS)} <> 0
            GROUP BY 1, 2 ORDER BY 1, 2
            """,
            [ledger_id, since],
        )
        return [(case, str(model), int(calls)) for case, model, calls in cursor if model]


def list_spenders(*, ledger_id: int, after_id: int, since: datetime) -> tuple[int, list[int]]:
    """Which use cases have entries of spend, or denials, after this one? With the newest id.

    `since` bounds the look by the time of recording: one that committed late is seen as long
    as it is that young.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT coalesce(max(id), %s), coalesce(array_agg(DISTINCT use_case_id), '{{}}')
            FROM ledger_entry
            WHERE recorded_at >= %s AND ledger_id = %s AND id > %s
              AND kind IN ({", ".join(str(kind) for kind in (*_SPENT, int(Kind.DENY)))})
            """,
            [after_id, since, ledger_id, after_id],
        )
        newest, use_cases = cursor.fetchone()
    return int(newest), list(use_cases)


def _scope(use_case_ids: Sequence[int] | None) -> str:
    return "" if use_case_ids is None else "AND e.use_case_id = ANY(%(use_cases)s)"


def _rows(
    query: str,
    ledger_id: int,
    start: datetime,
    end: datetime,
    width: timedelta,
    use_case_ids: Sequence[int] | None,
    **more: Any,
) -> list[Any]:
    values = {
        **more,
        "ledger": ledger_id,
        "start": start,
        "end": end,
        "width": width.total_seconds(),
        "use_cases": list(use_case_ids or ()),
    }
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        return list(cursor.fetchall())
