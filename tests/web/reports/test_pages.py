"""Do sentence, figures, table and files agree, for whom, in every state of a page?"""

import csv
import io
import json
import re
import zipfile
from xml.etree import ElementTree

import pytest

from o10.access import operations
from o10.access.roles import ROLE_ACTIONS, Action, Role
from o10.kernel.figures import money
from o10.kernel.viewquery import ViewQuery
from reports import facade
from tests.web.reports.pages_company import HOSTILE, LONG, NOW

pytestmark = pytest.mark.usefixtures("company")

PAGES = (
    ("/", Action.READ_SPEND),
    ("/use-cases/", Action.READ_SPEND),
    ("/use-cases/support-assistant/", Action.READ_SPEND),
    ("/envelopes/", Action.READ_SPEND),
    ("/plan/", Action.READ_SPEND),
    ("/use-cases.csv", Action.READ_SPEND),
    ("/envelopes.json", Action.READ_SPEND),
    ("/ledger.csv", Action.READ_LEDGER),
    ("/policies/decisions.json", Action.READ_DECISIONS),
)
PEOPLE = [role for role in Role if role is not Role.ROUTER]


@pytest.fixture
def browser(company):
    return company.client(Role.FINOPS)


@pytest.mark.parametrize("path", [path for path, _ in PAGES])
def test_a_stranger_is_sent_to_sign_in_and_back(client, path):
    answer = client.get(path)
    assert answer.status_code == 302
    assert answer.headers["Location"] == f"/sign-in/?next={path}"


@pytest.mark.parametrize("role", PEOPLE)
@pytest.mark.parametrize(("path", "action"), PAGES)
def test_each_role_opens_what_its_rights_say(company, role, path, action):
    answer = company.client(role).get(path)
    assert answer.status_code == (200 if action in ROLE_ACTIONS[role] else 403)


@pytest.mark.parametrize("path", ["/", "/use-cases.csv", "/envelopes.json", "/ledger.csv"])
def test_a_key_of_one_use_case_does_not_read_the_whole_company(client, path):
    made = operations.create_key(
        name="narrow",
        role=Role.ROUTER,
        use_cases=("support-assistant",),
        expires_at=None,
        actor=operations.COMMAND_LINE,
        now=NOW,
    )
    answer = client.get(path, headers={"Authorization": f"Bearer {made.secret.text}"})
    assert answer.status_code in {302, 403}


def test_the_sentence_figure_table_and_files_agree(browser):
    table = facade.read_use_case_table(query=ViewQuery(), now=NOW)
    total = table.total.actual
    assert total > 0
    page = browser.get("/").content.decode()
    assert table.headline.title in page
    assert page.count(money(total).text) >= 2  # figure and foot of the table
    rows = list(csv.DictReader(io.StringIO(browser.get("/use-cases.csv").content.decode())))
    cents = sum(
        int(row["spent"].replace(".", "").ljust(len(row["spent"]), "0")) for row in rows
    )
    assert cents > 0
    told = browser.get("/use-cases.json").json()
    assert sum(int(item["spent_nanos"]) for item in told["items"]) == total
    assert told["totals"]["spent"]["amount_nanos"] == str(total)
    assert [row["slug"] for row in rows] == [item["slug"] for item in told["items"]]
    assert [row["spent"] for row in rows] == [item["spent"] for item in told["items"]]
    assert _xlsx_sum(browser.get("/use-cases.xlsx").content, "F") == pytest.approx(total / 1e9)


def test_the_position_stands_on_page_and_in_files(browser):
    seq = facade.read_use_case_table(query=ViewQuery(), now=NOW).position.seq
    assert f"At entry {seq:,}" in _text(browser.get("/").content.decode())
    answer = browser.get("/use-cases.csv")
    assert answer.headers["X-O10-Ledger-Position"] == str(seq)
    assert browser.get("/use-cases.json").json()["as_of"]["ledger_seq"] == seq


def test_a_frozen_link_shows_less_and_says_so(browser):
    table = facade.read_use_case_table(query=ViewQuery(), now=NOW)
    before = facade.read_use_case_table(query=ViewQuery(as_of=table.position.seq // 2), now=NOW)
    assert before.total.actual < table.total.actual
    page = _text(browser.get(f"/?as_of={before.position.seq}").content.decode())
    assert f"As of entry {before.position.seq:,}" in page
    assert before.headline.title in page
    assert "data-live" not in browser.get(f"/?as_of={before.position.seq}").content.decode()


def test_a_frozen_figure_is_the_sum_of_the_entries_up_to_it(browser):
    from ledger import facade as ledger

    newest = facade.read_use_case_table(query=ViewQuery(), now=NOW).position.seq
    for seq in range(1, newest + 1, 3):
        table = facade.read_use_case_table(query=ViewQuery(as_of=seq), now=NOW)
        entries = ledger.list_range(ledger_id=1, seq_from=1, seq_to=seq + 1)
        expected = sum(
            each.entry.amount_nanos
            for each in entries
            if table.period.starts_at <= each.entry.effective_at < table.period.ends_at
        )
        assert table.total.actual == expected


def test_a_position_not_reached_is_refused_in_words(browser):
    answer = browser.get("/?as_of=999999")
    assert answer.status_code == 422
    assert "The ledger has entries 1 to" in answer.content.decode()


@pytest.mark.parametrize("path", ["/", "/use-cases/", "/use-cases/sandbox/", "/envelopes/"])
def test_htmx_gets_the_same_part_of_the_same_page(browser, path):
    whole = browser.get(path)
    part = browser.get(path, headers={"HX-Request": "true"})
    assert "HX-Request" in whole.headers["Vary"]
    assert "HX-Request" in part.headers["Vary"]
    assert "<html" in whole.content.decode() and "<html" not in part.content.decode()
    assert _without_keys(part.content.decode()) in _without_keys(whole.content.decode())
    restored = browser.get(
        path, headers={"HX-Request": "true", "HX-History-Restore-Request": "true"}
    )
    assert "<html" in restored.content.decode()


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/use-cases/",
        "/use-cases/sandbox/",
        "/envelopes/",
        "/plan/",
        "/?as_of=3",
        "/?p=2025",
    ],
)
def test_no_inline_script_style_or_handler(browser, path):
    page = browser.get(path).content.decode()
    scripts = re.findall(r"<script\b([^>]*)>(.*?)</script>", page, re.S)
    assert all("src=" in head or "application/json" in head for head, _ in scripts)
    assert not re.search(r"<[^>]+\s(style|on[a-z]+)\s*=", page)
    assert "<style" not in page


@pytest.mark.parametrize("path", ["/", "/use-cases/", "/use-cases/sandbox/", "/plan/"])
def test_markup_in_a_name_stays_text(browser, path):
    page = browser.get(path).content.decode()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


def test_a_name_cannot_run_in_a_sheet(browser):
    text = browser.get("/use-cases.csv").content.decode()
    names = [row["use_case"] for row in csv.DictReader(io.StringIO(text))]
    assert HOSTILE in names and LONG in names
    assert not any(name[:1] in "=+-@" for name in names)


def test_a_filter_changes_sentence_figure_and_files_alike(browser):
    page = browser.get("/use-cases/?f=use_case:sandbox").content.decode()
    told = browser.get("/use-cases.json?f=use_case:sandbox").json()
    assert [item["slug"] for item in told["items"]] == ["sandbox"]
    assert "Support assistant</a>" not in page
    assert money(int(told["totals"]["spent"]["amount_nanos"])).text in page


def test_a_part_of_the_address_that_is_none_is_named_and_left_out(browser):
    page = browser.get("/use-cases/?sort=beauty&f=use_case:sandbox").content.decode()
    assert "Part of the address was left out." in page
    assert "sort=beauty was left out" in page


def test_no_match_offers_the_way_back(browser):
    page = browser.get("/use-cases/?f=use_case:nobody").content.decode()
    assert "No use case matches these filters." in page


def test_sorting_by_name_turns_with_the_second_click(browser):
    page = browser.get("/use-cases/?sort=name").content.decode()
    assert 'aria-sort="ascending"' in page
    assert "sort=-name" in page


def test_the_current_month_is_left_out_of_the_address(browser):
    page = browser.get("/").content.decode()
    assert 'href="/?p=2026-10"' in page
    assert 'href="/?p=2026-11"' not in page


def test_a_month_without_spend_says_nothing_was_spent(browser):
    page = _text(browser.get("/?p=2026-01").content.decode())
    assert "Nothing was spent in January." in page


def test_a_use_case_page_tells_what_limits_it(browser):
    page = _text(browser.get("/use-cases/contract-review/").content.decode())
    assert "no own cap" in page
    assert "binds first" in page


def test_an_unknown_use_case_is_missing(browser):
    assert browser.get("/use-cases/nobody/").status_code == 404


@pytest.mark.parametrize(
    ("text", "leads_to"),
    [
        ("4", "/ledger/4/"),
        ("1,234", "/ledger/1234/"),
        ("support", "/use-cases/support-assistant/"),
        ("nothing at all", "/use-cases/"),
        ("", "/use-cases/"),
    ],
)
def test_search_leads_to_the_one_thing_named(browser, text, leads_to):
    answer = browser.get("/search/", {"q": text})
    assert answer.status_code == 302
    assert answer.headers["Location"] == leads_to


def test_exports_say_what_the_ledger_list_says(browser):
    told = browser.get("/ledger.json?f=use_case:sandbox").json()
    assert told["items"]
    assert all(item["use_case"] == "sandbox" for item in told["items"])
    total = sum(int(item["amount_nanos"]) for item in told["items"])
    assert told["totals"]["amount"]["amount_nanos"] == str(total)


def test_json_is_exact_where_money_is_small(browser):
    told = json.loads(browser.get("/ledger.json").content)
    for item in told["items"]:
        whole, _, fraction = item["amount"].lstrip("-").partition(".")
        assert int(whole) * 10**9 + int(fraction.ljust(9, "0")) == abs(
            int(item["amount_nanos"])
        )


def _text(page):
    return " ".join(re.sub(r"<[^>]+>", " ", page).split()).replace(" ,", ",")


def _without_keys(page):
    page = re.sub(r'(csrfmiddlewaretoken|key)" value="[^"]*"', r"\1", page)
    return " ".join(page.split())


def _xlsx_sum(content, column):
    with zipfile.ZipFile(io.BytesIO(content)) as book:
        sheet = ElementTree.fromstring(book.read("xl/worksheets/sheet1.xml"))
    space = {"x": "http://schemas.openxmlformats.org/spreadsheetml/2006/main"}
    cells = sheet.iterfind(".//x:c", space)
    values = {c.get("r"): c for c in cells if re.fullmatch(rf"{column}\d+", c.get("r"))}
    plain = [
        float(c.find("x:v", space).text)
        for place, c in values.items()
        if place != f"{column}1" and c.find("x:f", space) is None
    ]
    formulas = [c.find("x:f", space) for c in values.values()]
    assert [f.text for f in formulas if f is not None] == [
        f"SUM({column}2:{column}{len(plain) + 1})"
    ]
    return sum(plain)
