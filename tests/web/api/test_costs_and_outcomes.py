"""Can a script tell outcomes, state costs and ask for rules, and is each mistake told?"""

import pytest
from django.db import connection

from o10.access.roles import Role
from policies import facade as policies
from tests.conftest import NOW
from tests.web.api.conftest import problem

pytestmark = pytest.mark.usefixtures("company")

TICKET = {"type": "ticket", "id": "t-1", "success": True, "use_case": "support-assistant"}


def kinds(kind):
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM ledger_entry WHERE kind = %s", [kind])
        return cursor.fetchone()[0]


def test_one_outcome_is_recorded_replayed_and_listed(script):
    router = script()
    first = router.post("outcomes", TICKET)
    assert first.status_code == 200, first.content
    assert (first.json()["recorded"], first.json()["rejected"]) == (1, 0)
    assert router.post("outcomes", TICKET).json()["items"][0]["status"] == "replayed"
    changed = router.post("outcomes", {**TICKET, "success": False})
    assert changed.status_code == 409
    assert problem(changed)["code"] == "idempotency_mismatch"
    listed = script(Role.VIEWER).get("outcomes", {"type": "ticket", "limit": 1}).json()
    assert listed["items"][0]["id"] == "t-1"
    assert listed["items"][0]["use_case"] == "support-assistant"
    assert listed["as_of"]["ledger_seq"] >= 0
    assert kinds(17) == 1


def test_many_outcomes_keep_what_is_right_and_tell_what_is_wrong(script):
    before = kinds(17)
    body = [
        {**TICKET, "id": "m-1"},
        {**TICKET, "id": "m-2", "success": "yes"},
        {**TICKET, "id": "m-3", "use_case": "nobody"},
        "nonsense",
        {**TICKET, "id": "m-4", "prompt": "never kept"},
        {**TICKET, "id": "m-5", "revision": 3},
    ]
    told = script().post("outcomes", body).json()
    assert [item["status"] for item in told["items"]] == ["recorded"] + ["rejected"] * 5
    assert [item["error"]["field"] for item in told["items"][1:]] == [
        "/1/success",
        "/2/use_case",
        "/3",
        "/4/prompt",
        "/5/revision",
    ]
    assert (told["recorded"], told["rejected"], kinds(17)) == (1, 5, before + 1)


@pytest.mark.parametrize("body", [[], b"", b"{", b"7", [TICKET] * 10_001, {"type": "x"}])
def test_what_is_no_outcome_is_a_problem_and_no_more(script, body):
    answer = script().post("outcomes", body)
    assert answer.status_code in (400, 415, 422)
    problem(answer)


def test_ten_thousand_outcomes_go_in_one_request(script):
    body = [{**TICKET, "id": f"bulk-{number}"} for number in range(10_000)]
    told = script().post("outcomes", body).json()
    assert (told["recorded"], told["rejected"]) == (10_000, 0)


def test_a_narrow_key_tells_outcomes_of_its_use_cases_only(script):
    narrow = script(use_cases=("contract-review",))
    told = narrow.post("outcomes", [{**TICKET, "id": "n-1"}]).json()
    assert told["items"][0]["error"]["code"] == "not_scoped"
    assert narrow.get("outcomes", {"use_case": "support-assistant"}).status_code == 403
    assert narrow.get("outcomes").json()["items"] == []


AMOUNT = {"component": "tools", "month": "2026-10", "amount": "120.50", "source": "bill 9"}


def test_finance_states_amounts_and_a_wrong_one_states_none(script):
    finops = script(Role.FINOPS)
    assert finops.post("cost-components", {"items": [AMOUNT]}).json() == {"changed": 1}
    assert finops.post("cost-components", {"items": [AMOUNT]}).json() == {"changed": 0}
    wrong = finops.post(
        "cost-components",
        {"items": [{**AMOUNT, "amount": "1.2.3"}, {**AMOUNT, "month": "2026-13"}]},
    )
    assert wrong.status_code == 422
    wrong = finops.post(
        "cost-components",
        {"items": [{**AMOUNT, "component": "direct"}, {**AMOUNT, "use_case": "nobody"}]},
    )
    assert {each["field"] for each in problem(wrong)["errors"]} == {
        "/items/0/amount",
        "/items/1/use_case",
    }
    listed = finops.get("cost-components", {"month": "2026-10"}).json()["items"]
    assert [(each["amount"], each["use_case"], each["coverage"]) for each in listed] == [
        ("120.50", None, "1")
    ]
    assert script(Role.VIEWER).post("cost-components", {"items": [AMOUNT]}).status_code == 403


def test_a_rule_and_a_value_wait_for_a_second_person(script):
    finops, controller = script(Role.FINOPS), script(Role.CONTROLLER)
    rule = {"component": "tools", "method": "by_calls", "from": "2026-01", "reason": "fair"}
    asked = finops.post("allocation-rules", rule)
    assert asked.status_code == 202, asked.content
    told = asked.json()["approval"]
    assert told["needs"] == ["controller"]
    assert finops.get("allocation-rules").json()["items"] == []
    value = {
        "use_case": "support-assistant",
        "type": "ticket",
        "value": "1.80",
        "from": "2026-01-01",
        "reason": "an agent hour",
    }
    assert finops.post("outcome-values", value).status_code == 202
    assert controller.get("outcome-values").json()["items"] == []
    assert _approve(told["id"]).state == "approved"
    rules = finops.get("allocation-rules").json()["items"]
    assert [(each["component"], each["method"], each["version"]) for each in rules] == [
        ("tools", "by_calls", 1)
    ]
    wrong = finops.post("allocation-rules", {**rule, "method": "by_magic"})
    assert problem(wrong)["errors"][0]["field"] == "/method"
    assert script(Role.VIEWER).post("allocation-rules", rule).status_code == 403
    assert script().post("outcome-values", value).status_code == 403


def test_a_booking_waits_and_then_adds_up(script):
    finops = script(Role.FINOPS)
    finops.post("cost-components", {"items": [{**AMOUNT, "component": "platform"}]})
    plan = finops.get("allocations", {"month": "2026-10"}).json()
    assert plan["due"]
    assert "platform" in plan["without_rule"]
    asked = finops.post("allocations", {"month": "2026-10", "reason": "month end"})
    assert asked.status_code == 202, asked.content
    before = kinds(9)
    assert _approve(asked.json()["approval"]["id"]).state == "approved"
    after = finops.get("allocations", {"month": "2026-10"}).json()
    assert not after["due"]
    assert kinds(9) > before
    booked = sum(int(line["booked_nanos"]) for line in after["items"])
    stated = finops.get("cost-components", {"month": "2026-10"}).json()["items"]
    assert booked == sum(int(each["amount_nanos"]) for each in stated)
    again = finops.post("allocations", {"month": "2026-10", "reason": "month end"})
    assert problem(again)["errors"][0]["code"] == "nothing_to_book"
    assert problem(finops.get("allocations"))["errors"][0]["field"] == "/month"


def _approve(approval):
    from tests.company import caller

    checker = caller(Role.CONTROLLER, "usr_controller")
    return policies.approve(approval=approval, actor=checker, now=NOW)


def test_nothing_of_it_ever_keeps_a_prompt(script):
    script().post("outcomes", [{**TICKET, "id": "p-1", "prompt": "SECRET-PROMPT"}])
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM ledger_document"
            " WHERE position('SECRET-PROMPT' in encode(body, 'escape')) > 0"
        )
        assert cursor.fetchone()[0] == 0


VOLUME = {
    "use_case": "support-assistant",
    "driver": "tickets",
    "period": "2026-10",
    "volume": 9,
}


def test_volumes_of_a_driver_are_told_by_json_and_by_csv(script):
    router = script()
    first = router.post("drivers", VOLUME)
    assert first.status_code == 200, first.content
    assert first.json()["items"][0]["status"] == "recorded"
    rows = "support-assistant,tickets,2026-10,9\nsupport-assistant,tickets,2026-09-30,4\n"
    told = router.post("drivers", rows.encode(), content_type="text/csv").json()
    assert (told["recorded"], told["replayed"]) == (1, 1)
    assert told["items"][0]["entry_id"] == first.json()["items"][0]["entry_id"]
    changed = router.post("drivers", {**VOLUME, "volume": 10})
    assert (changed.status_code, problem(changed)["code"]) == (409, "idempotency_mismatch")
    listed = script(Role.VIEWER).get("drivers", {"driver": "tickets", "limit": 1}).json()
    assert listed["items"][0]["period"] == "2026-09-30"
    assert listed["next"]
    assert kinds(20) == 2


@pytest.mark.parametrize(
    "body",
    [[], 7, b"{", [VOLUME, "x"], {**VOLUME, "volume": "9"}, {**VOLUME, "period": "soon"}],
)
def test_what_is_no_volume_is_a_problem_and_writes_nothing(script, body):
    before = kinds(20)
    answer = script().post("drivers", body)
    assert answer.status_code in (400, 422)
    problem(answer)
    assert kinds(20) == before


def test_a_file_of_volumes_names_its_wrong_rows(script):
    answer = script().post(
        "drivers", b"support-assistant,tickets,2026-08,5\nx,y\n", content_type="text/csv"
    )
    assert answer.status_code == 422
    assert problem(answer)["errors"][0]["message"].startswith("Row 2: A row has")
    narrow = script(use_cases=("contract-review",))
    assert narrow.post("drivers", VOLUME).status_code == 422
    assert narrow.get("drivers").json()["items"] == []


def test_owned_machines_are_stated_and_listed(script):
    finops = script(Role.FINOPS)
    rig = {
        "name": "rig",
        "purchase": "90000",
        "residual": "10000",
        "life_hours": 40_000,
        "planned_utilisation": "0.8",
        "power": "0.70",
        "hours": 730,
        "used_hours": 438,
    }
    body = {"month": "2026-10", "machines": [rig], "source": "asset 12"}
    told = finops.post("hardware", body)
    assert told.status_code == 200, told.content
    assert told.json()["hardware"] == "1401.60"
    assert (told.json()["changed"], told.json()["hardware_waste"]) == (True, "467.20")
    assert finops.post("hardware", body).json()["changed"] is False
    listed = script(Role.VIEWER).get("hardware", {"month": "2026-10"}).json()
    assert listed["items"][0]["used_cost"] == "1401.60"
    wrong = finops.post("hardware", {**body, "machines": [{**rig, "used_hours": 999}]})
    assert wrong.status_code == 422
    assert problem(wrong)["errors"][0]["field"] == "/machines/0/used_hours"
    assert script(Role.VIEWER).post("hardware", body).status_code == 403


def test_the_figures_of_the_pages_are_read_with_their_position(script):
    finops = script(Role.FINOPS)
    costs = finops.get("costs", {"p": "2026-10"}).json()
    assert len(costs["components"]) == 17
    total = sum(int(item["fully_loaded"]["amount_nanos"]) for item in costs["items"])
    assert total == int(costs["fully_loaded"]["amount_nanos"])
    units = finops.get("unit-costs", {"p": "2026-10"}).json()
    assert units["headline"]
    assert units["as_of"]["ledger_seq"] >= 0
    finops.post("drivers", {**VOLUME, "driver": "seats"})
    drivers = finops.get("driver-costs", {"p": "2026-10"}).json()
    told = {(item["use_case"], item["driver"]): item["volume"] for item in drivers["items"]}
    assert told["support-assistant", "seats"] == 9
    narrow = script(use_cases=("contract-review",)).get("costs").json()
    assert (narrow["fully_loaded"], narrow["components"]) == (None, [])
    for query in ({"p": "soon"}, {"as_of": "x"}, {"as_of": "999999999"}, {"q": "1"}):
        answer = finops.get("costs", query)
        assert answer.status_code == 422, query
        problem(answer)
