"""Does an envelope say what is left and why, and can a person change it once and only once?"""

import re

import pytest

from o10.access.roles import Role
from o10.kernel.money import amount_text
from policies import facade
from tests.web.reports.pages_company import NOW

pytestmark = pytest.mark.usefixtures("company")


@pytest.fixture
def browser(company):
    return company.client(Role.FINOPS)


@pytest.fixture
def page_of(company, browser):
    def read(name="support-assistant", query=""):
        answer = browser.get(f"/envelopes/{company.envelopes[name]}/{query}")
        return answer.status_code, answer.content.decode()

    return read


def line_of(company, name="support-assistant"):
    return facade.get_envelope_line(envelope=company.envelopes[name], now=NOW)


def form_of(page):
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page))


def send(browser, company, page, name="support-assistant", **changes):
    fields = form_of(page) | {"reason": "a test", "do": "amount"} | changes
    fields.pop("csrfmiddlewaretoken", None)
    return browser.post(f"/envelopes/{company.envelopes[name]}/change/", fields)


def approve(company, name="support-assistant"):
    """A controller agrees to what is asked of this envelope; less was confirmed before."""
    for asked in facade.find_open(subject=company.envelopes[name], now=NOW):
        fields = {"do": "approve", "key": f"yes-{asked.id}"}
        answer = company.client(Role.CONTROLLER).post(f"/approvals/{asked.id}/act/", fields)
        assert answer.status_code == 302


def text_of(page):
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def test_the_tree_has_every_envelope_parents_first(company, browser):
    page = browser.get("/envelopes/").content.decode()
    lines = facade.list_envelope_lines(now=NOW)
    assert [line.depth for line in lines] == [0, 1, 2, 2, 2]
    places = [page.index(f'<a href="/envelopes/{line.public}/">') for line in lines]
    assert places == sorted(places)


def test_left_is_the_formula_on_every_line(company):
    for line in facade.list_envelope_lines(now=NOW):
        if line.cap is not None:
            spoken_for = line.settled + line.lent + line.unsettled + line.contingency
            assert line.available == line.cap - spoken_for


def test_never_unlimited_when_a_parent_limits(company, browser):
    page = text_of(browser.get("/envelopes/").content.decode())
    line = line_of(company, "contract-review")
    assert line.cap is None
    assert line.binding is not None and not line.binding.own
    assert "no own cap" in page and "unlimited" not in page


def test_a_cap_of_zero_is_a_stop_and_not_missing(company, page_of):
    status, page = page_of("sandbox")
    assert status == 200
    assert line_of(company, "sandbox").cap == 0
    assert "over its cap" in text_of(page) or "$0 left" in text_of(page)


def test_figures_of_a_line_lead_to_its_entries(browser):
    page = browser.get("/envelopes/").content.decode()
    links = re.findall(r'href="(/ledger/\?[^"]*envelope:env_[^"]*)"', page)
    assert links
    for link in links[:4]:
        assert browser.get(link.replace("&amp;", "&")).status_code == 200


def test_a_preview_tells_the_effect_before_anything_is_entered(company, page_of):
    before = line_of(company)
    status, page = page_of(query="?amount=30000")
    text = text_of(page)
    assert status == 200
    assert "$20,000" in text and "$30,000" in text
    assert "Change of the cap: +$10,000 (+50.0%)" in text
    assert "Ask for a cap of $30,000" in text
    assert line_of(company) == before


def test_a_preview_above_the_parent_names_it_and_offers_no_button(page_of):
    text = text_of(page_of(query="?amount=90000")[1])
    assert "raise" in text and "first" in text
    assert "Set cap to" not in text and "Ask for a cap" not in text


@pytest.mark.parametrize("amount", ["abc", "-5", "1e9", "NaN", "1.0000000001"])
def test_no_amount_is_a_clear_message(page_of, amount):
    status, page = page_of(query=f"?amount={amount}")
    assert status == 422
    assert "That is no amount." in page


def test_a_double_click_has_one_effect(company, browser, page_of):
    before = line_of(company)
    page = page_of(query="?amount=21000")[1]
    answers = [send(browser, company, page, amount="21000") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [302, 302]
    assert line_of(company) == before, "more waits for a second person"
    assert len(facade.find_open(subject=company.envelopes["support-assistant"], now=NOW)) == 1
    approve(company)
    after = line_of(company)
    assert after.cap == 21_000 * 10**9
    assert after.version == before.version + 1


def test_two_people_on_one_envelope_get_a_clear_conflict(company, browser, page_of):
    first, second = page_of(query="?amount=22000")[1], page_of(query="?amount=23000")[1]
    assert send(browser, company, first, amount="22000").status_code == 302
    approve(company)
    answer = send(browser, company, second, amount="23000")
    assert answer.status_code == 409
    text = text_of(answer.content.decode())
    assert "Somebody changed this envelope while you were looking at it." in text
    assert "Your change was not entered" in text
    assert line_of(company).cap == 22_000 * 10**9


def test_a_raise_beyond_the_parent_is_refused_with_the_room_there_is(company, browser, page_of):
    before = line_of(company)
    answer = send(browser, company, page_of()[1], amount="90000")
    assert answer.status_code == 409
    assert "The parent has no room for that." in answer.content.decode()
    assert line_of(company) == before


def test_a_change_without_a_reason_is_refused_at_its_field(company, browser, page_of):
    before = line_of(company)
    answer = send(browser, company, page_of()[1], amount="20500", reason="  ")
    assert answer.status_code == 422
    assert 'id="reason"' in answer.content.decode()
    assert 'aria-invalid="true"' in answer.content.decode()
    assert line_of(company) == before


def test_freezing_stops_and_two_people_let_go(company, browser, page_of):
    assert send(browser, company, page_of()[1], do="freeze").status_code == 302
    assert line_of(company).health is facade.Health.FROZEN
    frozen = page_of()[1]
    assert "is frozen" in frozen and "Ask to make active again" in frozen
    assert send(browser, company, frozen, do="thaw").status_code == 302
    assert line_of(company).state == "frozen"
    approve(company)
    assert line_of(company).state == "active"


def test_versions_say_who_changed_what_and_why(company, browser, page_of):
    cap = line_of(company).cap
    page = page_of(query="?amount=20100")[1]
    send(browser, company, page, amount="20100", reason="year end <b>push</b>")
    text = page_of()[1]
    assert "year end &lt;b&gt;push&lt;/b&gt;" in text
    assert amount_text(cap)[:5].replace(",", "") in text.replace(",", "")


@pytest.mark.parametrize(
    ("role", "sees"),
    [
        (Role.FINOPS, {"Show effect", "Freeze"}),
        (Role.CONTROLLER, {"Show effect", "Freeze"}),
        (Role.OWNER, {"Show effect", "Freeze"}),
        (Role.CFO, {"Show effect", "Freeze"}),
        (Role.VIEWER, set()),
        (Role.AUDITOR, set()),
        (Role.ADMIN, set()),
    ],
)
def test_buttons_follow_the_role(company, role, sees):
    page = company.client(role).get(f"/envelopes/{company.envelopes['company']}/")
    text = page.content.decode()
    found = {word for word in ("Show effect", "Freeze") if f">{word}</button>" in text}
    assert found == sees
    if not sees:
        assert "Your role reads." in text


@pytest.mark.parametrize("role", [Role.CONTROLLER, Role.CFO])
def test_who_approves_does_not_ask_for_more(company, role):
    before = line_of(company)
    answer = company.client(role).post(
        f"/envelopes/{company.envelopes['support-assistant']}/change/",
        {"do": "amount", "amount": "25000", "reason": "mine", "key": role.value},
    )
    assert answer.status_code == 403
    assert line_of(company) == before


@pytest.mark.parametrize("role", [Role.VIEWER, Role.AUDITOR, Role.ADMIN])
def test_roles_without_money_cannot_change_an_amount(company, role):
    before = line_of(company)
    answer = company.client(role).post(
        f"/envelopes/{company.envelopes['support-assistant']}/change/",
        {"do": "amount", "amount": "1", "reason": "mine", "key": role.value},
    )
    assert answer.status_code == 403
    assert line_of(company) == before


def test_a_write_without_a_csrf_token_is_refused(company):
    from django.test import Client

    from o10.access.models import Person

    strict = Client(enforce_csrf_checks=True)
    strict.force_login(Person.objects.get(id=company.people[Role.FINOPS]))
    before = line_of(company)
    answer = strict.post(
        f"/envelopes/{company.envelopes['support-assistant']}/change/",
        {"do": "amount", "amount": "1", "reason": "x", "key": "y"},
    )
    assert answer.status_code == 403
    assert line_of(company) == before


def test_an_envelope_that_is_none_is_missing(browser):
    assert browser.get("/envelopes/env_00000000000000000000000000/").status_code == 404
    assert browser.get("/envelopes/nonsense/").status_code in (404, 422)


def test_the_burn_chart_stands_alone_without_script(company, browser):
    page = browser.get(f"/envelopes/{company.envelopes['support-assistant']}/burn/")
    text = page.content.decode()
    assert page.status_code == 200
    assert "<html" in text and "application/json" in text
    assert "3 Nov 2026" in text
