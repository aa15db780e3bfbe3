"""How does a change of the plan wait for a second person, and what does that person read?

The kind `plan.set` of the table of approvals. At set-up the plan is entered directly
(`set_plan`); on the page and over scripts it is asked for.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

from ledger import facade as ledger
from o10.access.keys import Caller
from o10.kernel import figures
from o10.kernel.errors import ValidationFailed
from policies import facade as policies
from reports.operations.set_plan import PlanDraft, find_plan_problems, set_plan
from reports.queries.plans import newest_plan, plan_cells

KIND = "plan.set"
ROWS_SHOWN = 24


def ask_plan(
    *,
    lines: Sequence[PlanDraft],
    actor: Caller,
    now: datetime,
    reason: str = "",
    key: str = "",
) -> policies.ApprovalView:
    """Which request asks for these lines of the plan?

    Raises: Forbidden (`forbidden`); ValidationFailed (`validation_failed`) with one error for
    each wrong line; IdempotencyMismatch.
    """
    return policies.propose_change(
        kind=KIND,
        subject="plan",
        change={
            "lines": [
                [
                    line.use_case,
                    f"{line.month:%Y-%m}",
                    None if line.amount_nanos is None else str(line.amount_nanos),
                ]
                for line in lines
            ]
        },
        actor=actor,
        now=now,
        reason=reason,
        key=key,
    )


def register_plan_change() -> None:
    """Makes a change of the plan possible. Called when reports start."""
    policies.register_change_kind(
        policies.ChangeKind(
            name=KIND,
            apply=_apply,
            base_of=lambda _: f"plan v{newest_plan().version}",
            describe=_describe,
            weight_of=_weight,
            check=_check,
        )
    )


def _lines(change: Mapping[str, Any]) -> list[PlanDraft]:
    return [
        PlanDraft(slug, date.fromisoformat(f"{month}-01"), None if said is None else int(said))
        for slug, month, said in change["lines"]
    ]


def _numbers() -> dict[str, int]:
    return {row.slug: row.number for row in policies.list_use_case_rows()} | {"": 0}


def _check(change: Mapping[str, Any], _: Caller | None, __: datetime) -> None:
    problems = find_plan_problems(lines=_lines(change), use_cases=_numbers())
    if problems:
        raise ValidationFailed(errors=problems)


def _apply(
    change: Mapping[str, Any], approval: policies.ApprovalView, actor: Caller, now: datetime
) -> policies.Applied:
    version = set_plan(lines=_lines(change), actor=actor, now=now, approved=approval.id)
    return policies.Applied(ids={"plan_version": str(version)})


def _before(lines: Sequence[PlanDraft]) -> list[int | None]:
    """What do the cells of these lines say now?"""
    numbers = _numbers()
    months = [line.month for line in lines]
    last = max(months)
    after = date(last.year + last.month // 12, last.month % 12 + 1, 1)
    cells = plan_cells(first=min(months), after=after)
    return [cells.get((line.month, numbers[line.use_case])) for line in lines]


def _delta(change: Mapping[str, Any]) -> int:
    lines = _lines(change)
    return sum(
        (line.amount_nanos or 0) - (old or 0)
        for line, old in zip(lines, _before(lines), strict=True)
    )


def _weight(change: Mapping[str, Any]) -> policies.Weight:
    return policies.Weight(nanos=abs(_delta(change)))


def _describe(change: Mapping[str, Any]) -> policies.ChangeText:
    lines, currency = _lines(change), ledger.ledger_of_company().currency

    def money(nanos: int | None) -> str:
        return "no plan" if nanos is None else figures.money(nanos, currency).text

    rows = [
        policies.DiffRow(
            f"{line.use_case or 'no use case'}, {line.month:%b %Y}",
            money(old),
            money(line.amount_nanos),
        )
        for line, old in zip(lines, _before(lines), strict=True)
    ]
    more = len(rows) - ROWS_SHOWN
    shown = rows[:ROWS_SHOWN]
    if more > 0:
        shown.append(policies.DiffRow(f"and {more:,} more lines", "", ""))
    delta = _delta(change)
    sign = "+" if delta > 0 else ""
    months = len({line.month for line in lines})
    return policies.ChangeText(
        title=f"Change the plan: {len(lines):,} line{'s' if len(lines) > 1 else ''}",
        rows=tuple(shown),
        effect=(
            policies.EffectRow("Plan in all", f"{sign}{money(delta)}", "0", "0"),
            policies.EffectRow("Spend is read against", "the new plan", "the old", "the old"),
        ),
        money_nanos=delta // months if months else None,
        url="/plan/",
    )
