"""What does one method of one path do: for which action, with which body, answer and query?

Written beside each door; read by the permission check, the OpenAPI document and the tests that
walk over every door.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from o10.access.roles import Action

JSON = "application/json"
_NONE: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What does this method do?

    Shape: `action` None = open to everyone. `takes` and `gives`: media type to the type of the
    body (a msgspec struct, a union or list of them; None = raw text or bytes). `query`: name to
    what it selects; `headers`: likewise for request headers. `waits`: the type of a 202 beside
    the usual answer, where some of the changes need a second person.
    """

    action: Action | None
    status: int = 200
    takes: Mapping[str, Any] = field(default_factory=lambda: _NONE)
    gives: Mapping[str, Any] = field(default_factory=lambda: _NONE)
    query: Mapping[str, str] = field(default_factory=lambda: _NONE)
    headers: Mapping[str, str] = field(default_factory=lambda: _NONE)
    waits: Any = None


KEYED: Mapping[str, str] = MappingProxyType(
    {"Idempotency-Key": "Repeats of one key and body get the first answer; else request_id."}
)
"""The header of writes."""

PAGED: Mapping[str, str] = MappingProxyType(
    {
        "cursor": "`next` of the page before.",
        "limit": "Items on the page, 1 to 200, default 50.",
    }
)
"""The parameters of lists."""
