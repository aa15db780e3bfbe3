"""Which database roles are there, and what may each of them do?

`owner` makes and changes tables and is used by migrations only. `<database>_app` runs the
application: it reads and adds to append-only tables and cannot change or delete there.
`<database>_sealer` numbers entries. Passwords are derived from the secret key, so that every
process with the key can log in and none is stored.
"""

import hashlib
import hmac
from collections.abc import Iterable

import psycopg
from psycopg import sql

APP_SUFFIX = "_app"
SEALER_SUFFIX = "_sealer"

ROLE_SETTINGS = {
    "idle_in_transaction_session_timeout": "10s",
    "statement_timeout": "60s",
    "lock_timeout": "10s",
}
"""A writing transaction that idles would hold back the sealer's horizon."""


def role_password(*, secret_key: str, role: str) -> str:
    """Which password has this role? HMAC of the role's name under the secret key."""
    message = f"o10 database role\n{role}".encode()
    return hmac.new(secret_key.encode(), message, hashlib.sha256).hexdigest()


def create_embedded(*, superuser_url: str, database: str, owner: str, secret_key: str) -> None:
    """Are owner and database there? Makes them in the embedded cluster, idempotent."""
    with psycopg.connect(superuser_url, autocommit=True) as connection:
        _login_role(connection, owner, role_password(secret_key=secret_key, role=owner))
        connection.execute(sql.SQL("ALTER ROLE {} CREATEROLE").format(sql.Identifier(owner)))
        found = connection.execute(
            "SELECT 1 FROM pg_database WHERE datname = %s", [database]
        ).fetchone()
        if found is None:
            connection.execute(
                sql.SQL("CREATE DATABASE {} OWNER {}").format(
                    sql.Identifier(database), sql.Identifier(owner)
                )
            )


def provision_roles(connection: "psycopg.Connection[object]", *, secret_key: str) -> None:
    """Do the application's roles exist with their passwords and limits? Idempotent.

    Raises: psycopg.errors.InsufficientPrivilege when the owner may not create roles.
    """
    database = connection.info.dbname
    for role in (database + APP_SUFFIX, database + SEALER_SUFFIX):
        _login_role(connection, role, role_password(secret_key=secret_key, role=role))
        for name, value in ROLE_SETTINGS.items():
            connection.execute(
                sql.SQL("ALTER ROLE {} SET {} = {}").format(
                    sql.Identifier(role), sql.Identifier(name), sql.Literal(value)
                )
            )
        connection.execute(
            sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(
                sql.Identifier(database), sql.Identifier(role)
            )
        )
        connection.execute(
            sql.SQL("GRANT USAGE ON SCHEMA public TO {}").format(sql.Identifier(role))
        )
    connection.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")


def grant_tables(
    connection: "psycopg.Connection[object]",
    *,
    append_only: Iterable[str],
    self_granted: Iterable[str],
) -> None:
    """What may the application do with each table? Runs after every migrate, idempotent.

    `append_only`: tables the application may read and add to.
    `self_granted`: tables (and their partitions) whose own migration decides, column by column.
    """
    database = connection.info.dbname
    app = sql.Identifier(database + APP_SUFFIX)
    protected, decided = set(append_only), set(self_granted)
    connection.execute(
        sql.SQL("GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {}").format(app)
    )
    for table, root in _tables(connection):
        if root in decided:
            continue
        name = sql.Identifier(table)
        connection.execute(sql.SQL("REVOKE ALL ON {} FROM {}").format(name, app))
        rights = "SELECT, INSERT" if root in protected else "SELECT, INSERT, UPDATE, DELETE"
        if root == "django_migrations":
            rights = "SELECT"
        connection.execute(sql.SQL("GRANT {} ON {} TO {}").format(sql.SQL(rights), name, app))


def _tables(connection: "psycopg.Connection[object]") -> list[tuple[str, str]]:
    rows = connection.execute(
        """
        SELECT c.relname, coalesce(pg_partition_root(c.oid)::regclass::text, c.relname)
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p')
          AND pg_get_userbyid(c.relowner) = current_user
        ORDER BY 1
        """
    ).fetchall()
    return [(str(table), str(root).strip('"')) for table, root in rows]  # type: ignore[misc]


def _login_role(connection: "psycopg.Connection[object]", role: str, password: str) -> None:
    found = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone()
    verb = "ALTER" if found else "CREATE"
    connection.execute(
        sql.SQL("{} ROLE {} LOGIN PASSWORD {}").format(
            sql.SQL(verb), sql.Identifier(role), sql.Literal(password)
        )
    )
