"""Do scripts read prices, ask for contracts, enter rates and see commitments by the API?"""

from datetime import timedelta

import pytest

from o10.access.roles import Role
from policies import facade as policies
from tests.company import caller, count_rows
from tests.conftest import NOW

from .conftest import problem

OFFER = "openai/gpt-4o"
PRICE = {
    "offer": {"venue": "openai", "model": "gpt-4o"},
    "source": "contract",
    "meters": {"input": "2.00", "output": [{"above_tokens": 0, "price": "8"}]},
    "valid_from": "2026-11-01",
    "evidence": "Order form 12",
}
TERMS = {
    "name": "PTU Frankfurt",
    "offer": {"venue": "ptu", "model": "gpt-4o", "region": "eu"},
    "units": 2,
    "hourly_rate": "3.25",
    "unit_tokens": 1_000_000,
    "start": "2026-11-10",
    "end": "2027-11-10",
    "notice_date": "2027-08-01",
    "owner": "support-assistant",
    "evidence": "Order form 13",
}


@pytest.fixture
def finops(company, script):
    return script(Role.FINOPS)


def approve(answer):
    assert answer.status_code == 202, answer.content
    body = answer.json()["approval"]
    assert body["needs"] == ["controller"]
    return policies.approve(
        approval=body["id"], actor=caller(Role.CONTROLLER, "usr_second"), now=NOW
    )


def test_a_contract_asked_for_by_script_holds_after_a_second_person(finops):
    before = finops.get("prices", {"text": OFFER, "venue": "openai"}).json()
    row = next(each for each in before["items"] if each["offer"] == OFFER)
    assert (row["source"], row["rates"]["input"]) == ("list", "2.50")
    asked = finops.post("prices", PRICE, Idempotency_Key="contract-1")
    again = finops.post("prices", PRICE, Idempotency_Key="contract-1")
    assert asked.json() == again.json()
    approve(asked)
    told = finops.get("prices:history", {"offer": OFFER}).json()
    assert told["price"]["source"] == "contract"
    assert told["price"]["rates"]["output"] == "8.00"
    assert told["price"]["list_rates"]["output"] == "10.00"
    rule = told["rules"][0]
    assert (rule["source"], rule["holds"], rule["evidence"]) == (
        "contract",
        True,
        "Order form 12",
    )
    ended = finops.post(
        "prices:end", {"offer": OFFER, "rule": rule["rule"], "reason": "not renewed"}
    )
    approve(ended)
    after = finops.get("prices:history", {"offer": OFFER}).json()["price"]
    assert after["source"] == "list"


@pytest.mark.parametrize(
    ("changes", "status", "pointer"),
    [
        ({"meters": {"input": "-1"}}, 422, None),
        ({"meters": {"input": "1e3"}}, 422, None),
        ({"meters": {}}, 422, "/meters"),
        ({"meters": {"gold": "1"}}, 422, "/meters/gold"),
        ({"meters": {"input": "0"}}, 422, None),
        ({"meters": {}, "discount": "1"}, 422, "/discount"),
        ({"source": "list"}, 422, "/source"),
        ({"valid_from": "2026-11-01T00:00:00"}, 422, None),
        ({"valid_to": "2026-10-01"}, 422, "/valid_to"),
        ({"currency": "EUR"}, 422, None),
        ({"evidence": ""}, 422, "/evidence"),
        ({"unknown": 1}, 422, "/unknown"),
    ],
)
def test_a_bad_price_is_told_by_field_and_asks_nobody(
    finops, database_urls, changes, status, pointer
):
    before = count_rows(database_urls)
    answer = finops.post("prices", PRICE | changes)
    assert answer.status_code == status, answer.content
    told = problem(answer)
    assert told["code"] in ("validation_failed", "unit_mismatch")
    if pointer:
        assert pointer in [error["field"] for error in told["errors"]]
    assert count_rows(database_urls) == before


def test_prices_page_by_cursor_and_refuse_misspelt_filters(finops):
    first = finops.get("prices", {"limit": 2, "venue": "openai"}).json()
    second = finops.get(
        "prices", {"limit": 2, "venue": "openai", "cursor": first["next"]}
    ).json()
    assert first["items"][-1]["offer"] < second["items"][0]["offer"]
    assert first["price_version"] >= 1
    assert problem(finops.get("prices", {"vendor": "x"}))["code"] == "validation_failed"
    assert finops.get("prices:history").status_code == 422
    assert finops.get("prices:history", {"offer": "no/such"}).status_code == 404


def test_proposals_and_quarantine_are_read_by_everybody_and_asked_for_by_finance(
    company, script, finops
):
    asked = finops.post("price-proposals", {})
    assert asked.status_code in (200, 202), asked.content
    listed = finops.get("price-proposals").json()["items"]
    if listed:
        one = finops.get(f"price-proposals/{listed[0]['id']}").json()
        assert one["effect"]["delta"]["currency"] == "USD"
        assert one["changes"] is not None
    assert finops.get("price-proposals/ppr_none").status_code == 404
    rows = finops.get("price-quarantine").json()["items"]
    assert all(row["doubts"] for row in rows)
    assert finops.post("price-quarantine/x:release", {"reason": "r"}).status_code == 404
    assert finops.post("price-quarantine/x:dismiss", {"reason": "r"}).status_code == 404
    assert problem(finops.get("price-quarantine", {"state": "all"}))["code"] == (
        "validation_failed"
    )
    assert rows, "the installed catalogue has rows that are not believed"
    path = f"price-quarantine/{rows[0]['id']}:dismiss"
    assert script(Role.AUDITOR).post(path, {"reason": "x"}).status_code == 403
    assert finops.post(path, {}).status_code == 422
    done = finops.post(path, {"reason": "Not a model we buy"})
    assert (done.status_code, done.json()["state"]) == (200, "dismissed")
    assert finops.post(path, {"reason": "Not a model we buy"}).json() == done.json()
    assert problem(finops.post(path, {"reason": "Another"}))["code"] == "conflict"
    decided = finops.get("price-quarantine", {"state": "dismissed"}).json()["items"]
    assert [row["id"] for row in decided] == [rows[0]["id"]]
    assert decided[0]["dismissed_by"]
    assert script(Role.AUDITOR).get("prices").status_code == 200
    assert script(Role.AUDITOR).post("prices", PRICE).status_code == 403
    assert finops.post("price-proposals", {"catalogue": "other"}).status_code == 422


def test_rates_are_added_once_and_never_of_our_own_currency(finops):
    rate = {"currency": "CHF", "rate": "1.1250", "date": "2026-11-19", "source": "ECB"}
    added = finops.post("fx-rates", {"rates": [rate]})
    assert (added.status_code, added.json()["added"]) == (201, 1)
    assert finops.post("fx-rates", {"rates": [rate]}).json()["known"] == 1
    listed = finops.get("fx-rates", {"currency": "CHF"}).json()
    assert listed["reporting_currency"] == "USD"
    assert listed["items"][0]["rate"] == "1.125"
    own = finops.post("fx-rates", {"rates": [rate | {"currency": "USD"}]})
    assert problem(own)["errors"][0]["field"] == "/0/currency"
    nothing = {
        "currency": "CHF",
        "rate": "1.2",
        "paid_on": "2026-11-20",
        "start": "2026-11-01",
        "end": "2026-11-20",
        "reason": "bill 7",
    }
    assert problem(finops.post("fx-rates:settle", nothing))["code"] == "validation_failed"
    span = {"offers": [OFFER], "start": "2026-11-01", "end": "2026-11-20", "reason": "r"}
    assert problem(finops.post("prices:revalue", span))["code"] == "validation_failed"


def test_a_commitment_is_agreed_booked_and_read_with_its_waste(finops):
    done = approve(finops.post("commitments", TERMS))
    public = done.result["commitment"]
    assert policies.book_commitments(now=NOW) > 0
    one = finops.get(f"commitments/{public}").json()
    assert one["offer"] == "ptu/eu/gpt-4o"
    assert one["hour_left"] == one["hour_capacity"] == 2_000_000
    assert one["routing_price"]["amount_nanos"] == "0"
    assert one["waste"]["amount_nanos"] == one["charge"]["amount_nanos"]
    assert one["beyond_cost"]["amount_nanos"] == "0" and not one["beyond_unpriced_tokens"]
    term = one["term"]
    assert int(term["cap"]["amount_nanos"]) == sum(
        int(term[part]["amount_nanos"]) for part in ("spent", "left")
    )
    assert len(one["days"]) > 1
    assert finops.get("commitments").json()["items"][0]["id"] == public
    newer = finops.post(f"commitments/{public}", TERMS | {"units": 1, "start": "2026-11-19"})
    approve(newer)
    policies.book_commitments(now=NOW + timedelta(days=1))
    assert finops.get(f"commitments/{public}").json()["version"] == 2
    assert finops.get("commitments/cmt_none").status_code == 404
    bad = finops.post("commitments", TERMS | {"owner_kind": "person", "end": "2026-11-01"})
    assert {error["field"] for error in problem(bad)["errors"]} >= {"/owner_kind", "/end"}
