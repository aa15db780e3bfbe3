"""Do the pages of imports, bills and the close say what is, and can each step be done once?"""

import re

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from ledger import facade as ledger
from o10.access.roles import Role
from policies import facade as policies
from reports import facade as reports
from reports.tasks import run_imports
from tests.web.reports.pages_company import NOW

pytestmark = pytest.mark.usefixtures("company")
ROLES = [role for role in Role if role is not Role.ROUTER]


@pytest.fixture
def browser(company):
    return company.client(Role.FINOPS)


def text_of(answer):
    return " ".join(re.sub(r"<[^>]+>", " ", answer.content.decode()).split())


def october():
    row = ledger.get_period("2026-10")
    spent = ledger.sum_venues(starts_at=row.starts_at, ends_at=row.ends_at)
    return sum(spent.values())


def bill_of(amount, name="a", day="2026-10-03", model="gpt-4o", number="INV-10"):
    rows = "id,date,venue,model,amount,currency,invoice\n"
    return f"{rows}{name},{day},openai,{model},{amount},USD,{number}\nbad,soon,,,x,,\n".encode()


def upload(browser, body, name="bill.csv", source="csv"):
    file = SimpleUploadedFile(name, body)
    return browser.post("/imports/new/", {"source": source, "file": file, "use_case": ""})


def test_a_file_goes_from_upload_to_receipt_and_nothing_is_booked_before(browser, company):
    before = len(ledger.list_invoices())
    answer = upload(browser, bill_of("1.25", "page-1", day="2026-09-03"))
    assert answer.status_code == 302
    page = browser.get(answer["Location"])
    assert "1 of 2 rows are new; nothing is booked yet." in text_of(page)
    assert "Book 1 row" in text_of(page)
    assert len(ledger.list_invoices()) == before
    for _ in range(2):
        assert browser.post(f"{answer['Location']}confirm/").status_code == 302
    waiting = browser.get(answer["Location"])
    assert 'hx-trigger="every 2s"' in waiting.content.decode()
    assert run_imports() == 1
    done = browser.get(answer["Location"], headers={"HX-Request": "true"})
    assert "hx-trigger" not in done.content.decode()
    assert "1 of 2 rows were booked." in text_of(done) and "Hash of the entries" in text_of(
        done
    )
    assert len(ledger.list_invoices()) == before + 1
    rejects = browser.get(f"{answer['Location']}rejects.csv").content.decode()
    assert rejects.splitlines()[0] == "row,code,reason,content"
    assert rejects.splitlines()[1].startswith("3,not_an_instant")


@pytest.mark.parametrize(
    ("body", "name", "source", "told"),
    [
        (b"a,b\n1,2\n", "x.csv", "csv", "it has no columns"),
        (b"\xff\xfe\x00", "x.csv", "csv", "it is UTF-16"),
        (b"date,venue\xe4", "x.csv", "csv", "not UTF-8"),
        (b"{", "x.json", "openai-usage", "it is no JSON"),
        (b"1", "x.json", "moon", "One of openrouter"),
    ],
)
def test_a_file_that_is_none_is_refused_in_words(browser, body, name, source, told):
    answer = upload(browser, body, name, source)
    assert answer.status_code == 422
    assert told in text_of(answer)


def test_a_discarded_file_is_gone_and_cannot_be_booked(browser):
    where = upload(browser, bill_of("1", "page-2"))["Location"]
    assert browser.post(f"{where}discard/").status_code == 302
    assert browser.post(f"{where}confirm/").status_code == 409
    assert "discarded" in text_of(browser.get(where))


@pytest.mark.parametrize("role", ROLES)
def test_roles_see_the_pages_and_only_finance_acts(company, role):
    client = company.client(role)
    for path in ("/imports/", "/imports/new/", "/close/", "/close/2026-10/"):
        assert client.get(path).status_code == 200, path
    may = role in (Role.FINOPS, Role.CONTROLLER)
    assert ("Import a file" in text_of(client.get("/imports/"))) is may
    assert (upload(client, bill_of("1", f"by-{role}")).status_code == 302) is may
    prepared = client.post("/close/2026-10/prepare/", {"key": f"k-{role}"})
    if role is not Role.FINOPS:
        assert prepared.status_code == 403
        assert "Prepare the close" not in text_of(client.get("/close/2026-10/"))


def test_the_checklist_names_what_is_open_and_links_to_it(browser):
    page = browser.get("/close/2026-10/")
    text = text_of(page)
    assert "The month is over" in text and "The ledger verifies" in text
    assert "Spent and not billed yet" in text
    assert 'name="waive-billed"' in page.content.decode()
    for link in re.findall(r'class="quiet-link" href="(/[^"]*)"', page.content.decode()):
        assert browser.get(link.replace("&amp;", "&")).status_code == 200, link
    refused = browser.post("/close/2026-11/prepare/", {"key": "n"})
    assert refused.status_code == 409 and "period_not_over" in text_of(refused)
    assert browser.get("/close/2026-1x/").status_code == 422


def test_a_bill_shows_its_difference_and_asks_once_to_book_it(browser, company):
    with_tax = f"{october() * 104 // 100 / 10**9:.9f}"
    where = upload(browser, bill_of(with_tax, "page-4"))["Location"]
    browser.post(f"{where}confirm/")
    run_imports()
    (bill,) = ledger.list_invoices(period="2026-10")
    page = browser.get(f"/invoices/{bill.public}/")
    text = text_of(page)
    assert "This bill differs from the ledger by +$" in text and "(+4.0%)" in text
    assert "1 line: price differs" in text
    assert re.search("[12] bills? differs? by", text_of(browser.get("/imports/")))
    key = re.search(r'name="key" value="([0-9a-f]{32})"', page.content.decode())[1]
    fields = {"key": key, "cause-price": "price", "reason": "new list"}
    empty = browser.post(f"/invoices/{bill.public}/book/", {**fields, "reason": " "})
    assert empty.status_code == 422 and "Say why" in text_of(empty)
    for _ in range(2):
        assert browser.post(f"/invoices/{bill.public}/book/", fields).status_code == 302
    standing = policies.find_open(subject=f"invoice/{bill.public}", now=NOW)
    assert len(standing) == 1
    assert "Waits for a second person" in text_of(browser.get(f"/invoices/{bill.public}/"))
    assert not reports.reconcile_invoice(bill.public).is_settled


def test_an_accrual_is_asked_for_and_wrong_amounts_are_told(browser):
    fields = {"venue": "openai", "amount": "12.50", "reason": "support", "key": "acc"}
    assert browser.post("/close/2026-10/accrue/", {**fields, "amount": "x"}).status_code == 422
    assert browser.post("/close/2026-10/accrue/", {**fields, "amount": "-1"}).status_code == 422
    assert browser.post("/close/2026-10/accrue/", fields).status_code == 302
    assert "Accrue $12.500000000 of openai" in text_of(browser.get("/close/2026-10/"))


@pytest.mark.parametrize("path", ["/imports/imp_nothing/", "/invoices/inv_nothing/"])
def test_what_is_not_there_is_missing(browser, path):
    assert browser.get(path).status_code == 404
