"""How did an envelope get its amount, and who decided each change?"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from o10.access.queries import list_people
from policies.models import EnvelopeVersion


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionLine:
    """What was changed in this version, by whom, why?

    Shape: `changes` names each field that differs from the version before with its old and new
    value as stored; empty for the first version.
    """

    version: int
    at: datetime
    actor: str
    reason: str
    entry_uid: UUID
    changes: tuple[tuple[str, Any, Any], ...]
    body: Mapping[str, Any]


_TOLD = (
    "amount_nanos",
    "hard",
    "soft_thresholds_ppm",
    "per_call_nanos",
    "per_run_nanos",
    "allow_overallocation",
    "state",
    "end_at",
    "name",
)


def list_version_lines(*, envelope_number: int, limit: int = 50) -> list[VersionLine]:
    """Which versions did this envelope have, newest first?"""
    names = {person.id: person.display_name for person in list_people()}
    rows = list(
        EnvelopeVersion.objects.filter(envelope_id=envelope_number).order_by("-version")[
            : limit + 1
        ]
    )
    befores = [*rows[1:], None]
    return [_line(row, before, names) for row, before in zip(rows, befores, strict=True)][
        :limit
    ]


def _line(
    row: EnvelopeVersion, before: EnvelopeVersion | None, names: Mapping[str, str]
) -> VersionLine:
    old = before.body if before is not None else {}
    changes = (
        tuple(
            (name, old.get(name), row.body.get(name))
            for name in _TOLD
            if old.get(name) != row.body.get(name)
        )
        if before is not None
        else ()
    )
    return VersionLine(
        version=row.version,
        at=row.at,
        actor=names.get(row.actor, row.actor),
        reason=row.reason,
        entry_uid=row.entry_uid,
        changes=changes,
        body=row.body,
    )
