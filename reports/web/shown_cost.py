"""How do the pages of full cost and of outcomes stand in their templates?"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.urls import NoReverseMatch, reverse

from o10.access.checks import can
from o10.access.keys import Caller
from o10.access.roles import Action as Right
from o10.kernel import figures
from o10.kernel.ids import new_uuid
from o10.kernel.money import half_even
from o10.kernel.pageview import Bar, Link, PageView, link_with
from reports import facade
from reports.web import shown

PPM = 1_000_000
GRADE_TONES = {"measured": "favourable", "derived": "accent", "attested": "warn"}
METHODS = (
    ("direct", "Direct: only what is stated for a use case"),
    ("by_tokens", "By tokens"),
    ("by_calls", "By calls"),
    ("by_direct_cost", "By direct cost"),
    ("by_headcount", "By headcount, stated below"),
    ("fixed", "Fixed shares, stated below"),
    ("by_driver", "By driver, chosen below"),
)


@dataclass(frozen=True, slots=True)
class Typed:
    """What did a person type into a form, and what is wrong with it?"""

    form: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    title: str = ""
    text: str = ""
    wrong: tuple[str, ...] = ()


def show_cost(
    *,
    page: facade.CostPage,
    view: PageView,
    caller: Caller,
    typed: Typed,
    notices: tuple[str, ...],
) -> dict[str, Any]:
    """Which context has the cost page?"""
    currency = page.currency
    exports = view.exports()
    names = names_in(page.rules)
    return {
        "head": shown.Head(
            headline=page.headline,
            subline=page.detail,
            actions=(
                shown.Action("Cost per outcome", reverse("cost-outcomes")),
                shown.Action("Drivers", reverse("cost-drivers")),
            ),
        ),
        "stamp": shown.Stamp(page.position.seq, page.position.at),
        "as_of": frozen_at(view, page),
        "bar": bar_of(page, view, exports),
        "notices": notices,
        "kpis": _kpis(page),
        "chart": _chart(page) if page.full.total else None,
        "components": [_component(line, page) for line in page.full.lines],
        "component_total": figures.money(page.full.total, currency),
        "rounded": figures.rounding_note(
            parts=[line.nanos for line in page.full.lines], total=page.full.total
        ),
        "cases": [_case(each, page) for each in page.cases],
        "case_total": _case_total(page),
        "amounts": [_amount(row, page) for row in page.amounts],
        "machines": [_machine(row, page) for row in page.machines],
        "rules": [_rule(row, names) for row in page.rules],
        "plan": _plan(page),
        "waiting": waiting_of(page.waiting),
        "may_state": can(caller=caller, action=Right.CHANGE_PLAN) and not page.frozen,
        "may_ask": can(caller=caller, action=Right.CHANGE_USE_CASE) and not page.frozen,
        "forms": _forms(page, typed),
        "typed": typed,
        "period": page.period.label,
        "period_text": page.period.months.text,
        "currency": currency,
        "behind": page.behind,
        "export_links": exports,
        "case_exports": PageView("/cost/use-cases/", view.query, view.grammar).exports(),
        "amount_exports": PageView("/cost/amounts/", view.query, view.grammar).exports(),
        "machine_exports": PageView("/cost/hardware/", view.query, view.grammar).exports(),
        "rule_exports": PageView("/cost/rules/", view.query, view.grammar).exports(),
    }


def waiting_of(views: tuple[Any, ...]) -> list[dict[str, str]]:
    """Which requests wait for a second person, and where is each decided?"""
    return [
        {
            "title": each.text.title,
            "text": f"Asked by {each.maker.name}; needs {', '.join(each.needs)}.",
            "url": approval_url(each.id),
        }
        for each in views
    ]


def approval_url(approval: str) -> str:
    """Where is this request decided? Empty while there is no such page."""
    try:
        return reverse("approval", args=[approval])
    except NoReverseMatch:
        return ""


def frozen_at(view: PageView, page: facade.CostPage | facade.OutcomesPage) -> shown.AsOf | None:
    """Is this a page of an earlier position?"""
    if not page.frozen:
        return None
    return shown.AsOf(page.position.seq, page.position.at, view.url_with(as_of=None))


def bar_of(
    page: facade.CostPage | facade.OutcomesPage, view: PageView, exports: tuple[Link, ...]
) -> Bar:
    """Which period, links and files stand above the page?"""
    today = page.period.at.date()
    return Bar(
        period=view.months(shown=page.period.label, detail=page.period.detail, today=today),
        copy=view.copy_links(seq=page.position.seq),
        exports=exports,
    )


def _kpis(page: facade.CostPage) -> list[shown.Kpi]:
    full, currency = page.full, page.currency
    ratio = full.ratio_ppm
    unallocated = full.unallocated
    share = figures.percent(part=unallocated, whole=full.total).text if full.total else ""
    grade = f"weakest part is {full.grade}" if full.grade else ""
    return [
        shown.Kpi(
            label=f"Fully loaded, {page.period.label}",
            value=figures.money(full.total, currency),
            note=grade,
        ),
        shown.Kpi(
            label="Direct tokens",
            value=figures.money(full.direct, currency),
            note="calls that served",
            href=_entries(page, "component", facade.Component.DIRECT),
        ),
        shown.Kpi(
            label="Fully loaded / direct",
            value=facade.times(ratio) if ratio is not None else None,
            note="ratio of sums" if ratio is not None else "no direct cost",
        ),
        shown.Kpi(
            label="Complete",
            value=figures.percent(part=full.completeness_ppm, whole=PPM),
            note=f"{len(full.lines) - len(full.missing)} of {len(full.lines)} components",
            tone="warn" if full.missing else "",
        ),
        shown.Kpi(
            label="Unallocated",
            value=figures.money(unallocated, currency),
            note=f"{share} of all; no use case carries it" if share else "",
            tone="warn" if unallocated else "",
        ),
    ]


def _chart(page: facade.CostPage) -> dict[str, Any]:
    currency = page.currency
    lines = [line for line in page.full.lines if line.nanos]
    figure = facade.draw_cost_waterfall(
        [
            (line.label, line.nanos, _entries(page, "component", line.component))
            for line in lines
        ],
        total=page.full.total,
        currency=currency,
    )
    return {
        "id": "waterfall",
        "title": f"From direct tokens to fully loaded cost, {page.period.label}",
        "subtitle": f"{currency}; each part stands on those before it",
        "size": "many",
        "summary": page.headline,
        "figure": figure,
        "legend": [{"mark": "py", "label": "Part"}, {"mark": "ac", "label": "Fully loaded"}],
        "table": {
            "columns": [{"label": "Part"}, {"label": "Amount", "num": True}],
            "rows": [
                *([line.label, figures.money(line.nanos, currency)] for line in lines),
                ["Fully loaded", figures.money(page.full.total, currency)],
            ],
        },
    }


def _entries(page: facade.CostPage, key: str, value: str) -> str:
    """Which entries add up to this number? Those of the period, at the page's position."""
    entries = link_with(reverse("ledger"), (key, value))
    return f"{entries}&p={page.period.months.text}&as_of={page.position.seq}"


def _component(line: facade.ComponentLine, page: facade.CostPage) -> dict[str, Any]:
    known = line.grade is not None
    scale = figures.money_scale(each.nanos for each in page.full.lines)
    return {
        "label": line.label,
        "what": facade.ABOUT[line.component].what,
        "amount": figures.money(line.nanos, page.currency, scale=scale)
        if line.known or line.nanos
        else None,
        "share": figures.percent(part=line.nanos, whole=page.full.total)
        if page.full.total and line.nanos
        else "",
        "url": _entries(page, "component", line.component) if line.nanos else "",
        "waiting": figures.money(line.waiting, page.currency) if line.waiting else "",
        "source": line.source,
        "basis": line.basis,
        "grade": line.grade.value if line.grade else "",
        "tone": GRADE_TONES.get(line.grade.value, "adverse") if line.grade else "",
        "coverage": figures.percent(part=line.coverage_ppm, whole=PPM) if known else None,
        "known": line.known,
    }


def _case(each: facade.CaseCost, page: facade.CostPage) -> dict[str, Any]:
    currency = page.currency
    scale = figures.money_scale(case.total for case in page.cases)
    return {
        "name": each.name,
        "sub": "" if each.slug else "carried by no use case",
        "url": reverse("use-case", args=[each.slug]) if each.slug else "",
        "direct": figures.money(each.direct, currency, scale=scale),
        "other": figures.money(each.other_calls, currency, scale=scale),
        "beside": figures.money(each.beside, currency, scale=scale),
        "total": figures.money(each.total, currency, scale=scale),
        "ratio": facade.times(each.ratio_ppm) if each.ratio_ppm is not None else None,
        "entries": _entries(page, "use_case", each.slug) if each.slug else "",
        "nanos": each.total,
        "whole": page.full.total,
        "share": figures.percent(part=each.total, whole=page.full.total),
    }


def _case_total(page: facade.CostPage) -> dict[str, Any]:
    cases = page.cases
    scale = figures.money_scale(case.total for case in cases)
    total = sum(case.total for case in cases)
    return {
        "direct": figures.money(sum(each.direct for each in cases), page.currency, scale=scale),
        "other": figures.money(
            sum(each.other_calls for each in cases), page.currency, scale=scale
        ),
        "beside": figures.money(sum(each.beside for each in cases), page.currency, scale=scale),
        "total": figures.money(total, page.currency, scale=scale),
        "ratio": facade.times(page.full.ratio_ppm) if page.full.ratio_ppm else None,
        "rounded": figures.rounding_note(
            parts=[case.total for case in cases], total=total, scale=scale
        ),
    }


def _amount(row: facade.AmountRow, page: facade.CostPage) -> dict[str, Any]:
    return {
        "component": facade.ABOUT[facade.Component(row.component)].label,
        "month": f"{row.month:%b %Y}",
        "use_case": page.use_cases.get(row.use_case, "the company"),
        "amount": figures.money(row.nanos, page.currency),
        "source": row.source,
        "basis": row.basis,
        "grade": row.grade,
        "version": row.version,
        "at": row.entered_at,
    }


def _machine(row: facade.MachineRow, page: facade.CostPage) -> dict[str, Any]:
    one, currency = row.machine, page.currency
    hour = half_even(one.hour.numerator, one.hour.denominator)
    return {
        "name": one.name,
        "slug": row.use_case,
        "use_case": page.use_cases.get(row.use_case, "the company"),
        "month": f"{row.month:%b %Y}",
        "month_text": f"{row.month:%Y-%m}",
        "purchase": figures.money(one.purchase, currency),
        "residual": figures.money(one.residual, currency) if one.residual else "",
        "life": figures.count_exact(one.life_hours),
        "planned": figures.percent(part=one.planned_ppm, whole=PPM),
        "hour": figures.unit_cost(hour, currency),
        "hours": f"{one.used_hours:,} of {one.hours:,}",
        "used": figures.money(row.used, currency),
        "waste": figures.money(row.waste, currency),
    }


def names_in(rows: Iterable[facade.RuleRow | facade.ValueRow]) -> Mapping[str, str]:
    """How are those who asked and agreed called?"""
    return facade.names_of(
        {each for row in rows for each in (row.requested_by, row.approved_by)}
    )


def people_of(row: facade.RuleRow | facade.ValueRow, names: Mapping[str, str]) -> str:
    """Who asked, and who agreed? By name where there is one."""
    both = (row.requested_by, row.approved_by)
    return ", ".join(names.get(each, each) for each in both)


def _rule(row: facade.RuleRow, names: Mapping[str, str]) -> dict[str, Any]:
    return {
        "component": facade.ABOUT[facade.Component(row.component)].label,
        "version": row.version,
        "method": _method(row),
        "weights": ", ".join(
            f"{slug} {_weight(row.method, weight)}" for slug, weight in row.weights.items()
        ),
        "from": f"{row.from_month:%b %Y}",
        "reason": row.reason,
        "people": people_of(row, names),
        "at": row.entered_at,
    }


def _method(row: facade.RuleRow) -> str:
    text = row.method.replace("_", " ")
    if row.method != facade.Method.BY_DRIVER:
        return text
    return f"{text}: {row.driver or 'confirmed outcomes'}"


def _weight(method: str, weight: int) -> str:
    return figures.percent(part=weight, whole=PPM).text if method == "fixed" else f"{weight:,}"


def _plan(page: facade.CostPage) -> dict[str, Any] | None:
    plan = page.plan
    if plan is None:
        return None
    return {
        "month": f"{plan.month:%Y-%m}",
        "due": bool(plan.changes),
        "lines": len(plan.changes),
        "total": figures.money(plan.total, page.currency),
        "delta": figures.delta(new=plan.total, base=plan.booked, currency=page.currency),
        "unallocated": figures.money(plan.unallocated, page.currency),
        "without_rule": [facade.ABOUT[each].label.lower() for each in plan.without_rule],
        "booked": figures.money(plan.booked, page.currency),
    }


def _forms(page: facade.CostPage, typed: Typed) -> dict[str, Any]:
    stated = [(each.value, facade.ABOUT[each].label) for each in facade.STATED]
    others = [
        (each.value, f"{facade.ABOUT[each].label} (0 only)")
        for each in facade.Component
        if each not in facade.STATED
    ]
    month = f"{page.period.month_starts[-1]:%Y-%m}"
    return {
        "key": str(new_uuid()),
        "components": [*stated, *others],
        "shared": stated,
        "methods": METHODS,
        "drivers": facade.list_driver_names(),
        "grades": [each.value for each in facade.Grade],
        "use_cases": sorted(page.use_cases.items(), key=lambda each: each[1]),
        "machine": typed.values if typed.form == "machine" else {"month": month},
        "amount": typed.values
        if typed.form == "amount"
        else {"month": month, "coverage": "100"},
        "rule": typed.values if typed.form == "rule" else {"from": month},
        "run": typed.values if typed.form == "run" else {},
    }
