"""What do the processes say about themselves? Logs without secrets, and the metrics there are.

One line of JSON per event where a machine reads (production), coloured text in a terminal.
Every event, also of Django, Celery and the server, passes the same redaction: keys, tokens,
passwords and prompts never reach a log. Metrics are defined here as a table and filled at the
door that is scraped.
"""

import logging
import re
import sys
from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

REDACTED = "[redacted]"

_SECRET_NAME = re.compile(
    r"authorization|password|passwd|secret|cookie|session|csrf|prompt$|prompts$|messages$"
    r"|api_?key|private_?key|signing_?key|token_?key|(^|_)tokens?$|bearer|credential|database_url",
    re.I,
)
# Counts of tokens are the business of this product and no secret.
_COUNT_NAME = re.compile(
    r"^(n|max|input|output|cached|reasoning|audio|image|total|cache)_.*tokens"
)
_SECRET_TEXT = (
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{6,}"), rf"\1 {REDACTED}"),
    (re.compile(r"\bo10_[A-Za-z0-9_-]{12,}"), REDACTED),
    (re.compile(r"\bsk-[A-Za-z0-9_-]{12,}"), REDACTED),
    # A reservation token settles money: 90 characters of base64url beginning with version 1.
    (re.compile(r"(?<![\w-])AQ[A-Za-z0-9_-]{88}(?![\w-])"), REDACTED),
    (re.compile(r"(://[^:/@\s]*):[^@/\s]+@"), rf"\1:{REDACTED}@"),
)
_MAX_DEPTH = 6


class LogForm(StrEnum):
    """Who reads the log?"""

    AUTO = "auto"
    """Text when standard error is a terminal, JSON otherwise."""
    JSON = "json"
    TEXT = "text"


def configure_logging(*, form: LogForm = LogForm.AUTO, level: str = "INFO") -> None:
    """How does this process log? Called at start; a second call replaces the handler."""
    as_text = form is LogForm.TEXT or (form is LogForm.AUTO and sys.stderr.isatty())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        structlog.processors.StackInfoRenderer(),
    ]
    # Tracebacks become text before the redaction, so that it sees what an exception quotes.
    last: list[Any] = [structlog.processors.format_exc_info, redact]
    last += (
        [structlog.dev.ConsoleRenderer(colors=as_text)]
        if as_text
        else [structlog.processors.JSONRenderer(sort_keys=True, default=str)]
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    handler.set_name("o10")
    root = logging.getLogger()
    root.handlers = [each for each in root.handlers if each.get_name() != "o10"] + [handler]
    root.setLevel(level)


def get_logger(name: str) -> Any:
    """Which logger speaks for this module? Events are past tense: `reservation_settled`."""
    return structlog.stdlib.get_logger(name)


def redact(
    logger: Any, method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Which of this event may be written? Secrets by name and by shape are replaced."""
    return {name: _clean(name, value, 0) for name, value in event.items()}


def _clean(name: str, value: Any, depth: int) -> Any:
    if _SECRET_NAME.search(name.replace("-", "_")) and not (
        _COUNT_NAME.search(name) and _is_number(value)
    ):
        return REDACTED
    if isinstance(value, str):
        for pattern, replacement in _SECRET_TEXT:
            value = pattern.sub(replacement, value)
        return value
    if depth >= _MAX_DEPTH or value is None or _is_number(value):
        return value if depth < _MAX_DEPTH else REDACTED
    if isinstance(value, Mapping):
        return {str(key): _clean(str(key), item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean("", item, depth + 1) for item in value]
    # Anything else would be written by its repr, which may quote a header or a body.
    return _clean("", str(value), depth + 1)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


class MetricKind(StrEnum):
    """Does the value only grow, or move both ways?"""

    COUNTER = "counter"
    GAUGE = "gauge"


@dataclass(frozen=True, slots=True)
class MetricName:
    """Which metric is it? Unit last in the name, labels of few values only."""

    name: str
    kind: MetricKind
    meaning: str
    labels: tuple[str, ...] = ()


DECISIONS = MetricName(
    "o10_decisions_total", MetricKind.COUNTER, "Decisions.", ("decision", "reason")
)
SEAL_LAG = MetricName(
    "o10_seal_lag_seconds", MetricKind.GAUGE, "Age of the oldest entry without a position."
)
UNSEALED = MetricName("o10_unsealed_entries", MetricKind.GAUGE, "Entries without a position.")
SEALED = MetricName("o10_ledger_size_entries", MetricKind.GAUGE, "Entries with a position.")
STRAYS = MetricName(
    "o10_stray_entries",
    MetricKind.GAUGE,
    "Entries of the last 5 minutes recorded more than 5 minutes from their sealing.",
)
HELD = MetricName(
    "o10_held_nanos", MetricKind.GAUGE, "Money of open reservations.", ("currency",)
)
HELD_OVERDUE = MetricName(
    "o10_held_overdue_nanos",
    MetricKind.GAUGE,
    "Money of reservations past their time that nobody settled.",
    ("currency",),
)
UNSETTLED = MetricName(
    "o10_unsettled_nanos",
    MetricKind.GAUGE,
    "Worst case of expired holds without an answer.",
    ("currency",),
)
LEASED = MetricName(
    "o10_leased_nanos",
    MetricKind.GAUGE,
    "Money lent to processes, not yet spent or returned.",
    ("currency",),
)
HOLDERS = MetricName(
    "o10_lease_holders", MetricKind.GAUGE, "Processes that may spend leased money."
)
BOOKING_LAG = MetricName(
    "o10_booking_lag_seconds",
    MetricKind.GAUGE,
    "How long what a process answered may have waited for the books.",
)
PUT_ASIDE = MetricName(
    "o10_put_aside_records", MetricKind.GAUGE, "Records of journals that could not be booked."
)
BROKEN_INVARIANTS = MetricName(
    "o10_broken_invariants", MetricKind.GAUGE, "Breaches of P1 to P8 in the books; 0 is right."
)
STRANDED = MetricName(
    "o10_stranded_lease_nanos",
    MetricKind.GAUGE,
    "Money of leases whose holder is gone.",
    ("currency",),
)
PRICE_COVERAGE = MetricName(
    "o10_price_coverage_ratio", MetricKind.GAUGE, "Share of calls priced from the price book."
)
UNATTRIBUTED = MetricName(
    "o10_unattributed_ratio", MetricKind.GAUGE, "Share of spend without a use case."
)
QUEUE_DEPTH = MetricName("o10_queue_depth", MetricKind.GAUGE, "Jobs waiting.", ("queue",))
LEDGER_INTACT = MetricName(
    "o10_ledger_intact", MetricKind.GAUGE, "1 when the last verification passed, else 0."
)
METRICS = (
    DECISIONS,
    SEAL_LAG,
    UNSEALED,
    SEALED,
    STRAYS,
    HELD,
    HELD_OVERDUE,
    UNSETTLED,
    LEASED,
    STRANDED,
    HOLDERS,
    BOOKING_LAG,
    PUT_ASIDE,
    BROKEN_INVARIANTS,
    PRICE_COVERAGE,
    UNATTRIBUTED,
    QUEUE_DEPTH,
    LEDGER_INTACT,
)
"""Every metric there is."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What was measured? `label_values` in the order of the metric's labels."""

    metric: MetricName
    value: float
    label_values: tuple[str, ...] = ()


def exposition(samples: Iterable[Sample]) -> bytes:
    """How are these samples written for Prometheus? As text, in the order of METRICS.

    Raises: ValueError for a metric outside of METRICS or a wrong number of labels.
    """
    families = {metric: _family(metric) for metric in METRICS}
    for sample in samples:
        family = families.get(sample.metric)
        if family is None or len(sample.label_values) != len(sample.metric.labels):
            raise ValueError(f"no such metric with these labels: {sample.metric.name}")
        family.add_metric(sample.label_values, sample.value)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families([each for each in families.values() if each.samples]))
    return generate_latest(registry)


def _family(metric: MetricName) -> CounterMetricFamily | GaugeMetricFamily:
    kind = CounterMetricFamily if metric.kind is MetricKind.COUNTER else GaugeMetricFamily
    return kind(metric.name, metric.meaning, labels=metric.labels)


class _Families(Collector):
    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families
