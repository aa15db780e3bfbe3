"""Can anybody change what was written? Every table, every way, every role but the superuser."""

from typing import Any

import psycopg
import pytest
from django.db import connection, transaction
from django.db.utils import ProgrammingError

from ledger import facade
from ledger.models import APPEND_ONLY, MUTABLE, PERIOD_FROZEN
from ledger.models import Entry as EntryModel
from ledger.operations.append import OutsideTransaction

from .rows import NOW, connect, make_entry, write_entries

OF_OTHERS = "ledger_price_"
OURS = sorted(name for name in APPEND_ONLY if not name.startswith(OF_OTHERS))
SEALERS_ALONE = ("ledger_seal", "ledger_tile", "ledger_checkpoint", "ledger_seal_state")


@pytest.fixture
def filled(ledger: Any, seal_all: Any) -> Any:
    facade.intern(facade.Domain.DIMS, {"a": "1"}, ledger_id=1, actor=0, now=NOW)
    write_entries(300)
    seal_all()
    with connect(ledger.urls.superuser_url) as superuser:
        superuser.execute(
            "INSERT INTO ledger_reversed (ledger_id, uid, by_uid)"
            " VALUES (1, gen_random_uuid(), gen_random_uuid())"
        )
        superuser.execute(
            "INSERT INTO ledger_anchor (ledger_id, size, kind, evidence, at)"
            " SELECT 1, max(size), 'file', 'x', now() FROM ledger_checkpoint"
        )
        superuser.execute(
            "INSERT INTO ledger_verification (ledger_id, mode, from_seq, upto_seq, ok,"
            " started_at, finished_at) VALUES (1, 'tail', 0, 1, true, now(), now())"
        )
    return ledger


def _tables(urls: Any, name: str) -> list[str]:
    with connect(urls.superuser_url) as superuser:
        rows = superuser.execute(
            "SELECT relid::regclass::text FROM pg_partition_tree(%s::text::regclass)", [name]
        ).fetchall()
    # A table without partitions has no tree.
    return [row[0] for row in rows] or [name]


def _change(name: str, urls: Any) -> list[str]:
    with connect(urls.superuser_url) as superuser:
        row = superuser.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = %s::text::regclass"
            " AND attnum > 0 AND attidentity <> 'a' ORDER BY attnum LIMIT 1",
            [name],
        ).fetchone()
    assert row is not None
    return [
        f"UPDATE {name} SET {row[0]} = {row[0]}",
        f"DELETE FROM {name}",
        f"TRUNCATE {name}",
    ]


@pytest.mark.parametrize("role", ["app_url", "sealer_url"])
def test_no_role_may_change_an_append_only_table_or_its_partitions(
    filled: Any, role: str
) -> None:
    with connect(getattr(filled.urls, role)) as attacker:
        for name in OURS:
            for table in _tables(filled.urls, name):
                for statement in _change(table, filled.urls):
                    with pytest.raises(psycopg.errors.InsufficientPrivilege):
                        attacker.execute(statement)


def test_the_owner_is_stopped_by_the_triggers(filled: Any) -> None:
    with connect(filled.urls.owner_url) as owner:
        attacked = 0
        for name in OURS:
            for table in _tables(filled.urls, name):
                update, delete, truncate = _change(table, filled.urls)
                rows = owner.execute(f"SELECT count(*) FROM {table}").fetchone()
                assert rows is not None
                for statement in (update, delete) if rows[0] else ():
                    with pytest.raises(psycopg.errors.RestrictViolation, match="append-only"):
                        owner.execute(statement)
                    attacked += 1
                if not rows[0]:
                    # Row triggers need a row; the table of a feature not used here has none.
                    guard = owner.execute(
                        "SELECT count(*) FROM pg_trigger WHERE tgrelid = %s::text::regclass"
                        " AND tgname = 'refuse_change'",
                        [table],
                    ).fetchone()
                    assert guard == (1,), table
                    attacked += 2
                with pytest.raises(psycopg.errors.Error, match="append-only|foreign key"):
                    owner.execute(truncate)
    assert attacked >= 2 * len(OURS)


def test_the_application_may_not_write_what_only_the_sealer_writes(filled: Any) -> None:
    with connect(filled.urls.app_url) as app:
        for name in (*SEALERS_ALONE, "rollup_hour", "rollup_day"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                app.execute(f"INSERT INTO {name} SELECT * FROM {name} LIMIT 0")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                app.execute(f"UPDATE {name} SET ledger_id = 2")


def test_no_writer_may_choose_its_transaction_number(filled: Any) -> None:
    for role in ("app_url", "sealer_url"):
        with connect(getattr(filled.urls, role)) as writer:
            for table in ("ledger_entry", "ledger_idem"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    writer.execute(f"INSERT INTO {table} (xid) VALUES ('3')")


def test_nobody_reaches_a_partition_around_its_parent(filled: Any) -> None:
    with connect(filled.urls.app_url) as app:
        for name in ("ledger_entry", "ledger_idem", "ledger_seal"):
            partition = _tables(filled.urls, name)[-1]
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                app.execute(f"SELECT count(*) FROM {partition}")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                app.execute(f"INSERT INTO {partition} DEFAULT VALUES")


def test_a_partition_made_later_is_as_guarded_as_the_first(filled: Any) -> None:
    with connect(filled.urls.app_url) as app:
        made = app.execute(
            "SELECT ledger_create_month(now() + interval '11 months')"
        ).fetchone()
        again = app.execute(
            "SELECT ledger_create_month(now() + interval '11 months')"
        ).fetchone()
    assert made == (True,)
    assert again == (False,)
    newest = max(_tables(filled.urls, "ledger_entry"))
    with connect(filled.urls.owner_url) as owner:
        with pytest.raises(psycopg.errors.RestrictViolation):
            owner.execute(f"TRUNCATE {newest}")
        triggers = owner.execute(
            "SELECT count(*) FROM pg_trigger WHERE tgrelid = %s::text::regclass", [newest]
        ).fetchone()
        owner.execute(f"DROP TABLE {newest}, {newest.replace('entry', 'idem')}")
    assert triggers == (2,)


@pytest.mark.parametrize("when", ["'2019-12-31Z'::timestamptz", "now() + interval '3 years'"])
def test_no_partition_is_made_for_a_month_no_honest_writer_needs(
    filled: Any, when: str
) -> None:
    with (
        connect(filled.urls.app_url) as app,
        pytest.raises(psycopg.errors.CheckViolation),
    ):
        app.execute(f"SELECT ledger_create_month({when})")


def test_no_role_may_call_the_partition_builder_itself(filled: Any) -> None:
    for role in ("app_url", "sealer_url"):
        with (
            connect(getattr(filled.urls, role)) as caller,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            caller.execute("SELECT ledger_create_partition('ledger_entry', 'x', '1', '2')")


def test_the_orm_cannot_change_an_entry(filled: Any) -> None:
    entry = EntryModel.objects.first()
    assert entry is not None
    for change in (
        lambda: EntryModel.objects.filter(id=entry.id).update(n=2),
        lambda: EntryModel.objects.filter(id=entry.id).delete(),
        lambda: EntryModel.objects.bulk_update([entry], ["n"]),
        entry.save,
        entry.delete,
    ):
        with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
            change()


def test_a_closed_period_neither_opens_nor_moves_nor_goes(filled: Any) -> None:
    with connect(filled.urls.app_url) as app:
        app.execute(
            "INSERT INTO ledger_period (ledger_id, period, starts_at, ends_at)"
            " VALUES (1, '2026-10', '2026-10-01Z', '2026-11-01Z')"
        )
        app.execute("UPDATE ledger_period SET status = 'closing'")
        with pytest.raises(psycopg.errors.RestrictViolation):
            app.execute("UPDATE ledger_period SET status = 'open'")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            app.execute("UPDATE ledger_period SET status = 'closed', closed_at = now()")
        app.execute(
            "SELECT ledger_lock_period(1, '2026-10', now(), 1, 9, sha256('r'), sha256('b'))"
        )
        with pytest.raises(psycopg.errors.RestrictViolation):
            app.execute("UPDATE ledger_period SET status = 'closing'")
    with connect(filled.urls.owner_url) as owner:
        for statement in ("DELETE FROM ledger_period", "TRUNCATE ledger_period"):
            with pytest.raises(psycopg.errors.RestrictViolation):
                owner.execute(statement)


def test_a_write_outside_a_transaction_is_refused(ledger: Any) -> None:
    with pytest.raises(OutsideTransaction):
        facade.append([make_entry()])


def test_every_ledger_table_is_declared(ledger: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace"
            " WHERE nspname = 'public' AND relkind IN ('r', 'p') AND NOT relispartition"
            " AND (relname LIKE 'ledger%' OR relname LIKE 'rollup%')"
        )
        found = {row[0] for row in cursor.fetchall()}
    assert found == APPEND_ONLY | PERIOD_FROZEN | MUTABLE
