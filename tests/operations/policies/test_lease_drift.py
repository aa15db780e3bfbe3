"""Is every edited figure of a lease, or of a call inside one, found and named?"""

import io
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.management import call_command

from ledger import facade as ledger
from policies import facade as policies
from policies.models import Lease, LeaseHolder

from .company import NOW, make_tree, pay
from .lender import call_in, lend, make_holder
from .test_lease_detach import WORST, by_token
from .test_lease_endings import LOST


def edit(urls: Any, statement: str) -> int:
    """As a superuser with triggers off; CHECK constraints still stand."""
    with psycopg.connect(urls.superuser_url, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        return connection.execute(statement).rowcount


@pytest.fixture
def lending(committed_books: Any) -> Any:
    """One lease in use, one closed, one expired; all in one tree."""
    make_tree()
    fence, lost = make_holder(), make_holder(pid=8)
    used = lend(4 * WORST, fence=fence, ttl_s=600)
    pay(call_in(used.lease, WORST))
    call_in(used.lease, WORST, sequence=200)
    closed = lend(WORST, fence=fence, ttl_s=600)
    call = call_in(closed.lease, WORST)
    LeaseHolder.objects.filter(fence=fence).update(ended_at=NOW)
    pay(call)
    expired = lend(2 * WORST, fence=lost)
    policies.reconcile_leases(now=LOST)
    pay(by_token(expired.lease), model="gpt-x", venue="openai", now=LOST)
    states = dict(Lease.objects.values_list("id", "state"))
    assert states == {
        used.lease: "open",
        closed.lease: "closed",
        expired.lease: "expired",
    }
    assert policies.check_conservation() == []
    return committed_books, {"used": used.lease, "closed": closed.lease, "lost": expired.lease}


BOTH = "returned_nanos = returned_nanos + 1"
EDITS = [
    ("used", "granted", "granted_nanos = granted_nanos + 1"),
    ("used", "returned", "returned_nanos = returned_nanos + 1"),
    ("used", "settled", "settled_nanos = settled_nanos - 1"),
    (
        "used",
        "settled",
        "settled_nanos = settled_nanos - 1, returned_nanos = returned_nanos + 1",
    ),
    ("used", "expired", "expired_nanos = 1, state = 'expired'"),
    ("used", "open", "open_nanos = open_nanos - 1"),
    ("lost", "late", "late_nanos = late_nanos + 1"),
    ("lost", "written_off", "written_off_nanos = 1"),
    ("lost", "state", "state = 'draining'"),
    (
        "closed",
        "granted",
        "granted_nanos = granted_nanos + 1, returned_nanos = returned_nanos + 1",
    ),
    ("closed", "state", "state = 'open'"),
]


@pytest.mark.parametrize(("which", "column", "change"), EDITS, ids=lambda value: value[:40])
def test_an_edited_lease_is_named_with_its_column(
    lending: Any, which: str, column: str, change: str
) -> None:
    urls, leases = lending
    assert edit(urls, f"UPDATE lease SET {change} WHERE id = '{leases[which]}'") == 1
    found = policies.check_conservation()
    assert column in {finding.column for finding in found}
    assert {finding.where for finding in found} == {f"lease {leases[which]}"}
    assert {finding.code for finding in found} == {"lease_drift"}


def test_a_deleted_lease_is_missed_by_its_entries(lending: Any) -> None:
    urls, leases = lending
    assert edit(urls, f"DELETE FROM lease WHERE id = '{leases['closed']}'") == 1
    (finding,) = policies.check_conservation()
    assert (finding.where, finding.column) == (f"lease {leases['closed']}", "row")


def test_an_invented_lease_has_no_grant(lending: Any) -> None:
    urls, leases = lending
    edit(
        urls,
        "INSERT INTO lease (id, fence, use_case, root, path_ids, path_periods, granted_nanos,"
        " policy_version, granted_at, expires_at) SELECT gen_random_uuid(), fence, use_case,"
        " root, path_ids, path_periods, 0, policy_version, granted_at, expires_at FROM lease"
        f" WHERE id = '{leases['used']}'",
    )
    assert {finding.column for finding in policies.check_conservation()} == {"grants", "state"}


INSIDE = [
    ("amount", "amount_nanos = amount_nanos + 1"),
    ("open", "open_nanos = open_nanos - 1"),
    ("settled", "settled_nanos = settled_nanos + 1"),
    ("open", "lease = NULL"),
]


@pytest.mark.parametrize(("column", "change"), INSIDE, ids=lambda value: value[:24])
def test_an_edited_call_inside_a_lease_is_named(lending: Any, column: str, change: str) -> None:
    urls, leases = lending
    where = f"lease = '{leases['used']}' AND state = 'open'"
    assert edit(urls, f"UPDATE reservation SET {change} WHERE {where}") == 1
    found = policies.check_conservation()
    named = [each for each in found if each.where.startswith("reservation ")]
    assert column in {finding.column for finding in named}


def test_more_open_calls_than_a_lease_has_are_named(lending: Any) -> None:
    urls, leases = lending
    edit(
        urls,
        f"UPDATE reservation SET amount_nanos = {9 * WORST}, open_nanos = {9 * WORST}"
        f" WHERE lease = '{leases['used']}' AND state = 'open'",
    )
    edit(urls, f"UPDATE lease SET open_nanos = {9 * WORST} WHERE id = '{leases['used']}'")
    found = policies.check_conservation()
    assert (f"lease {leases['used']}", "granted") in {(f.where, f.column) for f in found}


def test_ledger_verify_names_the_lease_and_the_column(
    lending: Any, settings: Any, tmp_path: Path
) -> None:
    urls, leases = lending
    settings.O10_HOME = tmp_path
    settings.O10_SIGNING_KEY_FILE = str(tmp_path / "keys" / "ledger.pem")
    seal_all(urls, Path(settings.O10_SIGNING_KEY_FILE))
    assert verified() == (0, [])
    edit(
        urls,
        f"UPDATE lease SET settled_nanos = settled_nanos - 1 WHERE id = '{leases['used']}'",
    )
    assert verified() == (1, [("lease_drift", f"lease {leases['used']}", "settled")])


def verified() -> tuple[int, list[tuple[str, str, str]]]:
    """The exit code, and code, place and column of each finding."""
    out = io.StringIO()
    code = 0
    try:
        call_command("ledger_verify", full=True, json=True, stdout=out, stderr=io.StringIO())
    except SystemExit as leaving:
        code = int(str(leaving.code))
    findings = json.loads(out.getvalue())["findings"]
    return code, [(each["code"], each["what"], each["column"]) for each in findings]


def seal_all(urls: Any, key_file: Path) -> None:
    company = ledger.ledger_of_company()
    key = ledger.load_signing_key(path=key_file, name=company.origin)
    with psycopg.connect(urls.sealer_url, autocommit=True) as connection:
        sealer = ledger.open_sealer(connection, ledger=company, keys=(key.verifier,), now=LOST)
        while ledger.seal_once(sealer, now=LOST).count:
            pass


def test_the_look_between_verifications_sees_it_too(lending: Any) -> None:
    urls, leases = lending
    assert policies.watch_balances(now=NOW + timedelta(minutes=2)) == 0
    edit(urls, f"UPDATE lease SET returned_nanos = 1 WHERE id = '{leases['used']}'")
    assert policies.watch_balances(now=NOW + timedelta(minutes=3)) >= 1
    newest = ledger.last_verification()
    assert newest is not None
