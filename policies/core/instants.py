"""How is an instant written in keys, tokens and documents?"""

from datetime import UTC, datetime, timedelta

UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def unix_ms(at: datetime) -> int:
    """How many whole milliseconds after 1970-01-01T00:00Z is this aware instant?"""
    return (at - UNIX_EPOCH) // timedelta(milliseconds=1)


def instant_text(at: datetime) -> str:
    """How does this instant stand in a document? RFC 3339, UTC, microseconds."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
