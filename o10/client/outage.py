"""Since when can o10 not decide, and is it time to ask again?

An outage is from the first failure to the first success, by the router's own clock. While it
lasts, an open use case does not wait for a timeout at every call: one call in half a second
asks, the others are answered locally. A closed use case always asks.
"""

from dataclasses import dataclass
from datetime import datetime
from threading import Lock
from typing import Final

ASK_EVERY_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Span:
    """From when to when could o10 not decide?"""

    since: datetime
    until: datetime

    @property
    def minutes(self) -> float:
        """How many fail-open minutes are these?"""
        return max((self.until - self.since).total_seconds(), 0.0) / 60


class Outage:
    """Is o10 away, since when? Shared by all threads of one client."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._since: datetime | None = None
        self._asked = float("-inf")

    @property
    def since(self) -> datetime | None:
        """When was the first failure? None: o10 answers."""
        return self._since

    def begin(self, now: datetime, *, at: float) -> datetime:
        """It did not answer. When did that begin? `at` monotonic seconds."""
        with self._lock:
            self._asked = at
            self._since = self._since or now
            return self._since

    def end(self, now: datetime) -> Span | None:
        """It answered. Which outage is over? None when there was none."""
        if self._since is None:
            return None
        with self._lock:
            since, self._since = self._since, None
        # A clock that was set back in between makes no negative minutes.
        return None if since is None else Span(since, max(now, since))

    def may_skip(self, *, at: float) -> bool:
        """Did somebody ask just now, in vain? `at` monotonic seconds."""
        if self._since is None:
            return False
        with self._lock:
            if self._since is None or at - self._asked >= ASK_EVERY_S:
                self._asked = at
                return False
            return True
