"""How does every entry get its position? Seals until it is told to stop."""

import argparse
import signal
import threading
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Any

import psycopg
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import connections

from ledger import facade
from o10.kernel import clock
from o10.kernel.errors import Conflict, Missing, Unavailable


class Command(BaseCommand):
    help = "Seal the ledger: positions, chain, tree, rollups, checkpoints. Ends on SIGTERM."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--adopt-cluster",
            action="store_true",
            help="go on in this PostgreSQL cluster after an upgrade or a move, then end",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Runs the loop; SIGTERM and SIGINT end it after the batch at hand."""
        if options["adopt_cluster"]:
            self._adopt()
            return
        stop = threading.Event()

        def end(number: int, frame: FrameType | None) -> None:
            stop.set()

        signal.signal(signal.SIGTERM, end)
        signal.signal(signal.SIGINT, end)
        facade.run_sealer(
            connect=connect_sealer,
            key_file=Path(settings.O10_SIGNING_KEY_FILE),
            clock=kept_now,
            stop=stop,
        )

    def _adopt(self) -> None:
        try:
            with connect_sealer() as connection:
                before, now = facade.adopt_cluster(
                    connection, ledger=facade.ledger_of_company()
                )
        except (Conflict, Missing, Unavailable) as error:
            raise CommandError(str(error), returncode=2) from error
        self.stdout.write(f"sealing goes on in cluster {now} (was {before})")


def kept_now() -> datetime:
    """What time is it, by a clock that is compared with the database's now and then?"""
    clock.keep(facade.measure_clock_offset)
    return clock.now()


def connect_sealer() -> "psycopg.Connection[Any]":
    """How does the sealer reach the database? By its own role, without Django around it."""
    wanted = connections["sealer"].get_connection_params()
    for name in ("cursor_factory", "context", "autocommit", "prepare_threshold"):
        wanted.pop(name, None)
    return psycopg.connect(**wanted, autocommit=True, application_name="o10 sealer")
