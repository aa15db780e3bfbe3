"""What does the policy in force say? Rows → one compiled, hashed, immutable snapshot.

Every decision names the version and the SHA-256 of the snapshot it was made by. The body is
canonical JSON (sorted keys, no spaces), so that equal rules have equal hashes.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from functools import lru_cache
from hashlib import sha256

from o10.kernel.money import Nanos
from o10.kernel.periods import (
    FiscalCalendar,
    OutsidePeriod,
    Period,
    PeriodKind,
    label,
    period_at,
)
from o10.wire.reasons import Reason

FORMAT = "o10-policy-v1"
DEFAULT_CHILD = "default"
"""Slug of the child that takes every call whose own child does not exist."""
MOST_LEVELS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class UseCaseRule:
    """Which rules hold for the calls of one use case? Units: tokens; nanos."""

    id: int
    slug: str
    name: str
    department: int
    department_slug: str
    mode: str
    state: str
    starts_at: datetime | None
    fail_mode: str
    floor_class: str
    default_model: str
    default_max_output_tokens: int | None
    p50_output_tokens: int | None
    max_input_tokens: int | None
    fit_output: bool
    may_write_cache: bool
    strict_prices: bool
    may_pin: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvelopeRule:
    """Which limits hold in one envelope, and which calendar cuts its periods?

    Units: nanos; thresholds in millionths of the cap; `start_at` and `end_at` UTC instants.
    """

    id: int
    public: str
    name: str
    root: int
    parent: int | None
    scope_kind: str
    slug: str
    department: int | None
    use_case: int | None
    period_kind: str
    time_zone: str
    start_at: datetime | None
    end_at: datetime | None
    week_start: int
    days: int | None
    fiscal: Mapping[str, object] | None
    amount_nanos: Nanos | None
    hard: bool
    soft_thresholds_ppm: tuple[int, ...]
    per_call_nanos: Nanos | None
    per_run_nanos: Nanos | None
    state: str
    epoch: int

    def name_in(self, period: Period) -> str:
        """How is this envelope called in this period? "Support / Nov 2026"."""
        return _name(self.name, period, self.time_zone, _frozen(self.fiscal))

    @property
    def cap_nanos(self) -> Nanos | None:
        """Which cap do its balances get? None for a soft envelope: it informs, never denies."""
        return self.amount_nanos if self.hard else None

    def period_at(self, at: datetime) -> Period:
        """Which period of this envelope contains the instant?

        Raises: OutsidePeriod before `start_at` and from `end_at` on.
        """
        starts = self.start_at is not None and at < self.start_at
        ended = self.end_at is not None and at >= self.end_at
        if starts or ended:
            raise OutsidePeriod(at=at, start=self.start_at, end=self.end_at)
        return self.calendar_period_at(at)

    def calendar_period_at(self, at: datetime) -> Period:
        """Which period would contain the instant if the envelope had no start and no end?

        Spend reported afterwards may lie outside of the envelope's life; it still needs a row.
        """
        kind = PeriodKind(self.period_kind)
        return period_at(
            kind=kind,
            at=at,
            time_zone=self.time_zone,
            start=self.start_at,
            end=self.end_at,
            days=self.days,
            week_start=self.week_start,
            fiscal=fiscal_calendar(self.fiscal) if kind is PeriodKind.FISCAL else None,
        )


@dataclass(frozen=True, slots=True)
class Place:
    """Which envelopes must a call fit into, root first, and in which period of each?"""

    path: tuple[EnvelopeRule, ...]
    periods: tuple[Period, ...]

    def name_at(self, level: int) -> str:
        """How is this envelope called on a screen: its name and its period?"""
        return self.path[level].name_in(self.periods[level])


@dataclass(frozen=True, slots=True)
class PolicyRows:
    """Of what is a snapshot made? Every rule in force, in any order."""

    use_cases: Sequence[UseCaseRule]
    envelopes: Sequence[EnvelopeRule]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What does version `version` of the policy say?

    `hash` is hex SHA-256 of `body`. Look-ups are dictionaries; nothing here changes.
    """

    version: int
    hash: str
    body: str
    use_cases: Mapping[str, UseCaseRule]
    envelopes: Mapping[int, EnvelopeRule]
    _by_scope: Mapping[tuple[str, int | None], tuple[EnvelopeRule, ...]]
    _children: Mapping[int, tuple[EnvelopeRule, ...]]
    # Memory of answers already computed: a period is asked for on every call and changes
    # once a day at most. It never changes an answer.
    _periods: dict[int, Period] = field(default_factory=dict, compare=False, repr=False)

    def place_of(
        self, *, use_case: UseCaseRule, labels: Mapping[str, str], at: datetime
    ) -> Place | Reason:
        """Where does this call draw its money from? A reason when there is nowhere.

        `labels` maps scope kinds below the use case (environment, customer, run) to the value
        the call names. A value without an envelope of its own goes to the sibling `default`.
        """
        found = self._entrance(use_case, at)
        if isinstance(found, Reason):
            return found
        leaf = found
        while (child := self._child(leaf, labels)) is not None:
            leaf = child
        path = self.path_to(leaf)
        try:
            return Place(path, tuple(self.period_of(each, at) for each in path))
        except OutsidePeriod as error:
            return _outside(error, at)

    def path_to(self, leaf: EnvelopeRule) -> tuple[EnvelopeRule, ...]:
        """Which envelopes stand above this one, root first, itself last?"""
        path = [leaf]
        while path[-1].parent is not None and len(path) < MOST_LEVELS:
            path.append(self.envelopes[path[-1].parent])
        return tuple(reversed(path))

    def period_of(self, rule: EnvelopeRule, at: datetime) -> Period:
        """Which period of this envelope contains the instant?

        Raises: OutsidePeriod.
        """
        kept = self._periods.get(rule.id)
        if kept is not None and kept.start <= at < kept.end and _alive(rule, at):
            return kept
        period = rule.period_at(at)
        self._periods[rule.id] = period
        return period

    def children_of(self, envelope_id: int) -> tuple[EnvelopeRule, ...]:
        """Which envelopes stand directly below this one?"""
        return self._children.get(envelope_id, ())

    def _entrance(self, use_case: UseCaseRule, at: datetime) -> EnvelopeRule | Reason:
        scopes = (
            ("use_case", use_case.id),
            ("department", use_case.department),
            ("company", None),
        )
        for scope in scopes:
            rules = self._by_scope.get(scope, ())
            if rules:
                return _in_force(rules, at)
        return Reason.ENVELOPE_NOT_FOUND

    def _child(self, parent: EnvelopeRule, labels: Mapping[str, str]) -> EnvelopeRule | None:
        children = self._children.get(parent.id, ())
        living = {child.slug: child for child in children if child.state != "closed"}
        if not living:
            return None
        label = labels.get(children[0].scope_kind, DEFAULT_CHILD)
        return living.get(label) or living.get(DEFAULT_CHILD)


def compile_policy(rows: PolicyRows, *, version: int) -> Snapshot:
    """What do these rows say, as one hashed value?

    Equal rows give an equal hash whatever their order; the version is not part of it.
    """
    use_cases = sorted(rows.use_cases, key=lambda rule: rule.id)
    envelopes = sorted(rows.envelopes, key=lambda rule: rule.id)
    body = _canonical(
        {
            "format": FORMAT,
            "use_cases": [asdict(rule) for rule in use_cases],
            "envelopes": [asdict(rule) for rule in envelopes],
        }
    )
    return Snapshot(
        version=version,
        hash=sha256(body.encode()).hexdigest(),
        body=body,
        use_cases={rule.slug: rule for rule in use_cases},
        envelopes={rule.id: rule for rule in envelopes},
        _by_scope=_grouped(envelopes, _scope_of),
        _children=_grouped(
            (rule for rule in envelopes if rule.parent is not None and _below_use_case(rule)),
            lambda rule: rule.parent,
        ),
    )


def fiscal_calendar(stored: Mapping[str, object] | None) -> FiscalCalendar | None:
    """Which fiscal calendar do these stored parts describe?"""
    if stored is None:
        return None
    pattern = tuple(int(weeks) for weeks in stored.get("pattern") or (4, 4, 5))  # type: ignore[attr-defined]
    return FiscalCalendar(
        anchor=date.fromisoformat(str(stored["anchor"])),
        anchor_year=int(str(stored["anchor_year"])),
        pattern=pattern,  # type: ignore[arg-type]
        long_years=frozenset(int(year) for year in stored.get("long_years") or ()),  # type: ignore[attr-defined]
    )


@lru_cache(maxsize=4_096)
def _name(name: str, period: Period, time_zone: str, fiscal: str | None) -> str:
    calendar = None if fiscal is None else fiscal_calendar(json.loads(fiscal))
    return f"{name} / {label(period, time_zone, calendar)}"


def _frozen(fiscal: Mapping[str, object] | None) -> str | None:
    return None if fiscal is None else json.dumps(fiscal, sort_keys=True)


def _scope_of(rule: EnvelopeRule) -> tuple[str, int | None]:
    if rule.scope_kind == "use_case":
        return ("use_case", rule.use_case)
    if rule.scope_kind == "department":
        return ("department", rule.department)
    return (rule.scope_kind, None)


def _below_use_case(rule: EnvelopeRule) -> bool:
    return rule.scope_kind in ("environment", "customer", "run")


def _alive(rule: EnvelopeRule, at: datetime) -> bool:
    started = rule.start_at is None or rule.start_at <= at
    return started and (rule.end_at is None or at < rule.end_at)


def _in_force(rules: Sequence[EnvelopeRule], at: datetime) -> EnvelopeRule | Reason:
    """Which of one scope's envelopes holds now? They never overlap (create_envelope)."""
    living = [rule for rule in rules if rule.state != "closed"]
    for rule in living:
        if _alive(rule, at):
            return rule
    if any(rule.start_at is not None and at < rule.start_at for rule in living):
        return Reason.ENVELOPE_NOT_STARTED
    return Reason.ENVELOPE_CLOSED


def _outside(error: OutsidePeriod, at: datetime) -> Reason:
    start = error.fields.get("start")
    ahead = isinstance(start, datetime) and at < start
    return Reason.ENVELOPE_NOT_STARTED if ahead else Reason.ENVELOPE_CLOSED


def _grouped(rules: Iterable[EnvelopeRule], key: object) -> dict:  # type: ignore[type-arg]
    groups: dict[object, list[EnvelopeRule]] = {}
    for rule in rules:
        groups.setdefault(key(rule), []).append(rule)  # type: ignore[operator]
    return {name: tuple(members) for name, members in groups.items()}


def _canonical(body: Mapping[str, object]) -> str:
    return json.dumps(body, sort_keys=True, separators=(",", ":"), default=_plain)


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no place in a policy")
