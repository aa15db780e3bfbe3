"""May this month be closed? Each condition with what it found, as evidence and with its link.

Nothing is remembered: the list is computed when it is asked for, and again when it is
approved. A condition that concerns facts of others (an expected bill, a price nobody stated)
may be waived with a reason that the second person reads; those of the ledger itself never.
Source: product.md section 18; docs/algorithms/period-close.md.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from ledger import facade as ledger
from o10.kernel import figures
from o10.kernel.periods import zone_of
from policies import facade as policies
from reports.queries.allocations import allocations_due

WAIVABLE: Final = frozenset({"billed", "exceptions"})
"""Conditions that two people may pass over with a reason."""


@dataclass(frozen=True, slots=True)
class Condition:
    """What must hold before a month is closed, and does it?

    `found` is one sentence with the figures; `link` the page where it can be seen; `waived` is
    the reason it was passed over for, empty when it was not.
    """

    key: str
    title: str
    ok: bool
    found: str
    link: str = ""
    waived: str = ""

    @property
    def passes(self) -> bool:
        """Does it stand in nobody's way?"""
        return self.ok or bool(self.waived and self.key in WAIVABLE)


@dataclass(frozen=True, slots=True)
class Restated:
    """What was sealed, and what came since? Nanos: closed + later = restated."""

    closed_nanos: int
    later_nanos: int
    lines: tuple[ledger.PriorLine, ...]

    @property
    def restated_nanos(self) -> int:
        """What is the month, with all that is known now?"""
        return self.closed_nanos + self.later_nanos


@dataclass(frozen=True, slots=True)
class Checklist:
    """How does a month stand? `sums` of its entries now; `restated` once it is closed."""

    period: ledger.PeriodRow
    sums: ledger.PeriodSums
    currency: str
    conditions: tuple[Condition, ...]
    accruals: tuple[ledger.AccrualRow, ...]
    restated: Restated | None

    @property
    def ready(self) -> bool:
        """Does every condition hold, or was it waived?"""
        return all(each.passes for each in self.conditions)

    @property
    def missing(self) -> tuple[Condition, ...]:
        """Which conditions stand in the way?"""
        return tuple(each for each in self.conditions if not each.passes)


def read_checklist(
    *, period: str, now: datetime, waivers: Mapping[str, str] | None = None
) -> Checklist:
    """How does this month stand now? `waivers`: key of a condition to the reason.

    Raises: ValidationFailed (`validation_failed`) for what is no month; NotFound before a
    ledger.
    """
    company = ledger.ledger_of_company()
    row = ledger.get_period(period)
    sums = ledger.sum_period(starts_at=row.starts_at, ends_at=row.ends_at)
    accruals = tuple(ledger.list_accruals(period))
    if row.status == "closed":
        lines = tuple(ledger.list_prior_lines(period))
        later = sum(line.amount_nanos for line in lines)
        restated = Restated(sums.amount_nanos, later, lines)
        return Checklist(row, sums, company.currency, (), accruals, restated)
    given = {key: text.strip() for key, text in (waivers or {}).items() if text.strip()}
    look = _Look(row, sums, company.currency, accruals, now)
    conditions = []
    for key, title, check in _CONDITIONS:
        ok, found, link = check(look)
        conditions.append(Condition(key, title, ok, found, link, given.get(key, "")))
    return Checklist(row, sums, company.currency, tuple(conditions), accruals, None)


@dataclass(frozen=True, slots=True)
class PeriodLine:
    """How does a month stand in the list? Nanos; None while it is not closed.

    `status` open, closing, closed, or locked: it lies before the first month that was closed.
    """

    period: str
    status: str
    starts_at: datetime
    ends_at: datetime
    closed_at: datetime | None
    amount_nanos: int
    later_nanos: int | None
    bills: int


def list_period_states(*, now: datetime, months: int = 15) -> list[PeriodLine]:
    """Which months can be closed or are, the newest first? Those since spend began."""
    company = ledger.find_ledger()
    if company is None:
        return []
    known = {row.period: row for row in ledger.list_periods()}
    bills: dict[str, int] = {}
    for bill in ledger.list_invoices():
        bills[bill.period] = bills.get(bill.period, 0) + 1
    names = [f"{now.astimezone(zone_of(company.time_zone)):%Y-%m}"]
    while len(names) < months:
        names.append(ledger.month_before(names[-1]))
    booked = ledger.sum_months(since=date.fromisoformat(f"{names[-1]}-01"))
    later = ledger.sum_prior_lines() if known else {}
    bound = ledger.closed_until()
    lines = []
    for name in names:
        row = known.get(name)
        if name not in booked and row is None and lines:
            continue
        starts, ends = ledger.month_bounds(name, time_zone=company.time_zone)
        status = row.status if row else "open"
        is_closed = status == "closed"
        if not is_closed and bound is not None and ends <= bound:
            status = "locked"
        lines.append(
            PeriodLine(
                period=name,
                status=status,
                starts_at=starts,
                ends_at=ends,
                closed_at=row.closed_at if row else None,
                amount_nanos=booked.get(name, 0),
                later_nanos=later.get(name, (0, 0))[0] if is_closed else None,
                bills=bills.get(name, 0),
            )
        )
    return lines


@dataclass(frozen=True, slots=True)
class _Look:
    row: ledger.PeriodRow
    sums: ledger.PeriodSums
    currency: str
    accruals: tuple[ledger.AccrualRow, ...]
    now: datetime

    def money(self, nanos: int) -> str:
        return figures.money(nanos, self.currency).text


_Found = tuple[bool, str, str]


def _over(look: _Look) -> _Found:
    ends = figures.instant(look.row.ends_at).text
    if look.row.ends_at > look.now:
        return False, f"The month ends {ends}.", ""
    return True, f"It ended {ends}.", ""


def _order(look: _Look) -> _Found:
    bound = ledger.closed_until()
    if bound is None:
        return True, "The first close: everything before it is locked with it.", "/close/"
    before = ledger.month_before(look.row.period)
    if bound >= look.row.ends_at:
        return False, "It lies before the first closed month and is locked with it.", "/close/"
    if bound == look.row.starts_at:
        return True, f"{before} is closed.", f"/close/{before}/"
    return (
        False,
        f"{before} comes first: months close one after the other.",
        f"/close/{before}/",
    )


def _sealed(look: _Look) -> _Found:
    signed = ledger.latest_checkpoint()
    size = signed.size if signed else 0
    if look.sums.unsealed:
        return (
            False,
            f"{look.sums.unsealed:,} entries of the month wait for the sealer.",
            "/ledger/",
        )
    if size < look.sums.last_seq:
        return (
            False,
            f"Entry {look.sums.last_seq:,} is sealed but not signed yet.",
            "/ledger/verify/",
        )
    found = f"{look.sums.entries:,} entries up to {look.sums.last_seq:,}; signed at {size:,}."
    return True, found, "/ledger/verify/"


def _verified(look: _Look) -> _Found:
    badge = ledger.seal_badge(now=look.now)
    if badge.state is ledger.SealVerdict.BROKEN:
        return (
            False,
            "A verification found a difference; it must be cleared first.",
            "/ledger/verify/",
        )
    reached = ledger.verified_upto()
    if not reached:
        return (
            False,
            "No verification has run yet: o10 ledger_verify --full.",
            "/ledger/verify/",
        )
    if reached < look.sums.last_seq:
        found = f"Verified up to {reached:,}, the month goes to {look.sums.last_seq:,}."
        return False, found, "/ledger/verify/"
    return True, f"Every entry up to {reached:,} was verified.", "/ledger/verify/"


def _conserved(look: _Look) -> _Found:
    drift = policies.period_drift(look.row.starts_at, look.row.ends_at)
    rolled = ledger.sum_rollups(starts_at=look.row.starts_at, ends_at=look.row.ends_at)
    if drift:
        first = drift[0]
        found = (
            f"{first.where}: {first.column} is {first.found}, its entries say {first.expected}."
        )
        return False, found, "/envelopes/"
    if rolled != look.sums.amount_nanos:
        found = f"Rollups say {rolled}, entries {look.sums.amount_nanos} nanos."
        return False, found, "/ledger/verify/"
    found = f"Entries, balances and rollups agree: {look.money(look.sums.amount_nanos)}."
    return True, found, "/envelopes/"


def _ended(look: _Look) -> _Found:
    left = policies.still_open(before=look.row.ends_at)
    if not left.holds and not left.leases:
        return True, "No call and no lease of the month is open.", "/envelopes/"
    parts = []
    if left.holds:
        parts.append(f"{left.holds:,} open calls hold {look.money(left.held_nanos)}")
    if left.leases:
        parts.append(f"{left.leases:,} leases hold {look.money(left.lent_nanos)}")
    until = f"; the last ends {figures.instant(left.last_end).text}" if left.last_end else ""
    return False, f"{' and '.join(parts)}{until}.", "/envelopes/"


def _resolved(look: _Look) -> _Found:
    left = policies.still_open(before=look.row.ends_at)
    if not left.unsettled:
        return True, "Nothing is unsettled.", "/envelopes/"
    money = look.money(left.unsettled_nanos)
    found = (
        f"{left.unsettled:,} calls or leases, {money}, have no answer; preparing the close"
        " writes them off."
    )
    return False, found, "/envelopes/"


def _reconciled(look: _Look) -> _Found:
    bills = ledger.list_invoices(period=look.row.period)
    stands = ledger.reconcile_invoices(bills)
    waiting = [each for each in stands if not each.is_settled]
    if not waiting:
        billed = sum(each.matching.billed for each in stands)
        unexplained = sum(each.matching.unexplained for each in stands)
        share = figures.percent(part=unexplained, whole=billed or 1).text
        count = "1 bill" if len(bills) == 1 else f"{len(bills):,} bills"
        found = f"{count}, {look.money(billed)}; unexplained {share}."
        return True, found if bills else "No bill came in for this month.", "/imports/"
    names = ", ".join(
        f"{each.invoice.venue} {look.money(each.matching.unexplained)}" for each in waiting[:5]
    )
    link = f"/invoices/{waiting[0].invoice.public}/"
    return False, f"Differences without a cause: {names}.", link


def _billed(look: _Look) -> _Found:
    spent = ledger.sum_venues(starts_at=look.row.starts_at, ends_at=look.row.ends_at)
    bills = {bill.venue_id for bill in ledger.list_invoices(period=look.row.period)}
    accrued = {row.venue for row in look.accruals}
    names = ledger.meanings_of(domain="venue", numbers=set(spent))
    missing = [
        (str(names.get(venue, {}).get("slug", venue)), amount)
        for venue, amount in sorted(spent.items(), key=lambda item: -item[1])
        if amount > ledger.tolerance(0) and venue not in bills
    ]
    missing = [(name, amount) for name, amount in missing if name not in accrued]
    if not missing:
        return True, "Every venue with spend has a bill or an accrual.", "/imports/"
    told = ", ".join(f"{name} {look.money(amount)}" for name, amount in missing[:6])
    total = look.money(sum(amount for _, amount in missing))
    return False, f"Spent and not billed yet, {total}: {told}.", "/imports/"


def _allocated(look: _Look) -> _Found:
    month = date(int(look.row.period[:4]), int(look.row.period[5:]), 1)
    due = allocations_due(month=month)
    link = f"/cost/?p={look.row.period}"
    if due:
        names = ", ".join(str(each.value).replace("_", " ") for each in due)
        return False, f"Not booked as stated: {names}.", link
    return True, "Everything stated is allocated and booked.", link


def _decided(look: _Look) -> _Found:
    count, tokens = ledger.count_unpriced(
        starts_at=look.row.starts_at, ends_at=look.row.ends_at
    )
    if not count:
        return True, "Every entry has a price.", "/ledger/"
    told = figures.count(tokens).text
    return False, f"{count:,} entries with {told} tokens have no price.", "/ledger/"


_Check = Callable[[_Look], _Found]
_CONDITIONS: Final[tuple[tuple[str, str, _Check], ...]] = (
    ("over", "The month is over", _over),
    ("order", "The month before is closed", _order),
    ("sealed", "All entries are sealed and signed", _sealed),
    ("verified", "The ledger verifies", _verified),
    ("conserved", "Entries, balances and rollups agree", _conserved),
    ("ended", "No call or lease is open", _ended),
    ("resolved", "Nothing is unsettled", _resolved),
    ("reconciled", "Bills agree, or their differences are booked", _reconciled),
    ("billed", "Every venue has a bill or an accrual", _billed),
    ("allocated", "Allocations are booked", _allocated),
    ("exceptions", "Every use has a price", _decided),
)
"""Every condition of product.md section 18: key, title, query."""


def read_status(period: str) -> str:
    """Is this month open, closing or closed?"""
    return ledger.get_period(period).status
