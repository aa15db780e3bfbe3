"""Which kinds of alert are there, what does each watch, and how often is it raised?

One table: the rules form, the evaluation, the payloads and the manual read it. Kinds that are
not in it (a tripped criterion, a commitment that wastes) are raised by whoever finds them.
Source: product.md section 5 and 7; conventions.md sections 3, 4 and 9.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

PPM: Final = 1_000_000
DAY_S: Final = 86_400


class Severity(StrEnum):
    """How urgent is it? In rising order."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """Later ones are more urgent."""
        return tuple(Severity).index(self)


class Unit(StrEnum):
    """In which unit does a rule state its threshold?"""

    PPM = "ppm"
    """Millionths of the cap or of the even pace."""
    NANOS = "nanos"
    SECONDS = "seconds"
    CALLS = "calls"


class Window(StrEnum):
    """Within which time is an alert raised once?"""

    PERIOD = "period"
    """The envelope's own period."""
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertKind:
    """What does this kind watch?

    Units: `threshold` in `unit`; None = the watched thing states its own (soft thresholds).
    `ends_by_itself` = resolved when it is no longer so, else when its window is over.
    """

    name: str
    title: str
    meaning: str
    unit: Unit
    threshold: int | None
    windows: tuple[Window, ...]
    severity: Severity
    scopes: tuple[str, ...]
    event_type: str
    peer_event: str = ""
    built_in: bool = True
    ends_by_itself: bool = False


_ENVELOPES: Final = ("company", "department", "use_case", "envelope")
_COMPANY: Final = ("company",)

_ROWS: Final = (
    AlertKind(
        name="envelope_threshold",
        title="Envelope threshold",
        meaning="Spent, lent and unsettled money reach a share of the cap.",
        unit=Unit.PPM,
        threshold=None,
        windows=(Window.PERIOD,),
        severity=Severity.WARNING,
        scopes=_ENVELOPES,
        event_type="io.o10.envelope.threshold.v1",
        peer_event="threshold_crossed",
    ),
    AlertKind(
        name="envelope_forecast",
        title="Envelope forecast",
        meaning="At the pace so far the period ends at or above a share of the cap.",
        unit=Unit.PPM,
        threshold=PPM,
        windows=(Window.PERIOD,),
        severity=Severity.WARNING,
        scopes=_ENVELOPES,
        event_type="io.o10.envelope.threshold.v1",
        peer_event="projected_limit_exceeded",
    ),
    AlertKind(
        name="burn_rate",
        title="Burn rate",
        meaning="Six hours cost a multiple of their even share of the cap.",
        unit=Unit.PPM,
        threshold=3 * PPM,
        windows=(Window.DAY, Window.HOUR),
        severity=Severity.WARNING,
        scopes=_ENVELOPES,
        event_type="io.o10.envelope.burn.v1",
        peer_event="spend_tracked",
    ),
    AlertKind(
        name="overrun",
        title="Overruns",
        meaning="Costs above what calls had reserved reach a share of the cap.",
        unit=Unit.PPM,
        threshold=5_000,
        windows=(Window.PERIOD,),
        severity=Severity.WARNING,
        scopes=_ENVELOPES,
        event_type="io.o10.envelope.overrun.v1",
        peer_event="budget_crossed",
    ),
    AlertKind(
        name="spend_over",
        title="Spend above an amount",
        meaning="A use case, a department or the company spends more than an amount.",
        unit=Unit.NANOS,
        threshold=None,
        windows=(Window.DAY, Window.WEEK, Window.MONTH),
        severity=Severity.WARNING,
        scopes=("company", "department", "use_case"),
        event_type="io.o10.spend.threshold.v1",
        peer_event="spend_tracked",
        built_in=False,
    ),
    AlertKind(
        name="unpriced_traffic",
        title="Unpriced traffic",
        meaning="Calls were denied, or served by a model, without a price that anybody knows.",
        unit=Unit.CALLS,
        threshold=1,
        windows=(Window.DAY,),
        severity=Severity.CRITICAL,
        scopes=_COMPANY,
        event_type="io.o10.prices.missing.v1",
        ends_by_itself=False,
    ),
    AlertKind(
        name="price_book_stale",
        title="Stale price book",
        meaning="The newest catalogue in the price book is too old.",
        unit=Unit.SECONDS,
        threshold=45 * DAY_S,
        windows=(Window.WEEK,),
        severity=Severity.WARNING,
        scopes=_COMPANY,
        event_type="io.o10.prices.stale.v1",
        ends_by_itself=True,
    ),
    AlertKind(
        name="seal_lag",
        title="Seal lag",
        meaning="An entry waits too long for its position in the ledger.",
        unit=Unit.SECONDS,
        threshold=30,
        windows=(Window.HOUR,),
        severity=Severity.CRITICAL,
        scopes=_COMPANY,
        event_type="io.o10.ledger.lagging.v1",
        ends_by_itself=True,
    ),
    AlertKind(
        name="leaked_holds",
        title="Leaked holds",
        meaning="Holds stay open after their time, or lent money has no holder any more.",
        unit=Unit.SECONDS,
        threshold=60,
        windows=(Window.DAY,),
        severity=Severity.WARNING,
        scopes=_COMPANY,
        event_type="io.o10.holds.leaked.v1",
        ends_by_itself=True,
    ),
    AlertKind(
        name="unsigned_change",
        title="Unsigned change",
        meaning="Cost per call moved after a change that nobody signed.",
        unit=Unit.PPM,
        threshold=100_000,
        windows=(Window.PERIOD,),
        severity=Severity.WARNING,
        scopes=_COMPANY,
        event_type="io.o10.change.unsigned.v1",
        peer_event="spend_tracked",
    ),
)

KINDS: Final[Mapping[str, AlertKind]] = MappingProxyType({row.name: row for row in _ROWS})
BUILT_IN: Final = tuple(row for row in _ROWS if row.built_in)
MADE_BY_HAND: Final = tuple(row for row in _ROWS if row.name != "unsigned_change")
"""Kinds of which people make further rules; a change is watched for everywhere already."""

_EVENT_TYPES: Final = {
    "envelope_exhausted": "io.o10.envelope.exhausted.v1",
    "criterion_tripped": "io.o10.criterion.tripped.v1",
    "criterion_restored": "io.o10.criterion.restored.v1",
    "approval_requested": "io.o10.approval.requested.v1",
    "period_closed": "io.o10.period.closed.v1",
    "ledger_broken": "io.o10.ledger.broken.v1",
    "report_published": "io.o10.report.published.v1",
    "test": "io.o10.alert.test.v1",
}


NEWS: Final = frozenset({"period_closed", "criterion_restored", "report_published"})
"""Kinds that ask nothing of anybody: told once, and resolved as soon as they are told."""


def event_type_of(kind: str) -> str:
    """Which type has the event of this kind outside? Never renamed."""
    known = KINDS.get(kind)
    if known is not None:
        return known.event_type
    return _EVENT_TYPES.get(kind, f"io.o10.alert.{kind}.v1")


def title_of(kind: str) -> str:
    """How is this kind called on screen?"""
    known = KINDS.get(kind)
    return known.title if known else kind.replace("_", " ").capitalize()
