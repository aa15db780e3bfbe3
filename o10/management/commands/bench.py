"""How fast is it, against what? Runs benchmarks in a database of their own."""

import argparse
import importlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import connection

from o10 import database, embedded
from o10.management import benches
from o10.management.benches.result import Bench


def names() -> list[str]:
    """Which benchmarks are there? One module each, with a function `run`."""
    found = Path(benches.__path__[0]).glob("*.py")
    return sorted(path.stem for path in found if "\ndef run(" in path.read_text())


class Command(BaseCommand):
    """Prints both sides of each ratio from the same run."""

    help = "Run a benchmark, or all, on a PostgreSQL of its own."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("name", choices=[*names(), "all"])
        parser.add_argument("--json", action="store_true")
        parser.add_argument("--rounds", type=int, default=3)
        parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)

    def handle(self, *args: Any, **options: Any) -> None:
        """Runs each in a fresh home, so that no real ledger gets a row of it."""
        if options["here"]:
            self._print(_run(options["name"], options["rounds"]), options)
            return
        for name in names() if options["name"] == "all" else [options["name"]]:
            _in_a_home_of_its_own(name, options)

    def _print(self, bench: Bench, options: dict[str, Any]) -> None:
        connection.ensure_connection()
        facts = {
            **asdict(bench),
            "commit": _commit(),
            "cpu_count": os.cpu_count(),
            "postgresql": connection.pg_version,
        }
        if options["json"]:
            self.stdout.write(json.dumps(facts))
            return
        self.stdout.write(
            f"{bench.name} (PostgreSQL {connection.pg_version}, {facts['commit']})"
        )
        for row in bench.ratios:
            verdict = "met" if row.met else "NOT met"
            value, least, most = (_exact(each, row.goal) for each in (row.value, *row.spread))
            self.stdout.write(
                f"  {row.name}: {value} (goal {row.goal}, {verdict}; rounds {least} to {most})"
            )
            for side in (row.a, row.b):
                digits = 1 if abs(side.value) >= 100 else 4
                self.stdout.write(f"      {side.label}: {side.value:,.{digits}f} {side.unit}")
        for name, value in bench.facts.items():
            self.stdout.write(f"  {name}: {value}")


def _exact(value: float, goal: str) -> str:
    """With as many decimals as its goal has, and three at least."""
    return f"{value:.{max(3, len(goal.partition('.')[2]))}f}"


def _run(name: str, rounds: int) -> Bench:
    module = importlib.import_module(f"o10.management.benches.{name}")
    made: Bench = module.run(rounds=rounds)
    return made


def _in_a_home_of_its_own(name: str, options: dict[str, Any]) -> None:
    home = Path(tempfile.mkdtemp(prefix="o10-bench-"))
    home.chmod(0o755)
    cluster = embedded.cluster_at(home)
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith("O10_")
    } | {"O10_HOME": str(home), "O10_SECRET_KEY": settings.SECRET_KEY}
    manage = [sys.executable, "-m", "o10.cli"]
    try:
        embedded.start(cluster)
        database.create_embedded(
            superuser_url=cluster.superuser_url(),
            database=settings.EMBEDDED_DATABASE,
            owner=settings.EMBEDDED_OWNER,
            secret_key=settings.SECRET_KEY,
        )
        where = {"env": environment, "cwd": settings.BASE_DIR}
        subprocess.run([*manage, "migrate", "--verbosity", "0"], check=True, **where)  # noqa: S603
        asked = [*manage, "bench", name, "--here", "--rounds", str(options["rounds"])]
        done = subprocess.run(  # noqa: S603 - our own command line
            [*asked, *(["--json"] if options["json"] else [])], check=False, **where
        )
        if done.returncode:
            raise CommandError(f"the benchmark {name} ended with {done.returncode}")
    finally:
        embedded.stop(cluster)
        shutil.rmtree(home, ignore_errors=True)
        if not cluster.data.is_relative_to(home):
            shutil.rmtree(cluster.data.parent, ignore_errors=True)


def _commit() -> str:
    git = shutil.which("git")
    if git is None:
        return "unknown"
    done = subprocess.run(  # noqa: S603 - fixed command line
        [git, "rev-parse", "--short", "HEAD"],
        cwd=settings.BASE_DIR,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or "unknown"
