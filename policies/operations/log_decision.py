"""How is a decision written down, and when is its denial folded?

One row for each authorize, in the transaction of its entry. Denials beyond ten a second for one
key, use case and reason wait for `fold_denials`, which writes one entry a second with n.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from o10.access.keys import Caller
from o10.wire.decisions import Outcome
from policies.core.decide import Ruling
from policies.operations import statements
from policies.operations.questions import Asked
from policies.operations.reservations import (
    INSERT_RESERVATION,
    NewReservation,
    reservation_values,
)

DENIALS_A_SECOND = 10
"""Entries of their own for one key, use case and first reason; the rest is folded."""

INSERT_DECISION = """
INSERT INTO policies_decision_log (id, caller, request_id, request_hash, decided_at, use_case,
    use_case_slug, envelope, decision, would_decision, mode, reason, reason_code, model,
    worst_nanos, reservation, entry_uid, folded, policy_version, price_version, record, answer)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s,
    %s::jsonb, %s)
ON CONFLICT (caller, request_id) WHERE request_id <> '' DO NOTHING
"""

INSERT_WITH_HOLD = f"WITH hold AS ({INSERT_RESERVATION}) {INSERT_DECISION}"
"""Both rows in one statement: a round trip less on every yes."""

COUNT_DENIALS = """
SELECT count(*) FROM (
    SELECT 1 FROM policies_decision_log
    WHERE caller = %s AND use_case = %s AND reason_code = %s AND would_decision = 'deny'
      AND decided_at >= %s AND decided_at < %s
    LIMIT %s) AS newest
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionRow:
    """What is written down of one decision? `folded` 1 = a denial without entry of its own."""

    id: UUID
    caller: Caller
    request_hash: bytes
    asked: Asked
    ruling: Ruling
    record: Mapping[str, Any]
    answer: bytes
    hold: NewReservation | None
    entry_uid: UUID | None
    folded: int


def insert_decision(row: DecisionRow) -> int:
    """How many decisions were written? 0 = this request id was answered before.

    The hold is written with it. Run inside a transaction, which must end when it is 0.
    """
    asked, ruling = row.asked, row.ruling
    request, price = asked.question.request, asked.question.price
    first = ruling.reasons[0].code
    hold = row.hold
    statement = INSERT_DECISION if hold is None else INSERT_WITH_HOLD
    cursor = statements.run(
        statement,
        [
            *([] if hold is None else reservation_values(hold)),
            row.id,
            row.caller.key_id,
            request.request_id or "",
            row.request_hash,
            asked.question.now,
            asked.rule.id if asked.rule else 0,
            request.use_case[:64],
            asked.cells.leaf,
            ruling.outcome.value,
            ruling.would.value,
            ruling.mode.value,
            first.value,
            first.number,
            price.model if price else (request.model or ""),
            ruling.worst.nanos if ruling.worst else 0,
            None if hold is None else hold.id,
            row.entry_uid,
            bool(row.folded),
            asked.policy.snapshot.version,
            price.price_version if price else 0,
            json.dumps(row.record, ensure_ascii=False),
            row.answer,
        ],
    )
    return cursor.rowcount


def is_flood(*, caller: Caller, asked: Asked, ruling: Ruling) -> bool:
    """Were ten denials like this written in this second already?"""
    if ruling.would is not Outcome.DENY:
        return False
    second = start_of_second(asked.question.now)
    row = statements.row(
        COUNT_DENIALS,
        [
            caller.key_id,
            asked.rule.id if asked.rule else 0,
            ruling.reasons[0].code.number,
            second,
            second + timedelta(seconds=1),
            DENIALS_A_SECOND,
        ],
    )
    return row is not None and row[0] >= DENIALS_A_SECOND


def start_of_second(at: datetime) -> datetime:
    """In which second did it happen?"""
    return at.replace(microsecond=0)
