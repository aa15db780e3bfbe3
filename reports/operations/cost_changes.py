"""How do a rule, a value and a booking wait for a second person, and how are they told?

Three rows of the table of maker and checker: `allocation.rule`, `outcome.value` and
`allocation.run`. What a person reads is what would be booked, to the nano.
"""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from ledger import facade as ledger
from o10.access.keys import Caller
from o10.kernel import figures
from o10.kernel.errors import FieldError, ValidationFailed
from o10.kernel.money import Nanos, amount_text
from policies import facade as policies
from reports.core.cost_components import ABOUT, Component
from reports.operations.apply_cost_rules import (
    apply_allocation_rule,
    apply_outcome_value,
    rule_base,
    value_base,
)
from reports.operations.cost_drafts import RuleDraft, parse_rule, parse_value
from reports.operations.run_allocation import run_allocation
from reports.queries.allocations import AllocationPlan, plan_allocation
from reports.queries.components import rules_in_force
from reports.queries.outcome_values import values_in_force

_NOTHING = "—"
Change = Mapping[str, Any]


def allocation_change(*, month: date, reason: str) -> dict[str, object]:
    """Which change books this month as amounts, rules and weights stand now?"""
    plan = plan_allocation(month=month)
    return {"digest": plan.digest, "month": f"{plan.month:%Y-%m}", "reason": reason}


def propose_cost_change(
    *,
    kind: str,
    change: Mapping[str, object],
    actor: Caller,
    now: datetime,
    reason: str,
    key: str = "",
) -> policies.ApprovalView:
    """Which request waits for a second person? The change is checked before anybody is asked.

    Raises: Forbidden (`forbidden`); ValidationFailed (`validation_failed`).
    """
    subject = {
        "allocation.rule": f"allocation_rule/{change.get('component')}",
        "outcome.value": f"outcome_value/{change.get('use_case')}",
        "allocation.run": f"allocation/{change.get('month')}",
    }[kind]
    return policies.propose_change(
        kind=kind,
        subject=subject[:160],
        change=change,
        actor=actor,
        now=now,
        reason=reason,
        key=key,
    )


def register_cost_changes() -> None:
    """Makes the three kinds of change possible. Called once, at start."""
    policies.register_change_kind(
        policies.ChangeKind(
            name="allocation.rule",
            apply=_apply_rule,
            base_of=rule_base,
            describe=_describe_rule,
            check=lambda change, actor, now: _check(parse_rule, change),
        )
    )
    policies.register_change_kind(
        policies.ChangeKind(
            name="outcome.value",
            apply=_apply_value,
            base_of=value_base,
            describe=_describe_value,
            check=lambda change, actor, now: _check(parse_value, change),
        )
    )
    policies.register_change_kind(
        policies.ChangeKind(
            name="allocation.run",
            apply=_apply_run,
            base_of=lambda change: plan_allocation(month=_month(change)).digest,
            describe=_describe_run,
            weight_of=lambda change: policies.Weight(
                nanos=_moved(plan_allocation(month=_month(change)))
            ),
            check=_check_run,
        )
    )


def _check(parse: Any, change: Change) -> None:
    parse(change)


def _apply_rule(
    change: Change, approval: policies.ApprovalView, actor: Caller, now: datetime
) -> policies.Applied:
    row = apply_allocation_rule(
        change=change,
        requested_by=approval.maker.id,
        approved_by=actor.principal,
        actor=actor.actor,
        now=now,
    )
    return policies.Applied(
        ids={"allocation_rule": f"{row.component}/{row.version}"}, entries=(row.entry_uid,)
    )


def _apply_value(
    change: Change, approval: policies.ApprovalView, actor: Caller, now: datetime
) -> policies.Applied:
    row = apply_outcome_value(
        change=change,
        requested_by=approval.maker.id,
        approved_by=actor.principal,
        actor=actor.actor,
        now=now,
    )
    return policies.Applied(
        ids={"outcome_value": f"{row.use_case}/{row.version}"}, entries=(row.entry_uid,)
    )


def _apply_run(
    change: Change, approval: policies.ApprovalView, actor: Caller, now: datetime
) -> policies.Applied:
    done = run_allocation(
        month=_month(change),
        requested_by=approval.maker.id,
        approved_by=actor.principal,
        actor=actor.actor,
        now=now,
        digest=str(change["digest"]),
    )
    return policies.Applied(ids={"allocation": f"{done.month:%Y-%m}/{done.run}"})


def _describe_rule(change: Change) -> policies.ChangeText:
    draft = parse_rule(change)
    names = {row.number: row.name for row in policies.list_use_case_rows()}
    label = ABOUT[Component(draft.component)].label
    before = rules_in_force(month=draft.from_month).get(Component(draft.component))
    stands = ""
    if before is not None:
        weights = {int(number): int(weight) for number, weight in before.weights.items()}
        stands = _method_text(before.method, weights, before.driver, names)
    return policies.ChangeText(
        title=f"{label}: shared out {_said(draft, names)} from {draft.from_month:%B %Y} on",
        rows=(
            policies.DiffRow("Shared out", stands or "not at all", _said(draft, names)),
            policies.DiffRow("From", _NOTHING, f"{draft.from_month:%Y-%m}"),
        ),
        effect=(
            policies.EffectRow(
                "Amounts of a month",
                "reach the use cases with its next allocation",
                "stay as they are",
                "stay as they are",
            ),
        ),
        url="/cost/",
    )


def _said(draft: RuleDraft, names: Mapping[int, str]) -> str:
    return _method_text(draft.method.value, draft.weights, draft.driver, names)


def _method_text(
    method: str, weights: Mapping[int, int], driver: str, names: Mapping[int, str]
) -> str:
    text = method.replace("_", " ")
    if method == "by_driver":
        return f"{text}: {driver or 'confirmed outcomes'}"
    if not weights:
        return text
    parts = [
        f"{names.get(number, str(number))} "
        + (
            figures.percent(part=weight, whole=1_000_000).text
            if method == "fixed"
            else str(weight)
        )
        for number, weight in sorted(weights.items())
    ]
    return f"{text}: {', '.join(parts)}"


def _describe_value(change: Change) -> policies.ChangeText:
    draft = parse_value(change)
    names = {row.number: row.name for row in policies.list_use_case_rows()}
    before = values_in_force(on=draft.from_day).get(draft.use_case)
    currency = ledger.ledger_of_company().currency
    new = _value_text(draft.value_nanos, draft.hurdle_nanos, currency)
    old = _NOTHING
    if before is not None:
        old = _value_text(before.value_nanos, before.hurdle_nanos, currency)
    return policies.ChangeText(
        title=f"{names[draft.use_case]}: one {draft.kind} is worth "
        f"{figures.unit_cost(draft.value_nanos, currency).text}",
        rows=(
            policies.DiffRow("Value, hurdle", old, new),
            policies.DiffRow(
                "Type of outcome", before.kind if before else _NOTHING, draft.kind
            ),
            policies.DiffRow(
                "Attribution window",
                f"{before.window_days} days" if before else _NOTHING,
                f"{draft.window_days} days",
            ),
            policies.DiffRow("From", _NOTHING, str(draft.from_day)),
        ),
        effect=(
            policies.EffectRow(
                "Unit economics",
                "are judged against this value",
                "are judged as before" if before else "are not judged",
                "are judged as before" if before else "are not judged",
            ),
        ),
        url="/cost/outcomes/",
    )


def _value_text(value: Nanos, hurdle: Nanos, currency: str) -> str:
    shown = figures.unit_cost(value, currency).text
    return f"{shown}, hurdle {figures.unit_cost(hurdle, currency).text}"


def _describe_run(change: Change) -> policies.ChangeText:
    plan = plan_allocation(month=_month(change))
    names = {row.number: row.name for row in policies.list_use_case_rows()}
    currency = ledger.ledger_of_company().currency
    rows = tuple(
        policies.DiffRow(
            f"{ABOUT[line.component].label}, {names.get(line.use_case, 'unallocated')}",
            f"{currency} {amount_text(line.booked)}",
            f"{currency} {amount_text(line.nanos)}",
        )
        for line in plan.changes
    )
    added = plan.total - plan.booked
    return policies.ChangeText(
        title=f"Book shared costs of {plan.month:%B %Y}: "
        f"{figures.money(plan.total, currency).text}",
        rows=rows,
        effect=(
            policies.EffectRow(
                "Fully loaded cost of the month",
                f"{figures.delta(new=plan.total, base=plan.booked, currency=currency).text}",
                "unchanged",
                "unchanged; the month can't be closed",
            ),
            policies.EffectRow("Envelopes", "move by nothing", "unchanged", "unchanged"),
        ),
        evidence=(
            policies.EvidenceRow(
                "Unallocated", f"{currency} {amount_text(plan.unallocated)}", url="/cost/"
            ),
        ),
        money_nanos=added,
        url=f"/cost/?p={plan.month:%Y-%m}",
    )


def _check_run(change: Change, actor: Caller | None, now: datetime) -> None:
    plan = plan_allocation(month=_month(change))
    if not plan.changes:
        message = "Nothing is waiting to be booked for this month."
        raise ValidationFailed(errors=[FieldError("/month", "nothing_to_book", message)])


def _moved(plan: AllocationPlan) -> Nanos:
    return sum(abs(line.nanos - line.booked) for line in plan.changes)


def _month(change: Change) -> date:
    try:
        return date.fromisoformat(f"{change.get('month', '')}-01")
    except ValueError as error:
        message = "A month such as 2026-11."
        raise ValidationFailed(errors=[FieldError("/month", "bad_time", message)]) from error
