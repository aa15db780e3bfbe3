"""How do sealed entries get into the sums that fully loaded cost is read from?

A counter reads on from the position it reached, adds what it finds to cells and runs, writes
down outcomes that a router told beside a settle, and moves its position in one transaction.
It may be killed at any time and run twice at once: the second waits and finds nothing to do.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final
from uuid import UUID

from django.db import connection, transaction

from ledger import facade as ledger
from o10.kernel import ids
from policies import facade as policies
from reports.core.cost_components import component_of
from reports.models import CostCount
from reports.operations.record_outcomes import Told, keep_told

BATCH: Final = 10_000
_ZERO: Final = ledger.ZERO_UUID
Cell = tuple[int, date, str]
Run = tuple[int, UUID, date]


def count_costs(*, now: datetime, batches: int = 50) -> int:
    """Up to which position are costs counted now? At most so many batches at once.

    Locks: the row of the position, until each batch is committed.
    """
    company = ledger.ledger_of_company()
    head = ledger.position_of(ledger_id=company.id).seq
    reached = 0
    for _ in range(batches):
        with transaction.atomic():
            reached = _one_batch(company, head=head, now=now)
        if reached >= head:
            break
    return reached


@dataclass(frozen=True, slots=True)
class Recounted:
    """Up to which position was counted anew, and which components had other sums before?"""

    seq: int
    changed: tuple[str, ...]


def recount_costs(*, now: datetime) -> Recounted:
    """What do all entries add up to, from the first on? Rebuilds the caches.

    What was counted before is counted up to the head first, so that both say the same.
    Locks: as `count_costs`; pages show less until it is through.
    """
    count_costs(now=now, batches=1_000_000)
    before = _sums()
    with transaction.atomic():
        _lock(ledger.COMPANY_LEDGER)
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM reports_cost_cell")
            cursor.execute("DELETE FROM reports_run_cost")
            cursor.execute("UPDATE reports_cost_count SET seq = 0")
    reached = count_costs(now=now, batches=1_000_000)
    after = _sums()
    differing = {
        key for key in before.keys() | after.keys() if before.get(key) != after.get(key)
    }
    return Recounted(reached, tuple(sorted(differing)))


def _sums() -> dict[str, tuple[int, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT component, sum(amount_nanos)::bigint, sum(calls)::bigint,"
            " sum(tokens)::bigint FROM reports_cost_cell GROUP BY 1"
        )
        return {row[0]: tuple(row[1:]) for row in cursor.fetchall()}


def _one_batch(company: ledger.LedgerRow, *, head: int, now: datetime) -> int:
    after = _lock(company.id)
    upto = min(head, after + BATCH)
    if upto <= after:
        return after
    rows = ledger.list_cost_rows(
        ledger_id=company.id, time_zone=company.time_zone, after=after, upto=upto
    )
    runs = policies.runs_of_reservations(
        reservations={
            row.reservation for row in rows if row.run == _ZERO and row.reservation != _ZERO
        }
    )
    _add_cells(rows)
    _add_runs(rows, runs)
    keep_told(told=_told(rows, runs), now=now)
    CostCount.objects.filter(ledger_id=company.id).update(seq=upto)
    return upto


def _lock(ledger_id: int) -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO reports_cost_count (ledger_id, seq) VALUES (%s, 0)"
            " ON CONFLICT DO NOTHING",
            [ledger_id],
        )
        cursor.execute(
            "SELECT seq FROM reports_cost_count WHERE ledger_id = %s FOR UPDATE", [ledger_id]
        )
        return int(cursor.fetchone()[0])


def cell_of(row: ledger.CostRow) -> Cell:
    """Which cell does this entry belong to: use case, day, component?"""
    component = component_of(
        kind=row.kind.name.lower(),
        of_a_call=row.of_a_call,
        purpose=row.purpose.name.lower(),
        finish=row.finish.name.lower(),
        stated=row.stated,
    )
    return row.use_case, row.day, component.value


def _add_cells(rows: Iterable[ledger.CostRow]) -> None:
    sums: dict[Cell, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for row in rows:
        whole = sums[cell_of(row)]
        whole[0] += row.amount
        # Denials have no amount and an overrun no call of its own: n is 0 there.
        whole[1] += row.calls
        whole[2] += row.calls if row.estimated else 0
        whole[3] += row.tokens
    if not sums:
        return
    order = sorted(sums)
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO reports_cost_cell AS kept (use_case, day, component, amount_nanos,
                calls, calls_estimated, tokens)
            SELECT * FROM unnest(%s::int[], %s::date[], %s::text[], %s::bigint[],
                %s::bigint[], %s::bigint[], %s::bigint[])
            ON CONFLICT (use_case, day, component) DO UPDATE SET
                amount_nanos = kept.amount_nanos + excluded.amount_nanos,
                calls = kept.calls + excluded.calls,
                calls_estimated = kept.calls_estimated + excluded.calls_estimated,
                tokens = kept.tokens + excluded.tokens
            """,
            [
                *(list(each) for each in zip(*order, strict=True)),
                *(list(each) for each in zip(*(sums[key] for key in order), strict=True)),
            ],
        )


def _add_runs(rows: Iterable[ledger.CostRow], runs: dict[UUID, str]) -> None:
    sums: dict[Run, list[int]] = defaultdict(lambda: [0, 0])
    customers: dict[Run, UUID] = {}
    for row in rows:
        if not row.of_a_call:
            continue
        run = _run_of(row, runs)
        if run == _ZERO:
            continue
        key = (row.use_case, run, row.day)
        sums[key][0] += row.amount
        sums[key][1] += row.calls
        customers[key] = customer_uid(row.customer)
    if not sums:
        return
    order = sorted(sums)
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO reports_run_cost AS kept (use_case, run, day, customer, amount_nanos,
                calls)
            SELECT * FROM unnest(%s::int[], %s::uuid[], %s::date[], %s::uuid[], %s::bigint[],
                %s::bigint[])
            ON CONFLICT (use_case, run, day) DO UPDATE SET
                amount_nanos = kept.amount_nanos + excluded.amount_nanos,
                calls = kept.calls + excluded.calls
            """,
            [
                *(list(each) for each in zip(*order, strict=True)),
                [customers[key] for key in order],
                *(list(each) for each in zip(*(sums[key] for key in order), strict=True)),
            ],
        )


def _run_of(row: ledger.CostRow, runs: dict[UUID, str]) -> UUID:
    """The run; for calls of none the customer's day; for one that tells its outcome itself."""
    if row.run != _ZERO:
        return row.run
    named = runs.get(row.reservation, "")
    if named:
        return run_uid(named)
    if row.customer:
        return ids.uid(scope="customer_day", key=f"{row.customer}\n{row.day}", origin_ms=0)
    if row.outcome is not None:
        return row.reservation if row.reservation != _ZERO else row.uid
    return _ZERO


def _told(rows: Sequence[ledger.CostRow], runs: dict[UUID, str]) -> list[Told]:
    found = []
    for row in rows:
        said = row.outcome
        if said is None or row.use_case == 0:
            continue
        found.append(
            Told(
                use_case=row.use_case,
                kind=str(said.get("type", ""))[:64],
                name=str(said.get("id", ""))[:128],
                success=bool(said.get("success")),
                at=row.at,
                run=_run_of(row, runs),
                source="usage" if row.kind is ledger.Kind.USAGE else "settle",
            )
        )
    return found


def run_uid(name: str) -> UUID:
    """Which uid has a run of this name? The same that entries carry."""
    return ids.uid(scope="run", key=name, origin_ms=0)


def customer_uid(name: str) -> UUID:
    """Which uid has a customer of this name? The zero uuid for none."""
    return ids.uid(scope="customer", key=name, origin_ms=0) if name else _ZERO
