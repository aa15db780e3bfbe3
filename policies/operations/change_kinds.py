"""Which changes can be asked for, and how is each told, checked and carried out?

One `ChangeKind` for each row of the table in `policies.core.approvals`, registered when the
applications start: here for spend control, in reports for what stands above it. A kind that is
in the table but not registered can't be asked for.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from o10.access.keys import Caller
from o10.kernel.errors import NotFound
from o10.kernel.money import Nanos
from policies.core.approvals import RULES, Weight

if TYPE_CHECKING:
    from policies.queries.approvals import ApprovalView

Change = Mapping[str, Any]
"""The exact change as plain JSON: text, whole numbers, lists, objects, null, true, false."""


@dataclass(frozen=True, slots=True)
class DiffRow:
    """Which line of the change is it, and how did it read before?"""

    label: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class EffectRow:
    """What follows if it is approved, if it is declined, if nobody acts?"""

    label: str
    approved: str
    declined: str
    nobody: str


@dataclass(frozen=True, slots=True)
class EvidenceRow:
    """Which figure supports the change, and where does it come from?"""

    label: str
    value: str
    note: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class ChangeText:
    """How is the change told to whoever decides it?

    Units: `money_nanos` the effect a month in nanos of the ledger, plus = costs more; None =
    not known. `url` is the page of what changes.
    """

    title: str
    rows: tuple[DiffRow, ...]
    effect: tuple[EffectRow, ...] = ()
    evidence: tuple[EvidenceRow, ...] = ()
    money_nanos: Nanos | None = None
    url: str = ""


@dataclass(frozen=True, slots=True)
class Applied:
    """What did the change make? `ids` by word (`{"envelope": "env_…"}`), `entries` by uid."""

    ids: Mapping[str, str] = field(default_factory=dict)
    entries: tuple[UUID, ...] = ()


def _no_weight(_: Change) -> Weight:
    return Weight()


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeKind:
    """What is one kind of change?

    `apply(change, approval, actor, now)` carries it out in the approving transaction; `actor`
    is whoever gave the last approval, `approval.maker` who asked. What it raises is told to
    that person and nothing is written.
    `base_of(change)` names what the change is made against: another value at approval voids
    the request. `describe(change)` tells it; where figures of the moment belong to it
    `describe_at(change, now)` does instead. `weight_of(change)` is the money it moves, for
    materiality and the number of approvers. `check(change, actor, now)` refuses what could
    never be applied, before anybody is asked. `takes_until` = may be approved until a day.
    """

    name: str
    apply: Callable[[Change, "ApprovalView", Caller, datetime], Applied]
    base_of: Callable[[Change], str]
    describe: Callable[[Change], ChangeText]
    weight_of: Callable[[Change], Weight] = _no_weight
    check: Callable[[Change, Caller | None, datetime], None] | None = None
    takes_until: bool = False
    describe_at: Callable[[Change, datetime], ChangeText] | None = None

    def text_at(self, change: Change, now: datetime) -> ChangeText:
        """How is the change told at this instant?"""
        if self.describe_at is not None:
            return self.describe_at(change, now)
        return self.describe(change)


_kinds: dict[str, ChangeKind] = {}


def register(kind: ChangeKind) -> None:
    """Makes this kind of change possible. The same name again takes the place of the first.

    Raises: KeyError for a name that stands in no row of the table.
    """
    if kind.name not in RULES:
        raise KeyError(f"{kind.name!r} stands in no row of policies.core.approvals.RULES")
    _kinds[kind.name] = kind


def get_kind(name: str) -> ChangeKind:
    """Which kind has this name?

    Raises: NotFound (`not_found`) for one that nobody registered.
    """
    kind = _kinds.get(name)
    if kind is None:
        raise NotFound(kind="change_kind", id=name)
    return kind


def takes_until(name: str) -> bool:
    """May a change of this kind hold until a day? For the form."""
    kind = _kinds.get(name)
    return kind is not None and kind.takes_until
