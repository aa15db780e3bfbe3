"""Which rules can hold for the calls of a use case, and which in an envelope?

Plain values, as a policy says them. What they answer together is `policies.core.snapshot`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache

from o10.kernel.money import Nanos
from o10.kernel.periods import (
    FiscalCalendar,
    OutsidePeriod,
    Period,
    PeriodKind,
    label,
    period_at,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeverRule:
    """Which lever of which tripped kill criterion holds for the calls of a use case?

    Units: `amount` output tokens (cap_output), steps (cap_steps) or nanos an hour (throttle);
    `model` is the one that rightsizing forces. `until` is the last instant of a sunset.
    """

    criterion: str
    name: str
    lever: str
    since: datetime
    amount: int | None = None
    model: str = ""
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRule:
    """Which model, or which offer of one (`venue/model`), was approved, and until when?"""

    name: str
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UseCaseRule:
    """Which rules hold for the calls of one use case? Units: tokens; nanos.

    `levers` of tripped kill criteria, in the order of their criteria; mostly there are none.
    `models` None = every model that has a price; else those that were approved, and no other.
    """

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
    levers: tuple[LeverRule, ...] = ()
    models: tuple[ModelRule, ...] | None = None


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
class PolicyRows:
    """Of what is a snapshot made? Every rule in force, in any order."""

    use_cases: Sequence[UseCaseRule]
    envelopes: Sequence[EnvelopeRule]


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
