"""Do the pages of prices say what holds, ask a second person, and refuse what cannot be?"""

import re

import pytest

from o10.access.roles import Role
from policies import facade
from tests.newer_prices import newer_edition
from tests.web.reports.pages_company import MODEL, NOW

pytestmark = pytest.mark.usefixtures("company")

OFFER = f"/prices/offers/{MODEL}/"
PAGES = (
    "/prices/",
    "/prices/new/",
    "/prices/quarantine/",
    "/prices/proposals/",
    "/prices/revaluations/",
    "/fx-rates/",
    "/commitments/",
    "/commitments/new/",
    OFFER,
)
PRICE = {
    "venue": MODEL.split("/")[0],
    "model": MODEL.split("/")[1],
    "region": "global",
    "tier": "standard",
    "source": "contract",
    "meter_input": "1.5",
    "meter_output": "6",
    "currency": "USD",
    "valid_from": "2026-11-01",
    "evidence": "Order form 14",
    "key": "price-1",
}
TERMS = {
    "name": "PTU Frankfurt",
    "venue": "ptu",
    "model": MODEL.split("/")[1],
    "units": "2",
    "hourly_rate": "3.25",
    "unit_tokens": "1,000,000",
    "start": "2026-10-01",
    "end": "2027-10-01",
    "notice_date": "2026-12-15",
    "owner": "use_case:support-assistant",
    "beyond": "on_demand",
    "evidence": "Order form 15",
    "key": "terms-1",
}


@pytest.fixture
def browser(company):
    return company.client(Role.FINOPS)


def text_of(answer):
    page = answer.content.decode()
    return " ".join(re.sub(r"<[^>]+>", " ", page.split("<main", 1)[-1]).split())


def agree(company, subject=None):
    found = facade.list_approvals(now=NOW, state="open", subject=subject or "").items
    assert found
    for asked in reversed(found):
        answer = company.client(Role.CONTROLLER).post(
            f"/approvals/{asked.id}/act/", {"do": "approve", "key": f"yes-{asked.id}"}
        )
        assert answer.status_code == 302


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("role", [Role.FINOPS, Role.VIEWER])
def test_every_page_answers_and_offers_forms_to_finance_alone(company, path, role):
    answer = company.client(role).get(path)
    assert answer.status_code == 200
    page = answer.content.decode()
    asks = 'method="post"' in page.split("<main", 1)[1]
    assert asks is False or role is Role.FINOPS
    assert "style=" not in page.split("<main", 1)[1]
    part = company.client(role).get(path, headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in part and part.strip()[:40] in page


def test_a_stranger_is_sent_to_sign_in(company, client):
    for path in PAGES:
        assert client.get(path).status_code == 302


def test_a_contract_is_asked_for_approved_and_told_with_its_list_price(company, browser):
    sent = browser.post("/prices/new/", PRICE)
    assert sent.status_code == 302
    assert browser.post("/prices/new/", PRICE).status_code == 302
    waiting = facade.find_open(subject=MODEL, now=NOW)
    assert len(waiting) == 1
    before = text_of(browser.get(OFFER))
    assert "Waits for approval: Contract price" in before
    assert "by list" in before
    refused = company.client(Role.FINOPS).post(
        f"/approvals/{waiting[0].id}/act/", {"do": "approve", "key": "own"}
    )
    assert refused.status_code in (403, 409, 200)
    assert "by list" in text_of(browser.get(OFFER))
    agree(company, MODEL)
    after = text_of(browser.get(OFFER))
    assert "costs $1.50 in and $6.00 out per million, by contract" in after
    assert "Order form 14" in after and "Controller person" in after
    table = text_of(browser.get("/prices/?f=source:contract"))
    assert f"{MODEL}" in table and "list $" in table
    ended = browser.post(
        "/prices/end/",
        {
            "rule": re.search(
                r'name="rule" value="(\d+)"', browser.get(OFFER).content.decode()
            )[1],
            "slug": MODEL,
            "reason": "not renewed",
            "key": "end-1",
        },
    )
    assert ended.status_code == 302
    agree(company, MODEL)
    assert "by list" in text_of(browser.get(OFFER))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"meter_input": "abc"}, "decimal"),
        ({"meter_input": "", "meter_output": ""}, "at least one meter"),
        ({"meter_input": "0"}, "free by policy"),
        ({"valid_to": "2026-10-01"}, "ends after it starts"),
        ({"valid_from": "soon"}, "A date such as"),
        ({"currency": "EUR"}, "no dated rate"),
        ({"evidence": " "}, "evidence"),
        ({"discount": "10"}, "not both"),
        ({"discount": "100", "meter_input": "", "meter_output": ""}, "less than 100"),
    ],
)
def test_a_bad_price_is_told_in_a_sentence_and_kept_in_the_form(browser, changes, said):
    count = len(facade.list_approvals(now=NOW, kind="price.contract", limit=200).items)
    answer = browser.post("/prices/new/", PRICE | {"key": "bad"} | changes)
    assert answer.status_code == 422
    page = answer.content.decode()
    assert said in text_of(answer)
    assert f'value="{PRICE["venue"]}"' in page
    assert len(facade.list_approvals(now=NOW, kind="price.contract", limit=200).items) == count


def test_nobody_but_finance_asks(company):
    for role in (Role.VIEWER, Role.CONTROLLER, Role.AUDITOR, Role.OWNER):
        client = company.client(role)
        assert client.post("/prices/new/", PRICE | {"key": role.value}).status_code == 403
        assert client.post("/commitments/new/", TERMS).status_code == 403
        assert client.post("/prices/proposals/", {}).status_code == 403
        assert client.post("/fx-rates/", {"do": "enter", "source": "x"}).status_code in (
            403,
            422,
        )


def test_a_refresh_shows_its_effect_and_what_is_listed_apart(company, browser):
    other = "openai/gpt-4o-mini"
    catalogue = newer_edition(factors={MODEL: (11, 10), other: (2, 1)})
    asked = facade.propose_price_refresh(catalogue=catalogue, actor=None, now=NOW)
    listed = text_of(browser.get("/prices/proposals/"))
    assert "A refresh of genai-prices waits" in listed and "open" in listed.lower()
    page = text_of(browser.get(f"/prices/proposals/{asked.id}/"))
    assert "more on the usage of the last 30 days" in page
    assert f"{MODEL} input" in page or MODEL in page
    assert "Listed apart: not part of this" in page and "moved by more than 25 %" in page
    doubted = text_of(browser.get("/prices/quarantine/"))
    assert other in doubted
    row = next(each for each in facade.list_quarantine() if each.slug == other)
    sent = browser.post(
        "/prices/quarantine/", {"row": str(row.id), "reason": " ", "key": "release-0"}
    )
    assert sent.status_code == 422
    sent = browser.post(
        "/prices/quarantine/",
        {"row": str(row.id), "reason": "mail of the vendor", "key": "release-1"},
    )
    assert sent.status_code == 302
    third = next((each for each in facade.list_quarantine() if each.slug != other), None)
    if third is not None:
        no = {"row": str(third.id), "do": "dismiss", "reason": " "}
        assert browser.post("/prices/quarantine/", no).status_code == 422
        no["reason"] = "A test row"
        sent = browser.post("/prices/quarantine/", no, follow=True)
        assert "Decided by people" in text_of(sent) and "A test row" in text_of(sent)
        no["reason"] = "Another word"
        assert "Another word" not in text_of(browser.post("/prices/quarantine/", no))
    agree(company)
    assert "applied" in text_of(browser.get("/prices/proposals/")).lower()
    assert browser.get("/prices/proposals/ppr_none/").status_code == 404
    assert browser.get("/prices/offers/no/such/").status_code == 404
    looked = text_of(browser.post("/prices/proposals/", {}, follow=True))
    # The installed edition is older than the one just applied: it asks to go back.
    assert "Asked for" in looked or "Confirmed" in looked


def test_a_look_that_finds_nothing_new_is_told_with_who_and_what_was_read(company, browser):
    answer = text_of(browser.post("/prices/proposals/", {}, follow=True))
    found = facade.last_confirmation()
    if found is None:
        # The page company was left with other prices: then the look proposes.
        assert "Asked for" in answer
        return
    assert "Confirmed: genai-prices" in answer
    assert f"{found.unchanged:,} offers the same" in answer
    assert "confirmed unchanged" in text_of(browser.get("/prices/"))


def test_rates_are_entered_by_form_and_paste_and_bad_rows_are_named(browser):
    one = {"do": "enter", "currency": "eur", "rate": "1.0842", "date": "2026-11-19"}
    answer = browser.post("/fx-rates/", one | {"source": "ECB", "key": "fx-1"}, follow=True)
    assert "1 rates entered" in text_of(answer) and "1.0842" in text_of(answer)
    pasted = "currency,rate,date\nGBP,1.27,2026-11-18\nGBP,1.28,2026-11-19\n"
    answer = browser.post(
        "/fx-rates/",
        {"do": "enter", "rows": pasted, "source": "ECB", "key": "fx-2"},
        follow=True,
    )
    assert "2 rates entered" in text_of(answer)
    bad = browser.post(
        "/fx-rates/",
        {"do": "enter", "rows": "currency,rate,date\nEUR,1.1,x\n", "source": "ECB"},
    )
    assert bad.status_code == 422 and "A date is" in text_of(bad)
    nothing = browser.post(
        "/fx-rates/",
        {
            "do": "difference",
            "currency": "GBP",
            "rate": "1.3",
            "paid_on": "2026-11-20",
            "start": "2026-11-01",
            "end": "2026-11-20",
            "reason": "bill 9",
        },
    )
    assert nothing.status_code == 422 and "differs at this rate" in text_of(nothing)


def test_a_commitment_is_agreed_booked_and_shows_waste_break_even_and_advice(company, browser):
    assert browser.post("/commitments/new/", TERMS).status_code == 302
    assert "Waits for approval: Commit to" in text_of(browser.get("/commitments/"))
    agree(company)
    facade.book_commitments(now=NOW)
    view = facade.list_commitments(now=NOW)[0]
    listed = text_of(browser.get("/commitments/"))
    assert "was not used (100.0%)" in listed and "soon" in listed
    path = f"/commitments/{view.terms.public}/"
    page = text_of(browser.get(path))
    for said in (
        "Routing price now",
        "Accounting price",
        "Waste was highest",
        "Who drew on it",
    ):
        assert said in page
    form = browser.get(f"/commitments/new/?commitment={view.terms.public}")
    assert 'value="PTU Frankfurt"' in form.content.decode()
    bad = browser.post("/commitments/new/", TERMS | {"units": "0", "end": "2026-01-01"})
    assert bad.status_code == 422
    assert browser.get("/commitments/cmt_none/").status_code == 404


def test_a_revaluation_shows_months_as_booked_and_as_revalued(company, browser):
    ask = {
        "offers": MODEL,
        "start": "2026-10-01",
        "end": "2026-11-19",
        "reason": "Contract holds since October",
        "key": "reval-1",
    }
    nothing = browser.post("/prices/revaluations/", ask | {"end": "2026-10-31"})
    assert nothing.status_code == 422 and "nothing would be posted" in text_of(nothing)
    contract = PRICE | {"valid_from": "2026-10-01", "key": "price-2", "meter_input": "1"}
    assert browser.post("/prices/new/", contract).status_code == 302
    agree(company)
    assert browser.post("/prices/revaluations/", ask | {"key": "reval-2"}).status_code == 302
    agree(company)
    page = text_of(browser.get("/prices/revaluations/"))
    assert "Corrected prices made the last" in page
    months = facade.sum_revalued(start=NOW.date().replace(month=1, day=1), end=NOW.date())
    assert any(month.delta for month in months)
    assert all(month.revalued == month.booked + month.delta for month in months)
    missing = browser.post("/prices/revaluations/", ask | {"offers": "no/such", "key": "r-3"})
    assert missing.status_code == 422


@pytest.mark.parametrize("form", ["csv", "json", "xlsx"])
@pytest.mark.parametrize(
    "screen",
    [
        "prices",
        "prices/quarantine",
        "prices/proposals",
        "prices/revaluations",
        "fx-rates",
        "commitments",
    ],
)
def test_tables_leave_as_files_with_their_position(browser, screen, form):
    answer = browser.get(f"/{screen}.{form}")
    assert answer.status_code == 200
    assert answer.headers["X-O10-Ledger-Position"].isdigit()


def test_a_filtered_table_leaves_with_exactly_its_rows(browser):
    answer = browser.get("/prices.json?f=venue:openai&f=tier:batch")
    rows = answer.json()["items"]
    assert rows and all(row["venue"] == "openai" and row["tier"] == "batch" for row in rows)
