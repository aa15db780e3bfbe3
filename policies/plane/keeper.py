"""Who looks after a worker's till while it answers? One thread, never on a call's path.

It opens the till when the database is there, listens for what changed, and tends it. Until the
till is open, and while this process stops, the verbs are answered in the strict form or not at
all; a database that is away ends nothing: the next round tries again.
"""

import atexit
import gc
import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog
from django.db import close_old_connections, connection
from django.db.utils import DatabaseError, InterfaceError

from o10.access.keys import KnownKey
from o10.kernel import clock
from o10.kernel.errors import Unavailable
from policies import facade

PAUSE_S = 0.1
"""How long the thread listens before it looks after the till by itself."""
AWAY_S = 0.5
ROLL_BYTES = 1 << 30
"""About 400,000 calls with their endings."""
IN_FLIGHT_S = 5.0

_log = structlog.get_logger("policies.plane")


class Keeper:
    """Is there a till, and what is it told?"""

    def __init__(self, *, keep_clock: Callable[[], None] = lambda: None) -> None:
        self.teller: facade.Teller | None = None
        self._keep_clock = keep_clock
        self._stopping = threading.Event()
        self._listening: object = None
        self._away = False
        self._replaced: tuple[facade.Teller, float] | None = None
        self._opened: facade.Teller | None = None

    @property
    def keys(self) -> Mapping[bytes, KnownKey] | None:
        """Which keys does the till know? None while it is not open."""
        teller = self.teller
        return teller.known.keys if teller is not None and teller.known is not None else None

    def start(self) -> None:
        """Begins; ends with the process."""
        thread = threading.Thread(target=self._run, name="o10-keeper", daemon=True)
        thread.start()
        atexit.register(self.stop)

    def stop(self) -> None:
        """Gives back what is free and writes the last record."""
        self._stopping.set()
        replaced = self._replaced[0] if self._replaced is not None else None
        teller, self.teller = self.teller, None
        for each in (replaced, teller, self._opened):
            if each is not None:
                facade.close_teller(each, now=clock.now())

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._round()
                self._away = False
            except (DatabaseError, InterfaceError, Unavailable, OSError) as error:
                # Said once an outage: calls go on inside live leases meanwhile.
                if not self._away:
                    _log.warning("keeper_waits", error=type(error).__name__, detail=str(error))
                self._away = True
                connection.close()
                time.sleep(AWAY_S)
            except Exception:  # noqa: BLE001 - the thread must outlive any mistake
                # A keeper that died would leave a worker that decides on old rules.
                if not self._away:
                    _log.exception("keeper_failed")
                self._away = True
                connection.close()
                time.sleep(AWAY_S)

    def _round(self) -> None:
        self._keep_clock()
        self._close_what_was_replaced()
        teller = self.teller
        if teller is not None and teller.journal.position > ROLL_BYTES:
            # A journal is never cut: a full one is replaced, and deleted a day after its end.
            self._replaced = (teller, time.monotonic() + IN_FLIGHT_S)
            teller = None
        if teller is not None and teller.stopping:
            teller = self.teller = None
        if teller is None:
            close_old_connections()
            teller = self._opened or facade.open_teller(now=clock.now())
            # Kept when it cannot be tended yet: a journal for each try would fill the disk.
            self._opened = teller
            self._rounds = facade.Rounds()
            self._rounds.tend(teller, told=(), now=clock.now())
            self.teller, self._opened = teller, None
            _calm_the_collector()
            return
        told = self._hear()
        self._rounds.tend(teller, told=told, now=clock.now())

    def _close_what_was_replaced(self) -> None:
        """Calls that still had the old till in hand are done by then."""
        if self._replaced is not None and time.monotonic() > self._replaced[1]:
            (teller, _), self._replaced = self._replaced, None
            facade.close_teller(teller, now=clock.now())

    def _hear(self) -> Sequence[dict[str, Any]]:
        """What was told since? Waits a moment for it."""
        connection.ensure_connection()
        raw = connection.connection
        lost = self._listening is not None and self._listening is not raw
        if self._listening is not raw:
            raw.execute("LISTEN o10_plane")
            self._listening = raw
        if lost:
            # What was told meanwhile is looked up: see policies.queries.ended_calls.
            return [{"k": "lost"}]
        with connection.wrap_database_errors:
            return [
                json.loads(notice.payload)
                for notice in raw.notifies(timeout=PAUSE_S, stop_after=1)
            ]


def _calm_the_collector() -> None:
    """What is loaded by now stays: the collector need not visit it again and again.

    Answers make no cycles; a full collection in between would stop every caller for 100 ms.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 100)
