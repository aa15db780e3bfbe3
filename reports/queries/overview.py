"""What does the CFO see each morning: spend against plan, what is left, what was denied?

The table is that of `reports.queries.use_cases`; everything else on the page is added here, at
the same ledger position. Balances and open holds are live.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import pandas as pd

from ledger import facade as ledger
from o10.kernel.money import Nanos
from o10.kernel.viewquery import ViewQuery
from policies import facade as policies
from reports.core.allocation import FullCost
from reports.core.plan import plan_to_date
from reports.core.reporting_period import months_between, reporting_period
from reports.queries.cost_page import read_full_cost
from reports.queries.frames import days_of_spend, months_against_plan
from reports.queries.plans import plan_cells
from reports.queries.use_cases import UseCaseTable, read_use_case_table

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Headroom:
    """What is left of the envelopes at the top of the trees now?

    Units: nanos. `cap`, `available` None = no top envelope has a cap.
    """

    cap: Nanos | None
    settled: Nanos
    held: Nanos
    lent: Nanos
    unsettled: Nanos
    available: Nanos | None
    open_calls: int
    expired_calls: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """What stands on the overview?

    Shape: `months` and `days` are frames of `reports.queries.frames`; `envelopes` the tree,
    empty for a frozen page; `headroom` and `coverage` None there, since balances are live only.
    `full` is the fully loaded cost of the company, whatever the filters are.
    """

    table: UseCaseTable
    year: int
    months: pd.DataFrame
    days: pd.DataFrame
    envelopes: tuple[policies.EnvelopeLine, ...]
    headroom: Headroom | None
    coverage: ledger.PriceCoverage | None
    full: FullCost
    begun: bool


def get_overview(*, query: ViewQuery, now: datetime) -> Overview:
    """What does the overview of this period say?

    Raises: ValidationFailed (`validation_failed`) for a position the ledger hasn't reached.
    """
    table = read_use_case_table(query=query, now=now)
    period = table.period
    envelopes = () if table.frozen else tuple(policies.list_envelope_lines(now=now))
    coverage = None
    if not table.frozen and table.position.seq:
        coverage = ledger.price_coverage(start=period.starts_at, end=period.ends_at)
    year = period.first_day.year
    return Overview(
        table=table,
        year=year,
        months=_months(table, year),
        days=_days(table),
        envelopes=envelopes,
        headroom=None if table.frozen else _headroom(envelopes),
        coverage=coverage,
        full=read_full_cost(
            period, as_of=query.as_of, told_to=period.at if table.frozen else None
        ),
        begun=bool(envelopes) or table.position.seq > 0 and bool(table.lines),
    )


def _numbers(table: UseCaseTable) -> tuple[int, ...]:
    return tuple(line.row.number if line.row else 0 for line in table.lines)


def _months(table: UseCaseTable, year: int) -> pd.DataFrame:
    first, after = date(year, 1, 1), date(year + 1, 1, 1)
    numbers = _numbers(table)
    rows = ledger.sum_spend(
        ledger_id=ledger.COMPANY_LEDGER,
        time_zone=table.time_zone,
        by=(ledger.SpendKey.MONTH,),
        start=first,
        end=after,
        as_of=table.position.seq,
        use_case_ids=numbers,
    )
    planned: dict[date, Nanos] = {}
    entered_to = table.period.at if table.frozen else None
    cells = plan_cells(first=first, after=after, entered_to=entered_to)
    for (month, use_case), amount in cells.items():
        if use_case in numbers:
            planned[month] = planned.get(month, 0) + amount
    return months_against_plan(
        months=months_between(first, after),
        spent={_as_date(row.keys[0]): row.spent for row in rows},
        planned=planned,
        due_now=_due_now(table, planned),
        until=table.today,
    )


def _due_now(table: UseCaseTable, planned: Mapping[date, Nanos]) -> Nanos | None:
    """How much of the running month's plan is due by the page's instant?"""
    running = reporting_period(asked=None, at=table.period.at, time_zone=table.time_zone)
    plan = planned.get(running.first_day)
    if plan is None:
        return None
    return plan_to_date(
        plan=plan, start=running.starts_at, end=running.ends_at, at=table.period.at
    )


def _days(table: UseCaseTable) -> pd.DataFrame:
    period = table.period
    rows = ledger.sum_spend(
        ledger_id=ledger.COMPANY_LEDGER,
        time_zone=table.time_zone,
        by=(ledger.SpendKey.DAY,),
        start=period.first_day,
        end=period.after,
        as_of=table.position.seq,
        use_case_ids=_numbers(table),
    )
    return days_of_spend(
        days=[period.first_day + DAY * index for index in range(period.days)],
        rows=rows,
        until=table.today,
    )


def _as_date(key: object) -> date:
    if not isinstance(key, date):
        raise TypeError(f"{key!r} is no day")
    return key


def _headroom(envelopes: tuple[policies.EnvelopeLine, ...]) -> Headroom:
    tops = [line for line in envelopes if line.depth == 0 and line.state == "active"]
    caps = [line.cap for line in tops if line.cap is not None]
    left = [line.available for line in tops if line.available is not None]
    open_calls, expired_calls = policies.count_open_holds()
    return Headroom(
        cap=sum(caps) if caps else None,
        settled=sum(line.settled for line in tops),
        held=sum(line.held for line in tops),
        lent=sum(line.lent for line in tops),
        unsettled=sum(line.unsettled for line in tops),
        available=sum(left) if left else None,
        open_calls=open_calls,
        expired_calls=expired_calls,
    )
