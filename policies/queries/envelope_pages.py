"""What does each envelope have left, and which limit on its path binds first?

Balances are live: they are the rows that an authorize compares with. A period that has not been
drawn on yet has no row and is empty.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Final

from django.db import connection

from o10.kernel.errors import NotFound
from o10.kernel.money import Nanos
from o10.kernel.periods import OutsidePeriod, Period, PeriodKind, label
from policies.core.envelope import PPM, Balance, binding, left
from policies.core.snapshot import EnvelopeRule, Snapshot, fiscal_calendar
from policies.models import EnvelopeBalance
from policies.queries.current_policy import current_policy
from policies.queries.lent_figures import NOTHING_LENT, Cell, LentFigures, lent_figures

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
    `amount` is the amount as set, also where it is only soft. `held` by open calls; `lent` in
    all, with what of it is `out` on lease: not yet spent or returned.
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
    out: Nanos
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
    """How did one period of an envelope go? Units: nanos; `lent` includes `held`."""

    period: Period
    label: str
    cap: Nanos | None
    settled: Nanos
    unguarded: Nanos
    held: Nanos
    lent: Nanos
    unsettled: Nanos
    available: Nanos | None


def list_envelope_lines(
    *, now: datetime, rules: Sequence[EnvelopeRule] | None = None
) -> list[EnvelopeLine]:
    """Which envelopes are there, parents before children, each with its money now?

    `rules` = only these, in their order: reading some costs what those some cost.
    """
    snapshot = current_policy().snapshot
    wanted = ordered_rules(snapshot) if rules is None else rules
    return _Tree.read(snapshot, wanted, now).lines(wanted)


def get_envelope_line(*, envelope: str, now: datetime) -> EnvelopeLine:
    """What has this envelope (env_…) left now?

    Raises: NotFound (`not_found`).
    """
    rule = find_rule(current_policy().snapshot, envelope)
    return list_envelope_lines(now=now, rules=[rule])[0]


def list_path_lines(*, use_case: int, now: datetime) -> list[EnvelopeLine]:
    """Which envelopes must calls of this use case fit into, root first, children last?"""
    snapshot = current_policy().snapshot
    own = [rule for rule in snapshot.envelopes.values() if rule.use_case == use_case]
    own.sort(key=by_name)
    above: dict[int, EnvelopeRule] = {}
    for rule in own:
        for each in snapshot.path_to(rule)[:-1]:
            above.setdefault(each.id, each)
    rules = [*sorted(above.values(), key=lambda each: len(snapshot.path_to(each))), *own]
    return list_envelope_lines(now=now, rules=rules)


def ordered_rules(snapshot: Snapshot) -> list[EnvelopeRule]:
    """Which envelopes does the policy have, parents before children, siblings by name?"""
    children = _children(snapshot.envelopes.values())
    ordered: list[EnvelopeRule] = []
    waiting = list(reversed(children.get(None, ())))
    while waiting:
        rule = waiting.pop()
        ordered.append(rule)
        waiting += reversed(children.get(rule.id, ()))
    return ordered


def find_rule(snapshot: Snapshot, envelope: str) -> EnvelopeRule:
    """Which envelope has this public id?

    Raises: NotFound (`not_found`).
    """
    for rule in snapshot.envelopes.values():
        if rule.public == envelope:
            return rule
    raise NotFound(kind="envelope", id=envelope)


def numbers_below(*, envelope: str) -> tuple[int, ...]:
    """Which numbers have this envelope and all envelopes under it?

    Raises: NotFound (`not_found`).
    """
    snapshot = current_policy().snapshot
    rule = find_rule(snapshot, envelope)
    found = [rule.id]
    children = _children(snapshot.envelopes.values())
    for number in found:
        found += [child.id for child in children.get(number, ())]
    return tuple(found)


def list_period_lines(*, envelope: str, limit: int = 24) -> list[PeriodLine]:
    """How did the periods of this envelope go, newest first?"""
    rule = find_rule(current_policy().snapshot, envelope)
    rows = list(
        EnvelopeBalance.objects.filter(envelope_id=rule.id).order_by("-period_start")[:limit]
    )
    lent = lent_figures([(rule.id, row.period_start) for row in rows if row.held_nanos])
    return [
        _period_line(rule, row, lent.get((rule.id, row.period_start), NOTHING_LENT))
        for row in rows
    ]


@dataclass(frozen=True, slots=True)
class _Tree:
    snapshot: Snapshot
    paths: Mapping[int, tuple[EnvelopeRule, ...]]
    balances: Mapping[int, Balance]
    lent: Mapping[Cell, LentFigures]
    periods: Mapping[int, Period | None]
    smallest: Mapping[int, Nanos]
    versions: Mapping[int, int]
    children: Mapping[int | None, int]
    now: datetime

    @classmethod
    def read(cls, snapshot: Snapshot, wanted: Sequence[EnvelopeRule], now: datetime) -> "_Tree":
        paths = {rule.id: snapshot.path_to(rule) for rule in wanted}
        rules = {each.id: each for path in paths.values() for each in path}
        periods = {rule.id: _period(snapshot, rule, now) for rule in rules.values()}
        balances = _balances(list(rules.values()), periods)
        lending = [
            (number, period.start)
            for number, period in periods.items()
            if period is not None and balances[number].held
        ]
        return cls(
            snapshot=snapshot,
            paths=paths,
            balances=balances,
            lent=lent_figures(lending),
            periods=periods,
            smallest=_smallest(now),
            versions=_versions(list(paths)),
            children=Counter(rule.parent for rule in snapshot.envelopes.values()),
            now=now,
        )

    def lines(self, wanted: Sequence[EnvelopeRule]) -> list[EnvelopeLine]:
        return [self._line(rule) for rule in wanted]

    def _line(self, rule: EnvelopeRule) -> EnvelopeLine:
        balance = self.balances[rule.id]
        period = self.periods[rule.id]
        path = self.paths[rule.id]
        passed = _passed(rule, balance)
        lent = self.lent.get((rule.id, period.start), NOTHING_LENT) if period else NOTHING_LENT
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
            held=lent.held,
            lent=balance.held,
            out=lent.out,
            unsettled=balance.unsettled,
            contingency=balance.contingency,
            available=left(balance),
            binding=self._binding(path),
            health=self._health(rule, balance, passed),
            state=rule.state,
            version=self.versions.get(rule.id, 1),
            children=self.children.get(rule.id, 0),
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
    for rule in sorted(rules, key=by_name):
        groups.setdefault(rule.parent, []).append(rule)
    return groups


def by_name(rule: EnvelopeRule) -> tuple[str, int]:
    """In which order do siblings stand? By name in any case, of equals the older first."""
    return rule.name.casefold(), rule.id


def _period(snapshot: Snapshot, rule: EnvelopeRule, now: datetime) -> Period | None:
    try:
        return snapshot.period_of(rule, now)
    except OutsidePeriod:
        return None


def _label(rule: EnvelopeRule, period: Period | None) -> str:
    if period is None:
        return ""
    fiscal = None if rule.fiscal is None else json.dumps(rule.fiscal, sort_keys=True)
    return _label_of(period, rule.time_zone, fiscal)


@lru_cache(maxsize=4_096)
def _label_of(period: Period, time_zone: str, fiscal: str | None) -> str:
    """Ten thousand envelopes of one calendar have one label."""
    return label(period, time_zone, fiscal_calendar(fiscal and json.loads(fiscal)))


def _versions(numbers: Sequence[int]) -> dict[int, int]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, version FROM policies_envelope WHERE id = ANY(%s::int[])",
            [_array(map(str, numbers))],
        )
        return dict(cursor.fetchall())


def _array(texts: Iterable[str]) -> str:
    """One text for the server to read: a tenth of what ten thousand parameters cost."""
    return f"{{{','.join(texts)}}}"


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
            [
                _array(str(number) for number, _ in cells),
                _array(f'"{start.isoformat()}"' for _, start in cells),
            ],
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


def _period_line(rule: EnvelopeRule, row: EnvelopeBalance, lent: LentFigures) -> PeriodLine:
    period = Period(PeriodKind(rule.period_kind), row.period_start, row.period_end)
    exposure = row.settled_nanos + row.held_nanos + row.unsettled_nanos
    free = None if row.cap_nanos is None else row.cap_nanos - exposure - row.contingency_nanos
    return PeriodLine(
        period=period,
        label=_label(rule, period),
        cap=row.cap_nanos,
        settled=row.settled_nanos,
        unguarded=row.unguarded_nanos,
        held=lent.held,
        lent=row.held_nanos,
        unsettled=row.unsettled_nanos,
        available=free,
    )
