"""Do the pages of kill criteria say what stands, explain a trip, and lead two people to act?"""

import re
import uuid
from datetime import timedelta

import msgspec
import pytest

from o10.access.keys import Caller
from o10.access.roles import ROLE_ACTIONS, Role
from o10.wire.requests import Authorize
from policies import facade
from policies.queries.kill_rows import get_criterion
from tests.web.reports.pages_company import NOW

pytestmark = pytest.mark.usefixtures("company")
LIST = "/policies/kill-criteria/"
ROUTER = Caller(
    "key_router", "key_router", "key_router", Role.ROUTER, None, ROLE_ACTIONS[Role.ROUTER]
)


@pytest.fixture(autouse=True)
def nothing_stands_tripped():
    """The company is one for all tests: whatever one froze is over for the next."""
    yield
    for view in facade.list_criteria().items:
        if view.state != "retired":
            facade.apply_retire(
                criterion=view.id, actor="usr_checker", now=NOW, reason="the test is over"
            )


@pytest.fixture
def finops(company):
    return company.client(Role.FINOPS)


def text_of(answer):
    return " ".join(re.sub(r"<[^>]+>", " ", answer.content.decode()).split())


def typed(**changes):
    return {
        "name": "Loop at the assistant",
        "use_case": "support-assistant",
        "metric": "repeat_loop",
        "threshold": "5",
        "window": "600",
        "consecutive": "1",
        "min_sample": "5",
        "lever": "freeze",
        "execution": "auto",
        "key": uuid.uuid4().hex,
    } | changes


def make(finops, **changes):
    answer = finops.post(f"{LIST}new/", typed(**changes))
    assert answer.status_code == 302, text_of(answer)
    return answer.headers["Location"]


def criterion_of(page):
    return page.rstrip("/").rsplit("/", 1)[-1]


def arm(page, **fields):
    facade.apply_arm(
        criterion=criterion_of(page), actor="usr_checker", now=NOW, version=1, reason="agreed"
    )


def loop(times=6, at=NOW):
    for _ in range(times):
        request = Authorize(
            use_case="support-assistant",
            model="openai/gpt-5.4",
            input_tokens=100,
            max_output_tokens=10,
            step_fingerprint="parse",
        )
        answer = facade.authorize(request=request, caller=ROUTER, now=at)
    return msgspec.json.decode(answer)


def test_an_empty_list_says_what_to_do_and_offers_the_pack(finops):
    page = text_of(finops.get(LIST))
    assert "No rule stops what fails yet." in page
    for each in facade.KILL_PACK:
        assert each.name in page
    assert "No data yet: needs evals." in page and "No data yet: needs KYI scores." in page
    assert page.count("No data yet") == 2
    form = text_of(finops.get(f"{LIST}new/"))
    assert "Distance to the floor · No data yet: needs evals." in form


def test_what_is_offered_fills_the_form(finops):
    page = finops.get(f"{LIST}new/?offered=retry-waste&use_case=support-assistant")
    html = page.content.decode()
    assert 'value="Money wasted on retries"' in html
    assert '<option value="support-assistant" selected>' in html
    assert '<option value="cap_steps" selected>' in html


def test_a_draft_is_made_once_by_two_clicks(finops):
    first, second = (make(finops, key="twice") for _ in range(2))
    assert first == second
    page = text_of(finops.get(first))
    assert "is a draft: it watches Support assistant and stops nothing" in page
    assert "Ask to arm" in page


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"threshold": "a lot"}, "A plain number such as 0.15."),
        ({"consecutive": "two"}, "Consecutive is a whole number."),
        ({"lever": "cap_output", "amount": ""}, "This lever needs a number"),
        ({"name": ""}, "A name of at most 120 characters."),
        ({"use_case": "gone"}, "There is no such use case."),
    ],
)
def test_a_mistake_is_told_and_nothing_is_lost(finops, changes, words):
    before = len(facade.list_criteria().items)
    answer = finops.post(f"{LIST}new/", typed(**changes))
    assert answer.status_code == 422
    html = answer.content.decode()
    assert words in text_of(answer)
    if "name" not in changes:
        assert 'value="Loop at the assistant"' in html
    assert len(facade.list_criteria().items) == before


def test_arming_asks_and_tells_whom_it_waits_for(finops):
    page = make(finops)
    answer = finops.post(f"{page}act/", {"do": "arm", "reason": "it happened", "key": "a1"})
    assert answer.status_code == 302
    text = text_of(finops.get(page))
    assert "Arm kill criterion Loop at the assistant" in text
    assert "Waits for controller. Nothing has changed yet." in text
    assert get_criterion(criterion_of(page)).state == "draft"


def test_a_trip_is_explained_with_every_number_and_leads_to_its_entry(company, finops):
    page = make(finops)
    arm(page)
    loop()
    facade.look_at_criterion(get_criterion(criterion_of(page)), at=NOW + timedelta(minutes=1))
    text = text_of(finops.get(page))
    assert "Loop at the assistant tripped at Support assistant on" in text
    assert "What the last trip rests on" in text
    assert "Most repeats of one step 6" in text
    assert "Ask to lift the lever" in text
    listed = text_of(finops.get(LIST))
    assert "Loop at the assistant stands tripped at Support assistant." in listed
    refused = loop(1, at=NOW + timedelta(minutes=1))
    assert refused["reasons"][0]["code"] == "KILL_CRITERION_ACTIVE"


def test_lifting_a_freeze_waits_for_a_second_person(company, finops):
    page = make(finops)
    arm(page)
    loop()
    facade.look_at_criterion(get_criterion(criterion_of(page)), at=NOW + timedelta(minutes=1))
    answer = finops.post(f"{page}act/", {"do": "restore", "reason": "fixed", "key": "r1"})
    assert answer.status_code == 302
    assert get_criterion(criterion_of(page)).state == "tripped"
    assert "Waits for controller" in text_of(finops.get(page))


def test_setting_aside_beyond_two_weeks_is_refused(company, finops):
    page = make(finops)
    arm(page)
    body = {"do": "override", "reason": "launch", "until": "2020-01-01", "key": "o1"}
    answer = finops.post(f"{page}act/", body)
    assert answer.status_code == 422
    assert "At most 14 days from now" in text_of(answer)


def test_a_change_without_a_reason_is_refused(finops):
    page = make(finops)
    answer = finops.post(f"{page}act/", {"do": "retire", "reason": " ", "key": "x"})
    assert answer.status_code == 422
    assert get_criterion(criterion_of(page)).state == "draft"


def test_the_drill_stands_on_the_page_and_writes_nothing(company, finops):
    page = make(finops)
    loop()
    before = facade.list_criteria().items
    text = text_of(finops.get(f"{page}?drill=90"))
    assert "In 90 days there was never enough evidence" in text or "It would" in text
    assert facade.list_criteria().items == before


def test_who_only_reads_sees_who_may_act(company, finops):
    page = make(finops)
    viewer = company.client(Role.VIEWER)
    text = text_of(viewer.get(page))
    assert "Your role reads." in text and "Ask to arm" not in text
    assert viewer.get(f"{LIST}new/").status_code == 403
    answer = viewer.post(f"{page}act/", {"do": "arm", "reason": "x", "key": "v"})
    assert answer.status_code == 403
    assert get_criterion(criterion_of(page)).state == "draft"


def test_the_card_of_a_use_case_has_what_concerns_it(finops):
    make(finops)
    part = finops.get(f"{LIST}of/support-assistant/", headers={"HX-Request": "true"})
    assert "Loop at the assistant" in part.content.decode()
    assert "<html" not in part.content.decode()
    other = finops.get(f"{LIST}of/sandbox/", headers={"HX-Request": "true"})
    assert "Loop at the assistant" not in other.content.decode()
    assert finops.get(f"{LIST}?use_case=no-such").status_code == 404


def test_a_very_long_name_stays_whole_and_is_escaped(finops):
    name = "<b>" + "long " * 22
    page = make(finops, name=name)
    html = finops.get(page).content.decode()
    assert "&lt;b&gt;" in html and "<b>long" not in html
