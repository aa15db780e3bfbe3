"""Is every edited figure of a cache named, with what the entries say instead?"""

import psycopg
import pytest

from policies import facade as policies

from .company import ask, make_tree, pay


@pytest.fixture
def spent(committed_books):
    tree = make_tree()
    pay(ask(request_id="paid"))
    ask(request_id="open")
    assert policies.check_conservation() == []
    return committed_books, tree["use_case"]


def edit(urls, statement):
    """As a superuser with triggers off; CHECK constraints still stand."""
    with psycopg.connect(urls.superuser_url, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        return connection.execute(statement).rowcount


BALANCES = [
    ("settled", "settled_nanos = settled_nanos + 1"),
    ("held", "held_nanos = held_nanos - 1"),
    ("unsettled", "unsettled_nanos = 1"),
    ("unguarded", "unguarded_nanos = 1"),
    ("cap", "cap_nanos = cap_nanos - 1"),
    ("cap", "period_end = period_end + interval '1 second'"),
    ("limit", "limit_nanos = limit_nanos + 1"),
]


@pytest.mark.parametrize(("column", "change"), BALANCES, ids=lambda value: value[:24])
def test_an_edited_balance_is_named_with_envelope_period_and_column(spent, column, change):
    urls, envelope = spent
    where = f"envelope_id = (SELECT id FROM policies_envelope WHERE public = '{envelope.id}')"
    assert edit(urls, f"UPDATE envelope_balance SET {change} WHERE {where}") == 1
    found = [finding for finding in policies.check_conservation() if finding.column == column]
    assert [finding.where for finding in found] == [f"{envelope.id} from 2026-11-01T00:00:00Z"]
    assert found[0].expected != found[0].found


HOLDS = [
    ("open", "open_nanos = open_nanos + 1"),
    ("amount", "amount_nanos = amount_nanos + 1"),
    ("settled", "settled_nanos = settled_nanos + 1"),
    ("open", "state = 'expired'"),
]


@pytest.mark.parametrize(("column", "change"), HOLDS, ids=lambda value: value[:24])
def test_an_edited_reservation_is_named(spent, column, change):
    urls, _ = spent
    assert edit(urls, f"UPDATE reservation SET {change} WHERE state = 'open'") == 1
    found = policies.check_conservation()
    assert column in {finding.column for finding in found}
    assert all(finding.where.startswith("reservation ") for finding in found)


def test_a_deleted_reservation_leaves_its_money_without_an_owner(spent):
    urls, _ = spent
    assert edit(urls, "DELETE FROM reservation WHERE state = 'open'") == 1
    found = policies.check_conservation()
    assert [(each.column, each.expected, each.found) for each in found] == [
        ("owners of held", "15000000", "0")
    ] * 3


def test_a_corrupted_balance_is_not_repaired_by_spending_on(spent):
    urls, envelope = spent
    edit(urls, "UPDATE envelope_balance SET settled_nanos = settled_nanos + 1")
    pay(ask(request_id="next"))
    names = {finding.where for finding in policies.check_conservation()}
    assert f"{envelope.id} from 2026-11-01T00:00:00Z" in names
