"""Do the embedded and an external PostgreSQL both carry the product, under separate roles?"""

import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from o10 import database, embedded
from tests.architecture.source import ROOT
from tests.spine.conftest import free_port

SECRET = "a secret of an external database test, long enough"  # noqa: S105


@dataclass
class External:
    """A PostgreSQL that o10 did not start: URL of an ordinary owner who may create roles."""

    owner_url: str
    superuser_url: str
    home: Path

    def environment(self) -> dict[str, str]:
        clean = {key: value for key, value in os.environ.items() if not key.startswith("O10_")}
        return clean | {
            "O10_HOME": str(self.home),
            "O10_DATABASE_URL": self.owner_url,
            "O10_SECRET_KEY": SECRET,
        }

    def manage(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "manage.py", *command],
            cwd=ROOT,
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
        )

    def run(self, *command: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [sys.executable, "manage.py", *command],
            cwd=ROOT,
            env=self.environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


def make_external(superuser_url: str, home: Path) -> External:
    name = f"o10_external_{os.getpid()}"
    owner = f"{name}_owner"
    database.create_embedded(
        superuser_url=superuser_url, database=name, owner=owner, secret_key=SECRET
    )
    parts = psycopg.conninfo.conninfo_to_dict(superuser_url)
    host, port = parts.get("host", "127.0.0.1"), parts.get("port", "5432")
    password = database.role_password(secret_key=SECRET, role=owner)
    return External(
        owner_url=f"postgresql://{owner}:{password}@{host}:{port}/{name}",
        superuser_url=psycopg.conninfo.make_conninfo(superuser_url, dbname=name),
        home=home,
    )


def drop_external(external: External) -> None:
    name = str(psycopg.conninfo.conninfo_to_dict(external.superuser_url)["dbname"])
    server = psycopg.conninfo.make_conninfo(external.superuser_url, dbname="postgres")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
        for suffix in ("_app", "_sealer"):
            connection.execute(f'DROP ROLE IF EXISTS "{name}{suffix}"')
        connection.execute(f'DROP ROLE IF EXISTS "{name}_owner"')


def listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(params=["version 16 over TCP", "server of this machine"])
def external(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[External]:
    home = Path(tempfile.mkdtemp(prefix="o10-external-"))
    home.chmod(0o755)
    cluster = None
    if request.param == "server of this machine":
        url = "postgresql://postgres@127.0.0.1:5432/postgres"
        if not listens(5432):
            pytest.skip("needs PostgreSQL on 127.0.0.1:5432: apt-get install postgresql")
        try:
            psycopg.connect(url, connect_timeout=3).close()
        except psycopg.OperationalError:
            pytest.skip("needs PostgreSQL on 127.0.0.1:5432 with trust for postgres")
    else:
        port = free_port()
        monkeypatch.setattr(embedded, "POSTGRESQL", 16)
        settings = {
            **embedded.SERVER_SETTINGS,
            "listen_addresses": "127.0.0.1",
            "port": str(port),
        }
        monkeypatch.setattr(embedded, "SERVER_SETTINGS", settings)
        cluster = embedded.cluster_at(home / "server")
        embedded.start(cluster)
        password = cluster.password_file.read_text().strip()
        url = f"postgresql://postgres:{password}@127.0.0.1:{port}/postgres"
    made = make_external(url, home / "home")
    try:
        yield made
    finally:
        drop_external(made)
        if cluster is not None:
            embedded.stop(cluster)
        shutil.rmtree(home, ignore_errors=True)


def seal_until_signed(external: External) -> None:
    """Runs the sealer until it has signed a checkpoint, then ends it politely."""
    with (
        external.run("ledger_seal") as sealer,
        psycopg.connect(external.superuser_url, autocommit=True) as connection,
    ):
        deadline = time.monotonic() + 30
        signed = None
        while time.monotonic() < deadline and signed is None:
            time.sleep(0.2)
            signed = connection.execute("SELECT max(size) FROM ledger_checkpoint").fetchone()[0]
        sealer.terminate()
        assert sealer.wait(20) == 0
    assert signed


def test_an_external_server_carries_the_company(external: External) -> None:
    for command in (("migrate", "--verbosity", "0"), ("found_company",), ("migrate",)):
        done = external.manage(*command)
        assert done.returncode == 0, done.stdout + done.stderr
    made = external.manage("create_key", "--name", "router", "--role", "router")
    assert "o10_" in made.stdout
    seal_until_signed(external)
    verified = external.manage("ledger_verify", "--full")
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_the_application_on_an_external_server_may_not_change_entries(
    external: External,
) -> None:
    assert external.manage("migrate", "--verbosity", "0").returncode == 0
    name = str(psycopg.conninfo.conninfo_to_dict(external.owner_url)["dbname"])
    role = name + database.APP_SUFFIX
    password = database.role_password(secret_key=SECRET, role=role)
    url = psycopg.conninfo.make_conninfo(external.owner_url, user=role, password=password)
    with psycopg.connect(url, autocommit=True) as connection:
        for verb in (
            "UPDATE ledger_entry SET n = 0",
            "DELETE FROM ledger_entry",
            "TRUNCATE ledger_entry",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(verb)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(f'SET ROLE "{name}_owner"')


def test_an_owner_who_may_not_create_roles_is_told_in_one_sentence(external: External) -> None:
    name = psycopg.conninfo.conninfo_to_dict(external.owner_url)["user"]
    with psycopg.connect(external.superuser_url, autocommit=True) as connection:
        connection.execute(f'ALTER ROLE "{name}" NOCREATEROLE')
    done = external.manage("migrate")
    assert done.returncode == 2
    assert "CREATEROLE" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_server_that_is_away_is_told_in_one_sentence(tmp_path: Path) -> None:
    away = External(f"postgresql://u:p@127.0.0.1:{free_port()}/x", "", tmp_path)
    done = away.manage("migrate")
    assert done.returncode == 2
    assert done.stderr.startswith("o10: ")
    assert "Traceback" not in done.stderr


def test_the_embedded_server_listens_on_no_port_and_wants_a_password() -> None:
    home = Path(tempfile.mkdtemp(prefix="o10-embedded-"))
    home.chmod(0o755)
    cluster = embedded.cluster_at(home)
    try:
        embedded.start(cluster)
        embedded.start(cluster)
        assert stat.S_IMODE(cluster.sockets.stat().st_mode) == 0o700
        assert stat.S_IMODE(cluster.password_file.stat().st_mode) == 0o600
        with psycopg.connect(cluster.superuser_url()) as connection:
            row = connection.execute("SHOW listen_addresses").fetchone()
        assert row == ("",)
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(f"host={cluster.sockets} user=postgres dbname=postgres")
    finally:
        embedded.stop(cluster)
        shutil.rmtree(home, ignore_errors=True)
    assert not embedded.running(cluster)


def test_a_private_home_is_left_private() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root: other users run PostgreSQL as themselves")
    home = Path(tempfile.mkdtemp(prefix="o10-private-"))
    home.chmod(0o700)
    try:
        cluster = embedded.cluster_at(home / "data")
        assert cluster.data.is_relative_to(embedded.ROOT_DATA)
        assert stat.S_IMODE(home.stat().st_mode) == 0o700
    finally:
        shutil.rmtree(home)
