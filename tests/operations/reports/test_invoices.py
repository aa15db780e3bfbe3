"""Is a file booked once, whatever happens, and a bill's difference found and booked by two?"""

import gzip
import io
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from ledger import facade as ledger
from ledger.models import Import, InvoiceLine
from ledger.operations import import_file
from o10.kernel.errors import IdempotencyMismatch, SelfApproval, TooLarge
from policies import facade as policies
from tests.operations.ledger.test_importers import EXPORTS
from tests.operations.reports.close_company import bill
from tests.web.reports.pages_company import NOW, pages_company

ONE = 10**9
PEOPLE = {"requested_by": "usr_maker", "approved_by": "usr_checker", "actor_id": 0}


@pytest.fixture(scope="module")
def founded(database_urls, django_db_setup, django_db_blocker, tmp_path_factory):
    """A company, committed once; each test is rolled back."""
    yield from pages_company(database_urls, django_db_blocker, tmp_path_factory.mktemp("b"))


@pytest.fixture
def company(founded, db, clock):
    return founded


def entries():
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*), coalesce(sum(amount_nanos), 0) FROM ledger_entry")
        return cursor.fetchone()


def booked(body, source="csv", now=NOW):
    row = ledger.check_file(source=source, file_name="f", body=body, actor="usr_maker", now=now)
    ledger.confirm_import(public=row.public, now=now)
    ledger.run_import(public=row.public, clock=lambda: now)
    return ledger.get_import(row.public)


def october_by_day():
    """What the company spent in October at openai: one day, one model."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT sum(amount_nanos)::bigint FROM ledger_entry WHERE kind = 13"
            " AND effective_at >= '2026-10-03Z' AND effective_at < '2026-10-04Z'"
        )
        return cursor.fetchone()[0]


def text(nanos):
    return f"{nanos // ONE}.{nanos % ONE:09d}"


def test_a_look_writes_nothing_and_a_file_is_booked_once(company):
    path = EXPORTS / "usage.csv"
    before = entries()
    out, err = io.StringIO(), io.StringIO()
    call_command("import_usage", "csv", str(path), "--dry-run", stdout=out, stderr=err)
    assert entries() == before
    assert Import.objects.count() == 0
    assert "2 rows, 1 new, 0 known, 1 rejected" in out.getvalue()
    assert "row 3: not_a_count" in err.getvalue()
    call_command("import_usage", "csv", str(path), stdout=out, stderr=err)
    after = entries()
    assert after[1] > before[1]
    assert "1 of 2 rows booked" in out.getvalue() and "hash " in out.getvalue()
    call_command("import_usage", "csv", str(path), stdout=out, stderr=err)
    assert entries() == after
    with pytest.raises(CommandError, match="column"):
        call_command("import_usage", "openrouter", str(path))


FILES = (
    ("openrouter", "openrouter.csv"), ("openai-usage", "openai_usage.json"),
    ("openai-costs", "openai_costs.json"), ("anthropic-usage", "anthropic_usage.json"),
    ("anthropic-cost", "anthropic_cost.json"), ("bedrock-cur", "bedrock_cur.csv"),
    ("litellm", "litellm.jsonl"), ("vercel", "vercel.json"), ("focus", "focus.csv"),
    ("csv", "bill.csv"),
)  # fmt: skip


def test_every_source_is_booked_and_known_the_second_time(company):
    for source, name in FILES:
        body = (EXPORTS / name).read_bytes()
        first, again = booked(body, source), booked(body, source)
        assert first.state == again.state == "done", (source, first.problem)
        assert first.rows_new > 0
        assert (again.rows_new, again.rows_known) == (0, first.rows_new)
        assert first.rows_rejected == len(ledger.list_rejects(first.id)) > 0
        assert first.entries_hash and not again.entries_hash


def test_a_row_that_changed_since_is_refused_and_the_first_stays(company):
    booked(bill("a,2026-10-03,openai,gpt-4o,10,USD,I"))
    again = booked(bill("a,2026-10-03,openai,gpt-4o,11,USD,I"))
    assert [each.code for each in ledger.list_rejects(again.id)] == ["changed_since"]
    assert InvoiceLine.objects.get().amount_nanos == 10 * ONE


def test_another_worker_goes_on_where_one_died(company, monkeypatch):
    monkeypatch.setattr(import_file, "BATCH", 3)
    body = bill(*(f"l{n},2026-10-03,openai,gpt-4o,{n},USD,I" for n in range(10)))
    row = ledger.check_file(source="csv", file_name="f", body=body, actor="usr_a", now=NOW)
    ledger.confirm_import(public=row.public, now=NOW)

    class Died(Exception):
        pass

    def die(done):
        if done >= 6:
            raise Died

    with pytest.raises(Died):
        ledger.run_import(public=row.public, clock=lambda: NOW, progress=die)
    assert ledger.get_import(row.public).rows_done == 6
    assert ledger.due_imports(now=NOW) == []
    later = NOW + timedelta(minutes=1)
    assert ledger.due_imports(now=later) == [row.public]
    ledger.run_import(public=row.public, clock=lambda: later)
    done = ledger.get_import(row.public)
    assert (done.state, done.rows_done, done.rows_new) == ("done", 10, 10)
    assert done.booked_nanos == sum(range(10)) * ONE
    assert InvoiceLine.objects.count() == 10
    assert Import.objects.get().body is None


def test_planted_differences_are_found_booked_and_the_ledger_is_the_bill(company):
    here = october_by_day()
    booked(
        bill(
            f"a,2026-10-03,openai,gpt-4o,{text(here * 104 // 100)},USD,I",
            "b,2026-10-09,openai,web-search,25,USD,I",
        )
    )
    (invoice,) = ledger.list_invoices(period="2026-10")
    found = ledger.reconcile_invoice(invoice.public)
    price, missing = found.matching.lines
    assert (price.found.value, price.difference) == ("price", here * 104 // 100 - here)
    assert (missing.found.value, missing.difference) == ("missing_here", 25 * ONE)
    assert not found.is_settled
    before = policies.check_conservation()
    differences = tuple(
        ledger.Difference(line.key, line.difference, "price") for line in found.matching.lines
    )
    asked = ledger.Bookings(
        invoice=invoice.public, differences=differences, reason="new price", key="k", **PEOPLE
    )
    with pytest.raises(SelfApproval):
        ledger.book_differences(
            bookings=ledger.Bookings(**{**_fields(asked), "approved_by": "usr_maker"}),
            now=NOW,
        )
    written = ledger.book_differences(bookings=asked, now=NOW)
    parts = [entry.entry for entry in written.entries]
    assert sum(entry.amount_nanos for entry in parts) == sum(
        d.amount_nanos for d in differences
    )
    # Shared out to those who spent, and to nobody what nobody here spent.
    assert len({entry.use_case_id for entry in parts}) == 4
    assert ledger.book_differences(bookings=asked, now=NOW).replayed is not None
    after = ledger.reconcile_invoice(invoice.public)
    assert after.is_settled
    assert after.matching.spent + after.matching.booked == after.matching.billed
    assert policies.check_conservation() == before == []
    assert policies.check_invariants() == []
    stale = ledger.Bookings(**{**_fields(asked), "key": "k2"})
    with pytest.raises(ledger.BillMoved):
        ledger.book_differences(bookings=stale, now=NOW)
    with pytest.raises(IdempotencyMismatch):
        ledger.book_differences(
            bookings=ledger.Bookings(**{**_fields(asked), "differences": differences[:1]}),
            now=NOW,
        )


def _fields(asked):
    return {name: getattr(asked, name) for name in asked.__dataclass_fields__}


def test_an_accrual_stands_in_its_month_and_goes_out_in_the_next(company):
    accrued = ledger.Accrued(
        period="2026-10", venue="openai", amount_nanos=40 * ONE, reason="support fee"
    )
    written = ledger.book_accrual(accrued=accrued, key="a", now=NOW, **PEOPLE)
    into, out = (entry.entry for entry in written.entries)
    row = ledger.get_period("2026-10")
    assert row.starts_at <= into.effective_at < row.ends_at == out.effective_at
    assert into.amount_nanos == -out.amount_nanos == 40 * ONE
    assert policies.check_conservation() == []
    assert ledger.book_accrual(accrued=accrued, key="a", now=NOW, **PEOPLE).replayed


def test_a_bill_in_another_currency_needs_a_rate_of_its_day(company):
    told = booked(bill("e,2026-10-03,mistral,codestral,10,EUR,I"))
    assert [each.code for each in ledger.list_rejects(told.id)] == ["currency_unknown"]


def test_the_same_call_by_two_ways_is_booked_once(company):
    body = (EXPORTS / "litellm.jsonl").read_bytes()
    first = booked(body, "litellm")
    csv = (
        b"id,at,venue,model,input_tokens,output_tokens,provider_request_id\n"
        b"x,2026-10-01T00:00:03Z,openai,gpt-5.4-mini,1000,120,chatcmpl-1\n"
    )
    again = booked(csv)
    assert (first.rows_new, again.rows_new, again.rows_known) == (2, 0, 1)


# ---- files that are none ----------------------------------------------------------------


def looked(source, body):
    """What does a look say: rows, new, rejected (row, code), money?"""
    row = ledger.check_file(source=source, file_name="f", body=body, actor="usr_a", now=NOW)
    rejects = [(each.row, each.code) for each in ledger.list_rejects(row.public)]
    told = (row.rows_total, row.rows_new, rejects, row.amount_nanos)
    Import.objects.filter(id=row.id).delete()
    return told


def refusal(source, body):
    """In which words is this file refused?"""
    with pytest.raises(ledger.FileRejected) as refused:
        looked(source, body)
    return refused.value.fields["what"]


@pytest.mark.parametrize(("source", "name"), FILES)
def test_a_file_is_read_as_it_comes_or_refused_with_nothing_written(company, source, name):
    body = (EXPORTS / name).read_bytes()
    before, plain = entries(), looked(source, body)
    assert plain[1] > 0 and plain[2], "the export has good rows and bad ones"
    packed = gzip.compress(body)
    for same in (packed, b"\xef\xbb\xbf" + body, gzip.compress(b"\xef\xbb\xbf" + body)):
        assert looked(source, same) == plain
    assert looked(source, body.replace(b"\n", b"\r\n"))[1:] == plain[1:]
    assert refusal(source, packed[: len(packed) * 2 // 3]).startswith("it is a gzip file that")
    assert refusal(source, b"\xff\xfea\0").startswith("it is UTF-16")
    assert refusal(source, b"PK\x03\x04...").startswith("it is a ZIP")
    assert refusal(source, b"\xe4\xf6\n") in (
        "it is not UTF-8 text", "it can't be read as UTF-8 CSV"
    )  # fmt: skip
    assert refusal(source, b"") == "it is empty" or source == "csv"
    # Cut off in the middle: a row with its number, or no file at all; never more than there is.
    try:
        cut = looked(source, body[: len(body) * 2 // 3])
    except ledger.FileRejected as refused:
        assert "JSON" in refused.fields["what"]
    else:
        assert cut[1] <= plain[1] and (cut[2] or cut[0] < plain[0])
        assert all(number > 0 for number, _ in cut[2])
    assert entries() == before
    assert Import.objects.count() == 0


def test_money_without_a_known_currency_is_never_taken_for_dollars(company):
    for source, name, mark in (
        ("openai-costs", "openai_costs.json", b'"usd"'), ("focus", "focus.csv", b",USD,"),
        ("csv", "bill.csv", b",USD,"), ("anthropic-cost", "anthropic_cost.json", b'"USD"'),
    ):  # fmt: skip
        body = (EXPORTS / name).read_bytes()
        assert mark in body, name
        foreign = body.replace(mark, mark.replace(b"usd", b"jpy").replace(b"USD", b"JPY"))
        _, new, rejects, amount = looked(source, foreign)
        assert (new, amount) == (0, 0), name
        assert "currency_unknown" in {code for _, code in rejects}, (name, rejects)


def test_a_file_above_the_limit_is_not_read_and_not_unpacked(company, monkeypatch):
    monkeypatch.setattr(import_file, "FILE_MOST", 100_000)
    for body in (b" " * 100_001, gzip.compress(b" " * 100_001)):
        with pytest.raises(TooLarge) as refused:
            looked("csv", body)
        assert refused.value.fields["limit_bytes"] == 100_000


def test_the_command_takes_gzip_of_any_size_and_refuses_half_of_one(company, tmp_path):
    whole, half = tmp_path / "bill.csv.gz", tmp_path / "half.csv.gz"
    whole.write_bytes(gzip.compress((EXPORTS / "bill.csv").read_bytes()))
    half.write_bytes(whole.read_bytes()[:-20])
    out, before = io.StringIO(), entries()
    with pytest.raises(CommandError, match="cut off"):
        call_command("import_usage", "csv", str(half), stdout=out, stderr=out)
    assert entries() == before
    call_command("import_usage", "csv", str(whole), stdout=out, stderr=out)
    assert "2 of 3 rows booked" in out.getvalue()
