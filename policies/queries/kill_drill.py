"""When would a criterion have tripped, what would it have saved, and how often in vain?

The rule of the live look (policies.core.kill.evaluate) walked over history, on inputs counted
by the same arithmetic; it reads and writes nothing. History went on without the lever: what was
spent between a trip and the moment the signal was back inside is what the lever would have met.
Source: product.md section 7.4; docs/algorithms/kill-criteria.md. Units: nanos.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime
from fractions import Fraction
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from ledger import facade as ledger
from o10.kernel.money import Nanos, half_even
from policies.core.kill import Event, Evidence, Standing, State, evaluate, restored
from policies.core.kill_spec import Spec
from policies.core.levers import Lever
from policies.core.metrics import METRICS, measure
from policies.queries.kill_inputs import inputs_at
from policies.queries.kill_sight import DAY, HOUR, Sight, counts_calls, look_back
from policies.queries.metric_sources import MetricScope

DAYS: Final = 90
MEASURED: Final = frozenset({Lever.FREEZE, Lever.THROTTLE})
"""Levers whose effect on past calls can be counted; the others' cannot be known."""


@dataclass(frozen=True, slots=True)
class DrillTrip:
    """When would it have tripped, and until when would its lever have held?

    `restored_at` None = it would hold still. `avoided` and `refused` None = this lever's
    effect on calls of the past is not known. A trip that came back inside without anybody
    acting is `reversed_itself`.
    """

    at: datetime
    day: date
    value: Fraction
    restored_at: datetime | None
    spent: Nanos
    calls: int
    avoided: Nanos | None
    refused: int | None

    @property
    def reversed_itself(self) -> bool:
        """Did the signal come back inside by itself?"""
        return self.restored_at is not None


@dataclass(frozen=True, slots=True)
class Drill:
    """What came out? `looks` were made, `blind` of them without enough evidence.

    `ledger_seq` is the sealed position at the time of reading.
    """

    start: datetime
    end: datetime
    trips: tuple[DrillTrip, ...]
    looks: int
    blind: int
    spent: Nanos
    ledger_seq: int
    time_zone: str

    @property
    def days(self) -> tuple[date, ...]:
        """On which days would it have tripped?"""
        return tuple(dict.fromkeys(trip.day for trip in self.trips))

    @property
    def avoided(self) -> Nanos | None:
        """How much would it have avoided? None = not known for this lever."""
        if any(trip.avoided is None for trip in self.trips):
            return None
        return sum(trip.avoided or 0 for trip in self.trips)

    @property
    def refused(self) -> int | None:
        """How many calls would it have refused? None = not known for this lever."""
        if any(trip.refused is None for trip in self.trips):
            return None
        return sum(trip.refused or 0 for trip in self.trips)

    @property
    def false_trips(self) -> int:
        """How many trips reversed by themselves?"""
        return sum(trip.reversed_itself for trip in self.trips)


def drill(*, spec: Spec, scope: MetricScope, end: datetime, days: int = DAYS) -> Drill:
    """When would this criterion have tripped in the last `days` days before `end`?"""
    start = end - days * DAY
    # As if it were allowed to act: a draft or a proposal is drilled the same.
    auto = msgspec.structs.replace(spec, execution="auto")
    sight = look_back(spec=auto, scope=scope, start=start, end=end)
    zone = ledger.ledger_of_company().time_zone
    trips: list[DrillTrip] = []
    standing, since = Standing(state=State.ARMED), None
    opened: tuple[datetime, Fraction] | None = None
    looks = blind = 0
    for at in _ticks(sight, start, end):
        measured = measure(METRICS[spec.metric], inputs_at(sight, at=at, since=since))
        verdict = evaluate(spec=auto, standing=standing, measured=measured, at=at)
        standing = verdict.standing
        looks += 1
        blind += verdict.evidence is Evidence.NOT_ENOUGH
        if Event.TRIP in verdict.events and measured.value is not None:
            opened = (at, measured.value)
        elif opened and {Event.RESTORE, Event.RESTORABLE} & set(verdict.events):
            # Two people would have to lift it; here they do so at once.
            trips.append(_trip(sight, auto, opened, at, at, zone))
            standing, since, opened = restored(), at, None
    if opened:
        trips.append(_trip(sight, auto, opened, None, end, zone))
    return Drill(
        start=start,
        end=end,
        trips=tuple(trips),
        looks=looks,
        blind=blind,
        spent=sight.spent(start, end)["spent"],
        ledger_seq=ledger.position_of(ledger_id=ledger.COMPANY_LEDGER).seq,
        time_zone=zone,
    )


def _ticks(sight: Sight, start: datetime, end: datetime) -> Iterator[datetime]:
    """At which instants is it looked? Every hour, and right after whatever happened.

    What only a source knows is asked once a day, and so are the paths of a breach.
    """
    metric = sight.spec.metric
    width = HOUR if counts_calls(metric) and metric != "p_breach" else DAY
    regular = range(1, int((end - start) / width) + 1)
    ticks = {start + number * width for number in regular}
    if width == HOUR and sight.width < HOUR:
        happened = {*sight.numbers, *(row[0] for row in sight.repeats)}
        ticks |= {sight.start + (number + 1) * sight.width for number in happened}
    return iter(sorted(at for at in ticks if start < at <= end))


def _trip(
    sight: Sight,
    spec: Spec,
    opened: tuple[datetime, Fraction],
    restored_at: datetime | None,
    until: datetime,
    zone: str,
) -> DrillTrip:
    at, value = opened
    counted = sight.spent(at, until)
    trip = DrillTrip(
        at=at,
        day=at.astimezone(ZoneInfo(zone)).date(),
        value=value,
        restored_at=restored_at,
        spent=counted["spent"],
        calls=counted["calls"],
        avoided=None,
        refused=None,
    )
    match Lever(spec.lever):
        case Lever.FREEZE:
            return replace(trip, avoided=counted["spent"], refused=counted["calls"])
        case Lever.THROTTLE:
            avoided, refused = _above(sight, at, until, spec.amount or 0)
            return replace(trip, avoided=avoided, refused=refused)
        case Lever.NOTIFY:
            return replace(trip, avoided=0, refused=0)
    return trip


def _above(sight: Sight, at: datetime, until: datetime, most: Nanos) -> tuple[Nanos, int]:
    """What went beyond the limit of each hour: money, and its share of the calls."""
    avoided = refused = 0
    while at < until:
        counted = sight.spent(at, min(at + HOUR, until))
        above = max(0, counted["spent"] - most)
        if above:
            avoided += above
            refused += half_even(counted["calls"] * above, counted["spent"])
        at += HOUR
    return avoided, refused
