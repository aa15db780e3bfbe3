"""What do the pages say when there is nothing to show?"""

from datetime import UTC, datetime

import pytest

from ledger import facade as ledger
from o10.access import operations as access
from o10.access.models import Person
from o10.access.roles import Role
from policies import facade as policies
from tests.company import caller
from tests.forget import forget_everything

NOW = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)


@pytest.fixture
def browser(db, client):
    forget_everything()
    ledger.create_ledger(
        origin="ledger.example.com/new", currency="EUR", time_zone="Europe/Berlin", now=NOW
    )
    policies.found_organisation(
        name="New", slug="new", demo=False, actor=access.COMMAND_LINE, now=NOW
    )
    person = access.create_person(
        email="finops@new.example",
        display_name="Finance",
        role=Role.FINOPS,
        password="a password of the tests",
        actor=access.COMMAND_LINE,
        now=NOW,
    )
    client.force_login(Person.objects.get(id=person.id))
    yield client
    forget_everything()


def test_a_new_company_sees_three_ways_in(browser):
    page = browser.get("/").content.decode()
    assert "No call has asked for money yet." in page
    for way in ("Connect a router", "Post usage", "Load the demo company"):
        assert way in page
    assert "http://testserver/api/v1/authorize" in page
    assert "o10 demo" in page
    assert page.count("data-copy=") == 4


def test_no_use_case_no_envelope_and_no_plan_each_offer_a_way(browser):
    assert "every call is denied" in browser.get("/envelopes/").content.decode()
    assert "There is no plan yet." in browser.get("/plan/").content.decode()
    assert browser.get("/use-cases/").status_code == 200


def test_files_of_an_empty_company_have_a_head_and_no_rows(browser):
    for screen in ("use-cases", "envelopes", "ledger", "policies/decisions"):
        answer = browser.get(f"/{screen}.csv")
        assert answer.status_code == 200
        assert answer.content.decode().startswith(("use_case,", "envelope,", "seq,", "id,"))
        assert browser.get(f"/{screen}.xlsx").content[:2] == b"PK"
    assert browser.get("/use-cases.json").json()["items"] == []


def test_a_company_with_an_envelope_and_no_spend_has_a_page(browser):
    finops = caller(Role.FINOPS)
    policies.create_use_case(
        draft=policies.UseCaseDraft(slug="first", name="First", department="x"),
        actor=finops,
        now=NOW,
    )
    policies.create_envelope(
        draft=policies.EnvelopeDraft(scope_kind="company", amount_nanos=10**12),
        actor=finops,
        now=NOW,
    )
    page = browser.get("/").content.decode()
    assert "Nothing was spent in November yet." in page
    assert "EUR 1,000" in page
    assert "Enter plan" in page


def test_a_use_case_without_an_envelope_says_what_follows(browser):
    policies.create_use_case(
        draft=policies.UseCaseDraft(slug="first", name="First", department="x"),
        actor=caller(Role.FINOPS),
        now=NOW,
    )
    page = browser.get("/use-cases/first/").content.decode()
    assert "No envelope covers this use case." in page
    assert "ENVELOPE_NOT_FOUND" in page
