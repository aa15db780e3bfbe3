"""Can people raise, refuse and agree on the pages, each once, and never by themselves?"""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from o10.access.roles import Role
from policies import facade
from tests.web.reports.pages_company import HOSTILE, NOW, PagesCompany

pytestmark = pytest.mark.usefixtures("company")


def text_of(answer: Any) -> str:
    page = re.sub(r"<dialog.*?</dialog>", " ", answer.content.decode(), flags=re.S)
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def form_of(answer: Any, do: str) -> dict[str, str]:
    """The hidden fields of one form on the page."""
    for form in re.findall(r"<form.*?</form>", answer.content.decode(), flags=re.S):
        fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', form))
        if fields.get("do") == do:
            return fields
    raise AssertionError(f"no form to {do}")


@pytest.fixture
def before(company: PagesCompany) -> int:
    """The cap before the test asks for 4,000 more."""
    cap = cap_of(company)
    assert cap is not None
    return cap


@pytest.fixture
def raised(company: PagesCompany, before: int) -> Iterator[str]:
    """A raise of the support assistant's cap, asked for by FinOps on the envelope's page."""
    envelope = company.envelopes["support-assistant"]
    browser = company.client(Role.FINOPS)
    wanted = before // 10**9 + 4_000
    page = browser.get(f"/envelopes/{envelope}/?amount={wanted}").content.decode()
    assert f"Ask for a cap of ${wanted:,}" in " ".join(re.sub(r"<[^>]+>", " ", page).split())
    fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page))
    fields |= {"do": "amount", "reason": "more tickets"}
    fields.pop("csrfmiddlewaretoken", None)
    assert browser.post(f"/envelopes/{envelope}/change/", fields).status_code == 302
    [view] = facade.find_open(subject=envelope, now=NOW)
    yield view.id
    if facade.get_approval(approval=view.id, now=NOW).is_open:
        act(company, Role.FINOPS, view.id, do="withdraw", key="tidy up")


def cap_of(company: PagesCompany) -> int | None:
    line = facade.get_envelope_line(envelope=company.envelopes["support-assistant"], now=NOW)
    return line.cap


def act(company: PagesCompany, role: Role, approval: str, **fields: str) -> Any:
    browser = company.client(role)
    return browser.post(f"/approvals/{approval}/act/", {"key": f"k-{role}", **fields})


def test_the_envelope_says_that_a_raise_waits(
    company: PagesCompany, raised: str, before: int
) -> None:
    page = company.client(Role.VIEWER).get(
        f"/envelopes/{company.envelopes['support-assistant']}/"
    )
    text = text_of(page)
    assert "Waits for controller. Nothing has changed yet." in text
    assert f"/approvals/{raised}/" in page.content.decode()
    assert cap_of(company) == before


def test_a_second_person_approves_and_the_cap_holds(
    company: PagesCompany, raised: str, before: int
) -> None:
    browser = company.client(Role.CONTROLLER)
    inbox = browser.get("/approvals/")
    assert "One approval waits for you" in text_of(inbox) and "+$4,000" in text_of(inbox)
    page = browser.get(f"/approvals/{raised}/")
    text = text_of(page)
    for said in ("If approved", "If declined", "If nobody acts", "$4,000", "aits for you"):
        assert said in text
    fields = form_of(page, "approve")
    fields.pop("csrfmiddlewaretoken", None)
    answers = [browser.post(f"/approvals/{raised}/act/", fields) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [302, 302], "a double click"
    assert cap_of(company) == before + 4_000 * 10**9
    done = text_of(browser.get(f"/approvals/{raised}/"))
    assert "It was approved and carried out." in done and "Approved by" in done
    assert "Nothing waits for you." in text_of(browser.get("/approvals/"))
    assert "Approved" in text_of(browser.get("/approvals/?box=done"))


@pytest.mark.parametrize("role", sorted(set(Role) - {Role.ROUTER, Role.CONTROLLER}))
def test_nobody_else_can_approve_it(
    company: PagesCompany, raised: str, before: int, role: Role
) -> None:
    page = company.client(role).get(f"/approvals/{raised}/")
    assert page.status_code == 200 and "Approve this change" not in page.content.decode()
    for do in ("approve", "until", "decline", "delegate"):
        answer = act(company, role, raised, do=do, reason="x", until="2026-11-30", to="usr_x")
        assert answer.status_code == 403
        assert "Nothing was changed." in text_of(answer)
    assert cap_of(company) == before
    assert facade.get_approval(approval=raised, now=NOW).version == 1


def test_declining_needs_a_reason_and_ends_it(
    company: PagesCompany, raised: str, before: int
) -> None:
    answer = act(company, Role.CONTROLLER, raised, do="decline", reason=" ")
    assert answer.status_code == 422 and "Say why" in text_of(answer)
    done = act(company, Role.CONTROLLER, raised, do="decline", reason=HOSTILE)
    assert done.status_code == 302
    page = company.client(Role.FINOPS).get(f"/approvals/{raised}/")
    assert "<script>alert" not in page.content.decode()
    assert "It was declined; nothing was changed." in text_of(page)
    assert act(company, Role.CONTROLLER, raised, do="approve").status_code == 409


def test_a_stale_form_takes_no_step(company: PagesCompany, raised: str, before: int) -> None:
    page = company.client(Role.CONTROLLER).get(f"/approvals/{raised}/?do=approve")
    fields = form_of(page, "approve")
    asked = act(company, Role.CFO, raised, do="ask", reason="Also in December?")
    assert asked.status_code == 302
    answered = act(company, Role.FINOPS, raised, do="ask", reason="No.")
    assert answered.status_code == 302
    fields.pop("csrfmiddlewaretoken", None)
    stale = company.client(Role.CONTROLLER).post(f"/approvals/{raised}/act/", fields)
    assert stale.status_code == 409 and "while you were looking" in text_of(stale)
    text = text_of(stale)
    assert "Also in December?" in text and "Answered" in text
    assert cap_of(company) == before


def test_until_a_day_and_withdraw(company: PagesCompany, raised: str, before: int) -> None:
    wrong = act(company, Role.CONTROLLER, raised, do="until", until="soon")
    assert wrong.status_code == 422
    assert act(company, Role.FINOPS, raised, do="withdraw").status_code == 302
    text = text_of(company.client(Role.FINOPS).get(f"/approvals/{raised}/"))
    assert "Who asked took it back" in text


def test_the_policy_page_shows_the_table_and_asks(company: PagesCompany) -> None:
    page = company.client(Role.VIEWER).get("/approvals/policy/")
    text = text_of(page)
    for kind in facade.RULES:
        assert kind in text
    assert "Ask for it" not in text
    fields = {
        "materiality": "5,000",
        "percent": "5",
        "expiry_days": "3",
        "confirm_hours": "12",
        "keys_may_approve": "no",
        "reason": "tighter",
        "key": "p",
    }
    refused = company.client(Role.FINOPS).post("/approvals/policy/", fields)
    assert refused.status_code == 403
    wrong = company.client(Role.CONTROLLER).post(
        "/approvals/policy/", fields | {"materiality": "much"}
    )
    assert wrong.status_code == 422
    asked = company.client(Role.CONTROLLER).post("/approvals/policy/", fields)
    assert asked.status_code == 302
    approval = asked.headers["Location"].strip("/").split("/")[-1]
    assert act(company, Role.CONTROLLER, approval, do="approve").status_code == 403
    assert act(company, Role.CFO, approval, do="approve").status_code == 302
    assert facade.approval_policy().policy.expiry_days == 3
    assert "version" not in text or "5" in text_of(
        company.client(Role.VIEWER).get("/approvals/policy/")
    )


def test_a_request_that_is_none_is_missing(company: PagesCompany) -> None:
    browser = company.client(Role.CFO)
    for path in ("apr_00000000000000000000000000", "nonsense"):
        assert browser.get(f"/approvals/{path}/").status_code == 404
