"""Does a kill criterion trip, hold, or let go? Spec, standing, one measurement → what follows.

Windows count while they touch: beyond the threshold without a break for so many steps trips,
inside the restore threshold for so many steps lets go. Too little evidence is a break: it never
trips, and it never lets go either.
Source: product.md sections 7.2 and 7.3; docs/algorithms/kill-criteria.md.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from fractions import Fraction

from policies.core.kill_spec import Spec, is_beyond, is_inside
from policies.core.levers import Lever
from policies.core.metrics import Measured


class State(StrEnum):
    """Where does a criterion stand?"""

    DRAFT = "draft"
    ARMED = "armed"
    TRIPPED = "tripped"
    RESTORING = "restoring"
    OVERRIDDEN = "overridden"
    RETIRED = "retired"


ACTING = frozenset({State.TRIPPED, State.RESTORING})
"""States in which its lever holds."""
WATCHING = ACTING | {State.ARMED, State.OVERRIDDEN}
"""States in which its metric is looked at."""


class Evidence(StrEnum):
    """What does the last measurement say?"""

    NOT_ENOUGH = "not_enough"
    BEYOND = "beyond"
    BETWEEN = "between"
    INSIDE = "inside"


class Event(StrEnum):
    """What has to be done now?"""

    TRIP = "trip"
    PROPOSE = "propose"
    RESTORE = "restore"
    RESTORABLE = "restorable"
    REARM = "rearm"
    """An override has ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where does a criterion stand, since when? Instants; None = it does not."""

    state: State
    over_since: datetime | None = None
    inside_since: datetime | None = None
    tripped_at: datetime | None = None
    restorable_at: datetime | None = None
    override_until: datetime | None = None
    proposed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """Where does it stand now, what has to be done, and how far is it from the threshold?

    `distance` counts up to the threshold: negative = beyond it; None = not enough evidence.
    """

    standing: Standing
    events: tuple[Event, ...]
    evidence: Evidence
    distance: Fraction | None


def evaluate(*, spec: Spec, standing: Standing, measured: Measured, at: datetime) -> Verdict:
    """Does it trip, hold, or let go at this instant?

    Measurements must come in the order of time; those between two steps refine, never count
    twice. A criterion that is draft or retired is measured and nothing follows.
    """
    evidence = evidence_of(spec, measured)
    distance = _distance(spec, measured) if evidence is not Evidence.NOT_ENOUGH else None
    if standing.state not in WATCHING:
        return Verdict(standing, (), evidence, distance)
    now = _counted(standing, evidence, at)
    events: list[Event] = []
    ends = now.override_until
    if now.state is State.OVERRIDDEN and ends is not None and at >= ends:
        now = replace(now, state=State.ARMED, override_until=None)
        events.append(Event.REARM)
    if now.state is State.ARMED:
        now, follows = _trip(spec, now, at)
    elif now.state in ACTING:
        now, follows = _let_go(spec, now, at)
    else:
        follows = None
    if follows is not None:
        events.append(follows)
    return Verdict(now, tuple(events), evidence, distance)


def evidence_of(spec: Spec, measured: Measured) -> Evidence:
    """What does this measurement say? Too small a sample says nothing."""
    value = measured.value
    if value is None or measured.sample < spec.min_sample:
        return Evidence.NOT_ENOUGH
    if is_beyond(spec, value):
        return Evidence.BEYOND
    return Evidence.INSIDE if is_inside(spec, value) else Evidence.BETWEEN


def tripped(standing: Standing, *, at: datetime) -> Standing:
    """How does it stand once its lever is pulled?"""
    return Standing(state=State.TRIPPED, over_since=standing.over_since, tripped_at=at)


def restored() -> Standing:
    """How does it stand once its lever is lifted? It counts anew."""
    return Standing(state=State.ARMED)


def overridden(*, until: datetime) -> Standing:
    """How does it stand while people have set it aside?"""
    return Standing(state=State.OVERRIDDEN, override_until=until)


def _counted(standing: Standing, evidence: Evidence, at: datetime) -> Standing:
    over = evidence is Evidence.BEYOND
    inside = evidence is Evidence.INSIDE
    return replace(
        standing,
        over_since=(standing.over_since or at) if over else None,
        inside_since=(standing.inside_since or at) if inside else None,
    )


def _trip(spec: Spec, now: Standing, at: datetime) -> tuple[Standing, Event | None]:
    if now.over_since is None or at - now.over_since < (spec.consecutive - 1) * spec.step:
        return now, None
    if spec.execution == "propose" and spec.lever != Lever.NOTIFY:
        # To tell people needs nobody's leave.
        asked = now.proposed_at
        if asked is not None and at - asked < max(_cooldown(spec), spec.step):
            return now, None
        return replace(now, proposed_at=at), Event.PROPOSE
    return tripped(now, at=at), Event.TRIP


def _let_go(spec: Spec, now: Standing, at: datetime) -> tuple[Standing, Event | None]:
    inside_since = now.inside_since
    if inside_since is None:
        return replace(now, state=State.TRIPPED, restorable_at=None), None
    now = replace(now, state=State.RESTORING)
    steps = (spec.restore_consecutive - 1) * spec.step
    since = now.tripped_at or at
    if at - inside_since < steps or at - since < _cooldown(spec):
        return now, None
    if spec.restores_itself:
        return restored(), Event.RESTORE
    if now.restorable_at is not None:
        return now, None
    return replace(now, restorable_at=at), Event.RESTORABLE


def _cooldown(spec: Spec) -> timedelta:
    return timedelta(seconds=spec.cooldown_s)


def _distance(spec: Spec, measured: Measured) -> Fraction | None:
    if measured.value is None:
        return None
    gap = spec.beyond_at - measured.value
    return gap if spec.rises else -gap
