"""Does a month close by two people on evidence, and stay closed when a bill comes late?"""

import io
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command

from ledger import facade as ledger
from ledger.operations.verify_ledger import verify_ledger
from o10.access.keys import caller_of_person
from o10.access.models import Person
from o10.access.roles import Role
from o10.kernel.errors import Forbidden, SelfApproval
from policies import facade as policies
from reports import facade as reports
from tests.operations.reports.test_invoices import bill, booked, october_by_day, text
from tests.web.reports.pages_company import NOW, _found, seal_all

ONE = 10**9


@pytest.fixture
def company(committed_db, tmp_path, settings, clock):
    settings.O10_SIGNING_KEY_FILE = str(tmp_path / "ledger.pem")
    return _found()


@pytest.fixture
def seal(committed_db, tmp_path, clock):
    """Seals, signs and verifies all there is, a minute later."""

    def run():
        clock.move_to(clock.at + timedelta(minutes=1))
        seal_all(committed_db, tmp_path, clock.at)
        keys = ledger.load_verifier_keys(
            path=tmp_path / "ledger.pem", name=ledger.ledger_of_company().origin
        )
        audit = verify_ledger(mode=ledger.VerifierMode.FULL, keys=keys)
        ledger.record_verification(
            ledger_id=1,
            mode=audit.mode,
            from_seq=0,
            upto_seq=audit.size,
            finding=audit.findings[0] if audit.findings else None,
            started_at=clock.at,
            finished_at=clock.at,
        )
        assert audit.findings == [] == policies.check_conservation()

    return run


def person(company, role):
    return caller_of_person(Person.objects.get(id=company.people[role]))


def october():
    row = ledger.get_period("2026-10")
    return ledger.sum_period(starts_at=row.starts_at, ends_at=row.ends_at)


def missing(period="2026-10", **fields):
    listed = reports.read_checklist(period=period, now=NOW, **fields)
    return {each.key for each in listed.missing}


def test_a_month_of_the_company_from_bill_to_late_line(company, seal, clock):
    finops, controller = person(company, Role.FINOPS), person(company, Role.CONTROLLER)
    here = october_by_day()
    billed = here * 104 // 100
    booked(bill(f"a,2026-10-03,openai,gpt-4o,{text(billed)},USD,INV-10"), now=clock.at)
    seal()
    # 4 % above: the close is refused, and the difference named.
    assert missing() == {"reconciled"}
    prepared = reports.prepare_close(period="2026-10", actor=finops, now=clock.at)
    assert prepared.approval is None
    (invoice,) = ledger.list_invoices(period="2026-10")
    asked = reports.propose_differences(
        invoice=invoice.public,
        causes={"price": "price"},
        reason="new price list from 1 October",
        actor=finops,
        now=clock.at,
    )
    assert asked.text.money_nanos == str(billed - here)
    with pytest.raises((SelfApproval, Forbidden)):
        policies.approve(approval=asked.id, actor=finops, now=clock.at)
    policies.approve(approval=asked.id, actor=controller, now=clock.at)
    seal()
    assert missing() == set()
    assert october().amount_nanos == before_reconcile(billed, here)
    # Prepared twice is one request; its maker cannot agree.
    request = reports.prepare_close(period="2026-10", actor=finops, now=clock.at).approval
    assert reports.prepare_close(period="2026-10", actor=finops, now=clock.at).approval.id == (
        request.id
    )
    with pytest.raises((SelfApproval, Forbidden)):
        policies.approve(approval=request.id, actor=finops, now=clock.at)
    done = policies.approve(approval=request.id, actor=controller, now=clock.at)
    assert done.state == "approved"
    seal()
    sealed = october()
    assert ledger.get_period("2026-10").status == "closed"
    assert reports.find_close("2026-10")["approved_by"] == company.people[Role.CONTROLLER]
    # A late line: the month stays to the nano, the restatement shows.
    booked(bill("late,2026-10-09,openai,web-search,25,USD,INV-10"), now=clock.at)
    late = reports.propose_differences(
        invoice=invoice.public,
        causes={"missing_here": "usage_not_metered"},
        reason="search was billed late",
        actor=finops,
        now=clock.at,
    )
    policies.approve(approval=late.id, actor=controller, now=clock.at)
    seal()
    assert october() == sealed
    restated = reports.read_checklist(period="2026-10", now=clock.at).restated
    assert restated.closed_nanos == sealed.amount_nanos
    assert (restated.later_nanos, restated.restated_nanos) == (
        25 * ONE,
        sealed.amount_nanos + 25 * ONE,
    )
    assert ledger.reconcile_invoice(invoice.public).is_settled
    out = io.StringIO()
    call_command("close_period", "2026-10", stdout=out)
    assert "restated" in out.getvalue() and "$25.000000000" in out.getvalue()


def before_reconcile(billed, here):
    """All of October: what was spent, and the difference of the bill."""
    row = ledger.get_period("2026-10")
    spent = sum(ledger.sum_venues(starts_at=row.starts_at, ends_at=row.ends_at).values())
    return spent + billed - here


def test_the_command_prepares_and_names_what_is_open(company, seal, clock):
    seal()
    out, err = io.StringIO(), io.StringIO()
    with pytest.raises(SystemExit) as left:
        call_command("close_period", "2026-10", stdout=out, stderr=err)
    assert left.value.code == 1
    assert "OPEN  Every venue has a bill or an accrual: Spent and not billed yet" in (
        out.getvalue()
    )
    call_command(
        "close_period", "2026-10", "--waive", "billed=flat fee from January", stdout=out
    )
    assert "waits for controller" in out.getvalue()
    (request,) = policies.find_open(subject="period/2026-10", now=clock.at)
    # Another entry of the month voids the request: it was made against another state.
    from tests.web.reports.pages_company import use_some

    use_some(
        company.finops,
        name="more",
        at=NOW.replace(month=10, day=9),
        slug="sandbox",
        thousands=1,
    )
    seal()
    with pytest.raises(Exception, match="base_changed"):
        policies.approve(
            approval=request.id, actor=person(company, Role.CONTROLLER), now=clock.at
        )
    for wrong in ("sealed=because", "billed=", "2026-13"):
        with pytest.raises(CommandError):
            if wrong.startswith("20"):
                call_command("close_period", wrong)
            else:
                call_command("close_period", "2026-10", "--waive", wrong)
    with pytest.raises(CommandError, match="period_not_over"):
        call_command("close_period", "2026-11")
