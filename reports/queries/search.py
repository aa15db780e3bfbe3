"""What does somebody look for who types this into the search field?"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from policies import facade as policies

_POSITION: Final = re.compile(r"#?(\d{1,3}(?:,\d{3})+|\d{1,19})", re.A)
_ID: Final = re.compile(r"(env|dec|rsv)_[0-9a-z]{26}", re.A)


class TargetKind(StrEnum):
    """Which page shows it?"""

    ENTRY = "entry"
    ENVELOPE = "envelope"
    DECISION = "decision"
    RESERVATION = "reservation"
    USE_CASE = "use_case"


@dataclass(frozen=True, slots=True)
class Target:
    """What was found, and how is it named in an address?"""

    kind: TargetKind
    name: str


_BY_PREFIX: Final = {
    "env": TargetKind.ENVELOPE,
    "dec": TargetKind.DECISION,
    "rsv": TargetKind.RESERVATION,
}


def find_target(*, text: str) -> Target | None:
    """Which one thing does this text name? None when it names none or several."""
    asked = text.strip()
    position = _POSITION.fullmatch(asked)
    if position:
        return Target(TargetKind.ENTRY, position[1].replace(",", ""))
    known = _ID.fullmatch(asked)
    if known:
        return Target(_BY_PREFIX[known[1]], asked)
    folded = asked.casefold()
    if not folded:
        return None
    rows = policies.list_use_case_rows()
    same = [row for row in rows if folded in (row.slug.casefold(), row.name.casefold())]
    part = same or [
        row for row in rows if folded in row.name.casefold() or folded in row.slug.casefold()
    ]
    if len(part) == 1:
        return Target(TargetKind.USE_CASE, part[0].slug)
    return None
