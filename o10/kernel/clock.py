"""What time is it? The only place that reads the clock.

Doors (web, plane, tasks, management) and wiring call `now` and hand the instant on; rules
receive it.
"""

from datetime import UTC, datetime


def now() -> datetime:
    """What is the present instant? Aware, UTC, microseconds."""
    return datetime.now(UTC)


def unix_ms(at: datetime) -> int:
    """How many whole milliseconds after 1970-01-01T00:00Z is this aware instant?"""
    elapsed = at - _EPOCH
    return (elapsed.days * 86_400 + elapsed.seconds) * 1_000 + elapsed.microseconds // 1_000


def unix_us(at: datetime) -> int:
    """How many microseconds after 1970-01-01T00:00Z is this aware instant?"""
    elapsed = at - _EPOCH
    return (elapsed.days * 86_400 + elapsed.seconds) * 1_000_000 + elapsed.microseconds


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
