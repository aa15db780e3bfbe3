"""What did the providers of the demo company bill, and which of its months are closed?

The last three whole months have bills made from what the ledger holds: two are closed, one of
them after a difference was booked, and a line for it came late; the third has a bill that is
4 % above the ledger and waits for somebody. Same seed and last day, same bills.
"""

import csv
import io
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import psycopg
from django.conf import settings
from django.db import connections

from ledger import facade as ledger
from o10.access.keys import Caller
from o10.kernel import clock
from o10.kernel.money import NANOS_PER_UNIT, amount_text
from policies import facade as policies
from reports import facade as reports

BILLED_MONTHS: Final = 3
SEALED_WITHIN_S: Final = 90.0
HEADER: Final = ("id", "date", "venue", "model", "tier", "amount", "currency", "invoice")
DEARER: Final = {"openai": 104}
"""In per cent of the ledger: what the waiting bill of this venue says."""
BOOKED: Final = {"anthropic": 103}
"""Likewise for the month before, booked and closed since."""
LATE: Final = 180 * NANOS_PER_UNIT

Say = Callable[[str], object]


def bill_and_close(
    *, finops: Caller, controller: Caller, until: date, seed: int, say: Say
) -> None:
    """Bills of three months; the two older ones closed. What was done before is left alone."""
    months = _months(until)
    spent = {month: _spent(month) for month in months}
    for number, month in enumerate(months):
        factors: dict[str, int] = ({}, BOOKED, DEARER)[number]
        for venue, lines in spent[month].items():
            body = _bill(month, venue, lines, factors.get(venue, 100), seed)
            _import(body, f"{venue}-{month}.csv", finops)
    with _sealing() as sealed:
        for month in months[:-1]:
            _book(month, finops, controller)
        sealed()
        _verify()
        for month in months[:-1]:
            if not _close(month, finops, controller, say):
                return
            sealed()
        _late_line(months[1], finops, controller)
        sealed()


def _months(until: date) -> list[str]:
    """Which are the last whole months, the oldest first?"""
    months: list[str] = []
    month = f"{until:%Y-%m}"
    for _ in range(BILLED_MONTHS):
        month = ledger.month_before(month)
        months.insert(0, month)
    return months


def _spent(month: str) -> dict[str, list[tuple[str, str, int]]]:
    """What was spent at each venue: (day, model, nanos), by UTC days as providers count?"""
    starts, ends = ledger.month_bounds(month, time_zone="UTC")
    venues = ledger.list_meanings(domain="venue")
    models = ledger.list_meanings(domain="model")
    found: dict[str, list[tuple[str, str, int]]] = {}
    for day, venue, model, nanos in ledger.sum_by_day(starts_at=starts, ends_at=ends):
        name = str(venues[venue]["slug"])
        slug = str(models.get(model, {}).get("slug", ""))
        found.setdefault(name, []).append((str(day), slug, nanos))
    return found


def _bill(
    month: str, venue: str, lines: list[tuple[str, str, int]], percent: int, seed: int
) -> bytes:
    """What does the venue bill? Its own rounding to cents, and this share of the ledger."""
    draw = random.Random(f"{seed}/{month}/{venue}")  # noqa: S311 - a demo, reproducible
    number = f"{venue[:3].upper()}-{month.replace('-', '')}-{draw.randrange(1000, 9999)}"
    written = io.StringIO()
    writer = csv.writer(written)
    writer.writerow(HEADER)
    cent = NANOS_PER_UNIT // 100
    for place, (day, model, nanos) in enumerate(lines):
        cents = nanos * percent // 100 // cent
        line = f"{number}-{place + 1}"
        amount = amount_text(cents * cent)
        writer.writerow((line, day, venue, model, "", amount, "USD", number))
    return written.getvalue().encode()


def _import(body: bytes, name: str, finops: Caller) -> None:
    row = ledger.check_file(
        source="csv", file_name=name, body=body, actor=finops.actor, now=clock.now()
    )
    ledger.confirm_import(public=row.public, now=clock.now())
    ledger.run_import(public=row.public, clock=clock.now)


def _book(month: str, finops: Caller, controller: Caller) -> None:
    """Two people book what the bills of this month differ by."""
    for bill in ledger.list_invoices(period=month):
        if ledger.reconcile_invoice(bill.public).is_settled:
            continue
        _agree(bill.public, "the list price rose on the first of the month", finops, controller)


def _agree(invoice: str, reason: str, finops: Caller, controller: Caller) -> None:
    causes = {
        "price": "price",
        "quantity": "count",
        "missing_here": "usage_not_metered",
        "missing_there": "usage_not_billed",
    }
    asked = reports.propose_differences(
        invoice=invoice,
        causes=causes,
        reason=reason,
        actor=finops,
        now=clock.now(),
        key=f"demo/{invoice}/{reason}",
    )
    policies.approve(approval=asked.id, actor=controller, now=clock.now())


def _close(month: str, finops: Caller, controller: Caller, say: Say) -> bool:
    waivers = {"exceptions": "history of the demo company"}
    prepared = reports.prepare_close(
        period=month, actor=finops, now=clock.now(), waivers=waivers, key=f"demo/{month}"
    )
    if prepared.approval is None:
        open_ones = " ".join(each.found for each in prepared.checklist.missing)
        say(f"{month} was left open: {open_ones}")
        return False
    policies.approve(approval=prepared.approval.id, actor=controller, now=clock.now())
    say(f"{month} is closed")
    return True


def _late_line(month: str, finops: Caller, controller: Caller) -> None:
    """A line for a closed month comes in and is booked in the open one."""
    body = (
        ",".join(HEADER)
        + "\n"
        + ",".join(
            (
                "late-search",
                f"{month}-28",
                "openai",
                "web-search",
                "",
                amount_text(LATE),
                "USD",
                "",
            )
        )
    )
    _import(body.encode(), f"openai-{month}-late.csv", finops)
    for bill in ledger.list_invoices(period=month, venue="openai"):
        if not ledger.reconcile_invoice(bill.public).is_settled:
            _agree(bill.public, "search calls billed a month late", finops, controller)


@contextmanager
def _sealing() -> Iterator[Callable[[], None]]:
    """A sealer while this lasts, unless one runs already; gives a wait until all is signed."""
    stop = threading.Event()
    thread = threading.Thread(target=_seal, args=(stop,), name="demo sealer", daemon=True)
    thread.start()

    def sealed() -> None:
        deadline = time.monotonic() + SEALED_WITHIN_S
        while time.monotonic() < deadline:
            state = ledger.seal_state(now=clock.now())
            if not state.waiting and state.checkpoint_size == state.seq:
                return
            time.sleep(0.1)

    try:
        yield sealed
    finally:
        stop.set()
        thread.join(timeout=10)


def _seal(stop: threading.Event) -> None:
    try:
        ledger.run_sealer(
            connect=_connect,
            key_file=Path(settings.O10_SIGNING_KEY_FILE),
            clock=clock.now,
            stop=stop,
        )
    finally:
        connections.close_all()


def _connect() -> "psycopg.Connection[Any]":
    """The database under the sealer's role."""
    wanted = connections["sealer"].get_connection_params()
    for name in ("cursor_factory", "context", "autocommit", "prepare_threshold"):
        wanted.pop(name, None)
    return psycopg.connect(**wanted, autocommit=True, application_name="o10 demo sealer")


def _verify() -> None:
    """The first full verification, as an auditor would run it."""
    company = ledger.ledger_of_company()
    keys = ledger.load_verifier_keys(
        path=Path(settings.O10_SIGNING_KEY_FILE), name=company.origin
    )
    started = clock.now()
    audit = ledger.verify_ledger(mode=ledger.VerifierMode.FULL, keys=keys)
    ledger.record_verification(
        ledger_id=company.id,
        mode=audit.mode,
        from_seq=0,
        upto_seq=audit.size,
        finding=audit.findings[0] if audit.findings else None,
        started_at=started,
        finished_at=max(clock.now(), started + timedelta(microseconds=1)),
    )
