"""Which ledger does the company write to?"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from ledger.models import Ledger
from o10.kernel.errors import NotFound

COMPANY_LEDGER: Final = 1
"""One legal entity, one ledger; a second currency would be a second one."""


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """Which origin, currency and zone has this ledger?"""

    id: int
    origin: str
    currency: str
    time_zone: str
    rollup_minutes: int
    created_at: datetime
    closed_at: datetime | None


def find_ledger(ledger_id: int = COMPANY_LEDGER) -> LedgerRow | None:
    """Which ledger has this id, if any?"""
    row = Ledger.objects.filter(id=ledger_id).first()
    if row is None:
        return None
    return LedgerRow(
        id=row.id,
        origin=row.origin,
        currency=row.currency,
        time_zone=row.time_zone,
        rollup_minutes=row.rollup_minutes,
        created_at=row.created_at,
        closed_at=row.closed_at,
    )


def ledger_of_company() -> LedgerRow:
    """Which ledger does this company write to?

    Raises: NotFound (`not_found`) before `create_ledger`.
    """
    found = find_ledger()
    if found is None:
        raise NotFound(kind="ledger", id=str(COMPANY_LEDGER))
    return found
