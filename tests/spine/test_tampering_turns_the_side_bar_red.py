"""Does a person see it when somebody with every right changes one nano-dollar?"""

import json
import time

import psycopg
import pytest

from o10 import embedded
from tests.spine.conftest import Running

SEEN_WITHIN = 15.0


def superuser(o10: Running) -> "psycopg.Connection[tuple[object, ...]]":
    """The database's superuser with all triggers off."""
    url = embedded.cluster_at(o10.home).superuser_url("o10")
    connection = psycopg.connect(url, autocommit=True)
    connection.execute("SET session_replication_role = replica")
    return connection


def sealed_spend(connection: "psycopg.Connection[tuple[object, ...]]") -> tuple[int, int]:
    """Database id and position of a sealed entry with an amount."""
    row = connection.execute(
        """
        SELECT e.id, s.seq FROM ledger_entry e JOIN ledger_seal s ON s.entry_id = e.id
        WHERE e.kind = 4 AND e.amount_nanos > 0 ORDER BY s.seq DESC LIMIT 1
        """
    ).fetchone()
    assert row is not None
    return int(str(row[0])), int(str(row[1]))


def test_one_nano_is_named_by_the_verifier_and_the_side_bar_turns_red(o10: Running) -> None:
    auditor = o10.browser("auditor@northwind.example")
    auditor.wait_for("/seal/", 'data-state="verified"', seconds=60)
    with superuser(o10) as connection:
        entry, seq = sealed_spend(connection)
        connection.execute(
            "UPDATE ledger_entry SET amount_nanos = amount_nanos + 1 WHERE id = %s", [entry]
        )
    said = o10.manage("ledger_verify", "--full", "--json", code=1)
    report = json.loads(said)
    first = report["findings"][0]
    assert first["seq"] == seq
    assert first["code"] in {"leaf_mismatch", "leaf"}
    auditor.wait_for("/seal/", 'data-state="broken"', seconds=SEEN_WITHIN)
    page = auditor.get("/")
    assert f"{seq:,}" in page
    with superuser(o10) as connection:
        connection.execute(
            "UPDATE ledger_entry SET amount_nanos = amount_nanos - 1 WHERE id = %s", [entry]
        )
    o10.manage("ledger_verify", "--full")


@pytest.mark.parametrize("table", ["envelope_balance", "rollup_day"])
def test_an_edited_cache_turns_the_side_bar_red_by_itself(o10: Running, table: str) -> None:
    auditor = o10.browser("auditor@northwind.example")
    auditor.wait_for("/seal/", 'data-state="verified"', seconds=60)
    column = {"envelope_balance": "settled_nanos", "rollup_day": "amount_nanos"}[table]
    change = f"UPDATE {table} SET {column} = {column} + %s WHERE ctid = %s::tid"
    with superuser(o10) as connection:
        row = connection.execute(
            f"SELECT ctid FROM {table} WHERE {column} > 0 LIMIT 1"
        ).fetchone()
        assert row is not None
        connection.execute(change, [1, str(row[0])])
    o10.manage("ledger_verify", "--full", code=1)
    auditor.wait_for("/seal/", 'data-state="broken"', seconds=SEEN_WITHIN)
    with superuser(o10) as connection:
        row = connection.execute(
            f"SELECT ctid FROM {table} WHERE {column} > 0 LIMIT 1"
        ).fetchone()
    time.sleep(0.1)
