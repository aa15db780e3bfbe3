"""Does a start found the company once, and never a demo beside a real one?"""

from collections.abc import Iterator

import pytest
from django.core.management import call_command

from o10.access import queries as people
from o10.management import installation
from policies import facade as policies
from tests.conftest import Urls


@pytest.fixture(autouse=True)
def no_secret_is_left() -> Iterator[None]:
    """The printed password of this test belongs to this test."""
    yield
    installation.secret_path(installation.FIRST_PASSWORD).unlink(missing_ok=True)


def test_a_real_company_stays_alone_when_the_next_start_forgets_demo_0(
    committed_db: Urls,
) -> None:
    call_command("found_company")
    call_command("found_company", demo=True)
    call_command("found_company")
    standing = policies.find_organisation()
    assert standing is not None
    assert not standing.demo
    assert sorted(person.role for person in people.list_people()) == ["admin", "controller"]


def test_an_interrupted_founding_locks_nobody_out(
    committed_db: Urls, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = policies.found_organisation
    monkeypatch.setattr(policies, "found_organisation", lambda **_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        call_command("found_company")
    monkeypatch.setattr(policies, "found_organisation", found)
    call_command("found_company")
    assert policies.find_organisation() is not None
    assert len(people.list_people()) == 2
