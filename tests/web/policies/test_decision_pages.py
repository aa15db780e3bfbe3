"""Does the log count what was decided, and does a decision say why and what followed?"""

import itertools
import json
from datetime import timedelta
from html import escape

import pytest
from django.test import Client

from ledger import facade as ledger
from o10.access import operations as access
from o10.access.roles import ROLE_ACTIONS, Action, Role
from o10.kernel.figures import money_exact
from o10.wire.reasons import REASONS, Reason
from o10.wire.requests import Authorize
from policies import facade
from policies.web import pages_decisions
from tests.company import MODEL, caller
from tests.web.reports.pages_company import HOSTILE, NOW

pytestmark = pytest.mark.usefixtures("company")
_names = itertools.count(1)
PEOPLE = [role for role in Role if role is not Role.ROUTER]
LOG = "/policies/decisions/"


@pytest.fixture
def browser(company):
    return company.client(Role.FINOPS)


def ask(slug="support-assistant", at=NOW, **fields):
    asked = {"model": MODEL, "input_tokens": 1_200, **fields}
    request = Authorize(request_id=f"log-{next(_names)}", use_case=slug, **asked)
    answer = facade.authorize(request=request, caller=caller(Role.ROUTER, "key_router"), now=at)
    return json.loads(answer)


def page_of(browser, answer):
    return browser.get(f"{LOG}{answer['decision_id']}/")


def count(where=None):
    where = where or facade.DecisionLogFilter(decided_from=NOW - timedelta(hours=24))
    return facade.count_decisions(where=where)


def test_sentence_figures_chart_and_table_count_the_same(browser):
    ask()
    ask("sandbox")
    page = browser.get(LOG)
    total = sum(each.count for each in count())
    denied = sum(each.count for each in count() if each.outcome == "deny")
    headline = page.context["head"]["headline"]
    were = "was" if denied == 1 else "were"
    assert headline.startswith(f"Of {total} calls in 24 h, ")
    assert headline.endswith(f"{denied} {were} denied.")
    kpis = {each["label"]: str(each["value"]) for each in page.context["kpis"]}
    assert kpis["Denied"] == str(denied)
    assert kpis["Authorised"] == str(total - denied)
    rows = page.context["chart"]["table"]["rows"]
    assert len(rows) == 24
    assert sum(int(str(row[2])) for row in rows) == denied
    assert sum(int(str(row[1])) + int(str(row[2])) for row in rows) == total
    assert page.context["denied_total"] == denied
    assert sum(row["calls"] for row in page.context["denied"]) == denied
    assert page.context["pages"].total == total
    exported = browser.get("/policies/decisions.json").json()
    assert len(exported["items"]) == total


def test_rows_name_model_route_reason_worst_case_and_key(browser):
    answer = ask(max_output_tokens=90)
    url = f"{LOG}{answer['decision_id']}/"
    (row,) = [each for each in browser.get(LOG).context["rows"] if each["url"] == url]
    assert (row["asked"], row["outcome"], row["caller"]) == (MODEL, "allow", "key_router")
    assert row["as_asked"] is True
    assert str(row["worst"]) == f"${float(answer['reservation']['amount']):.9f}"
    assert row["reason"] == answer["reasons"][0]["code"]


@pytest.mark.parametrize(
    ("query", "field", "value"),
    [
        ("f=decision:deny", "outcome", "deny"),
        ("f=reason:ENVELOPE_HARD_LIMIT", "reason", "ENVELOPE_HARD_LIMIT"),
        ("f=use_case:support-assistant", "use_case", "Support assistant"),
    ],
)
def test_a_filter_keeps_its_decisions_alone(browser, query, field, value):
    ask()
    ask("sandbox")
    rows = browser.get(f"{LOG}?{query}").context["rows"]
    assert rows
    assert {row[field] for row in rows} == {value}


def test_a_month_looks_past_the_last_day(browser):
    ask(at=NOW - timedelta(days=3))
    day = browser.get(LOG).context["pages"].total
    month = browser.get(f"{LOG}?p=2026-11")
    assert month.context["pages"].total > day
    assert month.context["chart"] is None
    assert "in Nov 2026" in month.context["head"]["headline"]


def test_nothing_asked_is_a_sentence_and_one_way_on(browser):
    page = browser.get(f"{LOG}?p=2026-02")
    assert page.context["head"]["headline"] == "No call asked for money in Feb 2026."
    (action,) = page.context["empty"]["actions"]
    assert browser.get(action["url"]).context["rows"]


def test_pages_hold_every_decision_once_and_lead_back(browser, monkeypatch):
    for _ in range(4):
        ask()
    monkeypatch.setattr(pages_decisions, "ROWS", 2)
    seen, path, before = [], LOG, None
    while path:
        page = browser.get(path)
        seen += [row["url"] for row in page.context["rows"]]
        before, path = path, page.context["pages"].older_url
    assert len(seen) == len(set(seen)) == page.context["pages"].total
    newer = browser.get(browser.get(before).context["pages"].newer_url)
    assert [row["url"] for row in newer.context["rows"]] == seen[
        -2 - len(page.context["rows"]) :
    ][: len(newer.context["rows"])]


def test_a_page_that_has_seen_all_gets_nothing_until_there_is_news(browser):
    seen = browser.get(LOG).context["seen"]
    asked = {"X-O10-Seen": seen, "HX-Request": "true"}
    assert browser.get(LOG, headers=asked).status_code == 204
    ask()
    news = browser.get(LOG, headers=asked)
    assert news.status_code == 200
    for part in (b'id="decisions"', b'id="decisions-figures"', b'id="decisions-denied"'):
        assert part in news.content
    assert b"<html" not in news.content


def test_what_the_log_can_not_do_is_said(browser):
    told = browser.get(f"{LOG}?as_of=3&f=decision:!deny").content.decode()
    assert "as_of was left out" in told
    assert "f=decision:!deny was left out" in told


def test_a_denial_tells_meaning_next_step_gap_and_balances(browser):
    answer = ask("sandbox")
    page = page_of(browser, answer)
    row = REASONS[Reason(answer["reasons"][0]["code"])]
    assert page.context["head"]["headline"].startswith("Denied: ")
    told = page.content.decode()
    for text in (row.meaning, row.next_step.replace("`", ""), answer["reasons"][0]["detail"]):
        assert escape(text) in told
    names = [each["name"] for each in page.context["envelopes"]]
    assert len(names) == 3
    detail = facade.get_decision_detail(decision=answer["decision_id"])
    left = int(detail.record["envelopes"][-1]["available_nanos"])
    assert left <= 0
    assert [str(each["left"]) for each in page.context["envelopes"] if each["short"]] == [
        str(money_exact(left))
    ]
    gap = money_exact(detail.row.worst - left)
    assert page.context["change"].startswith(f"{gap} more in ")
    assert page.context["hold"] is None
    (entry,) = page.context["entries"]
    assert entry["kind"] == "deny"
    assert page.context["bound"] is True


def test_an_allowed_call_shows_its_hold_and_its_entries(browser):
    answer = ask(max_output_tokens=77)
    page = page_of(browser, answer)
    held = f"${float(answer['reservation']['amount']):.9f}"
    assert page.context["head"]["headline"] == f"Allowed; {held} was held for the call."
    facts = {each["term"]: each for each in page.context["hold"]["facts"]}
    assert facts["State"]["status"] == "open"
    assert str(facts["Still held"]["text"]) == held
    (entry,) = page.context["entries"]
    assert (entry["kind"], entry["held"]) == ("reserve", f"+{held}")
    assert page.context["bound"] is True
    assert browser.get(page.context["reservation_url"]).context["pages"].total == 1


def test_a_cap_that_had_to_be_set_stands_in_the_sentence(browser):
    answer = ask()
    cap = answer["caps"]["max_output_tokens"]
    assert answer["decision"] == "allow_with_caps"
    headline = page_of(browser, answer).context["head"]["headline"]
    assert headline.startswith(f"Allowed with at most {cap:,} output tokens; ")


def test_the_token_that_settles_the_money_is_on_no_page(browser):
    answer = ask()
    page = page_of(browser, answer).content.decode()
    assert answer["reservation"]["token"] not in page
    assert answer["reservation"]["id"] in page


def test_a_record_that_was_changed_is_no_longer_bound(browser, database_urls):
    import psycopg

    answer = ask("sandbox")
    with psycopg.connect(database_urls.superuser_url, autocommit=True) as superuser:
        superuser.execute("SET session_replication_role = replica")
        superuser.execute(
            "UPDATE policies_decision_log SET record = jsonb_set(record, '{use_case}', '\"x\"')"
            " WHERE record ->> 'use_case' = 'sandbox' AND request_id = %s",
            [f"log-{next(_names) - 1}"],
        )
    page = page_of(browser, answer)
    assert page.context["bound"] is False
    assert "Record differs" in page.content.decode()


def test_the_ledger_s_row_leads_to_its_decision(browser):
    answer = ask("sandbox")
    page = browser.get("/ledger/?f=kind:deny")
    assert page.context["rows"][0]["decision_url"] == f"{LOG}{answer['decision_id']}/"
    assert page.context["rows"][0]["outcome"] == "deny"


@pytest.mark.parametrize("name", ["dec_x", "rsv_01m86f42z8edrbr9fp3dq88bw9", "x" * 200])
def test_an_id_that_is_none_is_a_page_that_says_so(browser, name):
    answer = browser.get(f"{LOG}{name}/")
    assert answer.status_code == 404
    assert b"Traceback" not in answer.content


@pytest.mark.parametrize("role", PEOPLE)
def test_each_role_opens_what_its_rights_say(company, role):
    expected = 200 if Action.READ_DECISIONS in ROLE_ACTIONS[role] else 403
    client = company.client(role)
    assert client.get(LOG).status_code == expected
    assert client.get(f"{LOG}{company.decision}/").status_code == expected


@pytest.mark.parametrize("path", [LOG, f"{LOG}dec_x/"])
def test_a_stranger_is_sent_to_sign_in(client, path):
    assert client.get(path).headers["Location"] == f"/sign-in/?next={path}"


def test_a_key_reads_the_decisions_of_its_use_cases_alone(company):
    answer = ask()
    made = access.create_key(
        name="one use case",
        role=Role.AUDITOR,
        use_cases=("sandbox",),
        expires_at=None,
        actor=access.COMMAND_LINE,
        now=NOW,
    )
    script = Client(headers={"Authorization": f"Bearer {made.secret.text}"})
    assert {row["use_case"] for row in script.get(LOG).context["rows"]} == {HOSTILE}
    assert script.get(f"{LOG}{answer['decision_id']}/").status_code == 404


def test_markup_in_a_name_stays_text(browser):
    ask("sandbox")
    page = browser.get(LOG).content.decode()
    assert HOSTILE not in page
    assert escape(HOSTILE) in page


def test_every_entry_of_a_decision_is_one_of_the_ledger(browser):
    answer = ask()
    where = ledger.LineFilter(reservation=answer["reservation"]["id"])
    lines = ledger.list_entry_lines(where=where, limit=10).items
    shown = page_of(browser, answer).context["entries"]
    assert [entry["url"] for entry in shown] == [f"/ledger/{line.public}/" for line in lines]


def test_a_filtered_log_does_not_speak_of_all_calls(browser):
    ask("sandbox")
    headline = browser.get(f"{LOG}?f=decision:deny").context["head"]["headline"]
    assert " in 24 h: " in headline
    assert "went ahead" not in headline
    none = browser.get(f"{LOG}?f=decision:deny&f=use_case:support-assistant")
    assert none.context["head"]["headline"] == "No decision matches in 24 h."
