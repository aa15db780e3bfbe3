"""Which limits does a field on the wire have? One annotated type per kind of field.

Every text is free of control characters (PostgreSQL takes no NUL, a log line no line feed)
and short; every count is a non-negative integer below a thousand million; JSON booleans and
floats are no integers. The limits appear in the OpenAPI document through these same
annotations.
"""

import re
from typing import Annotated, TypeAlias

from msgspec import Meta

MAX_TOKENS = 1_000_000_000
"""A thousand million tokens in one call: far above any context window, far below 64 bits."""
MAX_BULK_TOKENS = 1_000_000_000_000
"""In an imported aggregate of many calls; its cost fits 64-bit nanos at any sane price."""
MAX_TAGS = 16
MAX_ROWS = 10_000
"""Records in one usage request."""

# `$` alone would let one trailing line feed pass, in Python and in ECMA-262.
_PLAIN = r"^[^\u0000-\u001f\u007f]*$(?!\n)"
_DECIMAL = r"^-?[0-9]{1,9}(\.[0-9]{1,18})?$(?!\n)"

_LABEL = r"^[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,63}$(?!\n)"

Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=128, pattern=_PLAIN)]
"""Slugs, models, venues, regions, customers, ids of others."""
Word: TypeAlias = Annotated[str, Meta(min_length=1, max_length=64, pattern=_PLAIN)]
"""Tag keys, versions, tiers, classes."""
Label: TypeAlias = Annotated[str, Meta(max_length=64, pattern=_LABEL)]
"""A version or hash, never text: no spaces, so that no prompt gets in by this door."""
TagValue: TypeAlias = Annotated[str, Meta(max_length=64, pattern=_PLAIN)]
Tags: TypeAlias = Annotated[dict[Word, TagValue], Meta(max_length=MAX_TAGS)]
Sentence: TypeAlias = Annotated[str, Meta(min_length=1, max_length=500, pattern=_PLAIN)]
Prompt: TypeAlias = Annotated[str, Meta(max_length=4_000_000)]
"""Profiled in memory, never stored, never logged."""
Tokens: TypeAlias = Annotated[int, Meta(ge=0, le=MAX_TOKENS)]
BulkTokens: TypeAlias = Annotated[int, Meta(ge=0, le=MAX_BULK_TOKENS)]
Count: TypeAlias = Annotated[int, Meta(ge=1, le=MAX_TOKENS)]
Completions: TypeAlias = Annotated[int, Meta(ge=1, le=128)]
Attempt: TypeAlias = Annotated[int, Meta(ge=1, le=1_000)]
Step: TypeAlias = Annotated[int, Meta(ge=0, le=1_000_000)]
Depth: TypeAlias = Annotated[int, Meta(ge=1, le=5)]
Milliseconds: TypeAlias = Annotated[int, Meta(ge=0, le=86_400_000)]
"""Up to one day."""
Ttl: TypeAlias = Annotated[int, Meta(ge=1, le=86_400)]
"""Seconds a reservation lives: 1 s to 24 h."""
Decimal: TypeAlias = Annotated[str, Meta(max_length=29, pattern=_DECIMAL)]
"""A plain decimal as text; more than nine decimals are rounded half even to nanos."""
Currency: TypeAlias = Annotated[str, Meta(pattern=r"^[A-Z]{3}$(?!\n)")]


def is_label(text: str) -> bool:
    """Could this be a label on the wire?"""
    return re.match(_LABEL, text) is not None
