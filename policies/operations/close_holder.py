"""What becomes of the leases of a process that is gone? What no known call holds comes back.

Its journal was booked to the end, so what the books do not know of was never answered. A
journal that is not whole proves nothing: then the leases expire by time, into unsettled.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final
from uuid import UUID

from django.db import transaction

from ledger import facade as ledger
from policies.operations import statements
from policies.operations.balances import NOTHING, Cells, Move, lock, move_each
from policies.operations.leases import (
    LeaseChange,
    LeaseRow,
    change_leases,
    find_leases,
    lock_leases,
)
from policies.operations.return_lease import finish_lease

AT_ONCE: Final = 50
"""Leases of one transaction: others wait for their tree."""
FIRST: Final = UUID(int=0)

READ_UNFINISHED = """
SELECT id FROM lease WHERE fence = %s AND state IN ('open', 'draining', 'expired') AND id > %s
ORDER BY id LIMIT %s
"""
READ_LEFT_OPEN = """
SELECT DISTINCT l.fence FROM lease l JOIN lease_holder h ON h.fence = l.fence
WHERE l.state = 'open' AND h.host = %s AND h.ended_at IS NOT NULL AND h.put_aside = 0
"""
READ_HELD = """
SELECT lease, (sum(open_nanos) FILTER (WHERE state = 'open'))::bigint,
       (sum(amount_nanos) FILTER (WHERE state = 'expired' AND settled_nanos = 0))::bigint
FROM reservation WHERE lease = ANY(%s::uuid[]) AND state IN ('open', 'expired') GROUP BY lease
"""


def finish_leases(*, fence: int, now: datetime) -> int:
    """How many leases of this holder were finished? Those with open calls drain on.

    Locks: as `finish_some`, one transaction after the other.
    """
    last, count = FIRST, 0
    while found := finish_some(fence=fence, after=last, now=now):
        last, count = found[-1], count + len(found)
    return count


def finish_some(*, fence: int, after: UUID, now: datetime) -> list[UUID]:
    """Which leases of this holder were finished now? The next few by id; empty = no more.

    Locks: trees by root, balances, leases by id.
    """
    named = [row[0] for row in statements.rows(READ_UNFINISHED, [fence, after, AT_ONCE])]
    found = find_leases(named) if named else {}
    for root in sorted({row.root for row in found.values()}):
        _finish(root, [row for row in found.values() if row.root == root], now)
    return named


def left_open(host: str) -> list[int]:
    """Which ended holders of this host were lent something while they were ended?"""
    return [row[0] for row in statements.rows(READ_LEFT_OPEN, [host])]


def _finish(root: int, seen: Sequence[LeaseRow], now: datetime) -> None:
    order = sorted(
        {cell for row in seen for cell in zip(row.path_ids, row.path_periods, strict=True)}
    )
    cells = Cells(root, tuple(each[0] for each in order), tuple(each[1] for each in order))
    with transaction.atomic():
        locked = lock(cells)
        leases = lock_leases([row.id for row in seen])
        held = {
            row[0]: (row[1] or 0, row[2] or 0)
            for row in statements.rows(READ_HELD, [list(leases)])
        }
        sums = dict.fromkeys(order, NOTHING)
        changes: dict[UUID, LeaseChange] = {}
        drafts: list[ledger.Draft] = []
        for lease, row in leases.items():
            still, awaited = held.get(lease, (0, 0))
            parted = finish_lease(
                lease_row=replace(row, open=still),
                version=locked.version,
                now=now,
                awaited=awaited,
            )
            drafts += parted.drafts
            known = LeaseChange(open=still - row.open)
            changes[lease] = parted.change.plus(known)
            _add(sums, row, parted.move)
        if any(change != NOTHING for change in sums.values()):
            move_each(
                cells=cells,
                version=locked.version,
                changes=[sums[cell] for cell in order],
                raised=1,
            )
        change_leases(changes, now=now)
        ledger.append(drafts)


def _add(sums: dict[tuple[int, datetime], Move], row: LeaseRow, change: Move) -> None:
    if change != NOTHING:
        for cell in zip(row.path_ids, row.path_periods, strict=True):
            sums[cell] = sums[cell].plus(change)
