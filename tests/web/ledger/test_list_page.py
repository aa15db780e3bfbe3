"""Does the list show every entry, in full precision, at once, to those who may see it?"""

import csv
import io
import itertools
from datetime import UTC, datetime
from html import escape

import pytest
from django.test import Client

from ledger import facade
from ledger.web import pages_ledger
from o10.access import operations as access
from o10.access.roles import ROLE_ACTIONS, Action, Role
from o10.kernel.figures import money_exact
from tests.web.reports.pages_company import HOSTILE, NOW, use_some

pytestmark = pytest.mark.usefixtures("company")
_names = itertools.count(1)
PEOPLE = [role for role in Role if role is not Role.ROUTER]
PATHS = ("/ledger/", "/ledger/1/", "/ledger/verify/")


def spend(company, slug="support-assistant"):
    use_some(
        company.finops,
        name=f"list-{next(_names)}",
        at=datetime(2026, 11, 19, 12, tzinfo=UTC),
        slug=slug,
        thousands=3,
    )


def seqs(page):
    return [row["seq"] for row in page.context["rows"]]


def all_lines(**fields):
    where = facade.LineFilter(**fields)
    return facade.list_entry_lines(where=where, limit=1_000).items


def test_sentence_subtitle_rows_and_file_say_the_same_sum(browser):
    total = sum(line.amount for line in all_lines(kinds=("usage",)))
    page = browser.get("/ledger/?f=kind:usage")
    shown = money_exact(total).text
    rows = list(
        csv.DictReader(io.StringIO(browser.get("/ledger.csv?f=kind:usage").content.decode()))
    )
    assert total > 0
    assert shown in page.context["head"]["headline"]
    assert shown in page.context["subtitle"]
    assert len(page.context["rows"]) == len(rows) == len(all_lines(kinds=("usage",)))
    assert sum(round(float(row["amount"]) * 10**9) for row in rows) == pytest.approx(
        total, abs=len(rows)
    )


def test_a_new_entry_is_there_before_it_has_a_position(company, browser, seal):
    seal()
    spend(company)
    page = browser.get("/ledger/")
    first = page.context["rows"][0]
    assert first["seq"] is None
    assert first["url"].startswith("/ledger/ent_")
    assert "sealing" in page.content.decode()
    assert "waits for the seal" in page.context["head"]["subline"]
    reached = seal()
    assert reached in seqs(browser.get("/ledger/"))


def test_pages_hold_every_entry_once_and_lead_back(browser, seal, monkeypatch):
    seal()
    monkeypatch.setattr(pages_ledger, "ROWS", 7)
    seen, pages, path = [], [], "/ledger/"
    while path:
        page = browser.get(path)
        pages.append(seqs(page))
        seen += pages[-1]
        path = page.context["pages"].older_url
        last = page
    assert seen == [line.seq for line in all_lines()]
    assert page.context["pages"].last == len(seen)
    for expected in reversed(pages[:-1]):
        last = browser.get(last.context["pages"].newer_url)
        assert seqs(last) == expected
    assert last.context["pages"].newer_url == ""


def test_a_page_that_has_seen_all_gets_nothing_until_there_is_news(company, browser, seal):
    seal()
    seen = browser.get("/ledger/").context["seen"]
    again = browser.get("/ledger/", headers={"X-O10-Seen": seen, "HX-Request": "true"})
    assert (again.status_code, again.content) == (204, b"")
    spend(company)
    news = browser.get("/ledger/", headers={"X-O10-Seen": seen, "HX-Request": "true"})
    assert news.status_code == 200
    assert b"<html" not in news.content
    assert b'id="entries"' in news.content
    assert b'id="ledger-head"' in news.content


def test_a_frozen_page_stands_still_and_asks_for_nothing(company, browser, seal):
    frozen = browser.get("/ledger/?as_of=20")
    spend(company)
    seal()
    again = browser.get("/ledger/?as_of=20")
    assert seqs(frozen) == seqs(again) == list(range(20, 0, -1))
    assert again.context["as_of"]["seq"] == 20
    assert b"data-live" not in again.content


@pytest.mark.parametrize(
    ("query", "field", "values"),
    [
        ("f=kind:reserve&f=kind:deny", "kind", {"reserve", "deny"}),
        ("f=use_case:support-assistant", "use_case", {"Support assistant"}),
        ("f=model:gpt-4o", "model", {"gpt-4o"}),
    ],
)
def test_a_filter_keeps_its_rows_alone_and_can_be_taken_off(browser, query, field, values):
    page = browser.get(f"/ledger/?{query}")
    assert {row[field] for row in page.context["rows"]} == values
    chips = page.context["bar"].filters
    assert len(chips) == len(query.split("&"))
    for chip in chips:
        left = browser.get(chip.remove_url).context["bar"].filters
        assert {each.value for each in left} == {each.value for each in chips} - {chip.value}


def test_a_day_leads_to_its_entries_in_the_company_s_zone(company, browser):
    spend(company)
    days = next(
        each
        for each in browser.get("/ledger/").context["bar"].add_filter.choices
        if each.label == "Since"
    )
    day = next(each for each in days.options if each.label == "19 Nov 2026")
    assert day.value == "since:2026-11-18T23:00:00+00:00"
    page = browser.get("/ledger/", {"f": day.value})
    assert page.context["pages"].total >= 1
    chip = page.context["bar"].filters[0]
    assert (chip.label, chip.value) == ("Since", "19 Nov 2026 00:00 CET")


def test_what_the_address_says_wrongly_is_named_and_left_out(browser):
    page = browser.get("/ledger/?f=kind:!settle&x=1&f=colour:red")
    told = page.content.decode()
    assert "f=kind:!settle was left out" in told
    assert "x is not a key of this page" in told
    assert "colour" in told
    assert page.context["bar"].filters == ()


def test_no_match_offers_one_way_out(browser):
    page = browser.get("/ledger/?f=kind:eval")
    assert page.context["head"]["headline"].startswith("No entry matches")
    (action,) = page.context["empty"]["actions"]
    assert browser.get(action.url).context["rows"]


@pytest.mark.parametrize("cursor", ["nonsense", "1.2.3", "~", "9" * 79])
def test_a_cursor_that_is_none_of_ours_is_refused(browser, cursor):
    assert browser.get("/ledger/", {"cursor": cursor}).status_code == 422


def test_markup_in_a_name_stays_text(browser):
    page = browser.get("/ledger/?f=use_case:sandbox").content.decode()
    assert HOSTILE not in page
    assert escape(HOSTILE) in page


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("role", PEOPLE)
def test_each_role_opens_what_its_rights_say(company, role, path):
    answer = company.client(role).get(path)
    assert answer.status_code == (200 if Action.READ_LEDGER in ROLE_ACTIONS[role] else 403)


@pytest.mark.parametrize("path", PATHS)
def test_a_stranger_is_sent_to_sign_in(client, path):
    assert client.get(path).headers["Location"] == f"/sign-in/?next={path}"


def test_a_key_reads_the_entries_of_its_use_cases_alone(company, seal):
    seal()
    made = access.create_key(
        name="one use case",
        role=Role.AUDITOR,
        use_cases=("sandbox",),
        expires_at=None,
        actor=access.COMMAND_LINE,
        now=NOW,
    )
    script = Client(headers={"Authorization": f"Bearer {made.secret.text}"})
    page = script.get("/ledger/")
    assert {row["use_case"] for row in page.context["rows"]} == {HOSTILE}
    assert not script.get("/ledger/?f=use_case:support-assistant").context["rows"]
    other = all_lines(use_cases=("support-assistant",))[-1]
    own = all_lines(use_cases=("sandbox",))[-1]
    assert script.get(f"/ledger/{other.seq}/").status_code == 404
    assert script.get(f"/ledger/{other.public}/").status_code == 404
    assert script.get(f"/ledger/{own.seq}/").status_code == 200
