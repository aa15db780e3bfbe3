"""Which company do the ledger's pages show? That of the other page tests, with its key."""

import itertools
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from o10.access.roles import Role
from tests.web.reports.conftest import standing_clock
from tests.web.reports.pages_company import NOW, PagesCompany, pages_company, seal_all

__all__ = ["standing_clock"]
_seals = itertools.count(1)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the ledger's key lies."""
    return tmp_path_factory.mktemp("ledger-pages")


@pytest.fixture(scope="module")
def company(
    database_urls: Any, django_db_setup: None, django_db_blocker: Any, home: Path
) -> Iterator[PagesCompany]:
    """A company with sealed spend, committed for all tests of a module."""
    yield from pages_company(database_urls, django_db_blocker, home)


@pytest.fixture(autouse=True)
def signing_key(settings: Any, home: Path) -> None:
    """Pages read the key that signed."""
    settings.O10_SIGNING_KEY_FILE = str(home / "ledger.pem")


@pytest.fixture
def seal(database_urls: Any, home: Path, company: PagesCompany) -> Callable[[], int]:
    """Seals and signs all that is waiting; each time two seconds later, so that one is due."""

    def run() -> int:
        return seal_all(database_urls, home, NOW + timedelta(seconds=2 * next(_seals)))

    return run


@pytest.fixture
def browser(company: PagesCompany) -> Any:
    """A person of finance."""
    return company.client(Role.FINOPS)
