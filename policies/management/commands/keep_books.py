"""How do the journals of this host get into the books? It books until it is told to stop."""

import gc
import os
import signal
import threading
import time
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Any, Final

from django.conf import settings
from django.core.management.base import BaseCommand

from o10.kernel import clock
from policies import facade

NICE: Final = 10
"""Whoever answers callers goes first."""
JOIN_S: Final = 5.0


class Command(BaseCommand):
    help = "Book the journals of the decision workers of this host. Ends on SIGTERM."

    def handle(self, *args: Any, **options: Any) -> None:
        """Runs the loop; SIGTERM and SIGINT end it after the batch at hand."""
        stop = threading.Event()

        def end(number: int, frame: FrameType | None) -> None:
            stop.set()

        signal.signal(signal.SIGTERM, end)
        signal.signal(signal.SIGINT, end)
        # Beside the books, and before this thread steps back: rules that stop what spends.
        watching = threading.Thread(
            target=facade.watch_criteria,
            kwargs={"now": kept_now, "stop": stop, "monotonic": time.monotonic},
            name="kill-criteria",
            daemon=True,
        )
        watching.start()
        os.nice(max(0, NICE - os.nice(0)))
        # A batch makes tens of thousands of objects and drops them all: looked through rarely.
        gc.freeze()
        gc.set_threshold(20_000)
        facade.run_books(home=Path(settings.O10_HOME), now=kept_now, stop=stop)
        watching.join(timeout=JOIN_S)


def kept_now() -> datetime:
    """What time is it, by a clock that is compared with the database's now and then?"""
    clock.keep(facade.measure_clock_offset)
    return clock.now()
