"""Does the page of an entry say what it cost, prove it, and let two people take it back?"""

import itertools
from datetime import UTC, datetime

import psycopg
import pytest

from ledger import facade
from o10.access.roles import Role
from o10.kernel import clock
from o10.kernel.errors import SelfApproval
from o10.kernel.figures import MINUS, money_exact
from policies import facade as policies
from policies.core.approvals import BaseChanged
from tests.company import caller
from tests.web.reports.pages_company import NOW, use_some

pytestmark = pytest.mark.usefixtures("company")
_names = itertools.count(1)


@pytest.fixture
def spent(company, seal):
    """A sealed usage entry that nobody else touches."""
    use_some(
        company.finops,
        name=f"entry-{next(_names)}",
        at=datetime(2026, 11, 19, 12, tzinfo=UTC),
        slug="support-assistant",
        thousands=2,
    )
    seal()
    page = facade.list_entry_lines(where=facade.LineFilter(kinds=("usage",)), limit=1)
    return page.items[0]


def lines(*kinds):
    return facade.list_entry_lines(where=facade.LineFilter(kinds=kinds), limit=100).items


def form(client, line, **changes):
    page = client.get(f"/ledger/{line.seq}/")
    return {
        "key": page.context["correction"]["key"],
        "reason": "Booked for the wrong use case",
        "amount": "",
        **changes,
    }


def agree(company, answer, role=Role.CONTROLLER):
    """The request behind the answer, agreed to by a person of this role; what it made."""
    approval = answer.headers["Location"].strip("/").split("/")[-1]
    checker = caller(role, company.people[role])
    policies.approve(approval=approval, actor=checker, now=clock.now())
    made = policies.get_approval(approval=approval, now=clock.now()).result
    return f"/ledger/{made['entry']}/"


def test_every_priced_entry_is_recomputed_to_the_nano(browser):
    priced = lines("usage", "settle")
    assert len(priced) >= 9
    for line in priced:
        price = browser.get(f"/ledger/{line.seq}/").context["price"]
        assert price["check"]["title"] == "Recomputed: agrees to the nano."
        assert price["booked"] == money_exact(line.amount)


def test_the_proof_s_steps_are_those_of_the_api_and_lead_to_the_signed_root(browser, seal):
    reached = seal()
    for seq in (1, 2, reached // 2, reached - 1):
        page = browser.get(f"/ledger/{seq}/")
        proof, shown = page.context["proof"], page.context["line"]
        told = facade.prove_inclusion(uid=shown.uid)
        assert [step["hash"] for step in proof["steps"]] == [each.hex() for each in told.path]
        assert (proof["result"]["ok"], proof["result"]["root"]) == (True, told.root.hex())
        covered = sum(step["last"] - step["first"] + 1 for step in proof["steps"])
        assert covered == told.size - 1
        assert told.note in page.context["checkpoint"]["note"]
        assert page.context["checkpoint"]["keys"].startswith("ledger.example.com/acme+")


def test_neighbours_stand_in_order_with_their_hashes(browser, seal):
    seal()
    chain = browser.get("/ledger/5/").context["chain"]
    assert [each["seq"] for each in chain] == [3, 4, 5, 6, 7]
    stored = facade.list_range(ledger_id=1, seq_from=3, seq_to=8)
    assert [each["chain"] for each in chain] == [each.chain.hex() for each in stored]
    assert browser.get("/ledger/1/").context["older_url"] == ""


def test_a_changed_nano_breaks_the_proof_on_the_entry_s_own_page(browser, spent, database_urls):
    with psycopg.connect(database_urls.superuser_url, autocommit=True) as superuser:
        superuser.execute("SET session_replication_role = replica")
        change = "UPDATE ledger_entry SET amount_nanos = amount_nanos + %s WHERE uid = %s"
        superuser.execute(change, [1, spent.uid])
        try:
            page = browser.get(f"/ledger/{spent.seq}/")
        finally:
            superuser.execute(change, [-1, spent.uid])
    assert page.context["proof"]["result"]["ok"] is False
    assert "does not lead to the signed root" in page.context["head"]["headline"]
    assert page.context["price"]["check"]["title"] == "Recomputed: differs by $0.000000001."
    assert browser.get(f"/ledger/{spent.seq}/").context["proof"]["result"]["ok"] is True


def test_the_effect_adds_up_and_leads_to_envelope_and_decision(browser):
    line = lines("reserve")[0]
    page = browser.get(f"/ledger/{line.seq}/")
    effects = {row["name"]: str(row["amount"]) for row in page.context["effects"]}
    assert effects["Held"] == f"+{money_exact(line.held)}"
    assert effects["Exposure of the envelope"] == effects["Held"]
    facts = {fact["term"]: fact for fact in page.context["effect_facts"]}
    assert browser.get(facts["Envelope"]["href"]).status_code == 200
    decision = browser.get(facts["Decision"]["href"])
    assert line.reservation in decision.content.decode()


def test_a_denial_names_its_reason_and_moves_nothing(browser):
    line = lines("deny")[0]
    page = browser.get(f"/ledger/{line.seq}/")
    assert "(ENVELOPE_HARD_LIMIT)" in page.context["head"]["headline"]
    assert {str(row["amount"]) for row in page.context["effects"]} == {"$0.000000000"}
    assert page.context["correction"]["shown"] is False


@pytest.mark.parametrize(
    "path", ["/ledger/0/", "/ledger/99999999/", f"/ledger/{10**30}/", "/ledger/ent_x/"]
)
def test_a_position_the_ledger_has_not_is_a_page_that_says_so(browser, path):
    answer = browser.get(path)
    assert answer.status_code == 404
    assert b"Traceback" not in answer.content
    assert b"<html" in answer.content


def test_an_unsealed_entry_waits_on_a_page_and_then_has_one(company, browser, seal):
    reached = seal()
    use_some(
        company.finops,
        name=f"entry-{next(_names)}",
        at=datetime(2026, 11, 19, 13, tzinfo=UTC),
        slug="support-assistant",
        thousands=2,
    )
    newest = facade.list_entry_lines(where=facade.LineFilter(), limit=1).items[0]
    for path in (f"/ledger/{newest.public}/", f"/ledger/{reached + 1}/"):
        waiting = browser.get(path)
        assert waiting.status_code == 409
        assert b"waits for the seal" in waiting.content
        assert b"data-live" in waiting.content
    seal()
    moved = browser.get(f"/ledger/{newest.public}/")
    assert moved.headers["Location"] == f"/ledger/{reached + 1}/"
    assert browser.get(moved.headers["Location"]).context["line"].public == newest.public


def test_two_people_take_an_entry_back_and_both_entries_stay(company, browser, spent, seal):
    before = policies.get_envelope(envelope=company.envelopes["company"], now=NOW)
    answer = browser.post(f"/ledger/{spent.seq}/reverse/", form(browser, spent))
    assert answer.status_code == 302
    waits = browser.get(f"/ledger/{spent.seq}/")
    assert b"waits for approval" in waits.content
    assert waits.context["correction"]["open"] is False
    assert spent.uid not in [line.reverses for line in lines("reversal")]
    made = agree(company, answer)
    seal()
    there = browser.get(browser.get(made).headers["Location"])
    assert there.context["line"].amount == -spent.amount
    facts = {fact["term"]: fact for fact in there.context["correction"]["facts"]}
    assert facts["Proposed by"]["code"] == company.people[Role.FINOPS]
    assert facts["Confirmed by"]["code"] == company.people[Role.CONTROLLER]
    assert facts["By request"]["code"].startswith("apr_")
    assert facts["Reverses"]["href"] == f"/ledger/{spent.seq}/"
    back = browser.get(f"/ledger/{spent.seq}/")
    assert back.context["line"].amount == spent.amount
    assert "Taken back by entry" in back.content.decode()
    assert back.context["correction"]["open"] is False
    after = policies.get_envelope(envelope=company.envelopes["company"], now=NOW)
    assert int(before.settled_nanos) - int(after.settled_nanos) == spent.amount
    assert policies.check_conservation() == []


def test_the_right_amount_is_stated_beside_the_negative(company, browser, spent):
    sent = form(browser, spent, amount="0.5")
    agree(company, browser.post(f"/ledger/{spent.seq}/reverse/", sent))
    stated = [line for line in lines("usage") if line.amount == 500_000_000]
    assert len(stated) == 1
    assert [line.amount for line in lines("reversal") if line.reverses == spent.uid] == [
        -spent.amount
    ]
    assert policies.check_conservation() == []


def test_the_same_form_twice_is_one_request(company, browser, spent):
    sent = form(browser, spent)
    first = browser.post(f"/ledger/{spent.seq}/reverse/", sent)
    second = browser.post(f"/ledger/{spent.seq}/reverse/", sent)
    assert first.headers["Location"] == second.headers["Location"]
    agree(company, first)
    assert [line.reverses for line in lines("reversal")].count(spent.uid) == 1


def test_a_second_form_for_the_same_entry_is_told_it_was_taken_back(company, browser, spent):
    stale = form(browser, spent)
    agree(company, browser.post(f"/ledger/{spent.seq}/reverse/", form(browser, spent)))
    answer = browser.post(f"/ledger/{spent.seq}/reverse/", stale)
    assert answer.status_code == 409
    assert b"It was taken back before." in answer.content


def test_of_two_requests_for_one_entry_the_second_is_void(company, browser, spent):
    one = browser.post(f"/ledger/{spent.seq}/reverse/", form(browser, spent))
    two = browser.post(f"/ledger/{spent.seq}/reverse/", form(browser, spent, key="another"))
    agree(company, one)
    with pytest.raises(BaseChanged):
        agree(company, two)


def test_who_asked_does_not_agree_and_a_controller_does_not_ask(company, browser, spent):
    answer = browser.post(f"/ledger/{spent.seq}/reverse/", form(browser, spent))
    with pytest.raises(SelfApproval):
        agree(company, answer, Role.FINOPS)
    controller = company.client(Role.CONTROLLER)
    sent = {"reason": "Booked for the wrong use case", "key": "own"}
    refused = controller.post(f"/ledger/{spent.seq}/reverse/", sent)
    assert refused.status_code == 403
    assert b"This person may not ask for it." in refused.content


@pytest.mark.parametrize(
    ("changes", "status", "said"),
    [
        ({"reason": "why"}, 422, "Say why."),
        ({"amount": "twelve"}, 422, "That amount can&#x27;t be."),
        ({"amount": "-1"}, 422, "That amount can&#x27;t be."),
    ],
)
def test_a_refusal_says_why_keeps_what_was_typed_and_asks_nothing(
    browser, spent, changes, status, said
):
    sent = form(browser, spent, **changes)
    answer = browser.post(f"/ledger/{spent.seq}/reverse/", sent)
    assert answer.status_code == status
    assert said in answer.content.decode()
    assert sent["reason"] in answer.content.decode()
    assert not policies.find_open(subject=spent.public, now=clock.now())


def test_a_hold_is_not_taken_back(browser):
    line = lines("reserve")[0]
    sent = form(browser, lines("usage")[0])
    answer = browser.post(f"/ledger/{line.seq}/reverse/", sent)
    assert answer.status_code == 409
    assert not lines("reversal") or line.uid not in {
        each.reverses for each in lines("reversal")
    }


@pytest.mark.parametrize("role", [Role.VIEWER, Role.AUDITOR, Role.CFO, Role.OWNER])
def test_who_may_not_correct_sees_who_can_and_is_refused(company, spent, role):
    client = company.client(role)
    page = client.get(f"/ledger/{spent.seq}/")
    assert "role finops can ask for it" in page.content.decode()
    assert b'name="amount"' not in page.content
    sent = {"reason": "Booked for the wrong use case"}
    assert client.post(f"/ledger/{spent.seq}/reverse/", sent).status_code == 403
    assert client.get(f"/ledger/{spent.seq}/reverse/").status_code == 405


def test_a_negative_amount_has_the_true_minus(browser):
    reversal = lines("reversal")[0]
    page = browser.get(f"/ledger/{reversal.seq}/").content.decode()
    assert f"{MINUS}${money_exact(-reversal.amount).text[1:]}" in page
    assert f"{MINUS}2,000 calls" in page
