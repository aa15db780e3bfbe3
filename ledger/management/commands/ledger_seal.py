"""How does every entry get its position? Seals until it is told to stop."""

import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import psycopg
from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import connections

from ledger import facade
from o10.kernel import clock


class Command(BaseCommand):
    help = "Seal the ledger: positions, chain, tree, rollups, checkpoints. Ends on SIGTERM."

    def handle(self, *args: Any, **options: Any) -> None:
        """Runs the loop; SIGTERM and SIGINT end it after the batch at hand."""
        stop = threading.Event()

        def end(number: int, frame: FrameType | None) -> None:
            stop.set()

        signal.signal(signal.SIGTERM, end)
        signal.signal(signal.SIGINT, end)
        facade.run_sealer(
            connect=connect_sealer,
            key_file=Path(settings.O10_SIGNING_KEY_FILE),
            clock=clock.now,
            stop=stop,
        )


def connect_sealer() -> "psycopg.Connection[Any]":
    """How does the sealer reach the database? By its own role, without Django around it."""
    wanted = connections["sealer"].get_connection_params()
    for name in ("cursor_factory", "context", "autocommit", "prepare_threshold"):
        wanted.pop(name, None)
    return psycopg.connect(**wanted, autocommit=True, application_name="o10 sealer")
