"""What would an allocation of this month book, and what has it booked already?"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from hashlib import sha256

from django.db import connection

from o10.kernel.money import Nanos
from reports.core.allocation import UNALLOCATED, Method, Rule, allocate
from reports.core.cost_components import STATED, Component
from reports.core.reporting_period import months_between
from reports.models import AllocationLine
from reports.queries.components import list_amounts, rule_of, rules_in_force, stated_sums
from reports.queries.cost_cells import measures_of, read_counted
from reports.queries.driver_volumes import sum_volumes

NO_RULE = Rule(method=Method.DIRECT)
"""Without a rule nothing is shared: the amount is unallocated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedLine:
    """What should a use case carry of a component, and what does it carry? Nanos.

    `rule_version` 0 = stated for the use case itself, or no rule.
    """

    component: Component
    use_case: int
    nanos: Nanos
    booked: Nanos
    rule_version: int
    booked_rule: int
    entry: str

    @property
    def changes(self) -> bool:
        """Must an entry be written?"""
        return self.nanos != self.booked or (
            self.nanos != 0 and self.rule_version != self.booked_rule
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AllocationPlan:
    """What would an allocation of this month do? `digest` names amounts, rules and weights."""

    month: date
    lines: tuple[PlannedLine, ...]
    run: int
    without_rule: tuple[Component, ...]
    digest: str

    @property
    def changes(self) -> tuple[PlannedLine, ...]:
        """Which lines would be booked anew?"""
        return tuple(line for line in self.lines if line.changes)

    @property
    def total(self) -> Nanos:
        """What would be shared out in all?"""
        return sum(line.nanos for line in self.lines)

    @property
    def booked(self) -> Nanos:
        """What is booked now?"""
        return sum(line.booked for line in self.lines)

    @property
    def unallocated(self) -> Nanos:
        """What would no use case carry?"""
        return sum(line.nanos for line in self.lines if line.use_case == UNALLOCATED)


def plan_allocation(*, month: date) -> AllocationPlan:
    """What would an allocation of this month book? Reads only.

    Shape: one line for each component and use case that carries or carried something.
    """
    month = month.replace(day=1)
    after = next_month(month)
    stated = stated_sums(list_amounts(first=month, after=after))
    rules = rules_in_force(month=month)
    measures = measures_of(
        read_counted(first=month, after=after),
        outcomes=count_successes(first=month, after=after),
        volumes=sum_volumes(first=month, after=after),
    )
    wanted: dict[tuple[Component, int], tuple[Nanos, int]] = {}
    without: list[Component] = []
    for component in STATED:
        amounts = stated.get(component, {})
        rule = rules.get(component)
        version = rule.version if rule else 0
        for use_case, nanos in amounts.items():
            if use_case != UNALLOCATED and nanos:
                _add(wanted, component, use_case, nanos, 0)
        pool = amounts.get(UNALLOCATED, 0)
        if pool and rule is None:
            without.append(component)
        for share in allocate(pool, rule_of(rule) if rule else NO_RULE, measures):
            _add(wanted, component, share.use_case, share.nanos, version)
    booked = booked_lines(month=month)
    keys = sorted(wanted.keys() | booked.keys())
    lines = tuple(_line(key, wanted.get(key), booked.get(key)) for key in keys)
    said = "\n".join(
        f"{line.component} {line.use_case} {line.nanos} {line.rule_version}" for line in lines
    )
    newest = AllocationLine.objects.filter(month=month).order_by("-run").first()
    return AllocationPlan(
        month=month,
        lines=lines,
        run=newest.run if newest else 0,
        without_rule=tuple(without),
        digest=sha256(f"{month}\n{said}".encode()).hexdigest(),
    )


def allocations_due(*, month: date) -> tuple[Component, ...]:
    """Which components of this month are stated, or were, and not booked as they stand?"""
    return tuple(dict.fromkeys(line.component for line in plan_allocation(month=month).changes))


def booked_lines(*, month: date) -> Mapping[tuple[Component, int], AllocationLine]:
    """What is booked of this month? Newest line of each component and use case; no zeros."""
    rows = AllocationLine.objects.filter(month=month)
    newest = rows.order_by("component", "use_case", "-run").distinct("component", "use_case")
    return {(Component(row.component), row.use_case): row for row in newest if row.amount_nanos}


def count_successes(*, first: date, after: date) -> Mapping[int, int]:
    """How many confirmed outcomes of days [first, after) has each use case?"""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT o.use_case, sum(o.count)::bigint FROM reports_outcome o
            WHERE o.day >= %s AND o.day < %s AND o.success AND NOT EXISTS (
                SELECT 1 FROM reports_outcome l WHERE l.kind = o.kind AND l.name = o.name
                    AND l.revision > o.revision)
            GROUP BY 1
            """,
            [first, after],
        )
        return dict(cursor.fetchall())


def next_month(month: date) -> date:
    """Which month follows?"""
    return months_between(month, date(month.year + 1, month.month, 1))[1]


def _add(
    wanted: dict[tuple[Component, int], tuple[Nanos, int]],
    component: Component,
    use_case: int,
    nanos: Nanos,
    version: int,
) -> None:
    before, rule = wanted.get((component, use_case), (0, 0))
    wanted[component, use_case] = (before + nanos, max(rule, version))


def _line(
    key: tuple[Component, int],
    wanted: tuple[Nanos, int] | None,
    booked: AllocationLine | None,
) -> PlannedLine:
    nanos, version = wanted or (0, 0)
    return PlannedLine(
        component=key[0],
        use_case=key[1],
        nanos=nanos,
        booked=booked.amount_nanos if booked else 0,
        rule_version=version,
        booked_rule=booked.rule_version if booked else 0,
        entry=str(booked.entry_uid) if booked else "",
    )
