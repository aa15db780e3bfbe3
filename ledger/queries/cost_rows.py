"""Which sealed entries after a position cost something or tell an outcome, and of which kind?

What fully loaded cost is counted from, in order of position: a counter reads on from where
it stopped and never reads an entry twice.
"""

import json
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

from django.db import connection

from ledger.core.allocation_mark import ALLOCATION, COMPONENT
from ledger.core.entry import (
    BASIS_MASK,
    FINISH_MASK,
    FINISH_SHIFT,
    PURPOSE_MASK,
    PURPOSE_SHIFT,
    Basis,
    Finish,
    Kind,
    Purpose,
)
from o10.kernel.money import Nanos

COSTING: Final = (
    Kind.SETTLE,
    Kind.OVERRUN,
    Kind.REVERSAL,
    Kind.ADJUST,
    Kind.USAGE,
    Kind.REVALUATION,
    Kind.COMMITMENT,
    Kind.RECONCILE,
)
_TELLING: Final = (Kind.SETTLE, Kind.USAGE)


@dataclass(frozen=True, slots=True, kw_only=True)
class CostRow:
    """What does one entry cost, for whom, and what was it for?

    Units: nanos; `day` in the ledger's zone. `stated` is the component its attribution set
    names, `allocation` whether it is a line of an allocation. `of_a_call` = it belongs to a
    model call (a reversal of one too). `outcome` what the router said beside it, or None.
    """

    seq: int
    uid: UUID
    kind: Kind
    use_case: int
    day: date
    at: datetime
    amount: Nanos
    calls: int
    tokens: int
    purpose: Purpose
    finish: Finish
    estimated: bool
    of_a_call: bool
    stated: str
    allocation: bool
    run: UUID
    reservation: UUID
    customer: str
    outcome: dict[str, Any] | None


def list_cost_rows(*, ledger_id: int, time_zone: str, after: int, upto: int) -> list[CostRow]:
    """Which entries of positions (after, upto] cost something? In order of position."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT s.seq, e.uid, e.kind, e.use_case_id,
                   (e.effective_at AT TIME ZONE %(zone)s)::date, e.effective_at,
                   e.amount_nanos, e.n,
                   e.tok_in + e.tok_cache_read + e.tok_cache_write + e.tok_cache_write_1h
                       + e.tok_out + e.tok_reasoning,
                   e.flags, e.n <> 0 OR e.model_id <> 0 OR e.offer_id <> 0,
                   r.body, e.parent, e.reservation,
                   CASE WHEN e.kind = ANY(%(telling)s) AND e.doc <> ''
                        THEN convert_from(d.body, 'UTF8') END
            FROM ledger_seal s
            JOIN ledger_entry e ON e.id = s.entry_id AND e.recorded_at = s.recorded_at
            LEFT JOIN ledger_registry r
                ON r.ledger_id = e.ledger_id AND r.domain = 'dims' AND r.number = e.dims_id
            LEFT JOIN ledger_document d ON d.hash = e.doc
            WHERE s.ledger_id = %(ledger)s AND s.seq > %(after)s AND s.seq <= %(upto)s
                AND e.kind = ANY(%(kinds)s)
            ORDER BY s.seq
            """,
            {
                "zone": time_zone,
                "ledger": ledger_id,
                "after": after,
                "upto": upto,
                "kinds": [int(kind) for kind in COSTING],
                "telling": [int(kind) for kind in _TELLING],
            },
        )
        return [_row(found) for found in cursor.fetchall()]


def _row(found: tuple[Any, ...]) -> CostRow:
    kind, flags = Kind(found[2]), found[9]
    said = _json(found[11])
    shared, stated = said.get(ALLOCATION, ""), said.get(COMPONENT, "")
    beside = _json(found[14]) if found[14] and '"outcome"' in found[14] else {}
    outcome = beside.get("outcome")
    return CostRow(
        seq=found[0],
        uid=found[1],
        kind=kind,
        use_case=found[3],
        day=found[4],
        at=found[5],
        amount=found[6],
        calls=found[7],
        tokens=int(found[8]),
        purpose=Purpose((flags & PURPOSE_MASK) >> PURPOSE_SHIFT),
        finish=Finish((flags & FINISH_MASK) >> FINISH_SHIFT),
        estimated=flags & BASIS_MASK == Basis.ESTIMATED,
        of_a_call=kind in (Kind.SETTLE, Kind.OVERRUN, Kind.USAGE)
        or (kind is Kind.REVERSAL and bool(found[10])),
        stated=str(shared or stated),
        allocation=bool(shared),
        run=found[12],
        reservation=found[13],
        customer=str(said.get("customer", "")),
        outcome=outcome if isinstance(outcome, dict) else None,
    )


def _json(value: Any) -> dict[str, Any]:
    if not value:
        return {}
    loaded = json.loads(value) if isinstance(value, str) else value
    return loaded if isinstance(loaded, dict) else {}
