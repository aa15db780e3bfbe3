"""On which ground do these tests stand? Books with prices, rolled back or committed."""

from collections.abc import Iterator
from typing import Any

import pytest

from policies.facade import check_conservation
from policies.queries.policy_drift import find_policy_drift
from tests.machines.replay import findings_of_entries

from .company import forget_everything, make_books


@pytest.fixture
def books(db: None) -> Iterator[None]:
    """A ledger with prices; everything is rolled back."""
    make_books()
    yield
    forget_everything()


@pytest.fixture
def sound(books: None) -> Iterator[None]:
    """As `books`; and whatever the test did, entries and caches agree afterwards."""
    yield
    assert findings_of_entries() == []
    assert check_conservation() == []
    assert find_policy_drift() == ()


@pytest.fixture
def committed_books(committed_db: Any) -> Iterator[Any]:
    """A ledger with prices that other processes can see; emptied afterwards."""
    make_books()
    yield committed_db
    forget_everything()
