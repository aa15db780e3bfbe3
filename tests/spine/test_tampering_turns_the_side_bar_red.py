"""Does a person see it when somebody with every right changes one nano-dollar?"""

import json

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
    assert first["code"] == "entry_changed"
    assert first["column"] == "amount_nanos"
    auditor.wait_for("/seal/", 'data-state="broken"', seconds=SEEN_WITHIN)
    page = auditor.get("/")
    assert f"{seq:,}" in page
    with superuser(o10) as connection:
        connection.execute(
            "UPDATE ledger_entry SET amount_nanos = amount_nanos - 1 WHERE id = %s", [entry]
        )
    o10.manage("ledger_verify", "--full")


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("envelope_balance", "settled_nanos"),
        ("reservation", "settled_nanos"),
        ("rollup_day", "amount_nanos"),
    ],
)
def test_an_edited_cache_turns_the_side_bar_red_by_itself(
    o10: Running, table: str, column: str
) -> None:
    auditor = o10.browser("auditor@northwind.example")
    auditor.wait_for("/seal/", 'data-state="verified"', seconds=60)
    where = f"ctid = (SELECT min(ctid) FROM {table} WHERE {column} > 0)"
    with superuser(o10) as connection:
        connection.execute(f"UPDATE {table} SET {column} = {column} + 1 WHERE {where}")
        row = connection.execute(f"SELECT max(xmin::text::bigint) FROM {table}").fetchone()
        assert row is not None
    auditor.wait_for("/seal/", 'data-state="broken"', seconds=SEEN_WITHIN)
    said = json.loads(o10.manage("ledger_verify", "--full", "--json", code=1))
    assert column.removesuffix("_nanos") in said["findings"][0]["column"]
    with superuser(o10) as connection:
        connection.execute(
            f"UPDATE {table} SET {column} = {column} - 1 WHERE xmin::text::bigint = %s", row
        )
    o10.manage("ledger_verify", "--full")
