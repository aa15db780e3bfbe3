"""What does each envelope have left, and which limit on its path binds first?

Balances are live: they are the rows that an authorize compares with. A period that has not been
drawn on yet has no row and is empty.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from django.db import connection

from o10.kernel.errors import NotFound
from o10.kernel.money import Nanos
from o10.kernel.periods import OutsidePeriod, Period, PeriodKind, label
from policies.core.envelope import PPM, Balance, binding, left
from policies.core.snapshot import EnvelopeRule, Snapshot, fiscal_calendar
from policies.models import Envelope, EnvelopeBalance
from policies.queries.current_policy import current_policy

HEALTH_WINDOW: Final = timedelta(hours=24)


class Health(StrEnum):
    """How is the envelope? Derived from the balances, never stored."""

    OK = "ok"
    SOFT = "soft"
    """A soft threshold is passed."""
    EXHAUSTED = "exhausted"
    """Less is left than the smallest call asked for in the last 24 hours."""
    OVER = "over"
    """More is spent or held than the cap: a cut, or spend nobody asked for."""
    FROZEN = "frozen"
    CLOSED = "closed"
    NOT_STARTED = "not_started"
    ENDED = "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class BindingLimit:
    """Which envelope on the path binds first, and how much does it leave?"""

    public: str
    name: str
    available: Nanos
    own: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvelopeLine:
    """What does one line of the tree say about the current period?

    Units: nanos. `cap` None = no cap of its own; `available` None = no cap of its own;
    `amount` is the amount as set, also where it is only soft. `lent` includes `held`.
    `period` None = the envelope has no period now. `binding` None = nothing limits the path.
    """

    number: int
    public: str
    name: str
    scope_kind: str
    slug: str
    depth: int
    parent: str
    use_case: int | None
    period: Period | None
    period_label: str
    period_kind: str
    time_zone: str
    amount: Nanos | None
    cap: Nanos | None
    hard: bool
    soft_thresholds_ppm: tuple[int, ...]
    soft_passed_ppm: int | None
    per_call: Nanos | None
    per_run: Nanos | None
    settled: Nanos
    unguarded: Nanos
    held: Nanos
    lent: Nanos
    unsettled: Nanos
    contingency: Nanos
    available: Nanos | None
    binding: BindingLimit | None
    health: Health
    state: str
    version: int
    children: int


@dataclass(frozen=True, slots=True)
class PeriodLine:
    """How did one period of an envelope go? Units: nanos."""

    period: Period
    label: str
    cap: Nanos | None
    settled: Nanos
    unguarded: Nanos
    held: Nanos
    unsettled: Nanos
    available: Nanos | None


def list_envelope_lines(*, now: datetime) -> list[EnvelopeLine]:
    """Which envelopes are there, parents before children, each with its money now?"""
    return _Tree.read(now).lines()


def get_envelope_line(*, envelope: str, now: datetime) -> EnvelopeLine:
    """What has this envelope (env_…) left now?

    Raises: NotFound (`not_found`).
    """
    for line in list_envelope_lines(now=now):
        if line.public == envelope:
            return line
    raise NotFound(kind="envelope", id=envelope)


def list_path_lines(*, use_case: int, now: datetime) -> list[EnvelopeLine]:
    """Which envelopes must calls of this use case fit into, root first, children last?"""
    lines = list_envelope_lines(now=now)
    by_public = {line.public: line for line in lines}
    own = [line for line in lines if line.use_case == use_case]
    above: dict[str, EnvelopeLine] = {}
    for line in own:
        parent = line.parent
        while parent:
            above[parent] = by_public[parent]
            parent = by_public[parent].parent
    return [*sorted(above.values(), key=lambda line: line.depth), *own]


def numbers_below(*, envelope: str) -> tuple[int, ...]:
    """Which numbers have this envelope and all envelopes under it?

    Raises: NotFound (`not_found`).
    """
    snapshot = current_policy().snapshot
    rule = next((r for r in snapshot.envelopes.values() if r.public == envelope), None)
    if rule is None:
        raise NotFound(kind="envelope", id=envelope)
    found = [rule.id]
    children = _children(snapshot.envelopes.values())
    for number in found:
        found += [child.id for child in children.get(number, ())]
    return tuple(found)


def list_period_lines(*, envelope: str, limit: int = 24) -> list[PeriodLine]:
    """How did the periods of this envelope go, newest first?"""
    rule = next(
        (r for r in current_policy().snapshot.envelopes.values() if r.public == envelope), None
    )
    if rule is None:
        raise NotFound(kind="envelope", id=envelope)
    rows = EnvelopeBalance.objects.filter(envelope_id=rule.id).order_by("-period_start")
    return [_period_line(rule, row) for row in rows[:limit]]


@dataclass(frozen=True, slots=True)
class _Tree:
    snapshot: Snapshot
    balances: Mapping[int, Balance]
    periods: Mapping[int, Period | None]
    smallest: Mapping[int, Nanos]
    versions: Mapping[int, int]
    now: datetime

    @classmethod
    def read(cls, now: datetime) -> "_Tree":
        snapshot = current_policy().snapshot
        rules = list(snapshot.envelopes.values())
        periods = {rule.id: _period(rule, now) for rule in rules}
        versions = dict(Envelope.objects.values_list("id", "version"))
        return cls(snapshot, _balances(rules, periods), periods, _smallest(now), versions, now)

    def lines(self) -> list[EnvelopeLine]:
        children = _children(self.snapshot.envelopes.values())
        ordered: list[EnvelopeLine] = []
        waiting = [rule for rule in reversed(children.get(None, ()))]
        while waiting:
            rule = waiting.pop()
            below = children.get(rule.id, ())
            ordered.append(self._line(rule, len(below)))
            waiting += reversed(below)
        return ordered

    def _line(self, rule: EnvelopeRule, children: int) -> EnvelopeLine:
        balance = self.balances[rule.id]
        period = self.periods[rule.id]
        path = self.snapshot.path_to(rule)
        passed = _passed(rule, balance)
        return EnvelopeLine(
            number=rule.id,
            public=rule.public,
            name=rule.name,
            scope_kind=rule.scope_kind,
            slug=rule.slug,
            depth=len(path) - 1,
            parent=path[-2].public if len(path) > 1 else "",
            use_case=rule.use_case,
            period=period,
            period_label=_label(rule, period),
            period_kind=rule.period_kind,
            time_zone=rule.time_zone,
            amount=rule.amount_nanos,
            cap=balance.cap,
            hard=rule.hard,
            soft_thresholds_ppm=rule.soft_thresholds_ppm,
            soft_passed_ppm=passed,
            per_call=rule.per_call_nanos,
            per_run=rule.per_run_nanos,
            settled=balance.settled,
            unguarded=balance.unguarded,
            held=balance.held,
            lent=balance.held,
            unsettled=balance.unsettled,
            contingency=balance.contingency,
            available=left(balance),
            binding=self._binding(path),
            health=self._health(rule, balance, passed),
            state=rule.state,
            version=self.versions.get(rule.id, 1),
            children=children,
        )

    def _binding(self, path: Sequence[EnvelopeRule]) -> BindingLimit | None:
        found = binding([self.balances[rule.id] for rule in path])
        if found is None:
            return None
        rule = path[found.index]
        own = found.index == len(path) - 1
        return BindingLimit(
            public=rule.public, name=rule.name, available=found.available, own=own
        )

    def _health(self, rule: EnvelopeRule, balance: Balance, passed: int | None) -> Health:
        if rule.state != "active":
            return Health(rule.state)
        if self.periods[rule.id] is None:
            ahead = rule.start_at is not None and self.now < rule.start_at
            return Health.NOT_STARTED if ahead else Health.ENDED
        available = left(balance)
        if available is not None and available < 0:
            return Health.OVER
        if available is not None and available < self.smallest.get(rule.id, 1):
            return Health.EXHAUSTED
        return Health.OK if passed is None else Health.SOFT


def _children(
    rules: Iterable[EnvelopeRule],
) -> dict[int | None, list[EnvelopeRule]]:
    groups: dict[int | None, list[EnvelopeRule]] = {}
    for rule in sorted(rules, key=lambda each: (each.name.casefold(), each.id)):
        groups.setdefault(rule.parent, []).append(rule)
    return groups


def _period(rule: EnvelopeRule, now: datetime) -> Period | None:
    try:
        return rule.period_at(now)
    except OutsidePeriod:
        return None


def _label(rule: EnvelopeRule, period: Period | None) -> str:
    if period is None:
        return ""
    return label(period, rule.time_zone, fiscal_calendar(rule.fiscal))


def _passed(rule: EnvelopeRule, balance: Balance) -> int | None:
    """Which is the highest soft threshold that the exposure has reached?"""
    amount = rule.amount_nanos
    if not amount:
        return None
    reached = [
        each for each in rule.soft_thresholds_ppm if balance.exposure * PPM >= each * amount
    ]
    return max(reached, default=None)


def _balances(
    rules: Sequence[EnvelopeRule], periods: Mapping[int, Period | None]
) -> dict[int, Balance]:
    found = {rule.id: Balance(envelope_id=rule.id, cap=rule.cap_nanos) for rule in rules}
    cells = [(number, period.start) for number, period in periods.items() if period]
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT b.envelope_id, b.cap_nanos, b.settled_nanos, b.held_nanos,
                   b.unsettled_nanos, b.unguarded_nanos, b.contingency_nanos, b.limit_nanos,
                   b.epoch
            FROM envelope_balance b
            JOIN unnest(%s::int[], %s::timestamptz[]) AS cell (envelope_id, period_start)
              ON b.envelope_id = cell.envelope_id AND b.period_start = cell.period_start
            """,
            [[number for number, _ in cells], [start for _, start in cells]],
        )
        for row in cursor.fetchall():
            found[row[0]] = Balance(*row)
    return found


def _smallest(now: datetime) -> dict[int, Nanos]:
    """How small was the smallest call that asked for money of each envelope lately?"""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT envelope, min(worst_nanos) FROM policies_decision_log"
            " WHERE decided_at > %s AND decided_at <= %s AND worst_nanos > 0 GROUP BY envelope",
            [now - HEALTH_WINDOW, now],
        )
        return dict(cursor.fetchall())


def _period_line(rule: EnvelopeRule, row: EnvelopeBalance) -> PeriodLine:
    period = Period(PeriodKind(rule.period_kind), row.period_start, row.period_end)
    exposure = row.settled_nanos + row.held_nanos + row.unsettled_nanos
    free = None if row.cap_nanos is None else row.cap_nanos - exposure - row.contingency_nanos
    return PeriodLine(
        period=period,
        label=_label(rule, period),
        cap=row.cap_nanos,
        settled=row.settled_nanos,
        unguarded=row.unguarded_nanos,
        held=row.held_nanos,
        unsettled=row.unsettled_nanos,
        available=free,
    )
