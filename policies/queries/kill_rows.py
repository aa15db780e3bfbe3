"""Which kill criteria are there, what do they say, and what do they watch?"""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

import msgspec

from o10.kernel.errors import NotFound
from policies.core.kill import WATCHING, Standing, State
from policies.core.kill_spec import Spec
from policies.core.metrics import METRICS
from policies.models import KillCriterion, KillEvent, KillReview
from policies.queries.current_policy import current_policy
from policies.queries.metric_sources import MetricScope

COUNTS_ANEW: Final = ("restore", "rearm")
"""Events after which nothing from before counts."""


def get_criterion(public: str) -> KillCriterion:
    """Which criterion has this id?

    Raises: NotFound (`not_found`).
    """
    row: KillCriterion | None = (
        KillCriterion.objects.select_related("use_case", "department")
        .filter(public=public)
        .first()
    )
    if row is None:
        raise NotFound(kind="kill_criterion", id=public)
    return row


def open_review_of(row: KillCriterion) -> KillReview | None:
    """What has the board to decide about this criterion? None = nothing."""
    found: KillReview | None = KillReview.objects.filter(criterion=row, decided_at=None).first()
    return found


def list_watched(*, money: int | None = None) -> list[KillCriterion]:
    """Which criteria are looked at? `money` 1 = those that spend may trip, 0 = the others."""
    states = [state.value for state in WATCHING]
    rows = KillCriterion.objects.select_related("use_case", "department").filter(
        state__in=states
    )
    return [row for row in rows.order_by("id") if money is None or is_money(row) == bool(money)]


def is_money(row: KillCriterion) -> bool:
    """May it trip as soon as spend is booked?"""
    metric = METRICS.get(row.spec.get("metric", ""))
    return metric is not None and metric.money


def spec_of(row: KillCriterion) -> Spec:
    """What does this criterion say?"""
    return msgspec.convert(row.spec, Spec)


def standing_of(row: KillCriterion) -> Standing:
    """Where does this criterion stand?"""
    return Standing(
        state=State(row.state),
        over_since=row.over_since,
        inside_since=row.inside_since,
        tripped_at=row.tripped_at,
        restorable_at=row.restorable_at,
        override_until=row.override_until,
        proposed_at=row.proposed_at,
    )


def scope_of(row: KillCriterion) -> MetricScope:
    """Of which use cases is it measured, and whom does its lever hold?"""
    rules = sorted(current_policy().snapshot.use_cases.values(), key=lambda rule: rule.id)
    within = [
        rule
        for rule in rules
        if row.scope_kind == "company"
        or rule.id == row.use_case_id
        or rule.department == row.department_id
    ]
    return MetricScope(
        row.scope_kind,
        tuple(rule.id for rule in within),
        tuple(rule.slug for rule in within),
    )


def counts_from(row: KillCriterion) -> datetime | None:
    """From when on does it count? None = as far back as its window reaches."""
    found: datetime | None = (
        KillEvent.objects.filter(criterion_id=row.id, kind__in=COUNTS_ANEW)
        .order_by("-at", "-id")
        .values_list("at", flat=True)
        .first()
    )
    return found


def spenders_watched(rows: Iterable[KillCriterion]) -> dict[int, list[KillCriterion]]:
    """Which criteria does spend of each use case concern?"""
    found: dict[int, list[KillCriterion]] = {}
    for row in rows:
        for use_case in scope_of(row).use_cases:
            found.setdefault(use_case, []).append(row)
    return found
