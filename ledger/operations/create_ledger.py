"""How does a ledger begin? With an origin, a currency and a zone, which never change again."""

from datetime import datetime
from zoneinfo import ZoneInfo

from django.db import transaction

from ledger.models import Ledger
from ledger.queries.ledgers import COMPANY_LEDGER, LedgerRow, find_ledger
from o10.kernel.errors import Conflict


class LedgerDiffers(Conflict):
    """Is the ledger there already with another origin, currency or zone? Fields: both."""

    code = "ledger_differs"


def create_ledger(
    *,
    origin: str,
    currency: str,
    time_zone: str,
    now: datetime,
    rollup_minutes: int = 60,
    ledger_id: int = COMPANY_LEDGER,
) -> LedgerRow:
    """Which ledger is it? Made the first time, the same answer afterwards.

    Units: `currency` ISO 4217; `time_zone` IANA name of the day buckets; `origin` schema-less
    name of the log without blanks, such as `ledger.example.com/main`.
    Raises: LedgerDiffers (`ledger_differs`); ZoneInfoNotFoundError for an unknown zone.
    """
    ZoneInfo(time_zone)
    with transaction.atomic():
        Ledger.objects.bulk_create(
            [
                Ledger(
                    id=ledger_id,
                    origin=origin,
                    currency=currency,
                    time_zone=time_zone,
                    rollup_minutes=rollup_minutes,
                    created_at=now,
                )
            ],
            ignore_conflicts=True,
        )
        found = find_ledger(ledger_id)
    if found is None or (found.origin, found.currency, found.time_zone) != (
        origin,
        currency,
        time_zone,
    ):
        raise LedgerDiffers(asked=[origin, currency, time_zone], found=str(found))
    return found
