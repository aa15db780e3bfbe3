"""Do scripts import files, read bills and prepare a close as the contract says?"""

import pytest

from ledger import facade as ledger
from o10.access.roles import Role
from reports.tasks import run_imports
from tests.company import count_rows
from tests.operations.ledger.test_importers import EXPORTS

from .conftest import problem


@pytest.fixture
def finops(company, script):
    return script(Role.FINOPS)


def sent(finops, name="bill.csv", source="csv", media="text/csv"):
    return finops.send(
        "POST", f"imports?source={source}&file={name}", (EXPORTS / name).read_bytes(), media
    )


def test_a_script_sends_looks_confirms_and_reads_the_receipt(finops, database_urls):
    before = count_rows(database_urls)
    made = sent(finops)
    assert made.status_code == 201, made.content
    told = made.json()
    assert (told["state"], told["new"], told["rejected"]) == ("checked", 2, 1)
    assert told["rejects"][0]["row"] == 3
    assert (told["amount"], told["amount_nanos"]) == ("15.75", "15750000000")
    assert count_rows(database_urls) == before
    confirmed = finops.post(f"imports/{told['id']}:confirm", b"")
    assert (confirmed.status_code, confirmed.json()["state"]) == (202, "confirmed")
    run_imports()
    done = finops.get(f"imports/{told['id']}").json()
    assert (done["state"], done["done"]) == ("done", 3)
    assert len(done["entries_hash"]) == 64
    listed = finops.get("imports", {"source": "csv"}).json()
    assert listed["items"][0]["id"] == told["id"]
    bills = finops.get("invoices", {"period": "2026-10"}).json()["items"]
    assert [(bill["venue"], bill["lines"], bill["amount"]) for bill in bills] == [
        ("openai", 2, "15.75")
    ]
    stands = finops.get(f"invoices/{bills[0]['id']}").json()
    assert stands["unexplained"] == "15.75" and not stands["settled"]
    assert {match["found"] for match in stands["matches"]} == {"missing_here"}
    asked = finops.post(
        f"invoices/{bills[0]['id']}:book",
        {"causes": {"missing_here": "usage_not_metered"}, "reason": "own contract"},
    )
    assert asked.status_code == 202 and asked.json()["approval"]["needs"] == ["controller"]


def test_an_openai_page_is_sent_as_json(finops):
    made = sent(finops, "openai_costs.json", "openai-costs", "application/json")
    assert made.status_code == 201, made.content
    assert made.json()["kind"] == "bill"


@pytest.mark.parametrize(
    ("path", "body", "media", "code"),
    [
        ("imports?source=moon", b"x", "text/csv", "validation_failed"),
        ("imports?source=csv", b"a,b\n1,2\n", "text/csv", "file_rejected"),
        ("imports?source=csv", b"\xe4,b\n", "text/csv", "file_rejected"),
        ("imports?source=litellm", b"{\xe4}", "application/json", "file_rejected"),
        ("imports?source=csv&x=1", b"a", "text/csv", "validation_failed"),
        ("imports?source=csv", b"a", "image/png", "unsupported_media_type"),
        ("periods/2026-13:close", b"{}", "application/json", "validation_failed"),
        ("periods/2026-11:close", b"{}", "application/json", "period_not_over"),
        ("periods/2026-10:close", b'{"x": 1}', "application/json", "validation_failed"),
        ("imports/imp_x:confirm", b"", "application/json", "not_found"),
    ],
)
def test_bad_input_is_told_with_a_stable_code(finops, path, body, media, code):
    told = problem(finops.send("POST", path, body, media))
    assert told["code"] == code


def test_roles_without_the_right_are_refused(company, script):
    for role in (Role.VIEWER, Role.AUDITOR, Role.ROUTER):
        told = problem(script(role).send("POST", "imports?source=csv", b"a", "text/csv"))
        assert (told["status"], told["code"]) == (403, "forbidden")
        told = problem(script(role).post("periods/2026-10:close", {}))
        assert told["code"] == "forbidden"
    told = problem(script(Role.CONTROLLER).post("periods/2026-10:close", {}))
    assert told["code"] == "forbidden"
    assert ledger.get_period("2026-10").status == "open"


def test_a_close_that_can_not_be_names_its_conditions(finops):
    told = problem(finops.post("periods/2026-10:close", {}))
    assert (told["status"], told["code"]) == (409, "close_blocked")
    read = finops.get("periods/2026-10").json()
    assert read["period"]["status"] == "closing" and not read["ready"]
    assert len(read["conditions"]) == 11
    listed = finops.get("periods").json()["items"]
    assert "2026-10" in [item["period"] for item in listed]
