"""Do two people raise a cap with the keyboard, and does the very next call use it?"""

from typing import Any

import pytest

from o10.access.roles import Role
from o10.wire.requests import Authorize
from policies import facade as policies
from tests.company import MODEL, caller
from tests.journeys.conftest import axe_findings
from tests.web.reports.pages_company import NOW

ENVELOPE = "support-assistant"


def decide(tokens: int, name: str) -> str:
    import msgspec

    request = Authorize(
        request_id=name,
        use_case=ENVELOPE,
        model=MODEL,
        input_tokens=100,
        max_output_tokens=tokens,
    )
    answer = policies.authorize(request=request, caller=caller(Role.ROUTER, "key_j"), now=NOW)
    return str(msgspec.json.decode(answer)["decision"])


@pytest.fixture
def url(site: Any) -> str:
    return f"/envelopes/{site.company.envelopes[ENVELOPE]}/"


def test_a_raise_is_asked_for_refused_to_oneself_and_approved_by_another(
    site: Any, visit: Any, url: str
) -> None:
    line = policies.get_envelope_line(envelope=site.company.envelopes[ENVELOPE], now=NOW)
    # Dearer than all that is left, cheaper than what is left after the raise.
    left = line.available or 0
    per_token = 10_000  # nanos of one output token of the model
    tokens = (left + 500 * 10**9) // per_token
    assert decide(tokens, "before") == "deny"

    page = visit(f"{url}?amount=21000")
    page.fill("#reason", "card migration")
    page.get_by_role("button", name="Ask for a cap of $21,000").dblclick()
    page.wait_for_selector("text=Asked: it waits for controller. Nothing has changed yet.")
    page.get_by_role("link", name="Open the request").click()
    page.wait_for_url("**/approvals/apr_*/")
    request = page.url
    assert "You asked for it, so others decide" in page.locator("#decide").inner_text()
    assert page.get_by_role("link", name="Approve", exact=False).count() == 0

    admin = visit(request.removeprefix(site.url), role=Role.ADMIN)
    assert "your role is admin" in admin.locator("#decide").inner_text()
    assert decide(tokens, "asked") == "deny"

    second = visit("/approvals/", role=Role.CONTROLLER)
    assert "One approval waits for you" in second.locator("h1").inner_text()
    assert second.locator("nav.nav .count").inner_text().startswith("1")
    second.keyboard.press("j")
    second.keyboard.press("Enter")
    second.wait_for_url("**/approvals/apr_*/")
    assert axe_findings(second) == []
    second.keyboard.press("a")
    second.wait_for_selector("dialog[open]")
    assert axe_findings(second) == []
    second.locator("dialog[open] input[name=reason]").fill("quality holds")
    second.keyboard.press("Enter")
    second.wait_for_selector("text=Approved and carried out: the next call obeys it.")
    assert decide(tokens, "after") == "allow", "the very next call uses it"
    assert "Approved" in second.locator("ol.timeline").inner_text()

    page.goto(f"{site.url}{url}")
    assert "$21,000" in page.locator("h1").inner_text()


def test_without_script_a_request_is_declined_with_its_reason(
    site: Any, visit: Any, url: str
) -> None:
    maker = visit(f"{url}?amount=23000", java_script_enabled=False)
    maker.fill("#reason", "without script")
    maker.get_by_role("button", name="Ask for a cap of $23,000").click()
    maker.get_by_role("link", name="Open the request").click()
    path = maker.url.removeprefix(site.url)
    page = visit(path, role=Role.CONTROLLER, java_script_enabled=False)
    page.get_by_role("link", name="Decline…").click()
    page.fill("input[name=reason]", "not this month")
    page.get_by_role("button", name="Decline this change").click()
    page.locator("#decide").get_by_text("It was declined; nothing was changed.").wait_for()


@pytest.mark.parametrize("path", ["/approvals/", "/approvals/?box=done", "/approvals/policy/"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_pages_are_accessible_and_fit_a_phone(visit: Any, path: str, scheme: str) -> None:
    page = visit(path, role=Role.CONTROLLER, width=390, color_scheme=scheme)
    assert axe_findings(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_models_and_people_are_changed_on_their_pages(site: Any, visit: Any) -> None:
    page = visit(f"/use-cases/{ENVELOPE}/policy/")
    page.fill("#model", "openai/gpt-4o")
    page.fill("#add-reason", "the first of the list")
    page.get_by_role("button", name="Allow this model alone").click()
    page.wait_for_selector("text=Only approved models may be used from the next call on.")
    page.fill("#model", "openai/gpt-4.1")
    page.fill("#add-reason", "it is cheaper")
    page.get_by_role("button", name="Ask to approve it").click()
    page.wait_for_selector("text=Nothing has changed yet.")
    people = visit("/settings/people/", role=Role.ADMIN)
    people.fill("#person-name", "Grace Hopper")
    people.fill("#email", "grace@acme.example")
    people.select_option("#person-role", "cfo")
    people.get_by_role("button", name="Add the person").click()
    people.wait_for_selector("text=A viewer until others agree")
    second = visit("/", role=Role.CONTROLLER)
    assert "your decision" in second.locator("#decisions-t").inner_text()


@pytest.mark.parametrize(
    ("path", "role"),
    [(f"/use-cases/{ENVELOPE}/policy/", Role.FINOPS), ("/settings/people/", Role.ADMIN)],
)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_rules_and_people_are_accessible_and_fit_a_phone(
    visit: Any, path: str, role: Role, scheme: str
) -> None:
    page = visit(path, role=role, width=390, color_scheme=scheme)
    assert axe_findings(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
