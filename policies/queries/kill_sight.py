"""What has to be read to measure a signal, and what stood in it? Once, cut into buckets.

A sight is a stretch of entries; the inputs of any window inside it are sums of whole buckets
(policies.queries.kill_inputs). Live it ends now and is read anew; on history it spans months
and is walked through.
Source: docs/algorithms/kill-criteria.md. Units: nanos; tokens; seconds.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Any, Final
from zoneinfo import ZoneInfo

from django.db import connection

from ledger import facade as ledger
from o10.kernel.usage import TokenClass
from o10.wire.reasons import Reason
from policies.core.kill_spec import Spec
from policies.core.metrics import METRICS
from policies.core.rules import EnvelopeRule
from policies.models import EnvelopeVersion
from policies.queries.current_policy import current_policy
from policies.queries.metric_sources import MetricScope
from policies.queries.prices import find_price

DAY: Final = timedelta(days=1)
HOUR: Final = timedelta(hours=1)
MINUTE: Final = timedelta(minutes=1)
NIGHTS: Final = 7
WEEKS_BACK: Final = 8
"""From so many weeks the paths of a breach are drawn."""
SIMPLE: Final = "simple"
FRONTIER_NANOS: Final = 10_000_000_000
"""A model is frontier when a million output tokens cost so much at its cheapest offer."""
_COMPLIANCE: Final = (
    Reason.MODEL_DENIED,
    Reason.MODEL_NOT_APPROVED,
    Reason.APPROVAL_EXPIRED,
    Reason.RESIDENCY_VIOLATION,
    Reason.ZDR_REQUIRED,
    Reason.DATA_CLASS_FORBIDDEN,
)
SUMMED: Final = (
    "spent",
    "direct",
    "waste",
    "calls",
    "failed",
    "reserved",
    "actual",
    "reserved_calls",
    "tokens",
    "tokens_priced",
    "differs",
    "unguarded",
    "unsettled",
)
_BACK: Final = {
    "spend_jump": 29 * DAY,
    "dearer_model": 7 * DAY,
    "p_breach": 7 * WEEKS_BACK * DAY,
    "idle_schedule": (NIGHTS + 1) * DAY,
}
ON_ENVELOPE: Final = frozenset({"envelope_utilisation", "unsettled_share", "p_breach"})
"""Metrics that measure against an envelope's running period."""
COUNTED: Final = frozenset(
    {
        *SUMMED,
        "spend",
        "settled",
        "same_weekday_spend",
        "p_breach_ppm",
        "p95_ms",
        "repeats",
        "violations",
        "unattributed",
        "premium",
        "steady_nights",
    }
)
"""Inputs that are counted in entries and decisions here; the others somebody hands up."""
# A step fingerprint names the step; without one only what says of itself that it is repeated
# can be told from two calls of one size.
READ_REPEATS: Final = """
SELECT floor(extract(epoch FROM (d.decided_at - %(start)s)) / %(width)s)::int AS bucket,
    coalesce(d.record->'request'->>'step_fingerprint',
             concat_ws('|', d.caller, d.record->'request'->>'run_id', d.model,
                       d.record->'request'->>'input_tokens',
                       d.record->'request'->>'max_output_tokens')) AS name,
    count(*) FILTER (WHERE d.record->'request' ? 'step_fingerprint'
                     OR d.record->'request' ? 'run_id'
                     OR (d.record->'request'->>'attempt')::int > 1),
    count(*)
FROM policies_decision_log d
WHERE d.use_case = ANY(%(use_cases)s) AND d.decided_at >= %(start)s AND d.decided_at < %(end)s
GROUP BY 1, 2 ORDER BY 1
"""
READ_AGAINST: Final = """
SELECT floor(extract(epoch FROM (d.decided_at - %(start)s)) / %(width)s)::int AS bucket,
    count(*)
FROM policies_decision_log d
WHERE d.use_case = ANY(%(use_cases)s) AND d.decided_at >= %(start)s AND d.decided_at < %(end)s
  AND d.would_decision = 'deny' AND d.decision <> 'deny' AND d.reason_code = ANY(%(codes)s)
GROUP BY 1 ORDER BY 1
"""


@dataclass(slots=True)
class Sight:
    """Which stretch was read, in which buckets, and what stood in them?

    Shape: `sums` has the running totals of every counted field, one more than there are
    buckets with anything in them (`numbers`). `history` = it is walked through, so that stocks
    are those of then, not those of now; `told` keeps what somebody handed up for a window.
    """

    spec: Spec
    scope: MetricScope
    start: datetime
    end: datetime
    width: timedelta
    history: int
    numbers: list[int] = field(default_factory=list)
    sums: dict[str, list[int]] = field(default_factory=dict)
    latencies: list[tuple[int, ...]] = field(default_factory=list)
    stray: list[tuple[int, int]] = field(default_factory=list)
    against: list[tuple[int, int]] = field(default_factory=list)
    models: list[tuple[int, int, int, int]] = field(default_factory=list)
    repeats: list[tuple[int, str, int, int]] = field(default_factory=list)
    premium: list[tuple[int, int]] = field(default_factory=list)
    caps: list[tuple[datetime, int | None]] = field(default_factory=list)
    envelope: EnvelopeRule | None = None
    told: dict[tuple[datetime, datetime], Mapping[str, int]] = field(default_factory=dict)
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))

    def spent(self, start: datetime, end: datetime) -> dict[str, int]:
        """What was counted in [start, end)? Whole buckets."""
        low, high = self.between(start, end)
        return {name: sums[high] - sums[low] for name, sums in self.sums.items()}

    def first_at(self) -> datetime | None:
        """When did anything happen first, in this stretch?"""
        return self.start + self.numbers[0] * self.width if self.numbers else None

    def between(self, start: datetime, end: datetime) -> tuple[int, int]:
        """Which buckets with anything in them lie in [start, end)? Places in `numbers`."""
        low = bisect_left(self.numbers, self.number(start))
        return low, max(low, bisect_left(self.numbers, self.number(end)))

    def number(self, at: datetime) -> int:
        """Which is the first bucket that begins at this instant or later?"""
        return -((self.start - at) // self.width)

    def of(self, rows: Sequence[tuple[int, ...]], start: datetime, end: datetime) -> int:
        """How many of these counts lie in [start, end)?"""
        return sum(row[1] for row in self.within(rows, start, end))

    def within(self, rows: Sequence[Any], start: datetime, end: datetime) -> Sequence[Any]:
        """Which of these rows, in the order of their buckets, lie in [start, end)?"""
        low = bisect_left(rows, self.number(start), key=_bucket)
        return rows[low : bisect_left(rows, self.number(end), low, key=_bucket)]


def _bucket(row: Sequence[int]) -> int:
    return row[0]


def look_now(*, spec: Spec, scope: MetricScope, at: datetime) -> Sight:
    """What has to be read to measure this now?"""
    window = timedelta(seconds=spec.window_s)
    width = HOUR
    if window < 2 * DAY and spec.metric not in _BACK:
        width = max(timedelta(seconds=1), window / 120)
    back = window + _BACK.get(spec.metric, timedelta(0))
    steps = -(-back // width)
    return _read(spec, scope, at - steps * width, at, width, history=0)


def look_back(*, spec: Spec, scope: MetricScope, start: datetime, end: datetime) -> Sight:
    """What has to be read to walk through this stretch? Buckets as wide as it steps."""
    width = min(HOUR, max(MINUTE, timedelta(seconds=spec.window_s) / 10))
    back = timedelta(seconds=spec.window_s) + _BACK.get(spec.metric, timedelta(0))
    if spec.metric in ON_ENVELOPE:
        back = max(back, start - _period_start(scope, start))
    steps = -(-(end - start + back) // width)
    return _read(spec, scope, end - steps * width, end, width, history=1)


def _read(
    spec: Spec,
    scope: MetricScope,
    start: datetime,
    end: datetime,
    width: timedelta,
    *,
    history: int,
) -> Sight:
    sight = Sight(spec, scope, start, end, width, history)
    everybody = scope.kind == "company" and spec.metric not in ON_ENVELOPE
    # What nobody owns is spent outside of the company's envelope.
    use_cases = None if everybody else list(scope.use_cases)
    within: dict[str, Any] = {
        "ledger_id": ledger.COMPANY_LEDGER,
        "start": start,
        "end": end,
        "width": width,
    }
    if counts_calls(spec.metric):
        facts = ledger.list_call_facts(
            **within,
            use_case_ids=use_cases,
            latencies=int(spec.metric == "p95_latency"),
        )
    else:
        facts = []
    sight.numbers = [row.number for row in facts]
    sight.sums = {
        name: [0, *accumulate(getattr(row, name) for row in facts)] for name in SUMMED
    }
    sight.latencies = [tuple(row.latencies) for row in facts]
    match spec.metric:
        case "dearer_model":
            found = ledger.list_model_facts(**within, use_case_ids=use_cases)
            sight.models = [(row.number, row.model_id, row.direct, row.tokens) for row in found]
        case "unattributed_share":
            strays = ledger.list_call_facts(**within, use_case_ids=[0])
            sight.stray = [(row.number, row.spent) for row in strays]
        case "repeat_loop":
            sight.repeats = _rows(READ_REPEATS, sight)
        case "violations":
            sight.against = _rows(READ_AGAINST, sight)
        case "premium_share":
            simple = ledger.list_task_facts(**within, use_case_ids=use_cases, task_type=SIMPLE)
            dear = _frontier({row.model_id for row in simple}, at=end)
            sight.premium = [(row.number, row.direct) for row in simple if row.model_id in dear]
        case "envelope_utilisation" | "unsettled_share" | "p_breach":
            sight.envelope = envelope_of(scope, at=end)
            sight.caps = _caps(sight.envelope) if history else []
        case "idle_schedule":
            sight.zone = ZoneInfo(ledger.ledger_of_company().time_zone)
    return sight


def counts_calls(metric: str) -> int:
    """Is it counted in entries? What somebody hands up needs no look at them."""
    return int(bool(COUNTED & set(METRICS[metric].needs)))


def envelope_of(scope: MetricScope, *, at: datetime) -> EnvelopeRule | None:
    """Which envelope has this scope itself? None = it draws on one above."""
    snapshot = current_policy().snapshot
    for rule in snapshot.envelopes.values():
        alive = rule.state != "closed" and (rule.end_at is None or at < rule.end_at)
        if not alive or rule.scope_kind != scope.kind:
            continue
        if scope.kind == "company" or (
            rule.use_case in scope.use_cases
            if scope.kind == "use_case"
            else rule.department
            in {
                each.department
                for each in snapshot.use_cases.values()
                if each.id in scope.use_cases
            }
        ):
            return rule
    return None


def _caps(rule: EnvelopeRule | None) -> list[tuple[datetime, int | None]]:
    """Which cap held from when on?"""
    if rule is None:
        return []
    found: list[tuple[datetime, int | None]] = []
    for at, body in (
        EnvelopeVersion.objects.filter(envelope_id=rule.id)
        .order_by("version")
        .values_list("at", "body")
    ):
        amount = body.get("amount_nanos")
        cap = int(amount) if amount is not None and body.get("hard") else None
        # The first version holds for the history before it: it was there all the time.
        found.append((at if found else datetime.min.replace(tzinfo=at.tzinfo), cap))
    return found


def _rows(query: str, sight: Sight) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(
            query,
            {
                "start": sight.start,
                "end": sight.end,
                "width": sight.width.total_seconds(),
                "use_cases": list(sight.scope.use_cases),
                "codes": [reason.number for reason in _COMPLIANCE],
            },
        )
        return list(cursor.fetchall())


def _frontier(models: set[int], *, at: datetime) -> set[int]:
    """Which of these models are frontier models, by the price book of now?"""
    meanings = ledger.meanings_of(domain=ledger.Domain.MODEL, numbers=models)
    found = set()
    for number, body in meanings.items():
        priced = find_price(
            venue=None,
            model=str(body.get("slug", "")),
            region=None,
            tier=None,
            at=at,
            max_input_tokens=0,
            max_output_tokens=1,
        )
        price = priced.price.rates.price_of(TokenClass.OUTPUT) if priced else None
        if price is not None and price >= FRONTIER_NANOS:
            found.add(number)
    return found


def _period_start(scope: MetricScope, at: datetime) -> datetime:
    rule = envelope_of(scope, at=at)
    return at if rule is None else rule.calendar_period_at(at).start
