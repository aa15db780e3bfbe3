"""What is an outcome worth to a use case, and for how long does it still count?"""

from collections.abc import Mapping
from datetime import date
from typing import Final

from reports.models import OutcomeValue

WINDOW_DAYS: Final = 7
"""How long after its calls an outcome counts, while nobody has approved another window."""


def list_outcome_values() -> list[OutcomeValue]:
    """Which values were ever approved? Newest version of each use case first."""
    return list(OutcomeValue.objects.order_by("use_case", "-version"))


def values_in_force(*, on: date) -> Mapping[int, OutcomeValue]:
    """Which value holds for each use case on this day? By use case number."""
    rows = OutcomeValue.objects.filter(from_day__lte=on)
    newest = rows.order_by("use_case", "-from_day", "-version").distinct("use_case")
    return {row.use_case: row for row in newest}


def value_on(values: list[OutcomeValue], *, use_case: int, on: date) -> OutcomeValue | None:
    """Which of these values holds for this use case on this day?"""
    fit = [row for row in values if row.use_case == use_case and row.from_day <= on]
    return max(fit, key=lambda row: (row.from_day, row.version), default=None)


def window_days(*, use_case: int, kind: str) -> int:
    """How long after its calls does an outcome of this type count?"""
    rows = OutcomeValue.objects.filter(use_case=use_case, kind=kind)
    row = rows.order_by("-from_day", "-version").first()
    return row.window_days if row else WINDOW_DAYS
