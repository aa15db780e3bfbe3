"""Does finance take a month from its bill to the lock, with a second person, in a browser?

Needs Chromium and playwright; skips with the command to install them.
"""

import io
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.test import override_settings

from ledger import facade as ledger
from o10.access.roles import Role
from reports import facade as reports
from reports.tasks import run_imports
from tests.journeys.conftest import axe_findings
from tests.operations.reports.close_company import bill, october, spent_on_the_third, units
from tests.waiting import wait_until
from tests.web.reports.pages_company import NOW, seal_all

pytestmark = pytest.mark.browser

LONG = "a supplement for requests of very long documents that was agreed in spring " * 5


@pytest.fixture(scope="module")
def office(site, django_db_blocker):
    """What runs beside the pages: the worker, the sealer, the verifier."""
    minutes = iter(range(1, 60))

    class Office:
        def book_files(self):
            with django_db_blocker.unblock():
                assert run_imports() == 1

        def seal_and_verify(self):
            told = io.StringIO()
            files = override_settings(
                O10_SIGNING_KEY_FILE=str(site.home / "ledger.pem"), O10_HOME=site.home
            )
            with django_db_blocker.unblock(), files:
                seal_all(site.urls, site.home, NOW + timedelta(minutes=next(minutes)))
                call_command("ledger_verify", "--full", stdout=told, stderr=io.StringIO())
            assert "OK: every check passed" in told.getvalue()

        def october(self):
            with django_db_blocker.unblock():
                return october()

        def bill(self):
            with django_db_blocker.unblock():
                return units(spent_on_the_third() * 104 // 100)

        def invoice(self):
            with django_db_blocker.unblock():
                return ledger.list_invoices(period="2026-10")[0].public

        def restated(self):
            with django_db_blocker.unblock():
                return reports.read_checklist(period="2026-10", now=NOW).restated

    return Office()


def send(page, name, body):
    """A file is chosen, looked at and confirmed."""
    page.select_option("#source", "csv")
    page.set_input_files("#file", {"name": name, "mimeType": "text/csv", "buffer": body})
    page.get_by_role("button", name="Look at it").click()
    page.wait_for_url("**/imports/imp_*/")
    assert "nothing is booked yet" in page.locator("h1").inner_text()
    page.get_by_role("button", name="Book 1 row").dblclick()
    page.wait_for_selector("#import[hx-trigger]")


def agree(visit, page, site):
    """The one who asked can't decide; a controller agrees."""
    page.get_by_role("link", name="Look at it").click()
    page.wait_for_url("**/approvals/apr_*/")
    assert page.get_by_role("link", name="Approve", exact=False).count() == 0
    second = visit(page.url.removeprefix(site.url), role=Role.CONTROLLER)
    second.keyboard.press("a")
    second.locator("dialog[open] input[name=reason]").fill("seen")
    second.keyboard.press("Enter")
    second.wait_for_selector("text=Approved and carried out")


def whole_and_narrow(page, *schemes):
    """Accessible, and no wider than a phone."""
    for scheme in schemes:
        page.emulate_media(color_scheme=scheme)
        assert axe_findings(page) == []
    page.set_viewport_size({"width": 390, "height": 900})
    wait_until(page, "() => document.documentElement.scrollWidth <= 390", timeout=5_000)
    page.set_viewport_size({"width": 1280, "height": 900})


def test_the_pages_say_what_to_do_when_nothing_came_in(visit):
    page = visit("/imports/")
    assert "No bill has come in yet" in page.locator("h1").inner_text()
    assert page.get_by_text("Nothing was imported yet.").is_visible()
    page.get_by_role("link", name="Import a file").first.click()
    page.wait_for_url("**/imports/new/")
    page.set_input_files(
        "#file", {"name": "x.csv", "mimeType": "text/csv", "buffer": b"a,b\n1,2\n"}
    )
    page.select_option("#source", "csv")
    page.get_by_role("button", name="Look at it").click()
    page.get_by_text("The file was not taken.").wait_for()
    whole_and_narrow(page, "dark")


def test_a_month_goes_from_its_bill_to_the_lock_and_a_late_line_is_told_apart(
    site, office, visit
):
    page = visit("/imports/new/")
    send(page, "openai.csv", bill(f"a,2026-10-03,openai,gpt-4o,{office.bill()},USD,INV-10"))
    office.book_files()
    page.get_by_text("1 of 1 rows were booked.").wait_for()
    whole_and_narrow(page, "light")
    office.seal_and_verify()

    page.goto(f"{site.url}/imports/")
    assert "1 bill differs by" in page.locator("h1").inner_text()
    whole_and_narrow(page, "light", "dark")
    page.locator("#bills-t").locator("xpath=ancestor::section").get_by_role(
        "link", name="openai"
    ).click()
    page.wait_for_url("**/invoices/inv_*/")
    assert "(+4.0%)" in page.locator("h1").inner_text()
    page.fill("#reason", LONG[:400])
    page.get_by_role("button", name="Ask to book").dblclick()
    page.get_by_text("Waits for a second person").wait_for()
    whole_and_narrow(page, "light", "dark")
    agree(visit, page, site)
    office.seal_and_verify()

    page.goto(f"{site.url}/close/2026-10/")
    assert "2026-10 can be closed: every condition holds." in page.locator("h1").inner_text()
    whole_and_narrow(page, "light")
    page.get_by_role("button", name="Prepare the close").dblclick()
    page.get_by_text("Waits for a second person").wait_for()
    agree(visit, page, site)
    office.seal_and_verify()
    sealed = office.october()
    page.goto(f"{site.url}/close/2026-10/")
    assert "2026-10 is closed at" in page.locator("h1").inner_text()
    assert page.get_by_text("Nothing came in since.").is_visible()

    page.goto(f"{site.url}/imports/new/")
    send(page, "late.csv", bill("late,2026-10-09,openai,web-search,25,USD,INV-10"))
    office.book_files()
    page.get_by_text("1 of 1 rows were booked.").wait_for()
    page.goto(f"{site.url}/invoices/{office.invoice()}/")
    page.get_by_text("prior-period line").wait_for()
    page.fill("#reason", "search was billed late")
    page.get_by_role("button", name="Ask to book").click()
    page.get_by_text("Waits for a second person").wait_for()
    agree(visit, page, site)
    office.seal_and_verify()
    assert office.october() == sealed, "the closed month is what it was, to the nano"
    assert office.restated().restated_nanos == sealed.amount_nanos + 25 * 10**9
    page.goto(f"{site.url}/close/2026-10/")
    text = page.locator("#close-month").inner_text()
    assert "2 prior-period lines" in text and "$25.000000000" in text
    assert "Difference of a bill" in text and "openai · web-search" in text
    whole_and_narrow(page, "light", "dark")
    page.goto(f"{site.url}/close/")
    assert "Every month that is over is closed. 2026-10 was closed last." in (
        page.locator("h1").inner_text()
    )
    whole_and_narrow(page, "dark")
    with page.expect_download() as file:
        page.get_by_role("link", name="CSV").click()
    assert "2026-10,closed," in file.value.path().read_text()
    assert page.errors == []
    assert page.origins == {site.url.split("/")[2]}
