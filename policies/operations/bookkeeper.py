"""What does a bookkeeper keep in mind between batches? Numbers, recent holds, the currency.

All of it can be lost at any time: it is read again from the tables.
"""

from collections import OrderedDict
from collections.abc import Sequence
from functools import cached_property
from typing import Final
from uuid import UUID

import structlog

from ledger import facade as ledger
from o10.kernel.errors import Corrupt
from o10.lease.records import Denied, Grounds, Record, Reserved
from policies.operations import statements
from policies.operations.booked_rows import Call, Denial, First
from policies.operations.journal_tail import JournalTail
from policies.operations.log_decision import DENIALS_A_SECOND, start_of_second
from policies.operations.numbering import Numbering
from policies.operations.reservations import Hold

HOLDS_KEPT: Final = 10_000

READ_FIRST = """
SELECT d.caller, d.request_id, d.reservation, d.request_hash FROM policies_decision_log d
JOIN unnest(%s::text[], %s::text[]) AS asked (caller, request_id)
  ON d.caller = asked.caller AND d.request_id = asked.request_id
WHERE d.request_id <> ''
"""
COUNT_DENIALS = """
SELECT g.n, (SELECT count(*) FROM (
    SELECT 1 FROM policies_decision_log d
    WHERE d.caller = g.caller AND d.use_case = g.use_case AND d.reason_code = g.reason_code
      AND d.would_decision = 'deny' AND d.decided_at >= g.second
      AND d.decided_at < g.second + interval '1 second'
    LIMIT %s) AS newest)
FROM unnest(%s::int[], %s::text[], %s::int[], %s::int[], %s::timestamptz[])
     AS g (n, caller, use_case, reason_code, second)
"""

_log = structlog.get_logger("policies.books")


class Books:
    """What does the bookkeeper of this process remember?"""

    def __init__(self) -> None:
        self.numbering = Numbering()
        self.holds: OrderedDict[UUID, Hold] = OrderedDict()

    @cached_property
    def currency(self) -> str:
        """In which currency is the ledger kept?"""
        return str(ledger.ledger_of_company().currency)

    def remember(self, call: Call) -> None:
        """Its settle comes soon."""
        if call.state == "open":
            self.holds[call.hold.id] = call.hold
            if len(self.holds) > HOLDS_KEPT:
                self.holds.popitem(last=False)

    def repeated(
        self, tail: JournalTail, records: Sequence[tuple[int, Record]]
    ) -> dict[tuple[str, str], First]:
        """Which of these request ids were answered elsewhere before, and by which decision?"""
        asked = [
            (tail.context(record.grounds, Grounds).caller, record.request_id)
            if isinstance(record, Reserved)
            else (record.caller, record.request_id)
            for _, record in records
            if isinstance(record, Reserved | Denied) and record.request_id
        ]
        if not asked:
            return {}
        found = statements.rows(READ_FIRST, list(map(list, zip(*asked, strict=True))))
        return {(row[0], row[1]): First(row[2], bytes(row[3])) for row in found}

    def fold(self, denials: Sequence[Denial]) -> None:
        """Which of these are beyond ten a second? They get no entry of their own."""
        if not denials:
            return
        groups: dict[tuple[object, ...], int] = {}
        for each in denials:
            groups.setdefault(_group(each), 0)
        order = list(groups)
        columns = list(map(list, zip(*order, strict=True)))
        found = statements.rows(
            COUNT_DENIALS, [DENIALS_A_SECOND, list(range(len(order))), *columns]
        )
        for number, count in found:
            groups[order[number]] = count
        for each in denials:
            key = _group(each)
            each.folded = int(groups[key] >= DENIALS_A_SECOND)
            groups[key] += 1

    def warn_of(self, fault: Corrupt, *, fence: int) -> None:
        """An invariant is broken: it is said, and the books go on."""
        _log.error("settle_costs_otherwise", code=fault.code, fence=fence, **fault.fields)


def _group(denial: Denial) -> tuple[object, ...]:
    record = denial.record
    return (
        record.caller,
        record.use_case,
        record.reason_code,
        start_of_second(denial.at),
    )
