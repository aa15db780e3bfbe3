"""Which results did the demo company's calls give, what are they worth, what costs beside them?

A story with one use case that fails unit economics: an approved marketing draft brings 6.00 and
costs more, three months in a row. Support and collections pay; policy search has outcomes and a
value that waits for a second person. Same seed and last day, same numbers.
"""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from o10.access.keys import Caller
from o10.kernel.money import NANOS_PER_UNIT
from o10.management import demo_company as company
from o10.management import demo_drivers as drivers
from reports import facade as reports

MONTHS = 6
"""Months of outcomes and shared costs before the running one."""


@dataclass(frozen=True, slots=True)
class DemoOutcome:
    """Which result does a use case give, how many a day, how many in a thousand succeed?

    `value` and `hurdle` decimal text of the approved value; empty = none is approved.
    """

    use_case: str
    kind: str
    a_day: int
    success: int
    value: str = ""
    hurdle: str = "0"
    reason: str = ""


OUTCOMES = (
    DemoOutcome(
        "support-assistant", "ticket", 9_600, 870, "1.10", "0.30", "an agent's six minutes"
    ),
    DemoOutcome(
        "agent-collections", "promise_kept", 230, 640, "7.50", "1.00", "fee of the agency saved"
    ),
    DemoOutcome(
        "call-summaries", "summary_accepted", 9_200, 940, "0.18", "0", "two minutes of wrap-up"
    ),
    DemoOutcome(
        "kyc-extraction", "document_filed", 1_250, 910, "2.60", "0.20", "a clerk's file review"
    ),
    DemoOutcome(
        "marketing-drafts", "draft_published", 150, 410, "6.00", "1.00", "price of a freelancer"
    ),
    DemoOutcome("policy-search", "answer_accepted", 14_500, 780),
)
WAITING = DemoOutcome(
    "policy-search", "answer_accepted", 0, 0, "0.35", "0.05", "a legal assistant's search"
)

# Whole currency units a month, for the company; how they are shared out.
POOLS: Mapping[str, int] = {
    "observability": 6_200,
    "gateway": 3_900,
    "tools": 2_400,
    "platform": 9_000,
}
OWN: Mapping[str, Mapping[str, int]] = {
    "human_review": {
        "kyc-extraction": 14_000,
        "marketing-drafts": 2_300,
        "agent-collections": 2_000,
    }
}
NONE = ("hedges", "fallbacks", "classifier", "shadow")
RULES: tuple[tuple[str, str, Mapping[str, str], str], ...] = (
    ("observability", "by_tokens", {}, "storage grows with what is logged"),
    ("gateway", "by_direct_cost", {}, "the reseller charges a share of spend"),
    (
        "tools",
        "fixed",
        {"policy-search": "0.7", "support-assistant": "0.2"},
        "seats of the search service; a tenth is nobody's yet",
    ),
    (
        "platform",
        "by_headcount",
        {
            "support-assistant": "12",
            "agent-collections": "5",
            "call-summaries": "3",
            "code-completion": "14",
            "policy-search": "6",
            "kyc-extraction": "5",
            "marketing-drafts": "3",
            "meeting-summaries": "2",
        },
        "people of the product teams",
    ),
)


def months(until: date) -> tuple[date, ...]:
    """Which months are told, oldest first, the running one last?"""
    newest = until.year * 12 + until.month - 1
    return tuple(
        date(each // 12, each % 12 + 1, 1) for each in range(newest - MONTHS, newest + 1)
    )


def told(*, until: date, seed: int) -> Iterator[reports.OutcomeDraft]:
    """Which results were told, day by day, up to the day before `until`?

    Business systems count by the day: one record for what succeeded, one for what did not.
    """
    day = months(until)[0]
    while day < until:
        for case in OUTCOMES:
            yield from _day(case, day, until, seed)
        day += timedelta(days=1)


def _day(
    case: DemoOutcome, day: date, until: date, seed: int
) -> Iterator[reports.OutcomeDraft]:
    draw = random.Random(f"{seed}/{day}/{case.use_case}")  # noqa: S311 - a demo on purpose
    growth = (1 + company.LAUNCH_GROWTH) ** (-(until - day).days / 30.4)
    week = 0.35 if day.weekday() >= 5 else 1.0
    count = max(2, round(case.a_day * growth * week * draw.lognormvariate(0, 0.06)))
    share = case.success / 1000 * draw.lognormvariate(0, 0.02)
    good = min(count - 1, max(1, round(count * share)))
    at = datetime(day.year, day.month, day.day, 20, tzinfo=UTC)
    for success, number in ((True, good), (False, count - good)):
        yield reports.OutcomeDraft(
            kind=case.kind,
            name=f"{day}/{'yes' if success else 'no'}",
            success=success,
            count=number,
            at=at,
            use_case=case.use_case,
        )


def state_costs(*, finance: Caller, until: date, now: datetime) -> None:
    """States what each month cost beside inference, zeros included."""
    drafts = []
    for month in months(until):
        for component, units in POOLS.items():
            drafts.append(_stated(component, month, units, "supplier's bill", "invoice"))
        for component, cases in OWN.items():
            for slug, units in cases.items():
                drafts.append(
                    _stated(component, month, units, "time sheets", "hours x rate", slug)
                )
        for component in NONE:
            drafts.append(_stated(component, month, 0, "there was none", "confirmed"))
    reports.set_component_amounts(drafts=drafts, actor=finance, now=now, key="demo")


def _stated(
    component: str, month: date, units: int, source: str, basis: str, use_case: str = ""
) -> reports.ComponentDraft:
    return reports.ComponentDraft(
        component=component,
        month=month,
        amount_nanos=units * NANOS_PER_UNIT,
        use_case=use_case,
        source=source,
        basis=basis,
        grade="measured" if basis == "invoice" else "attested",
    )


def approve_rules(*, maker: Caller, checker: Caller, until: date, now: datetime) -> None:
    """The rules and values that two people agreed on before the first month."""
    people = {
        "requested_by": maker.principal,
        "approved_by": checker.principal,
        "actor": checker.actor,
        "now": now,
    }
    first = months(until)[0]
    rules = [(*rule[:2], {"weights": rule[2]}, rule[3]) for rule in RULES]
    for component, method, beside, reason in (*rules, *drivers.RULES):
        reports.apply_allocation_rule(
            change={
                "component": component,
                "method": method,
                **beside,
                "from": f"{first:%Y-%m}",
                "reason": reason,
            },
            **people,
        )
    for case in OUTCOMES:
        if case.value:
            reports.apply_outcome_value(change=_value(case, first), **people)


def ask_value(*, maker: Caller, now: datetime, until: date) -> None:
    """One value waits for a second person, so that there is something to decide."""
    change = _value(WAITING, until.replace(day=1))
    reports.propose_cost_change(
        kind="outcome.value",
        change=change,
        actor=maker,
        now=now,
        reason=WAITING.reason,
        key="demo/value",
    )


def _value(case: DemoOutcome, first: date) -> dict[str, object]:
    return {
        "use_case": case.use_case,
        "type": case.kind,
        "value": case.value,
        "hurdle": case.hurdle,
        "window_days": 7,
        "from": str(first),
        "reason": case.reason,
    }


def book_ended_months(*, maker: Caller, checker: Caller, until: date, now: datetime) -> None:
    """Shares out what each ended month cost; the running one waits for its end."""
    for month in months(until)[:-1]:
        reports.run_allocation(
            month=month,
            requested_by=maker.principal,
            approved_by=checker.principal,
            actor=checker.actor,
            now=now,
        )
