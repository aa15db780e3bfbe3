"""Which ground do tests stand on? A PostgreSQL of their own, closed sockets, a fixed clock."""

import os
import shutil
import socket
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import hypothesis
import psycopg
import pytest
from psycopg import sql

from o10.kernel import clock as kernel_clock
from tests.forget import forget_everything
from tests.home import GIVEN_URL, HOME

TEST_DATABASE = "o10"
NOW = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
EXPECTED_SKIPS = ("../shared/data", "needs root")
"""Reasons a test may be skipped for even in the pipeline."""
SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@dataclass(frozen=True, slots=True)
class Urls:
    """How do tests reach the database under each role? libpq URLs."""

    superuser_url: str
    owner_url: str
    app_url: str
    sealer_url: str


# How long an example takes says nothing on a busy machine; speed is shown by the benches.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--pictures` keeps the screens of the manual under docs/manual."""
    parser.addoption("--pictures", action="store_true", help="write docs/manual/*.png")


def pytest_configure() -> None:
    """No request measures the clock by itself: query counts stay what they are, and modules
    that ask the application while they are collected need no database."""
    kernel_clock._due = float("inf")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In the pipeline a skip that nobody expects is a failure."""
    report = yield
    if os.environ.get("CI") == "true" and report.skipped and isinstance(report.longrepr, tuple):
        reason = report.longrepr[2]
        if not any(words in reason for words in EXPECTED_SKIPS):
            report.outcome = "failed"
            report.longrepr = f"unexpected in the pipeline: {reason}"
    return report


def pytest_sessionfinish() -> None:
    from o10 import embedded

    cluster = embedded.cluster_at(HOME)
    if cluster.data.exists():
        embedded.stop(cluster)
        shutil.rmtree(cluster.data.parent, ignore_errors=True)
        shutil.rmtree(cluster.sockets, ignore_errors=True)
    shutil.rmtree(HOME, ignore_errors=True)


def _superuser_url() -> str:
    """The embedded server of the run, or the external one named by O10_TEST_DATABASE_URL."""
    from o10 import embedded

    if GIVEN_URL:
        return GIVEN_URL
    cluster = embedded.cluster_at(HOME)
    embedded.start(cluster)
    return cluster.superuser_url()


@pytest.fixture(scope="session")
def database_urls() -> Urls:
    """A fresh server with roles and an empty database; nothing migrated yet."""
    from django.conf import settings

    from o10 import database

    superuser = _superuser_url()
    info = psycopg.conninfo.conninfo_to_dict(superuser)
    name = f"{TEST_DATABASE}_{os.getpid()}" if GIVEN_URL else TEST_DATABASE
    owner = f"{name}_owner"
    database.create_embedded(
        superuser_url=superuser, database=name, owner=owner, secret_key=settings.SECRET_KEY
    )

    def url(role: str) -> str:
        password = database.role_password(secret_key=settings.SECRET_KEY, role=role)
        return psycopg.conninfo.make_conninfo(
            **{**info, "dbname": name, "user": role, "password": password}
        )

    return Urls(
        superuser_url=psycopg.conninfo.make_conninfo(**{**info, "dbname": name}),
        owner_url=url(owner),
        app_url=url(name + database.APP_SUFFIX),
        sealer_url=url(name + database.SEALER_SUFFIX),
    )


@pytest.fixture(scope="session")
def django_db_setup(
    database_urls: Urls, django_db_blocker: pytest.Item, request: pytest.FixtureRequest
) -> Iterator[None]:
    """The migrated database; `default` logs in as the application's role."""
    from django.core.management import call_command
    from django.db import connections

    for alias, url in (
        ("owner", database_urls.owner_url),
        ("default", database_urls.app_url),
        ("sealer", database_urls.sealer_url),
    ):
        parts = psycopg.conninfo.conninfo_to_dict(url)
        connections[alias].close()
        connections[alias].settings_dict.update(
            NAME=parts["dbname"],
            USER=parts["user"],
            PASSWORD=parts["password"],
            HOST=parts.get("host", ""),
            PORT=parts.get("port", ""),
        )
    with django_db_blocker.unblock():
        call_command("migrate", verbosity=0)
        connections["owner"].close()
    yield
    for alias in ("default", "owner", "sealer"):
        connections[alias].close()
    if GIVEN_URL:
        _drop_external(database_urls)


def _drop_external(urls: Urls) -> None:
    name = psycopg.conninfo.conninfo_to_dict(urls.superuser_url)["dbname"]
    with psycopg.connect(GIVEN_URL, autocommit=True) as connection:
        connection.execute(
            sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(str(name)))
        )
        for suffix in ("_app", "_sealer", "_owner"):
            connection.execute(
                sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(f"{name}{suffix}"))
            )


@pytest.fixture
def committed_db(
    database_urls: Urls,
    django_db_setup: None,
    django_db_blocker: pytest.Item,
) -> Iterator[Urls]:
    """Rows are really committed: for sealers, several processes, kills. Emptied afterwards."""
    from django.db import connections

    with django_db_blocker.unblock():
        try:
            yield database_urls
        finally:
            for alias in ("default", "owner", "sealer"):
                connections[alias].close()
            _empty(database_urls)
            forget_everything()


def _empty(urls: Urls) -> None:
    """Takes every row out, as superuser with triggers off."""
    with psycopg.connect(urls.superuser_url, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND state LIKE 'idle in transaction%'"
        )
        tables = connection.execute(
            """
            SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND NOT c.relispartition
              AND c.relname <> ALL (%s)
            """,
            [["django_migrations", "django_content_type", "auth_permission"]],
        ).fetchall()
        names = sql.SQL(", ").join(sql.Identifier(str(row[0])) for row in tables)
        connection.execute(sql.SQL("TRUNCATE {} RESTART IDENTITY CASCADE").format(names))
        # The bound of months a test has closed.
        connection.execute(
            "ALTER TABLE ledger_entry DROP CONSTRAINT IF EXISTS entry_not_in_closed_period"
        )


@pytest.fixture
def now() -> datetime:
    """An awkward Friday morning; tests move from here."""
    return NOW


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> "Clock":
    """The doors' clock, standing still until the test moves it."""
    fixed = Clock(NOW)
    monkeypatch.setattr(kernel_clock, "now", lambda: fixed.at)
    return fixed


@dataclass
class Clock:
    """A clock that moves only when told to."""

    at: datetime

    def move_to(self, at: datetime) -> None:
        """Sets the time every door reads next."""
        self.at = at


@pytest.fixture
def shared_data() -> Path:
    """Real traces and prices; skips where they are absent."""
    if not SHARED_DATA.exists():
        pytest.skip("needs the folder ../shared/data with public traces and prices")
    return SHARED_DATA


_real_connect = socket.socket.connect


def _guarded_connect(self: socket.socket, address: object) -> None:
    """Only this machine may be reached from a test."""
    if isinstance(address, tuple) and str(address[0]) not in {"127.0.0.1", "::1", "localhost"}:
        raise AssertionError(f"A test tried to reach {address[0]}.")
    _real_connect(self, address)


@pytest.fixture(autouse=True, scope="session")
def closed_sockets() -> Iterator[None]:
    """No test reaches another machine."""
    socket.socket.connect = _guarded_connect  # type: ignore[method-assign,assignment]
    yield
    socket.socket.connect = _real_connect  # type: ignore[method-assign]
