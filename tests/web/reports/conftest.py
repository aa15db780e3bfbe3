"""Which company and which clock do the page tests have?"""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.web.reports.pages_company import PagesCompany, pages_company


@pytest.fixture(scope="module")
def company(
    database_urls: Any,
    django_db_setup: None,
    django_db_blocker: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[PagesCompany]:
    """A company with sealed spend, committed for all tests of a module."""
    home = tmp_path_factory.mktemp("pages")
    yield from pages_company(database_urls, django_db_blocker, home)


@pytest.fixture(autouse=True)
def standing_clock(clock: Any) -> Any:
    """Pages are looked at on one morning."""
    return clock
