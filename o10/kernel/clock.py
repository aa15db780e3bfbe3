"""What time is it? The only place that reads the clock.

Doors (web, plane, tasks, management) and wiring call `now` and hand the instant on; rules
receive it. A process corrects its clock by an offset measured against the database, so that
writers on several machines agree (docs/algorithms/clock.md).
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from threading import Lock
from time import monotonic
from typing import Final

KEEP_EVERY_S: Final = 30.0

Reading = Callable[[], datetime]
Measure = Callable[[Reading], int | None]
"""Gets a clock and says by how many microseconds it is behind the reference; None: unknown."""


def now() -> datetime:
    """What is the present instant, corrected? Aware, UTC, microseconds."""
    return datetime.now(UTC) + _offset


def uncorrected() -> datetime:
    """What does this machine's clock say? Only for measuring it; aware, UTC."""
    return datetime.now(UTC)


def correct(offset_us: int) -> None:
    """By how much is this machine's clock behind? Microseconds, added from here on."""
    global _offset
    _offset = timedelta(microseconds=offset_us)


def keep(measure: Measure) -> None:
    """Is the correction fresh? Measures again at most every `KEEP_EVERY_S`, once a process.

    Between two measurements this is one comparison. While one thread measures, the others go
    on with the former offset; so do all when the reference does not answer.
    """
    global _due
    if monotonic() < _due or not _measuring.acquire(blocking=False):
        return
    try:
        _due = monotonic() + KEEP_EVERY_S
        offset_us = measure(uncorrected)
        if offset_us is not None:
            correct(offset_us)
    finally:
        _measuring.release()


def unix_ms(at: datetime) -> int:
    """How many whole milliseconds after 1970-01-01T00:00Z is this aware instant?"""
    elapsed = at - _EPOCH
    return (elapsed.days * 86_400 + elapsed.seconds) * 1_000 + elapsed.microseconds // 1_000


def unix_us(at: datetime) -> int:
    """How many microseconds after 1970-01-01T00:00Z is this aware instant?"""
    elapsed = at - _EPOCH
    return (elapsed.days * 86_400 + elapsed.seconds) * 1_000_000 + elapsed.microseconds


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_offset = timedelta(0)
_due = float("-inf")
_measuring = Lock()
