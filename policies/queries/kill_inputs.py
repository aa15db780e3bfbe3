"""What was counted for a metric, at an instant? Live and on history by the same arithmetic.

A sight is a stretch of entries cut into buckets, read once; the inputs of any window inside it
are sums of whole buckets. Live it ends now and is read anew; on history it spans months and is
walked through.
Source: docs/algorithms/kill-criteria.md. Units: nanos; tokens; seconds.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Any, Final
from zoneinfo import ZoneInfo

from django.db import connection

from ledger import facade as ledger
from o10.kernel.periods import OutsidePeriod
from o10.wire.reasons import Reason
from policies.core.kill_spec import Spec
from policies.core.metrics import PPM, nearest_rank
from policies.core.rules import EnvelopeRule
from policies.models import EnvelopeBalance, EnvelopeVersion
from policies.queries.current_policy import current_policy
from policies.queries.metric_sources import MetricScope, has_source, inputs_from_source

DAY: Final = timedelta(days=1)
HOUR: Final = timedelta(hours=1)
MINUTE: Final = timedelta(minutes=1)
WEEKS: Final = 4
NIGHT: Final = frozenset({22, 23, 0, 1, 2, 3, 4, 5})
NIGHTS: Final = 7
STEADY_PERCENT: Final = 150
"""The dearest night may cost so much of the cheapest one and still be steady."""
NIGHT_PPM: Final = 300_000
"""A job that never sleeps spends a third at night; what people start spends less."""
_COMPLIANCE: Final = (
    Reason.MODEL_DENIED,
    Reason.MODEL_NOT_APPROVED,
    Reason.APPROVAL_EXPIRED,
    Reason.RESIDENCY_VIOLATION,
    Reason.ZDR_REQUIRED,
    Reason.DATA_CLASS_FORBIDDEN,
)
_SUMMED: Final = (
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
)
_BACK: Final = {"spend_jump": 29 * DAY, "dearer_model": 7 * DAY}
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
    are those of then, not those of now.
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
    caps: list[tuple[datetime, int | None]] = field(default_factory=list)
    envelope: EnvelopeRule | None = None
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))

    def spent(self, start: datetime, end: datetime) -> dict[str, int]:
        """What was counted in [start, end)? Whole buckets."""
        low, high = self._between(start, end)
        return {name: sums[high] - sums[low] for name, sums in self.sums.items()}

    def first_at(self) -> datetime | None:
        """When did anything happen first, in this stretch?"""
        return self.start + self.numbers[0] * self.width if self.numbers else None

    def _between(self, start: datetime, end: datetime) -> tuple[int, int]:
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
    if spec.metric == "idle_schedule":
        back = max(back, (NIGHTS + 1) * DAY)
    steps = -(-back // width)
    return _read(spec, scope, at - steps * width, at, width, history=0)


def look_back(*, spec: Spec, scope: MetricScope, start: datetime, end: datetime) -> Sight:
    """What has to be read to walk through this stretch? Buckets as wide as it steps."""
    width = min(HOUR, max(MINUTE, timedelta(seconds=spec.window_s) / 10))
    back = timedelta(seconds=spec.window_s) + _BACK.get(spec.metric, timedelta(0))
    if spec.metric == "envelope_utilisation":
        back = 32 * DAY
    if spec.metric == "idle_schedule":
        back = max(back, (NIGHTS + 1) * DAY)
    steps = -(-(end - start + back) // width)
    return _read(spec, scope, end - steps * width, end, width, history=1)


def inputs_at(sight: Sight, *, at: datetime, since: datetime | None) -> dict[str, int]:
    """What was counted for the metric in the window that ends at this instant?

    `since` = nothing before it counts: a criterion that was restored begins anew.
    """
    spec = sight.spec
    window = timedelta(seconds=spec.window_s)
    start = at - window if since is None else max(at - window, since)
    counted = sight.spent(start, at)
    inputs = {
        "spend": counted["spent"],
        "hours": max(0, (at - start) // HOUR),
        **{name: counted[name] for name in _SUMMED if name != "spent"},
    }
    inputs |= _own(sight, at, start, inputs)
    inputs |= inputs_from_source(spec.metric, scope=sight.scope, start=start, end=at, at=at)
    if spec.metric == "idle_schedule":
        inputs = _idle(sight, at, inputs)
    return inputs


def _own(
    sight: Sight, at: datetime, start: datetime, inputs: Mapping[str, int]
) -> dict[str, int]:
    match sight.spec.metric:
        case "envelope_utilisation" | "unsettled_share":
            return _exposure(sight, at)
        case "unguarded_share":
            return {"settled": inputs["spend"]}
        case "spend_jump":
            return _weekdays(sight, at)
        case "dearer_model":
            return _mix(sight, at, start)
        case "repeat_loop":
            return _repeats(sight, at, start)
        case "violations":
            return {"violations": inputs["differs"] + sight.of(sight.against, start, at)}
        case "unattributed_share":
            return {"unattributed": sight.of(sight.stray, start, at)}
        case "p95_latency":
            low, high = sight._between(start, at)
            times = [each for row in sight.latencies[low:high] for each in row]
            rank = nearest_rank(times, 95)
            return {} if rank is None else {"p95_ms": rank, "timed": len(times)}
    return {}


def _exposure(sight: Sight, at: datetime) -> dict[str, int]:
    rule = sight.envelope
    if rule is None:
        return {}
    try:
        period = rule.period_at(at)
    except OutsidePeriod:
        return {}
    if sight.history:
        cap = next((cap for since, cap in reversed(sight.caps) if since <= at), rule.cap_nanos)
        spent = sight.spent(period.start, at)["spent"]
        found = {"settled": spent, "leased": 0, "unsettled": 0}
        return found if cap is None else {**found, "cap": cap}
    row = EnvelopeBalance.objects.filter(envelope_id=rule.id, period_start=period.start).first()
    if row is None:
        return {"settled": 0, "leased": 0, "unsettled": 0} | (
            {} if rule.cap_nanos is None else {"cap": rule.cap_nanos}
        )
    found = {
        "settled": row.settled_nanos,
        "leased": row.held_nanos,
        "unsettled": row.unsettled_nanos,
    }
    return found if row.cap_nanos is None else {**found, "cap": row.cap_nanos}


def _weekdays(sight: Sight, at: datetime) -> dict[str, int]:
    first = sight.first_at()
    if first is None:
        return {}
    spent = weekdays = 0
    for weeks in range(1, WEEKS + 1):
        end = at - 7 * weeks * DAY
        if first <= end - DAY:
            spent += sight.spent(end - DAY, end)["spent"]
            weekdays += 1
    return {
        "spend": sight.spent(at - DAY, at)["spent"],
        "same_weekday_spend": spent,
        "same_weekdays": weekdays,
        "history_days": min(28, max(0, (at - first) // DAY)),
    }


def _mix(sight: Sight, at: datetime, start: datetime) -> dict[str, int]:
    """Which models served, now and in the week before? The largest gain of a dearer one."""
    now = _by_model(sight.within(sight.models, start, at))
    before = _by_model(sight.within(sight.models, start - 7 * DAY, start))
    tokens, old_tokens = (sum(each[1] for each in mix.values()) for mix in (now, before))
    direct, old_direct = (sum(each[0] for each in mix.values()) for mix in (now, before))
    gained = 0
    for model, (cost, served) in now.items():
        share = served * PPM // tokens if tokens else 0
        old = before.get(model, (0, 0))[1] * PPM // old_tokens if old_tokens else 0
        dearer = cost * old_tokens > old_direct * served
        gained = max(gained, share - old) if dearer else gained
    return {
        "direct": direct,
        "tokens": tokens,
        "direct_before": old_direct,
        "tokens_before": old_tokens,
        "share_gained_ppm": gained,
    }


def _by_model(rows: Sequence[tuple[int, int, int, int]]) -> dict[int, tuple[int, int]]:
    mix: dict[int, tuple[int, int]] = {}
    for _, model, direct, served in rows:
        cost, tokens = mix.get(model, (0, 0))
        mix[model] = cost + direct, tokens + served
    return mix


def _repeats(sight: Sight, at: datetime, start: datetime) -> dict[str, int]:
    counts: Counter[str] = Counter()
    asked = 0
    for _, name, repeated, all_calls in sight.within(sight.repeats, start, at):
        counts[name] += repeated
        asked += all_calls
    return {"repeats": max(counts.values(), default=0), "asked": asked}


def _idle(sight: Sight, at: datetime, inputs: dict[str, int]) -> dict[str, int]:
    """How many of the last nights were alike, with spend, while nothing came of it?"""
    if "outcomes" not in inputs:
        return inputs
    local = at.astimezone(sight.zone)
    nights: Counter[int] = Counter()
    total = sight.spent(at - NIGHTS * DAY, at)["spent"]
    for back in range(NIGHTS * 24):
        hour = local - (back + 1) * HOUR
        if hour.hour in NIGHT:
            start = at - (back + 1) * HOUR
            nights[back // 24] += sight.spent(start, start + HOUR)["spent"]
    costs = [nights[number] for number in range(NIGHTS)]
    paid = [cost for cost in costs if cost > 0]
    alike = bool(paid) and max(paid) * 100 <= min(paid) * STEADY_PERCENT
    sleepless = sum(paid) * PPM >= total * NIGHT_PPM
    steady = len(paid) if alike and sleepless and inputs["outcomes"] == 0 else 0
    first = sight.first_at()
    seen = 0 if first is None else min(NIGHTS, max(0, (at - first) // DAY))
    return {**inputs, "steady_nights": steady, "nights": seen}


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
    use_cases = None if scope.kind == "company" else list(scope.use_cases)
    within: dict[str, Any] = {
        "ledger_id": ledger.COMPANY_LEDGER,
        "start": start,
        "end": end,
        "width": width,
    }
    if _counts_calls(spec.metric):
        facts = ledger.list_call_facts(
            **within,
            use_case_ids=use_cases,
            latencies=int(spec.metric == "p95_latency"),
        )
    else:
        facts = []
    sight.numbers = [row.number for row in facts]
    sight.sums = {
        name: [0, *accumulate(getattr(row, name) for row in facts)] for name in _SUMMED
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
        case "envelope_utilisation" | "unsettled_share":
            sight.envelope = envelope_of(scope, at=end)
            sight.caps = _caps(sight.envelope) if history else []
        case "idle_schedule":
            sight.zone = ZoneInfo(ledger.ledger_of_company().time_zone)
    return sight


def _counts_calls(metric: str) -> int:
    """Is it counted in entries? What only a source knows needs no look at them."""
    return int(not has_source(metric) or metric in ("burn_multiple", "idle_schedule"))


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
