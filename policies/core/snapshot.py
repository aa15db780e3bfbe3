"""What does the policy in force say? Rows → one compiled, hashed, immutable snapshot.

Every decision names the version and the SHA-256 of the snapshot it was made by; what is hashed
is told in `policies.core.policy_body`. A change makes a new snapshot out of the old one and the
rules that changed: it costs what was changed, not what there is, and gives the same hash and
the same answers as compiling all rules anew.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, TypeVar

from o10.kernel.periods import OutsidePeriod, Period
from o10.wire.reasons import Reason
from policies.core.policy_body import (
    FORMAT,
    RuleTexts,
    body_of,
    hash_of,
    join_changes,
    read_body,
    write_rules,
)
from policies.core.rules import EnvelopeRule, PolicyRows, UseCaseRule, fiscal_calendar

__all__ = [
    "DEFAULT_CHILD",
    "EnvelopeRule",
    "FORMAT",
    "MOST_LEVELS",
    "Place",
    "PolicyRows",
    "Snapshot",
    "UseCaseRule",
    "compile_policy",
    "fiscal_calendar",
    "join_changes",
    "read_body",
]

DEFAULT_CHILD = "default"
"""Slug of the child that takes every call whose own child does not exist."""
MOST_LEVELS = 6
BELOW: Final = ("environment", "customer", "run")
"""Scope kinds below a use case: which of them a call belongs to, its labels say."""
_Scope = tuple[str, int | None]
_Slugs = dict[str, tuple[EnvelopeRule, ...]]
_Below = dict[int, dict[str, _Slugs]]
_Name = TypeVar("_Name", str, _Scope)


@dataclass(frozen=True, slots=True)
class Place:
    """Which envelopes must a call fit into, root first, and in which period of each?"""

    path: tuple[EnvelopeRule, ...]
    periods: tuple[Period, ...]

    def name_at(self, level: int) -> str:
        """How is this envelope called on a screen: its name and its period?"""
        return self.path[level].name_in(self.periods[level])


@dataclass(slots=True)
class _Calendar:
    """In which period does an instant lie, for all envelopes that are cut alike?

    Memory of the last answer: a period is asked for on every call and changes once a day at
    most, and ten thousand envelopes of one kind have one calendar. It never changes an answer.
    """

    rule: EnvelopeRule
    kept: Period | None = None

    def period_at(self, at: datetime) -> Period:
        kept = self.kept
        if kept is not None and kept.start <= at < kept.end and _alive(self.rule, at):
            return kept
        self.kept = period = self.rule.period_at(at)
        return period


@dataclass(frozen=True, slots=True)
class _Stay:
    """From when until when is this the place of calls of this envelope? Half-open."""

    start: datetime
    end: datetime
    place: Place


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What does version `version` of the policy say?

    `hash` is hex SHA-256 of `body`. Look-ups are dictionaries; nothing here changes.
    """

    version: int
    hash: str
    use_cases: Mapping[str, UseCaseRule]
    envelopes: Mapping[int, EnvelopeRule]
    texts: RuleTexts = field(repr=False)
    _by_scope: Mapping[_Scope, tuple[EnvelopeRule, ...]] = field(repr=False)
    _below: _Below = field(repr=False)
    # Memories of answers already computed; they never change one.
    _calendars: dict[object, _Calendar] = field(compare=False, repr=False)
    _stays: dict[int, _Stay] = field(default_factory=dict, compare=False, repr=False)
    _kinds: dict[str, tuple[str, ...]] = field(default_factory=dict, compare=False, repr=False)

    @property
    def body(self) -> str:
        """Which canonical JSON is it? Put together when asked for."""
        return body_of(self.texts)

    @property
    def rows(self) -> PolicyRows:
        """Of which rules is it made? In order of their numbers."""
        return PolicyRows(
            sorted(self.use_cases.values(), key=_number), list(self.envelopes.values())
        )

    def changed(self, rows: PolicyRows, *, version: int) -> "Snapshot":
        """What does the policy say once these rules hold instead of those of their number?

        The same as `compile_policy` of all rules, at the cost of those that changed.
        """
        texts = self.texts.changed(rows)
        fresh = {rule.id: rule for rule in rows.use_cases}
        use_cases = {
            rule.slug: rule for rule in self.use_cases.values() if rule.id not in fresh
        }
        use_cases |= {rule.slug: rule for rule in rows.use_cases}
        envelopes = dict(self.envelopes)
        scopes, below = dict(self._by_scope), dict(self._below)
        copied: set[tuple[int, str]] = set()
        for rule in rows.envelopes:
            before = envelopes.get(rule.id)
            envelopes[rule.id] = rule
            if before is not None:
                _take_out(before, scopes, below, copied)
            _put_in(rule, scopes, below, copied)
        if list(texts.envelopes) != list(envelopes):
            envelopes = {number: envelopes[number] for number in texts.envelopes}
        return Snapshot(
            version=version,
            hash=hash_of(texts),
            use_cases=use_cases,
            envelopes=envelopes,
            texts=texts,
            _by_scope=scopes,
            _below=below,
            _calendars=self._calendars,
        )

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
        while (kinds := self._below.get(leaf.id)) is not None:
            child = _child(kinds, labels, at)
            if child is None:
                break
            leaf = child
        return self.place_at(leaf, at)

    def place_at(self, leaf: EnvelopeRule, at: datetime) -> Place | Reason:
        """Where do calls of this envelope draw their money from? A reason for nowhere."""
        stay = self._stays.get(leaf.id)
        if stay is not None and stay.start <= at < stay.end:
            return stay.place
        return self._place(leaf, at)

    def leaves_below(self, parent: int, *, at: datetime) -> tuple[EnvelopeRule, ...]:
        """Which envelopes directly below this one have none below themselves? By number.

        Of a child with several envelopes the one that holds now.
        """
        found = [
            rules[0] if len(rules) == 1 else _in_turn(rules, at)
            for slugs in self._below.get(parent, {}).values()
            for rules in slugs.values()
        ]
        return tuple(
            sorted((rule for rule in found if rule.id not in self._below), key=_number)
        )

    def label_kinds(self, use_case: str) -> tuple[str, ...]:
        """Which labels of a call choose its envelope? Scope kinds below the use case.

        Calls of one use case that agree in these have one place. Empty for an unknown one.
        """
        kinds = self._kinds.get(use_case)
        if kinds is None:
            kinds = self._find_kinds(use_case)
            if use_case in self.use_cases:
                self._kinds[use_case] = kinds
        return kinds

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
        key = _calendar_key(rule)
        calendar = self._calendars.get(key)
        if calendar is None:
            calendar = self._calendars.setdefault(key, _Calendar(rule))
        return calendar.period_at(at)

    def _place(self, leaf: EnvelopeRule, at: datetime) -> Place | Reason:
        path = self.path_to(leaf)
        try:
            place = Place(path, tuple(self.period_of(each, at) for each in path))
        except OutsidePeriod as error:
            return _outside(error, at)
        starts = [period.start for period in place.periods]
        starts += [rule.start_at for rule in path if rule.start_at is not None]
        ends = [period.end for period in place.periods]
        ends += [rule.end_at for rule in path if rule.end_at is not None]
        self._stays[leaf.id] = _Stay(max(starts), min(ends), place)
        return place

    def _entrance(self, use_case: UseCaseRule, at: datetime) -> EnvelopeRule | Reason:
        rules = self._entrances(use_case)
        return _in_force(rules, at) if rules else Reason.ENVELOPE_NOT_FOUND

    def _entrances(self, use_case: UseCaseRule) -> tuple[EnvelopeRule, ...]:
        """The envelopes of the nearest scope that has any, one after the other in time."""
        by_scope = self._by_scope
        return (
            by_scope.get(("use_case", use_case.id))
            or by_scope.get(("department", use_case.department))
            or by_scope.get(("company", None), ())
        )

    def _find_kinds(self, use_case: str) -> tuple[str, ...]:
        rule = self.use_cases.get(use_case)
        entrances = {each.id for each in self._entrances(rule)} if rule else set()
        found = {
            kind
            for parent, kinds in self._below.items()
            if not entrances.isdisjoint(
                each.id for each in self.path_to(self.envelopes[parent])
            )
            for kind in kinds
        }
        return tuple(kind for kind in BELOW if kind in found)


def compile_policy(rows: PolicyRows, *, version: int) -> Snapshot:
    """What do these rows say, as one hashed value?

    Equal rows give an equal hash whatever their order; the version is not part of it.
    """
    ordered = PolicyRows(
        sorted(rows.use_cases, key=_number), sorted(rows.envelopes, key=_number)
    )
    texts = write_rules(ordered)
    scopes: dict[_Scope, tuple[EnvelopeRule, ...]] = {}
    below: _Below = {}
    copied: set[tuple[int, str]] = set()
    for rule in ordered.envelopes:
        _put_in(rule, scopes, below, copied)
    return Snapshot(
        version=version,
        hash=hash_of(texts),
        use_cases={rule.slug: rule for rule in ordered.use_cases},
        envelopes={rule.id: rule for rule in ordered.envelopes},
        texts=texts,
        _by_scope=scopes,
        _below=below,
        _calendars={},
    )


def _put_in(
    rule: EnvelopeRule,
    scopes: dict[_Scope, tuple[EnvelopeRule, ...]],
    below: _Below,
    copied: set[tuple[int, str]],
) -> None:
    """Puts a rule where calls look for it. Dictionaries not in `copied` belong to others."""
    if rule.scope_kind not in BELOW:
        scope = _scope_of(rule)
        scopes[scope] = _with(scopes.get(scope, ()), rule)
    elif rule.parent is not None and rule.state != "closed":
        slugs = _own_slugs(rule, below, copied)
        slugs[rule.slug] = _with(slugs.get(rule.slug, ()), rule)


def _take_out(
    rule: EnvelopeRule,
    scopes: dict[_Scope, tuple[EnvelopeRule, ...]],
    below: _Below,
    copied: set[tuple[int, str]],
) -> None:
    if rule.scope_kind not in BELOW:
        _drop(scopes, _scope_of(rule), rule)
    elif rule.parent is not None and rule.state != "closed":
        slugs = _own_slugs(rule, below, copied)
        _drop(slugs, rule.slug, rule)
        if not slugs:
            _forget_kind(below, rule)
            copied.discard((rule.parent, rule.scope_kind))


def _own_slugs(rule: EnvelopeRule, below: _Below, copied: set[tuple[int, str]]) -> _Slugs:
    """The children of this rule's parent and kind, in a dictionary that may be written to."""
    parent = rule.parent or 0
    mark = (parent, rule.scope_kind)
    kinds = below.get(parent, {})
    if mark not in copied:
        copied.add(mark)
        kinds = {**kinds, rule.scope_kind: dict(kinds.get(rule.scope_kind, {}))}
        below[parent] = {kind: kinds[kind] for kind in BELOW if kind in kinds}
    return below[parent][rule.scope_kind]


def _forget_kind(below: _Below, rule: EnvelopeRule) -> None:
    parent = rule.parent or 0
    kinds = {kind: slugs for kind, slugs in below[parent].items() if kind != rule.scope_kind}
    if kinds:
        below[parent] = kinds
    else:
        del below[parent]


def _with(rules: tuple[EnvelopeRule, ...], rule: EnvelopeRule) -> tuple[EnvelopeRule, ...]:
    return (rule,) if not rules else tuple(sorted((*rules, rule), key=_number))


def _drop(
    groups: dict[_Name, tuple[EnvelopeRule, ...]], name: _Name, rule: EnvelopeRule
) -> None:
    rest = tuple(each for each in groups.get(name, ()) if each.id != rule.id)
    if rest:
        groups[name] = rest
    else:
        groups.pop(name, None)


def _child(
    kinds: Mapping[str, _Slugs], labels: Mapping[str, str], at: datetime
) -> EnvelopeRule | None:
    for kind, slugs in kinds.items():
        rules = slugs.get(labels.get(kind, DEFAULT_CHILD)) or slugs.get(DEFAULT_CHILD)
        if rules is not None:
            return rules[0] if len(rules) == 1 else _in_turn(rules, at)
    return None


def _in_turn(rules: tuple[EnvelopeRule, ...], at: datetime) -> EnvelopeRule:
    """Which of a child's envelopes holds now? They never overlap; else the last tells why."""
    return next((rule for rule in rules if _alive(rule, at)), rules[-1])


def _calendar_key(rule: EnvelopeRule) -> tuple[object, ...]:
    return (
        rule.period_kind,
        rule.time_zone,
        rule.start_at,
        rule.end_at,
        rule.week_start,
        rule.days,
        None if rule.fiscal is None else repr(rule.fiscal),
    )


def _number(rule: UseCaseRule | EnvelopeRule) -> int:
    return rule.id


def _scope_of(rule: EnvelopeRule) -> _Scope:
    if rule.scope_kind == "use_case":
        return ("use_case", rule.use_case)
    if rule.scope_kind == "department":
        return ("department", rule.department)
    return (rule.scope_kind, None)


def _alive(rule: EnvelopeRule, at: datetime) -> bool:
    started = rule.start_at is None or rule.start_at <= at
    return started and (rule.end_at is None or at < rule.end_at)


def _in_force(rules: tuple[EnvelopeRule, ...], at: datetime) -> EnvelopeRule | Reason:
    """Which of one scope's envelopes holds now? They never overlap (create_envelope)."""
    for rule in rules:
        if rule.state != "closed" and _alive(rule, at):
            return rule
    living = [rule for rule in rules if rule.state != "closed"]
    if any(rule.start_at is not None and at < rule.start_at for rule in living):
        return Reason.ENVELOPE_NOT_STARTED
    return Reason.ENVELOPE_CLOSED


def _outside(error: OutsidePeriod, at: datetime) -> Reason:
    start = error.fields.get("start")
    ahead = isinstance(start, datetime) and at < start
    return Reason.ENVELOPE_NOT_STARTED if ahead else Reason.ENVELOPE_CLOSED
