"""How does everything start with one command, and stop with Ctrl-C?

Database, migrations, static files, company; then web, decision plane, sealer, worker and beat
under one supervisor that restarts what dies and stops what it started, the database last.
"""

import argparse
import contextlib
import ctypes
import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from o10 import database, embedded

STOP_SECONDS = 10
QUIET = ("-W", "ignore:You're running the worker with superuser")
"""Celery's warning is about pickled messages; ours are JSON."""
READY_SECONDS = 60
WEB_THREADS = 8
PLANE_WORKERS = 2
PLANE_THREADS = 2
"""A decision takes 40 microseconds of a core; more threads wait for each other (ADR 10)."""
CALM_SECONDS = 20
"""A process that lived this long is restarted at once; faster deaths wait longer each time."""


@dataclass(slots=True)
class Child:
    """Which process is supervised, and how often did it die young?"""

    name: str
    command: list[str]
    process: "subprocess.Popen[str] | None" = None
    started_at: float = 0.0
    restart_at: float = 0.0
    early_deaths: int = 0


@dataclass(slots=True)
class Supervisor:
    """What runs now? Starts, restarts and stops the children in order."""

    children: list[Child]
    stopping: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self, child: Child) -> None:
        """Runs the child in a session of its own; it dies with the supervisor."""
        child.process = subprocess.Popen(  # noqa: S603 - our own command lines
            child.command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - one prctl call, no locks
            env={**os.environ, "DJANGO_SETTINGS_MODULE": "o10.settings"},
        )
        child.started_at = time.monotonic()
        threading.Thread(target=self._echo, args=[child], daemon=True).start()

    def _echo(self, child: Child) -> None:
        process = child.process
        if process is None or process.stdout is None:
            return
        for line in process.stdout:
            with self.lock:
                sys.stdout.write(f"{child.name:>7} | {line}")
                sys.stdout.flush()

    def tend(self) -> None:
        """Restarts what has died; a child that keeps dying waits up to 30 s."""
        for child in self.children:
            now = time.monotonic()
            if child.process is not None and child.process.poll() is not None:
                calm = now - child.started_at > CALM_SECONDS
                child.early_deaths = 0 if calm else child.early_deaths + 1
                wait = min(30.0, 0.5 * 2**child.early_deaths) if child.early_deaths else 0.0
                code = child.process.returncode
                with self.lock:
                    sys.stdout.write(
                        f"{child.name:>7} | ended with {code}; starts again in {wait:.0f} s\n"
                    )
                child.process, child.restart_at = None, now + wait
            if child.process is None and now >= child.restart_at:
                self.start(child)

    def stop(self) -> None:
        """Asks every child to finish, then insists. Each commits or loses nothing by design."""
        alive = [child for child in self.children if child.process]
        for child in alive:
            _signal_group(child, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        for child in alive:
            with contextlib.suppress(subprocess.TimeoutExpired):
                if child.process:
                    child.process.wait(max(0.1, deadline - time.monotonic()))
        for child in alive:
            _signal_group(child, signal.SIGKILL)


def _signal_group(child: Child, number: signal.Signals) -> None:
    if child.process is not None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.process.pid, number)


def _die_with_parent() -> None:
    # PR_SET_PDEATHSIG: a supervisor killed with -9 leaves no orphans behind (Linux).
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)


class Command(BaseCommand):
    """Starts o10 and stays until Ctrl-C."""

    help = "Start everything: database, web, decision plane, sealer, worker, beat."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--port", type=int, default=8010, help="web port")
        parser.add_argument("--policy-port", type=int, default=8011, help="decision plane port")
        parser.add_argument(
            "--plane-workers", type=int, default=PLANE_WORKERS, help="decision workers"
        )
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
        parser.add_argument(
            "--demo", choices=["0", "1"], default="1", help="0 = start with an empty company"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Prepares, then supervises until a signal."""
        _refuse_taken_ports(options)
        with _database_running(self.stdout.write):
            self._prepare(options)
            self._supervise(options)

    def _prepare(self, options: dict[str, Any]) -> None:
        self.stdout.write("migrating")
        call_command("migrate", verbosity=0)
        _collect_static()
        call_command("found_company", demo=options["demo"] == "1", stdout=self.stdout)

    def _supervise(self, options: dict[str, Any]) -> None:
        supervisor = Supervisor(_children(options))

        def finish(number: int, frame: FrameType | None) -> None:
            supervisor.stopping = True

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, finish)
        try:
            announced = False
            started = time.monotonic()
            while not supervisor.stopping:
                supervisor.tend()
                if not announced and _ready(options):
                    announced = True
                    call_command(
                        "found_company",
                        announce=True,
                        port=options["port"],
                        policy_port=options["policy_port"],
                        stdout=self.stdout,
                    )
                elif not announced and time.monotonic() - started > READY_SECONDS:
                    announced = True
                    self.stdout.write(
                        f"not ready after {READY_SECONDS} s: "
                        f"see http://127.0.0.1:{options['port']}/readyz"
                    )
                time.sleep(0.2)
        finally:
            self.stdout.write("stopping")
            supervisor.stop()


def _children(options: dict[str, Any]) -> list[Child]:
    manage = [sys.executable, "-m", "o10.cli"]
    celery = [sys.executable, *QUIET, "-m", "celery", "--app", "o10.celery:app", "--quiet"]
    host, workers = options["host"], options["plane_workers"]
    return [
        Child("web", _serve("o10.wsgi:application", host, options["port"], 1, WEB_THREADS)),
        Child(
            "plane",
            _serve(
                "o10.plane:application", host, options["policy_port"], workers, PLANE_THREADS
            ),
        ),
        Child("books", [*manage, "keep_books"]),
        Child("sealer", [*manage, "ledger_seal"]),
        Child(
            "worker",
            [*celery, "worker", "--pool", "solo", "--loglevel", "warning", "--without-mingle"],
        ),
        Child("beat", [*celery, "beat", "--loglevel", "warning", "--pidfile="]),
    ]


def _serve(app: str, host: str, port: int, workers: int, threads: int) -> list[str]:
    return [
        *(sys.executable, "-m", "granian", "--interface", "wsgi", "--no-ws"),
        *("--host", host, "--port", str(port), "--workers", str(workers)),
        *("--blocking-threads", str(threads), "--log-level", "error"),
        *("--respawn-failed-workers", "--workers-kill-timeout", "5", app),
    ]


def _ready(options: dict[str, Any]) -> bool:
    try:
        for port in (options["port"], options["policy_port"]):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=1) as answer:
                if answer.status != 200:
                    return False
    except (urllib.error.URLError, OSError):
        return False
    return True


def _refuse_taken_ports(options: dict[str, Any]) -> None:
    import socket

    for name, port in (("PORT", options["port"]), ("POLICY_PORT", options["policy_port"])):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((options["host"], port))
            except OSError as error:
                raise CommandError(
                    f"port {port} is taken; choose another with {name}=..."
                ) from error


@contextlib.contextmanager
def _database_running(say: Any) -> Iterator[None]:
    """The embedded server is up inside, and stopped afterwards if this call started it."""
    if not settings.O10_EMBEDDED:
        yield
        return
    cluster = embedded.cluster_at(settings.O10_HOME)
    was_running = embedded.running(cluster) if cluster.data.exists() else False
    if cluster.user:
        say(f"running as root: PostgreSQL runs as {cluster.user} in {cluster.data}")
    try:
        embedded.start(cluster)
    except embedded.EmbeddedUnavailable as error:
        raise CommandError(str(error)) from error
    try:
        database.create_embedded(
            superuser_url=cluster.superuser_url(),
            database=settings.EMBEDDED_DATABASE,
            owner=settings.EMBEDDED_OWNER,
            secret_key=settings.SECRET_KEY,
        )
        yield
    finally:
        if not was_running:
            embedded.stop(cluster)


def _collect_static() -> None:
    """Are hashed, compressed static files there? Collected again when a source has changed."""
    stamp = settings.STATIC_ROOT.parent / "static.stamp"
    current = hashlib.sha256()
    for path in sorted(Path(settings.STATIC_DIR).rglob("*")):
        facts = path.stat()
        current.update(f"{path}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode())
    if stamp.exists() and stamp.read_text() == current.hexdigest():
        return
    collect = ["collectstatic", "--noinput", "--verbosity", "0", "--clear"]
    subprocess.run(  # noqa: S603 - our own command line
        [sys.executable, "-m", "o10.cli", *collect], check=True, cwd=settings.BASE_DIR
    )
    stamp.write_text(current.hexdigest())
