"""Do the pages stay an overview when one envelope has hundreds of others below it?"""

import re

import pytest

from o10.access.roles import Role
from o10.wire.requests import Authorize
from policies import facade
from policies.web.shown_envelope_lines import SHOWN_BELOW, fold_lines
from tests.company import MODEL, caller
from tests.web.reports.pages_company import NOW

MANY = 130
BUSY = ("user-007", "user-099", "user-128")


@pytest.fixture(scope="module")
def crowd(company, django_db_blocker):
    """Hundred and thirty customers below the support assistant; three of them have spent."""
    with django_db_blocker.unblock():
        parent = company.envelopes["support-assistant"]
        drafts = [
            facade.EnvelopeDraft(
                scope_kind="customer",
                scope_slug=f"user-{number:03}",
                parent=parent,
                amount_nanos=1_000_000,
                soft_thresholds_ppm=(),
            )
            for number in range(MANY)
        ]
        facade.create_envelopes(drafts=drafts, actor=company.finops, now=NOW)
        for name in BUSY:
            request = Authorize(
                use_case="support-assistant",
                model=MODEL,
                input_tokens=10,
                max_output_tokens=10,
                customer=name,
            )
            facade.authorize(request=request, caller=caller(Role.ROUTER, "key_crowd"), now=NOW)
        yield parent


@pytest.fixture
def browser(company):
    return company.client(Role.FINOPS)


def rows_of(page: str) -> list[str]:
    return re.findall(r'<th scope="row"><a href="/envelopes/env_\w+/">([^<]+)</a>', page)


@pytest.mark.django_db
def test_the_tree_shows_the_hundred_nearest_to_their_cap_and_says_so(crowd, browser):
    page = browser.get("/envelopes/").content.decode()
    users = [name for name in rows_of(page) if name.startswith("user-")]
    assert len(users) == SHOWN_BELOW
    assert users == sorted(users)
    assert set(BUSY) <= set(users)
    assert f"{SHOWN_BELOW} of {MANY} below, those nearest to their cap" in page


@pytest.mark.django_db
def test_the_page_of_an_envelope_shows_as_many_and_says_so(crowd, browser):
    page = browser.get(f"/envelopes/{crowd}/").content.decode()
    users = {name for name in rows_of(page) if name.startswith("user-")}
    assert len(users) == SHOWN_BELOW
    assert set(BUSY) <= users
    assert f"{SHOWN_BELOW} of {MANY} below" in page


@pytest.mark.django_db
def test_exports_and_api_lists_have_them_all(crowd, browser):
    exported = browser.get("/envelopes.csv").content.decode()
    assert len(set(re.findall(r"user-\d{3}", exported))) == MANY


@pytest.mark.django_db
def test_with_what_is_folded_goes_all_that_is_below_it(crowd):
    lines = facade.list_envelope_lines(now=NOW)
    shown = {line.public for line, _ in fold_lines(lines)}
    for line in lines:
        assert line.public not in shown or not line.parent or line.parent in shown
    notes = [note for _, note in fold_lines(lines) if note]
    assert len(notes) == 1
