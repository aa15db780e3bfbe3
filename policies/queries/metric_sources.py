"""Who knows the inputs of metrics that spend control does not keep itself?

Outcomes, full cost, plans, forecasts, evals and scores belong to whoever stands above or beside
us. They hand up integers, never verdicts: the formulas stay in policies.core.metrics.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol


@dataclass(frozen=True, slots=True)
class MetricScope:
    """Of what is it measured? `use_cases` and `slugs` name the same use cases, in one order."""

    kind: str
    use_cases: tuple[int, ...]
    slugs: tuple[str, ...]


class MetricSource(Protocol):
    """Which integers are the inputs of this metric? None or a missing name = not known."""

    def __call__(
        self, *, scope: MetricScope, start: datetime, end: datetime, at: datetime
    ) -> Mapping[str, int] | None:
        """For the window [start, end), as known at `at`."""
        ...


_SOURCES: Final[dict[str, MetricSource]] = {}


def register_metric_source(metric: str, source: MetricSource) -> None:
    """Says who knows the inputs of this metric. At start, once for each metric."""
    _SOURCES[metric] = source


def has_source(metric: str) -> bool:
    """Does anybody know the inputs of this metric beside us?"""
    return metric in _SOURCES


def inputs_from_source(
    metric: str, *, scope: MetricScope, start: datetime, end: datetime, at: datetime
) -> Mapping[str, int]:
    """What does the source of this metric say? Empty where there is none."""
    source = _SOURCES.get(metric)
    if source is None:
        return {}
    return source(scope=scope, start=start, end=end, at=at) or {}
