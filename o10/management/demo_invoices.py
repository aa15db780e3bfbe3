"""What did the providers of the demo company bill, and which of its months are closed?

Every whole month has bills made from what the ledger holds. All but the last are closed: one
after a difference was booked, and a line for it came late. The last one waits for finance: the
largest bill is 4 % above the ledger, one provider has not billed yet, and two amounts are
accrued. Same seed and last day, same bills.
"""

import csv
import io
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from ledger import facade as ledger
from o10.access.keys import Caller
from o10.kernel import clock
from o10.kernel.money import NANOS_PER_UNIT, amount_text
from o10.management.demo_sealing import seal_history, verify_history
from policies import facade as policies
from reports import facade as reports

DAILY_MONTHS: Final = 2
"""So many of the last months are billed by day; the older ones by month, one line a model."""
HEADER: Final = (
    *("id", "date", "end_date", "venue", "model"),
    *("amount", "currency", "invoice"),
)
DEARER: Final = {"openai": 104}
"""In per cent of the ledger: what the waiting bill of this venue says."""
BOOKED: Final = {"anthropic": 103}
"""Likewise for the month before, booked and closed since."""
NOT_BILLED: Final = "groq"
"""This venue's bill of the last month is not here yet."""
ACCRUED: Final = (
    (NOT_BILLED, 650, "Support plan; the bill comes on the tenth"),
    ("openai", 1_200, "Web search of the assistant: not metered here, billed in arrears"),
)
LATE: Final = 180 * NANOS_PER_UNIT
CENT: Final = NANOS_PER_UNIT // 100
CAUSES: Final = {
    "price": "price",
    "quantity": "count",
    "missing_here": "usage_not_metered",
    "missing_there": "usage_not_billed",
}

Say = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Billed:
    """What does one line of a bill say, before its number? Nanos, whole cents."""

    day: date
    last_day: date
    venue: str
    model: str
    nanos: int


def send_bills(
    *, finops: Caller, controller: Caller, until: date, since: date, seed: int
) -> None:
    """Bills of every whole month come in, and last month's difference but one is booked.

    Before costs are shared out: what was booked is part of what is shared. What came in before
    is left alone.
    """
    months = whole_months(since=since, until=until)
    if not months:
        return
    standing = {row.file_name for row in ledger.list_imports(limit=500) if row.state == "done"}
    for name, lines in _files(months, _spent(months)).items():
        if name not in standing:
            _import(_written(lines, seed), name, finops)
    if len(months) > 1:
        reason = "the list price rose on the first of the month"
        _book(months[-2], reason, finops, controller, key="price")


def close_months(
    *, finops: Caller, controller: Caller, until: date, since: date, say: Say
) -> None:
    """Closes all whole months but the last, by two people, on a signed and verified ledger."""
    months = whole_months(since=since, until=until)
    if len(months) < 2:
        return
    _accrue(months[-1], finops, controller)
    seal_history(now=clock.now(), sign=True)
    verify_history()
    closed = [month for month in months[:-1] if _close(month, finops, controller, say)]
    if closed:
        say(f"{closed[0]} to {closed[-1]} are closed")
    if closed == months[:-1]:
        _late_line(months[-2], finops, controller)
        seal_history(now=clock.now(), sign=True)


def whole_months(*, since: date, until: date) -> list[str]:
    """Which months are over, the oldest first?"""
    months: list[str] = []
    month = f"{since:%Y-%m}"
    while month < f"{until:%Y-%m}":
        months.append(month)
        month = ledger.month_after(month)
    return months


def _spent(months: list[str]) -> list[Billed]:
    """What was spent on which day, at which venue, on which model, as providers count days?"""
    starts, _ = ledger.month_bounds(months[0], time_zone="UTC")
    _, ends = ledger.month_bounds(months[-1], time_zone="UTC")
    venues = ledger.list_meanings(domain="venue")
    models = ledger.list_meanings(domain="model")
    return [
        Billed(day, day, _slug(venues, venue), _slug(models, model), nanos)
        for day, venue, model, nanos in ledger.sum_by_day(starts_at=starts, ends_at=ends)
    ]


def _slug(names: Mapping[int, Mapping[str, object]], number: int) -> str:
    return str(names.get(number, {}).get("slug", ""))


def _files(months: list[str], spent: Iterable[Billed]) -> dict[str, list[Billed]]:
    """Which files arrive? One a venue for the older months, then one a venue and month."""
    daily = months[-DAILY_MONTHS:]
    shares = {month: share for month, share in zip(daily[::-1], (DEARER, BOOKED), strict=False)}
    files: dict[str, list[Billed]] = {}
    whole: dict[tuple[str, str, str], int] = {}
    for line in spent:
        month = f"{line.day:%Y-%m}"
        if month not in daily:
            place = (line.venue, month, line.model)
            whole[place] = whole.get(place, 0) + line.nanos
        elif month != months[-1] or line.venue != NOT_BILLED:
            percent = shares[month].get(line.venue, 100)
            files.setdefault(f"{line.venue}-{month}.csv", []).append(_times(line, percent))
    for (venue, month, model), nanos in sorted(whole.items()):
        first = date.fromisoformat(f"{month}-01")
        last = date.fromisoformat(f"{ledger.month_after(month)}-01") - timedelta(days=1)
        line = _times(Billed(first, last, venue, model, nanos), 100)
        files.setdefault(f"{venue}-to-{months[-DAILY_MONTHS - 1]}.csv", []).append(line)
    return files


def _times(line: Billed, percent: int) -> Billed:
    """Providers round to cents in their own way: down, here."""
    nanos = line.nanos * percent // 100 // CENT * CENT
    return Billed(line.day, line.last_day, line.venue, line.model, nanos)


def _written(lines: Iterable[Billed], seed: int) -> bytes:
    written = io.StringIO()
    writer = csv.writer(written)
    writer.writerow(HEADER)
    for place, line in enumerate(lines):
        month = f"{line.day:%Y%m}"
        draw = random.Random(f"{seed}/{month}/{line.venue}")  # noqa: S311 - reproducible
        number = f"{line.venue[:3].upper()}-{month}-{draw.randrange(1000, 9999)}"
        about = (line.day, line.last_day, line.venue, line.model, amount_text(line.nanos))
        writer.writerow((f"{number}-{place + 1}", *about, "USD", number))
    return written.getvalue().encode()


def _import(body: bytes, name: str, finops: Caller) -> None:
    row = ledger.check_file(
        source="csv", file_name=name, body=body, actor=finops.actor, now=clock.now()
    )
    ledger.confirm_import(public=row.public, now=clock.now())
    ledger.run_import(public=row.public, clock=clock.now)


def _book(month: str, reason: str, finops: Caller, controller: Caller, *, key: str) -> None:
    """Two people book what the bills of this month differ by."""
    for bill in ledger.list_invoices(period=month):
        if ledger.reconcile_invoice(bill.public).is_settled:
            continue
        asked = reports.propose_differences(
            invoice=bill.public,
            causes=CAUSES,
            reason=reason,
            actor=finops,
            now=clock.now(),
            key=f"demo/{month}/{bill.venue}/{key}",
        )
        _agree(asked, controller)


def _accrue(month: str, finops: Caller, controller: Caller) -> None:
    """What is expected for the last month and was not billed; taken back in the next."""
    standing = {row.venue for row in ledger.list_accruals(month)}
    for venue, units, reason in ACCRUED:
        if venue not in standing:
            asked = reports.propose_accrual(
                period=month,
                venue=venue,
                amount_nanos=units * NANOS_PER_UNIT,
                reason=reason,
                actor=finops,
                now=clock.now(),
                key=f"demo/{month}/{venue}",
            )
            _agree(asked, controller)


def _close(month: str, finops: Caller, controller: Caller, say: Say) -> bool:
    if ledger.get_period(month).status == "closed":
        return True
    waivers = {"exceptions": "history of the demo company"}
    prepared = reports.prepare_close(
        period=month, actor=finops, now=clock.now(), waivers=waivers, key=f"demo/{month}"
    )
    if prepared.approval is None:
        found = " ".join(each.found for each in prepared.checklist.missing)
        say(f"{month} was left open: {found}")
        return False
    _agree(prepared.approval, controller)
    return True


def _late_line(month: str, finops: Caller, controller: Caller) -> None:
    """A line for a closed month comes in and is booked in the open one."""
    name = f"openai-{month}-late.csv"
    if not any(row.file_name == name for row in ledger.list_imports(limit=500)):
        day = date.fromisoformat(f"{month}-28")
        _import(_late(day), name, finops)
    _book(month, "search calls billed a month late", finops, controller, key="late")


def _late(day: date) -> bytes:
    line = ("late-search", day, "", "openai", "web-search", amount_text(LATE), "USD", "")
    return f"{','.join(HEADER)}\n{','.join(map(str, line))}\n".encode()


def _agree(asked: policies.ApprovalView, controller: Caller) -> None:
    if asked.is_open:
        policies.approve(
            approval=asked.id, actor=controller, now=clock.now(), key=f"demo/{asked.id}"
        )
