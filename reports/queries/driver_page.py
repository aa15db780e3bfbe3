"""How much of each driver was there in a month, and what did one unit cost, all in?

One read serves the page and its files, at one ledger position.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from ledger import facade as ledger
from o10.kernel.viewquery import ViewQuery
from policies import facade as policies
from reports.core.cost_components import CALLS
from reports.core.driver_cost import DriverCost, drivers_headline
from reports.core.reporting_period import ReportingPeriod, reporting_period
from reports.queries.allocations import next_month
from reports.queries.cost_cells import read_counted
from reports.queries.driver_volumes import VolumeRow, newest_volumes, volume_row
from reports.queries.outcome_list import Slugs

ROWS_SHOWN = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverLine:
    """Which use case has this driver, and what did it cost?"""

    slug: str
    cost: DriverCost


@dataclass(frozen=True, slots=True, kw_only=True)
class DriversPage:
    """What stands on the page of drivers? The month is the last of the period asked for.

    `volumes` are the volumes that hold, newest days first, as many as asked for of `told`.
    `without` names use cases with cost and without any driver.
    """

    period: ReportingPeriod
    month: date
    currency: str
    position: ledger.Position
    frozen: bool
    lines: tuple[DriverLine, ...]
    volumes: tuple[VolumeRow, ...]
    told: int
    without: tuple[str, ...]
    use_cases: Mapping[str, str]

    @property
    def headline(self) -> str:
        """Which sentence opens the page?"""
        return drivers_headline(
            [line.cost for line in self.lines],
            period=f"{self.month:%B %Y}",
            currency=self.currency,
        )


def get_drivers_page(
    *, query: ViewQuery, now: datetime, shown: int = ROWS_SHOWN
) -> DriversPage:
    """What did one unit of each driver cost in the last month of the period asked for?

    `shown` = so many of the volumes that hold.

    Raises: ValidationFailed (`validation_failed`) for a position the ledger hasn't reached.
    """
    company = ledger.ledger_of_company()
    frozen = query.as_of is not None
    at = now
    if frozen:
        at = ledger.position_of(ledger_id=company.id, as_of=query.as_of).at or now
    period = reporting_period(asked=query.period, at=at, time_zone=company.time_zone)
    month = period.month_starts[-1]
    after = next_month(month)
    counted = read_counted(first=month, after=after, as_of=query.as_of)
    rows = newest_volumes(first=month, after=after, told_to=at if frozen else None)
    known = {row.number: row for row in policies.list_use_case_rows()}
    costs: dict[int, int] = defaultdict(int)
    calls: dict[int, int] = defaultdict(int)
    for cell in counted.cells:
        costs[cell.use_case] += cell.nanos
        if cell.component in CALLS:
            calls[cell.use_case] += cell.calls
    today = period.at.date()
    days_over = (min(after, today + timedelta(days=1)) - month).days
    units: dict[tuple[int, str], list[int]] = defaultdict(lambda: [0, 0])
    for row in rows:
        whole = units[row.use_case, row.driver]
        whole[0] += row.volume
        whole[1] += (row.after - row.first).days
    lines = [
        DriverLine(
            slug=known[number].slug,
            cost=DriverCost(
                name=known[number].name,
                driver=driver,
                volume=volume,
                calls=calls[number],
                cost=costs[number],
                days_told=days,
                days_over=max(0, days_over),
            ),
        )
        for (number, driver), (volume, days) in units.items()
        if number in known
    ]
    called = Slugs({number: row.slug for number, row in known.items()})
    told = sorted(rows, key=lambda row: (-row.first.toordinal(), row.use_case, row.driver))
    driven = {number for number, _ in units}
    return DriversPage(
        period=period,
        month=month,
        currency=company.currency,
        position=counted.position,
        frozen=frozen,
        lines=tuple(sorted(lines, key=lambda line: (-line.cost.cost, line.cost.driver))),
        volumes=tuple(volume_row(row, called) for row in told[:shown]),
        told=len(told),
        without=tuple(
            sorted(
                known[number].name
                for number, nanos in costs.items()
                if nanos and number in known and number not in driven
            )
        ),
        use_cases={row.slug: row.name for row in known.values()},
    )
