"""What was counted for a metric, at an instant? Live and on history by the same arithmetic.

What stands in a sight (policies.queries.kill_sight) is added up for the window that ends at the
instant; what somebody else keeps is handed up by them.
Source: docs/algorithms/kill-criteria.md. Units: nanos; tokens; seconds.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from o10.kernel.periods import OutsidePeriod
from policies.core.breach import WEEK, breach_ppm
from policies.core.metric_formulas import PPM, nearest_rank
from policies.models import EnvelopeBalance
from policies.queries.kill_sight import (
    DAY,
    HOUR,
    NIGHTS,
    SUMMED,
    WEEKS_BACK,
    Sight,
    counts_calls,
)
from policies.queries.metric_sources import inputs_from_source

WEEKS: Final = 4
NIGHT: Final = frozenset({22, 23, 0, 1, 2, 3, 4, 5})
STEADY_PERCENT: Final = 150
"""The dearest night may cost so much of the cheapest one and still be steady."""
NIGHT_PPM: Final = 300_000
"""A job that never sleeps spends a third at night; what people start spends less."""


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
        **{name: counted[name] for name in SUMMED if name not in ("spent", "unsettled")},
    }
    inputs |= _own(sight, at, start, inputs)
    inputs |= _told(sight, start, at)
    if spec.metric == "idle_schedule":
        inputs = _idle(sight, at, inputs)
    return inputs


def _told(sight: Sight, start: datetime, at: datetime) -> Mapping[str, int]:
    """What does somebody hand up? On history asked once an hour of the window's length."""
    metric = sight.spec.metric
    if not sight.history or not counts_calls(metric):
        return inputs_from_source(metric, scope=sight.scope, start=start, end=at, at=at)
    hour = sight.end - -((at - sight.end) // HOUR) * HOUR
    window = (min(start, hour), hour)
    if window not in sight.told:
        sight.told[window] = inputs_from_source(
            metric, scope=sight.scope, start=window[0], end=hour, at=hour
        )
    return sight.told[window]


def _own(
    sight: Sight, at: datetime, start: datetime, inputs: Mapping[str, int]
) -> dict[str, int]:
    match sight.spec.metric:
        case "envelope_utilisation" | "unsettled_share":
            return _exposure(sight, at)
        case "p_breach":
            return _breach(sight, at)
        case "premium_share":
            return {"premium": sight.of(sight.premium, start, at)}
        case "unguarded_share":
            return {"settled": inputs["spend"]}
        case "spend_jump":
            return _weekdays(sight, at)
        case "violations":
            return {"violations": inputs["differs"] + sight.of(sight.against, start, at)}
        case "unattributed_share":
            return {"unattributed": sight.of(sight.stray, start, at)}
    spans = _OVER_SPANS.get(sight.spec.metric)
    return spans(sight, at, start) if spans else {}


def _latency(sight: Sight, at: datetime, start: datetime) -> dict[str, int]:
    low, high = sight.between(start, at)
    times = [each for row in sight.latencies[low:high] for each in row]
    rank = nearest_rank(times, 95)
    return {} if rank is None else {"p95_ms": rank, "timed": len(times)}


def _breach(sight: Sight, at: datetime) -> dict[str, int]:
    """How do the paths end that continue the running period by weeks that were?"""
    rule, first = sight.envelope, sight.first_at()
    stands = _exposure(sight, at)
    if rule is None or first is None or "cap" not in stands:
        return {}
    weeks = [
        [sight.spent(day, day + DAY)["spent"] for day in _days_from(at - back * WEEK * DAY)]
        for back in range(1, WEEKS_BACK + 1)
        if first <= at - back * WEEK * DAY + DAY
    ]
    left_s = int((rule.period_at(at).end - at).total_seconds())
    share = breach_ppm(
        weeks=weeks,
        spent=stands["settled"] + stands["unsettled"],
        cap=stands["cap"],
        seconds_left=left_s,
    )
    found = {**stands, "seconds_left": left_s, "history_weeks": len(weeks)}
    return found if share is None else {**found, "p_breach_ppm": share}


def _days_from(start: datetime) -> Sequence[datetime]:
    return [start + number * DAY for number in range(WEEK)]


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
        since = sight.spent(period.start, at)
        waiting = max(0, since["unsettled"])
        found = {"settled": since["spent"], "leased": 0, "unsettled": waiting}
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


_OVER_SPANS: Final[Mapping[str, Callable[[Sight, datetime, datetime], dict[str, int]]]] = {
    "dearer_model": _mix,
    "repeat_loop": _repeats,
    "p95_latency": _latency,
}
