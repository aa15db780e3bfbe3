"""How does a provider's export get in by command? Looked at, then booked; dry only looks."""

import argparse
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from ledger import facade
from o10.access.operations import COMMAND_LINE
from o10.kernel import clock, figures
from o10.kernel.errors import O10Error

SHOWN = 50


class Command(BaseCommand):
    """Every bad row is told with its number and reason; the same file twice books nothing."""

    help = (
        "Import usage or a bill from a provider's export. Idempotent; nothing is written dry."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("source", choices=sorted(facade.SOURCES), metavar="SOURCE")
        parser.add_argument("file", type=Path, metavar="FILE")
        parser.add_argument("--dry-run", action="store_true", help="look, write nothing")
        parser.add_argument("--use-case", default="", metavar="SLUG", help="for rows without")
        parser.add_argument("--rejects", type=Path, metavar="CSV", help="write bad rows here")

    def handle(self, *args: Any, **options: Any) -> None:
        """Prints what was found and, unless dry, the receipt."""
        path: Path = options["file"]
        if not path.is_file():
            raise CommandError(f"{path} is no file")
        about = {"source": options["source"], "use_case": options["use_case"]}
        try:
            source = options["source"]
            with facade.open_path(path, source=source) as stream, _bar() as bar:
                task = bar.add_task("looking", total=None)
                kind, tally = facade.look(
                    stream,
                    now=clock.now(),
                    progress=lambda done: bar.update(task, completed=done),
                    **about,
                )
            self._found(kind, tally)
            self._rejects(tally, options["rejects"])
            if options["dry_run"]:
                self.stdout.write("dry run: nothing was written")
                return
            self._book(path, about, tally)
        except O10Error as error:
            raise CommandError(f"{path}: {error}") from error

    def _book(self, path: Path, about: dict[str, str], tally: facade.Tally) -> None:
        with _bar() as bar:
            task = bar.add_task("booking", total=tally.total or None)
            row = facade.import_path(
                path=path,
                actor=COMMAND_LINE,
                clock=clock.now,
                progress=lambda done: bar.update(task, completed=done),
                **about,
            )
        done = facade.get_import(row.public)
        spent = figures.money_exact(done.booked_nanos, done.currency).text
        self.stdout.write(
            f"receipt {done.id}: {done.rows_new} of {done.rows_total} rows booked,"
            f" {done.rows_known} known, {done.rows_rejected} rejected, {spent}"
        )
        if done.entries_hash:
            where = f"seq {done.first_seq} to {done.last_seq}" if done.last_seq else "unsealed"
            self.stdout.write(f"entries {where}, hash {done.entries_hash}")
        if done.unpriced:
            self.stdout.write(f"{done.unpriced} rows have no price: they block the close")

    def _found(self, kind: str, tally: facade.Tally) -> None:
        currency = facade.ledger_of_company().currency
        amount = figures.money_exact(tally.amount_nanos, currency).text
        stated = "billed" if kind == "bill" else "stated by the provider"
        self.stdout.write(
            f"{kind}: {tally.total} rows, {tally.new} new, {tally.known} known,"
            f" {tally.rejected} rejected; {amount} {stated}"
        )

    def _rejects(self, tally: facade.Tally, target: Path | None) -> None:
        for bad in tally.rejects[:SHOWN]:
            self.stderr.write(f"row {bad.row}: {bad.code}: {bad.message}")
        if tally.rejected > SHOWN:
            self.stderr.write(f"and {tally.rejected - SHOWN} more")
        if target is not None:
            target.write_text(facade.rejects_csv(tally.rejects), encoding="utf-8")


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed} rows"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
