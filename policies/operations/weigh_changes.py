"""Did the cost per call move after a change that nobody signed? Then one alert says so.

Each unsigned change is weighed on the calls before and after its first sight, cut off where a
signed change or an earlier shift lies. When several could have moved the same cost, the one
that explains most is named, with the others seen within an hour of it; all of them are decided
by it, so that one move of the cost is one alert.
Source: docs/algorithms/cost-shift.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db import transaction
from django.db.models import Q

from ledger import facade as ledger
from o10.kernel import figures
from o10.kernel.money import Nanos
from policies.core import cost_shift
from policies.core.alert_kinds import KINDS, Severity
from policies.core.cost_shift import CostShift, Sample, Verdict
from policies.models import Alert, AlertRule, ChangeSighting
from policies.operations.raise_alert import raise_alert
from policies.queries.organisation import find_organisation

KIND: Final = "unsigned_change"
HORIZON: Final = timedelta(days=14)
"""So far back and so long afterwards calls are compared."""
CALLS_MOST: Final = 20_000
TOGETHER: Final = timedelta(hours=1)
WORDS: Final = {
    "prompt_version": "prompt version",
    "model": "model",
    "attempt": "retry",
    "venue": "venue",
}


@dataclass(frozen=True, slots=True)
class _Weighed:
    row: ChangeSighting
    before: ledger.CallCosts
    after: ledger.CallCosts
    shift: CostShift


def weigh_changes(*, now: datetime) -> int:
    """How many alerts were raised? Looks only where enough calls have come since the last look.

    Safe to run in any number of workers: a change is weighed under its lock.
    Locks: the open changes of one use case, skipping those of another worker.
    """
    company = find_organisation()
    rule = AlertRule.objects.filter(kind=KIND, built_in=True).first()
    if company is None or (rule is not None and rule.state != "active"):
        return 0
    waiting = ChangeSighting.objects.filter(weighing="open")
    raised = 0
    for use_case in (
        waiting.order_by("use_case_id").values_list("use_case_id", flat=True).distinct()
    ):
        with transaction.atomic():
            raised += _weigh(use_case, rule, company.currency, now)
    return raised


def _weigh(use_case: int, rule: AlertRule | None, currency: str, now: datetime) -> int:
    rows = list(
        ChangeSighting.objects.select_for_update(skip_locked=True, of=("self",))
        .select_related("use_case")
        .filter(use_case_id=use_case, weighing="open")
        .order_by("seen_at", "id")
    )
    edges = list(
        ChangeSighting.objects.filter(
            Q(weighing="shifted") | ~Q(signed_by=""), use_case_id=use_case, baseline=False
        )
        .order_by("seen_at")
        .values_list("seen_at", flat=True)
    )
    kind = KINDS[KIND]
    moved = rule.threshold if rule is not None and rule.threshold else kind.threshold
    looked = [each for row in rows if (each := _look(row, edges, moved or 0, now)) is not None]
    shifted = [
        each for each in looked if each.shift.verdict in (Verdict.DEARER, Verdict.CHEAPER)
    ]
    if not shifted:
        return 0
    # Most certain first; of equals the earliest.
    named = max(shifted, key=lambda each: (_certain(each.shift), -each.row.seq))
    return _tell(named, rows, rule, currency, now)


def _look(
    row: ChangeSighting, edges: Sequence[datetime], moved: int, now: datetime
) -> _Weighed | None:
    """What do the calls on both sides say, if it is time to look? Notes what is decided."""
    start = max([row.seen_at - HORIZON, *(edge for edge in edges if edge < row.seen_at)])
    end = min([now, row.seen_at + HORIZON, *(edge for edge in edges if edge > row.seen_at)])
    after = _calls(row, row.seen_at, end)
    if not cost_shift.is_due(n_after=after.n, looks=row.looks):
        if end < now:
            _decide([row], "steady" if row.looks else "none")
        return None
    before = _calls(row, start, row.seen_at)
    shift = cost_shift.compare(_sample(before), _sample(after), moved_ppm=moved)
    row.looks = cost_shift.looks_at(after.n)
    row.result = dict(shift.as_document())
    if shift.verdict in (Verdict.STEADY, Verdict.NOT_ENOUGH) and row.looks >= cost_shift.LOOKS:
        row.weighing = "steady"
    row.save()
    return _Weighed(row, before, after, shift)


def _tell(
    named: _Weighed,
    rows: Sequence[ChangeSighting],
    rule: AlertRule | None,
    currency: str,
    now: datetime,
) -> int:
    row, shift = named.row, named.shift
    others = [
        each
        for each in rows
        if each.id != row.id and abs(each.seen_at - row.seen_at) <= TOGETHER
    ]
    month = _per_month(named)
    dearer = shift.verdict is Verdict.DEARER
    severity = Severity(rule.severity if rule else KINDS[KIND].severity.value)
    raised = raise_alert(
        kind=KIND,
        subject=row.use_case.slug,
        window=f"entry {row.seq}",
        title=_title(row, shift),
        detail=_detail(row, others, shift, month, currency),
        severity=(severity if dearer else Severity.INFO).value,
        now=now,
        evidence={
            **shift.as_document(),
            "month_nanos": str(month),
            "signer": "",
            "changes": [
                {"dimension": each.dimension, "value": each.value, "before": each.before}
                for each in (row, *others)
            ],
            "first_seq": row.seq,
        },
        url=f"/alerts/changes/?use_case={row.use_case.slug}",
        use_case=row.use_case_id,
        rule=rule.id if rule else None,
    )
    alert = Alert.objects.get(public=raised.alert)
    _decide([each for each in rows if each.id != row.id], "none")
    ChangeSighting.objects.filter(id__in=[each.id for each in (row, *others)]).update(
        alert=alert
    )
    _decide([row], "shifted")
    return int(raised.fresh)


def _title(row: ChangeSighting, shift: CostShift) -> str:
    move = abs((shift.ratio_ppm or 0) - cost_shift.PPM)
    share = figures.percent(part=move, whole=cost_shift.PPM).text
    word = "more" if shift.verdict is Verdict.DEARER else "less"
    return f"{row.use_case.name}: a call costs {share} {word} since {_named(row)}."


def _detail(
    row: ChangeSighting,
    others: Sequence[ChangeSighting],
    shift: CostShift,
    month: Nanos,
    currency: str,
) -> str:
    low, high = shift.low_ppm or 0, shift.high_ppm or 0
    before = figures.unit_cost(shift.mean_before, currency).text
    after = figures.unit_cost(shift.mean_after, currency).text
    parts = [
        "Nobody signed it.",
        f"A call cost {before} before (n {shift.n_before:,}) and {after} since "
        f"(n {shift.n_after:,}); the 95 % interval of the change is {_signed(low)} to "
        f"{_signed(high)}.",
        f"At the pace so far that is {figures.money(month, currency).text} a month.",
    ]
    if row.before:
        parts.append(f"Before: {row.before}.")
    if others:
        parts.append(f"Seen within the hour: {', '.join(_named(each) for each in others)}.")
    return " ".join(parts)


def _named(row: ChangeSighting) -> str:
    value = row.value if len(row.value) <= 60 else f"{row.value[:59]}…"
    return f"{WORDS[row.dimension]} {value}"


def _signed(ppm: int) -> str:
    return figures.percent(
        part=ppm - cost_shift.PPM, whole=cost_shift.PPM, sign=figures.Sign.ALWAYS
    ).text


def _per_month(named: _Weighed) -> Nanos:
    """At the pace of all calls compared, over an hour at least."""
    first, last = named.before.first_at, named.after.last_at
    span = max(last - first if first and last else timedelta(), timedelta(hours=1))
    return cost_shift.effect_per_month(
        _sample(named.before),
        _sample(named.after),
        calls=named.before.n + named.after.n,
        span=span,
    )


def _certain(shift: CostShift) -> int:
    """By how much at least did it move, either way? Millionths."""
    low, high = shift.low_ppm or 1, shift.high_ppm or 1
    if shift.verdict is Verdict.DEARER:
        return low
    return cost_shift.PPM * cost_shift.PPM // max(high, 1)


def _calls(row: ChangeSighting, start: datetime, end: datetime) -> ledger.CallCosts:
    return ledger.call_costs(use_case_id=row.use_case_id, start=start, end=end, most=CALLS_MOST)


def _sample(costs: ledger.CallCosts) -> Sample:
    return Sample(costs.n, costs.total, costs.squares)


def _decide(rows: Sequence[ChangeSighting], weighing: str) -> None:
    ChangeSighting.objects.filter(id__in=[row.id for row in rows], weighing="open").update(
        weighing=weighing
    )
