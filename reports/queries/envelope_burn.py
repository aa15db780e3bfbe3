"""How did the money of one envelope run out over its current period?"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import pandas as pd

from ledger import facade as ledger
from o10.kernel.periods import zone_of
from policies import facade as policies
from reports.queries.frames import days_of_spend

DAY = timedelta(days=1)
DAYS_MOST = 400


@dataclass(frozen=True, slots=True)
class Burn:
    """How did the money run out?

    Shape: `days` is a frame of `reports.queries.frames`, days of the ledger's zone that the
    period touches; empty when the envelope has no period now.
    """

    line: policies.EnvelopeLine
    currency: str
    time_zone: str
    position: ledger.Position
    days: pd.DataFrame


def get_burn(*, envelope: str, now: datetime) -> Burn:
    """How did the money of this envelope and all below it run out by day?

    Raises: NotFound (`not_found`).
    """
    company = ledger.ledger_of_company()
    line = policies.get_envelope_line(envelope=envelope, now=now)
    position = ledger.position_of(ledger_id=company.id)
    zone = zone_of(company.time_zone)
    if line.period is None:
        return Burn(line, company.currency, company.time_zone, position, pd.DataFrame())
    first = line.period.start.astimezone(zone).date()
    last = (line.period.end - timedelta(microseconds=1)).astimezone(zone).date()
    count = min((last - first).days + 1, DAYS_MOST)
    rows = ledger.sum_spend(
        ledger_id=company.id,
        time_zone=company.time_zone,
        by=(ledger.SpendKey.DAY,),
        start=first,
        end=last + DAY,
        as_of=position.seq,
        envelope_ids=policies.numbers_below(envelope=envelope),
    )
    frame = days_of_spend(
        days=[first + DAY * index for index in range(count)],
        rows=rows,
        until=now.astimezone(zone).date(),
    )
    return Burn(line, company.currency, company.time_zone, position, frame)
