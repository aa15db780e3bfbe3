"""Does a month close by two people on evidence, and stay closed when a bill comes late?"""

import io
import json

import pytest
from django.core.management import CommandError, call_command

from ledger import facade as ledger
from o10.access.roles import Role
from policies import facade as policies
from reports import facade as reports
from reports.tasks import run_imports
from tests.company import caller
from tests.operations.reports.close_company import (
    bill,
    closing_books,
    october,
    spent_on_the_third,
    units,
)
from tests.web.reports.pages_company import NOW, use_some

ONE = 10**9
OK = "OK: every check passed"
CONTROLLER = caller(Role.CONTROLLER, "usr_second")


@pytest.fixture(scope="module")
def books(database_urls, django_db_setup, django_db_blocker, tmp_path_factory):
    yield from closing_books(database_urls, django_db_blocker, tmp_path_factory.mktemp("c"))


def missing(period="2026-10", **fields):
    listed = reports.read_checklist(period=period, now=NOW, **fields)
    return {each.key for each in listed.missing}


def test_the_command_prepares_and_names_what_is_open(books):
    books.seal()
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
    (request,) = policies.find_open(subject="period/2026-10", now=books.at)
    # Another entry of the month voids the request: it was made against another state.
    use_some(
        books.company.finops,
        name="more",
        at=NOW.replace(month=10, day=20),
        slug="sandbox",
        thousands=1,
    )
    books.seal()
    with pytest.raises(Exception, match="base_changed"):
        policies.approve(approval=request.id, actor=CONTROLLER, now=books.at)
    for wrong in ("sealed=because", "billed="):
        with pytest.raises(CommandError):
            call_command("close_period", "2026-10", "--waive", wrong)
    with pytest.raises(CommandError):
        call_command("close_period", "2026-13")
    with pytest.raises(CommandError, match="period_not_over"):
        call_command("close_period", "2026-11")


class Api:
    """What finance and the controller do by keys, each with a program of its own."""

    def __init__(self, books):
        self.books = books
        self.finops = books.script(Role.FINOPS)
        self.controller = books.script(Role.CONTROLLER)

    def get(self, path):
        answer = self.finops.get(f"/api/v1/{path}")
        assert answer.status_code == 200, answer.content
        return answer.json()

    def post(self, path, body, *, by=None, status=202):
        script = by or self.finops
        answer = script.post(f"/api/v1/{path}", json.dumps(body), "application/json")
        assert answer.status_code == status, answer.content
        return answer.json()

    def send(self, *lines):
        """A bill comes in: looked at, confirmed, booked by the worker."""
        made = self.finops.post(
            "/api/v1/imports?source=csv&file=bill.csv", bill(*lines), "text/csv"
        )
        assert made.status_code == 201, made.content
        public = made.json()["id"]
        self.post(f"imports/{public}:confirm", {})
        assert run_imports() == 1
        done = self.get(f"imports/{public}")
        assert (done["state"], done["rejected"]) == ("done", 0)

    def agree(self, asked):
        """Not by oneself; by a second person it is carried out."""
        (need,) = asked["approval"]["needs"]
        assert need == "controller"
        path = f"approvals/{asked['approval']['id']}:approve"
        refused = self.post(path, {}, by=self.finops, status=403)
        assert refused["code"] in ("self_approval", "forbidden")
        assert self.post(path, {}, by=self.controller, status=200)["state"] == "approved"


def test_a_month_of_the_company_from_bill_to_late_line(books):
    api = Api(books)
    here = spent_on_the_third()
    billed = here * 104 // 100
    before = october().amount_nanos
    api.send(f"a,2026-10-03,openai,gpt-4o,{units(billed)},USD,INV-10")
    assert OK in books.seal()
    # 4 % above: the close is refused, and the difference named.
    (invoice,) = api.get("invoices?period=2026-10")["items"]
    stands = api.get(f"invoices/{invoice['id']}")
    assert (stands["unexplained_nanos"], stands["settled"]) == (str(billed - here), False)
    blocked = api.post("periods/2026-10:close", {}, status=409)
    assert blocked["code"] == "close_blocked"
    listed = api.get("periods/2026-10")["conditions"]
    assert [each["key"] for each in listed if not each["ok"]] == ["reconciled"]
    asked = api.post(
        f"invoices/{invoice['id']}:book",
        {"causes": {"price": "price"}, "reason": "new price list from 1 October"},
    )
    api.agree(asked)
    books.seal()
    assert missing() == set()
    assert october().amount_nanos == before + billed - here
    # Prepared twice is one request.
    request = api.post("periods/2026-10:close", {})
    assert api.post("periods/2026-10:close", {}) == request
    api.agree(request)
    assert OK in books.seal()
    sealed = october()
    closed = api.get("periods/2026-10")
    assert closed["period"]["status"] == "closed"
    assert closed["period"]["amount_nanos"] == str(sealed.amount_nanos)
    # A late line: the month stays to the nano, the restatement shows.
    api.send("late,2026-10-09,openai,web-search,25,USD,INV-10")
    api.agree(
        api.post(
            f"invoices/{invoice['id']}:book",
            {"causes": {"missing_here": "usage_not_metered"}, "reason": "billed late"},
        )
    )
    assert OK in books.seal()
    assert october() == sealed
    after = api.get("periods/2026-10")
    assert after["period"] == closed["period"] | {"later_nanos": str(25 * ONE)}
    assert after["restated_nanos"] == str(sealed.amount_nanos + 25 * ONE)
    # The line of the bill and the difference it made, nothing else.
    assert after["prior_lines"] == 2
    assert api.get(f"invoices/{invoice['id']}")["settled"]
    assert (after["balances_root"], after["last_seq"]) == (
        closed["balances_root"],
        closed["last_seq"],
    )
    out = io.StringIO()
    call_command("close_period", "2026-10", stdout=out)
    assert "restated" in out.getvalue() and "$25.000000000" in out.getvalue()


def test_a_closed_month_is_what_its_parts_are_and_its_files_say_so(books):
    row = ledger.get_period("2026-10")
    parts = ledger.list_period_parts(starts_at=row.starts_at, ends_at=row.ends_at)
    assert {part.part.value for part in parts} == {"calls", "differences"}
    assert sum(part.amount_nanos for part in parts) == october().amount_nanos
    months = {line.period: line for line in reports.list_period_states(now=books.at)}
    assert months["2026-10"].amount_nanos == october().amount_nanos
    assert months["2026-10"].later_nanos == 25 * ONE
    told = reports.EXPORTS_OF_ONE["close"]("2026-10", books.at)
    amounts = {(row[0], row[1]): row[3] for row in told.rows}
    assert amounts["booked", "total"] == october().amount_nanos
    assert amounts["restated", "total"] == october().amount_nanos + 25 * ONE
    (bills,) = reports.EXPORTS["imports/bills"].build(None, books.at).rows
    assert bills[5:13] == (
        2, 1, bills[7], bills[8], bills[7] - bills[8], 0, 0, "agrees"
    )  # fmt: skip
