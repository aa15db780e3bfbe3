"""How do the page of outcomes and the block of a use case stand in their templates?"""

from collections.abc import Mapping
from datetime import date
from typing import Any

from django.urls import reverse

from o10.access.checks import can
from o10.access.keys import Caller
from o10.access.roles import Action as Right
from o10.kernel import figures
from o10.kernel.ids import new_uuid
from o10.kernel.pageview import Link, PageView
from reports import facade
from reports.web import shown
from reports.web.shown_cost import (
    Typed,
    bar_of,
    frozen_at,
    names_in,
    people_of,
    waiting_of,
)
from reports.web.shown_failing import failing_rows, target_text

VERDICT_TONES = {
    facade.Verdict.FAILS: "adverse",
    facade.Verdict.AT_RISK: "warn",
    facade.Verdict.PAYS: "favourable",
}


def show_outcomes(
    *,
    page: facade.OutcomesPage,
    view: PageView,
    caller: Caller,
    typed: Typed,
    notices: tuple[str, ...],
) -> dict[str, Any]:
    """Which context has the page of outcomes?"""
    exports = view.exports()
    names = names_in(page.values)
    return {
        "head": shown.Head(
            headline=page.headline,
            subline=f"Fully loaded cost of {page.month:%B %Y} / confirmed outcomes; judged by "
            "whole months, three in a row.",
            crumbs=(Link("Cost", reverse("cost")), Link("Cost per outcome", "")),
        ),
        "stamp": shown.Stamp(page.position.seq, page.position.at),
        "as_of": frozen_at(view, page),
        "bar": bar_of(page, view, exports),
        "notices": notices,
        "failing": failing_rows(
            ((each.name, each.slug, each.course, each.envelope) for each in page.failing),
            caller=caller,
            currency=page.currency,
        ),
        "rows": [_unit_row(each, page) for each in page.cases],
        "values": [_value(row, page, names) for row in page.values],
        "waiting": waiting_of(page.waiting),
        "may_ask": can(caller=caller, action=Right.CHANGE_USE_CASE) and not page.frozen,
        "forms": {
            "key": str(new_uuid()),
            "use_cases": sorted(page.use_cases.items(), key=lambda each: each[1]),
            "value": typed.values if typed.form == "value" else {"window_days": "7"},
        },
        "typed": typed,
        "period": page.period.label,
        "currency": page.currency,
        "export_links": exports,
        "value_exports": PageView("/cost/outcomes/values/", view.query, view.grammar).exports(),
    }


def unit_block(
    line_of: facade.UseCaseLine, month: date, *, caller: Caller, currency: str, frozen: bool
) -> dict[str, Any] | None:
    """How does the cost of an outcome stand on the page of its use case? None = never told."""
    course = line_of.units
    if course is None or not course.lines:
        return None
    line = course.of(month)
    envelope = line_of.envelope.public if line_of.envelope else ""
    failing = failing_rows(
        [(line_of.name, line_of.slug, course, envelope)], caller=caller, currency=currency
    )
    return {
        "running": course.judged is None or month > course.judged.month,
        "levers": failing[0]["levers"] if failing and not frozen else (),
        "target": target_text(line, currency) if line else "",
        "verdict": _verdict(course),
        "line": _unit_figures(line, currency) if line else None,
        "months": [
            {
                "month": f"{each.month:%b %Y}",
                "cost": facade.unit_text(each.cost, currency),
                "interval": _interval(each, currency),
                "n": figures.count_exact(each.cost.attempts),
                "margin": figures.unit_cost(each.margin.margin, currency)
                if each.margin
                else None,
            }
            for each in reversed(course.lines[-6:])
        ],
        "url": reverse("cost-outcomes"),
    }


def unit_kpi(
    course: facade.UnitCourse | None, month: date, *, currency: str, verdict: bool = False
) -> shown.Kpi | None:
    """Which tile tells the cost of an outcome, and how far it moved in a month? None = none.

    Shared costs of a month come at its end: of a running one the month before is told.
    """
    if course is None:
        return None
    told = [each for each in course.lines if each.month <= month]
    if course.judged is not None:
        told = [each for each in told if each.month <= course.judged.month]
    line = told[-1] if told else None
    if line is None or line.cost.per_outcome is None:
        return None
    before = told[-2] if len(told) > 1 else None
    known = before is not None and before.cost.per_outcome is not None
    said = f"{course.verdict.value}; " if verdict else ""
    return shown.Kpi(
        label=f"Cost per {line.kind.replace('_', ' ')}, {line.month:%b}",
        value=figures.unit_cost(line.cost.per_outcome, currency),
        delta=_moved(line, before) if before and known else None,
        note=f"{said}Δ{before.month:%b}" if before and known else f"{said}no month before",
        tone="adverse" if course.verdict is facade.Verdict.FAILS else "",
        href=reverse("cost-outcomes"),
        spark=tuple(each.cost.per_outcome for each in told[-12:]),
        spark_label="Cost per outcome by month",
    )


def _moved(line: facade.UnitLine, before: facade.UnitLine) -> shown.Delta:
    """How far from the month before, in the colours of cost?"""
    new, base = line.cost.per_outcome or 0, before.cost.per_outcome or 0
    share = figures.percent(part=new - base, whole=base, sign=figures.Sign.ALWAYS)
    if abs(new - base) * 50 < base:
        return shown.Delta(share, "neutral", None, "within the band")
    dearer = new > base
    return shown.Delta(
        share,
        "adverse" if dearer else "favourable",
        dearer,
        "dearer" if dearer else "cheaper",
    )


def _unit_row(each: facade.UnitCase, page: facade.OutcomesPage) -> dict[str, Any]:
    line = each.line
    return {
        "name": each.name,
        "url": reverse("use-case", args=[each.slug]),
        "verdict": _verdict(each.course),
        **(_unit_figures(line, page.currency) if line else {"missing": True}),
    }


def _verdict(course: facade.UnitCourse) -> dict[str, Any]:
    months = f", {course.failing} months in a row" if course.failing else ""
    return {
        "word": course.verdict.value,
        "tone": VERDICT_TONES.get(course.verdict, ""),
        "detail": months.removeprefix(", "),
    }


def _unit_figures(line: facade.UnitLine, currency: str) -> dict[str, Any]:
    cost, margin = line.cost, line.margin
    return {
        "kind": line.kind,
        "month": f"{line.month:%B %Y}",
        "cost": facade.unit_text(cost, currency),
        "interval": _interval(line, currency),
        "n": figures.count_exact(cost.attempts),
        "successes": figures.count_exact(cost.successes),
        "success": figures.percent(part=cost.successes, whole=cost.attempts)
        if cost.attempts
        else None,
        "spent": figures.money(cost.spent, currency),
        "failed": figures.money(cost.failed_cost, currency),
        "per_failure": figures.unit_cost(cost.per_failure, currency),
        "value": figures.unit_cost(line.value, currency),
        "hurdle": figures.unit_cost(line.hurdle, currency) if line.hurdle else "",
        "short": figures.unit_cost(line.hurdle - margin.margin, currency)
        if margin and margin.margin < line.hurdle
        else "",
        "margin": figures.unit_cost(margin.margin, currency) if margin else None,
        "margin_interval": facade.interval_text(margin.low, margin.high, currency)
        if margin and margin.low is not None
        else "",
        "negative": bool(margin and margin.margin < line.hurdle),
        "join": line.join_grade,
        "join_detail": f"{line.joined_run:,} by run, {line.joined_customer:,} by customer, "
        f"{cost.attempts - line.joined_run - line.joined_customer:,} by use case alone",
        "open": figures.day(line.open_until).text if line.open_until else "",
        "seq": line.seq,
        "at": line.computed_at,
    }


def _interval(line: facade.UnitLine, currency: str) -> str:
    interval = line.cost.interval
    return facade.interval_text(interval.low, interval.high, currency) if interval else ""


def _value(
    row: facade.ValueRow, page: facade.OutcomesPage, names: Mapping[str, str]
) -> dict[str, Any]:
    return {
        "use_case": page.use_cases.get(row.use_case, row.use_case),
        "url": reverse("use-case", args=[row.use_case]) if row.use_case else "",
        "kind": row.kind,
        "version": row.version,
        "value": figures.unit_cost(row.value, page.currency),
        "hurdle": figures.unit_cost(row.hurdle, page.currency),
        "window": row.window_days,
        "from": figures.day(row.from_day),
        "reason": row.reason,
        "people": people_of(row, names),
    }
