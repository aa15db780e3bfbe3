"""Is an import, a booking and a close whole wherever the process is killed, and done once?

Each child is forked and killed (-9) before one of its statements, COMMIT included. The import
goes on where the dead one stopped; a booking and a close stand as a whole or not at all.
"""

from datetime import timedelta

import pytest
from django.db import connection

from ledger import facade as ledger
from ledger.operations import import_file
from o10.access.roles import Role
from policies import facade as policies
from reports import facade as reports
from tests.company import caller
from tests.machines.concurrency import kill_at_statement
from tests.operations.reports.close_company import (
    bill,
    closing_books,
    october,
    spent_on_the_third,
    units,
)

ONE = 10**9
FINOPS = caller(Role.FINOPS, "usr_first")
CONTROLLER = caller(Role.CONTROLLER, "usr_second")
LINES = 8


@pytest.fixture(scope="module")
def books(database_urls, django_db_setup, django_db_blocker, tmp_path_factory):
    yield from closing_books(database_urls, django_db_blocker, tmp_path_factory.mktemp("k"))


def counts():
    """Entries of bills, differences and closes, and the rows beside them."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT (SELECT count(*) FROM ledger_entry WHERE kind = 27),"
            " (SELECT count(*) FROM ledger_invoice_line),"
            " (SELECT count(*) FROM ledger_invoice),"
            " (SELECT count(*) FROM ledger_entry WHERE kind = 28),"
            " (SELECT count(*) FROM ledger_booked_difference),"
            " (SELECT count(*) FROM ledger_entry WHERE kind = 29),"
            " (SELECT count(*) FROM ledger_period_balance),"
            " (SELECT count(*) FROM ledger_idem),"
            " (SELECT coalesce(sum(amount_nanos), 0) FROM ledger_entry)"
        )
        return cursor.fetchone()


def test_an_import_goes_on_where_it_was_killed_and_books_each_line_once(books, monkeypatch):
    monkeypatch.setattr(import_file, "BATCH", 3)
    lines = [
        f"k{number},2026-09-0{number + 1},openai,gpt-4o,{number + 1},USD,K"
        for number in range(LINES)
    ]
    row = ledger.check_file(
        source="csv", file_name="f", body=bill(*lines), actor="usr_first", now=books.at
    )
    ledger.confirm_import(public=row.public, now=books.at)
    before = counts()

    def run():
        books.at += timedelta(minutes=1)
        ledger.run_import(public=row.public, clock=lambda: books.at)

    seen = []
    number = 2
    while kill_at_statement(run, number):
        # The child moved its own clock; whoever follows comes a minute later.
        books.at += timedelta(minutes=1)
        done = ledger.get_import(row.public).rows_done
        assert counts()[1] - before[1] == done == counts()[0] - before[0]
        seen.append(done)
        number += 5
    assert seen == sorted(seen) and len(set(seen)) > 1, seen
    told = ledger.get_import(row.public)
    assert (told.state, told.rows_new, told.rows_done) == ("done", LINES, LINES)
    assert told.booked_nanos == sum(range(1, LINES + 1)) * ONE
    assert counts()[1] - before[1] == LINES
    after = counts()
    again = ledger.check_file(
        source="csv", file_name="f", body=bill(*lines), actor="usr_first", now=books.at
    )
    assert (again.rows_new, again.rows_known) == (0, LINES)
    assert counts() == after


def test_a_booking_and_a_close_stand_as_a_whole_or_not_at_all(books):
    here = spent_on_the_third()
    body = bill(f"m,2026-10-03,openai,gpt-4o,{units(here * 104 // 100)},USD,M")
    row = ledger.check_file(
        source="csv", file_name="g", body=body, actor="usr_first", now=books.at
    )
    ledger.confirm_import(public=row.public, now=books.at)
    ledger.run_import(public=row.public, clock=lambda: books.at)
    (invoice,) = ledger.list_invoices(period="2026-10")
    asked = reports.propose_differences(
        invoice=invoice.public,
        causes={"price": "price"},
        reason="a new list",
        actor=FINOPS,
        now=books.at,
    )
    killed_while_approving(books, asked.id, written=3)
    assert ledger.reconcile_invoice(invoice.public).is_settled
    books.seal()
    prepared = reports.prepare_close(
        period="2026-10", actor=FINOPS, now=books.at, waivers={"billed": "flat fee"}
    )
    spent = october()
    killed_while_approving(books, prepared.approval.id, written=5)
    assert ledger.get_period("2026-10").status == "closed"
    assert october() == spent
    assert "OK: every check passed" in books.seal()


def killed_while_approving(books, approval, *, written):
    """`written` is the place in `counts` of the entries that the approval writes."""
    before = counts()

    def approve():
        policies.approve(approval=approval, actor=CONTROLLER, now=books.at, key="k")

    number, kills = 3, 0
    while kill_at_statement(approve, number):
        kills += 1
        whole = policies.get_approval(approval=approval, now=books.at).state == "approved"
        assert (counts() != before) is whole, f"half of it stands after statement {number}"
        number += 17
    assert kills > 3
    after = counts()
    assert after[written] > before[written]
    approve()
    assert counts() == after, "approved twice it is booked twice"
