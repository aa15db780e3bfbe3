"""Is an edited balance or reservation recorded by the look in passing?"""

from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from ledger import facade as ledger
from policies import facade
from tests.conftest import Urls
from tests.operations.policies import company

LATER = datetime(2026, 11, 20, 9, 31, tzinfo=UTC)


def edit(urls: Urls, statement: str) -> None:
    with psycopg.connect(urls.superuser_url, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        assert connection.execute(statement).rowcount >= 1


@pytest.fixture
def held(committed_books: Urls) -> Urls:
    """One open reservation below two envelopes."""
    company.make_tree()
    assert company.ask(request_id="watched")["decision"] == "allow"
    return committed_books


def test_nothing_is_recorded_while_all_adds_up(held: Urls) -> None:
    assert facade.watch_balances(now=LATER) == 0
    assert ledger.last_verification() is None


@pytest.mark.parametrize(
    ("statement", "code", "column"),
    [
        (
            "UPDATE envelope_balance SET settled_nanos = settled_nanos + 1",
            "balance_drift",
            "settled",
        ),
        ("UPDATE reservation SET open_nanos = open_nanos - 1", "reservation_drift", "open"),
        ("UPDATE policies_use_case SET mode = 'observe'", "policy_drift", "rule"),
    ],
)
def test_an_edit_is_recorded_and_breaks_the_seal(
    held: Urls, statement: str, code: str, column: str
) -> None:
    edit(held, statement)
    assert facade.watch_balances(now=LATER) > 0
    badge = ledger.seal_badge(now=LATER + timedelta(seconds=1))
    assert badge.state == "broken"
    assert badge.finding is not None
    assert badge.finding["code"] == code
    assert column in badge.finding["column"]
