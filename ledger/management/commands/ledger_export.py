"""How does an auditor get the ledger? A directory that verifies itself, offline."""

import argparse
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from ledger import facade
from o10.kernel.errors import Conflict, Missing, Rejected


class Command(BaseCommand):
    help = (
        "Write an offline bundle: entries, tiles, checkpoints, keys, documents, verifier."
        " Check it with: python DIR/verify.py DIR"
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("directory", type=Path, help="made; must not hold anything yet")
        parser.add_argument("--period", help="only entries recorded in this month, 2026-11")

    def handle(self, *args: Any, **options: Any) -> None:
        """Writes the bundle and says how to check it."""
        directory = options["directory"]
        try:
            company = facade.ledger_of_company()
            done = facade.export_bundle(
                directory=directory,
                keys=facade.load_verifier_keys(
                    path=Path(settings.O10_SIGNING_KEY_FILE), name=company.origin
                ),
                o10_version=_version(),
                recorded=_month(options["period"]),
                progress=self._progress,
            )
        except (Conflict, Missing, Rejected) as error:
            raise CommandError(str(error), returncode=2) from error
        self.stdout.write(
            f"{done.size:,} entries sealed, {done.first_seq:,} to {done.last_seq:,} inside,"
            f" {done.files:,} files\ncheck: python {directory}/verify.py {directory}"
        )

    def _progress(self, done: int, total: int) -> None:
        if sys.stderr.isatty():
            self.stderr.write(f"\r{done:,} of {total:,} entries", ending="")


def _month(text: str | None) -> tuple[datetime, datetime] | None:
    if text is None:
        return None
    try:
        start = datetime.strptime(text, "%Y-%m").replace(tzinfo=UTC)
    except ValueError:
        raise CommandError("--period is a month such as 2026-11", returncode=2) from None
    next_year, next_month = divmod(start.month, 12)
    return start, start.replace(year=start.year + next_year, month=next_month + 1)


def _version() -> str:
    try:
        return version("o10")
    except PackageNotFoundError:
        return "source"
