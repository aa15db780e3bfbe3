"""Which integers does a criterion on plan, outcomes or full cost judge by, for any window?

Windows are whole days of the ledger's zone. What was booked for a month counts by the day,
that a week before and a week after it compare. Formulas stay in spend control.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta

from django.db import connection

from ledger import facade as ledger
from o10.kernel.periods import zone_of
from policies import facade as policies
from reports.core.cost_components import STATED, Component
from reports.models import Outcome
from reports.queries.allocations import next_month
from reports.queries.case_month import CaseMonth, case_month, cost_of, digest_of
from reports.queries.outcome_values import list_outcome_values
from reports.queries.plans import plan_cells

DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
KEPT = 1_000
_uppers: dict[bytes, tuple[int | None, int]] = {}
_MONTHLY = [each.value for each in STATED]


def cost_per_outcome(
    *, scope: policies.MetricScope, start: datetime, end: datetime, at: datetime
) -> Mapping[str, int] | None:
    """Full cost and confirmed outcomes of the window; None while nothing was ever told."""
    first, after = _days(start, end)
    return {
        "full_cost": full_cost_between(scope.use_cases, first, after),
        "outcomes": confirmed_between(scope.use_cases, first, after, told_to=at),
    }


def cost_per_outcome_wow(
    *, scope: policies.MetricScope, start: datetime, end: datetime, at: datetime
) -> Mapping[str, int] | None:
    """The same for the window and for the one before it, of equal length."""
    now = cost_per_outcome(scope=scope, start=start, end=end, at=at) or {}
    before = cost_per_outcome(scope=scope, start=start - (end - start), end=start, at=at) or {}
    return {**now, **{f"{name}_before": value for name, value in before.items()}}


def margin_per_outcome(
    *, scope: policies.MetricScope, start: datetime, end: datetime, at: datetime
) -> Mapping[str, int] | None:
    """Approved value and the upper bound of cost, of the month in which the window ends.

    None unless one use case with an approved value and an upper bound is meant. Computed when
    something changed, remembered until it changes again.
    """
    if len(scope.use_cases) != 1:
        return None
    _, after = _days(start, end)
    case = case_month(
        use_case=scope.use_cases[0],
        month=(after - DAY).replace(day=1),
        common="",
        values=list_outcome_values(),
    )
    if case.value is None:
        return None
    upper, successes = _upper(case, at)
    if upper is None:
        return None
    return {
        "value_nanos": case.value.value_nanos - case.value.hurdle_nanos,
        "cost_upper_nanos": upper,
        "outcomes": successes,
    }


def _upper(case: CaseMonth, at: datetime) -> tuple[int | None, int]:
    digest = digest_of(case)
    known = _uppers.get(digest)
    if known is None:
        cost = cost_of(case, told_to=at)[1]
        known = (cost.interval.high if cost.interval else None, cost.successes)
        if len(_uppers) >= KEPT:
            _uppers.clear()
        _uppers[digest] = known
    return known


def review_share(
    *, scope: policies.MetricScope, start: datetime, end: datetime, at: datetime
) -> Mapping[str, int] | None:
    """Human review and full cost, month to date."""
    _, after = _days(start, end)
    first = (after - DAY).replace(day=1)
    return {
        "review": full_cost_between(scope.use_cases, first, after, (Component.HUMAN_REVIEW,)),
        "full_cost": full_cost_between(scope.use_cases, first, after),
    }


def burn_multiple(
    *, scope: policies.MetricScope, start: datetime, end: datetime, at: datetime
) -> Mapping[str, int] | None:
    """What was planned for the window, as known then? None where nothing was planned for it.

    The plan of a month is spread evenly over its seconds.
    """
    zone = zone_of(ledger.ledger_of_company().time_zone)
    last = (end - timedelta(microseconds=1)).astimezone(zone).date().replace(day=1)
    first = start.astimezone(zone).date().replace(day=1)
    cells = plan_cells(first=first, after=next_month(last), entered_to=at)
    planned, known = 0, 0
    for (month, use_case), nanos in cells.items():
        if scope.kind != "company" and use_case not in scope.use_cases:
            continue
        opens, closes = (
            datetime.combine(each, time(), zone).astimezone(UTC)
            for each in (month, next_month(month))
        )
        overlap = max(timedelta(0), min(end, closes) - max(start, opens))
        planned += nanos * (overlap // SECOND) // ((closes - opens) // SECOND)
        known += 1
    return {"plan": planned} if known else None


def idle_schedule(
    *, scope: policies.MetricScope, start: datetime, end: datetime, at: datetime
) -> Mapping[str, int] | None:
    """How many outcomes were confirmed in the window? None while nobody tells any."""
    if not Outcome.objects.filter(recorded_at__lte=at).exists():
        return None
    first, after = _days(start, end)
    return {"outcomes": confirmed_between(scope.use_cases, first, after, told_to=at)}


def spend_jump(
    *, scope: policies.MetricScope, start: datetime, end: datetime, at: datetime
) -> Mapping[str, int] | None:
    """Which share of outcomes succeeded, in the window and in the 28 days before it?

    None where either stretch has none: then nothing speaks against a jump.
    """
    first, after = _days(start, end)
    now = success_between(scope.use_cases, first, after, told_to=at)
    before = success_between(scope.use_cases, first - 28 * DAY, first, told_to=at)
    if now is None or before is None:
        return None
    return {"success_ppm": now, "success_before_ppm": before}


def full_cost_between(
    use_cases: tuple[int, ...],
    first: date,
    after: date,
    components: tuple[Component, ...] = (),
) -> int:
    """What did these use cases cost, all in, on days [first, after)? Nanos.

    Components that are booked once a month count by their share of the month's days.
    """
    wanted = [each.value for each in components or tuple(Component)]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(sum(amount_nanos), 0)::bigint FROM reports_cost_cell"
            " WHERE use_case = ANY(%s) AND day >= %s AND day < %s AND component = ANY(%s)"
            " AND component <> ALL(%s)",
            [list(use_cases), first, after, wanted, _MONTHLY],
        )
        whole = int(cursor.fetchone()[0])
        for month, days in _months(first, after):
            follows = next_month(month)
            cursor.execute(
                "SELECT coalesce(sum(amount_nanos), 0)::bigint FROM reports_cost_cell"
                " WHERE use_case = ANY(%s) AND day >= %s AND day < %s"
                " AND component = ANY(%s) AND component = ANY(%s)",
                [list(use_cases), month, follows, wanted, _MONTHLY],
            )
            whole += int(cursor.fetchone()[0]) * days // (follows - month).days
    return whole


def confirmed_between(
    use_cases: tuple[int, ...], first: date, after: date, *, told_to: datetime
) -> int:
    """How many outcomes were confirmed on days [first, after), as told by then?"""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT coalesce(sum(o.count), 0)::bigint FROM reports_outcome o
            WHERE o.use_case = ANY(%(cases)s) AND o.day >= %(first)s AND o.day < %(after)s
                AND o.success AND o.recorded_at <= %(told)s AND NOT EXISTS (
                    SELECT 1 FROM reports_outcome l WHERE l.kind = o.kind AND l.name = o.name
                        AND l.revision > o.revision AND l.recorded_at <= %(told)s)
            """,
            {"cases": list(use_cases), "first": first, "after": after, "told": told_to},
        )
        return int(cursor.fetchone()[0])


def success_between(
    use_cases: tuple[int, ...], first: date, after: date, *, told_to: datetime
) -> int | None:
    """Which share of the outcomes of these days succeeded? Millionths; None of none."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT sum(o.count) FILTER (WHERE o.success), sum(o.count) FROM reports_outcome o
            WHERE o.use_case = ANY(%(cases)s) AND o.day >= %(first)s AND o.day < %(after)s
                AND o.recorded_at <= %(told)s AND NOT EXISTS (
                    SELECT 1 FROM reports_outcome l WHERE l.kind = o.kind AND l.name = o.name
                        AND l.revision > o.revision AND l.recorded_at <= %(told)s)
            """,
            {"cases": list(use_cases), "first": first, "after": after, "told": told_to},
        )
        good, told = cursor.fetchone()
    return int(good or 0) * 1_000_000 // int(told) if told else None


def _days(start: datetime, end: datetime) -> tuple[date, date]:
    zone = zone_of(ledger.ledger_of_company().time_zone)
    first = start.astimezone(zone).date()
    after = (end - timedelta(microseconds=1)).astimezone(zone).date() + DAY
    # A window that begins within a day takes whole days of its own number, the last included.
    whole = max(1, round((end - start) / DAY))
    return max(first, after - whole * DAY), after


def _months(first: date, after: date) -> Iterator[tuple[date, int]]:
    month = first.replace(day=1)
    while month < after:
        follows = next_month(month)
        yield month, (min(after, follows) - max(first, month)).days
        month = follows


def register_unit_metrics() -> None:
    """Hands spend control the inputs of metrics that need a plan, outcomes or full cost."""
    for metric, source in (
        ("cost_per_outcome", cost_per_outcome),
        ("cost_per_outcome_wow", cost_per_outcome_wow),
        ("margin_per_outcome", margin_per_outcome),
        ("review_share", review_share),
        ("burn_multiple", burn_multiple),
        ("idle_schedule", idle_schedule),
        ("spend_jump", spend_jump),
    ):
        policies.register_metric_source(metric, source)
