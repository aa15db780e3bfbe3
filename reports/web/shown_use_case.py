"""How does the page of one use case stand in its template?"""

from typing import Any

from django.urls import reverse

from o10.access.keys import Caller
from o10.kernel import figures
from o10.kernel.pageview import Bar, Link, PageView, link_with
from reports import facade
from reports.web import shown
from reports.web.shown_outcomes import unit_block, unit_kpi

TOKENS = "tokens"


def show_use_case(
    *, page: facade.UseCasePage, view: PageView, caller: Caller, notices: tuple[str, ...]
) -> dict[str, Any]:
    """Which context has the page of one use case?"""
    table, row = page.table, page.row
    return {
        "head": shown.Head(
            headline=page.headline,
            subline=_subline(page),
            crumbs=(Link("Use cases", reverse("use-cases")), Link(row.name, "")),
            status=shown.Status(row.mode)
            if row.state == "active"
            else shown.Status(row.state, "adverse"),
        ),
        "stamp": shown.stamp_of(table),
        "as_of": shown.as_of(view, table),
        "bar": Bar(
            period=view.months(
                shown=table.period.label, detail=table.period.detail, today=table.today
            ),
            copy=view.copy_links(seq=table.position.seq),
        ),
        "notices": notices,
        "kpis": _kpis(page),
        "chart": _chart(page),
        "slices": _slices(page),
        "path": [_limit(line, table.currency) for line in page.path],
        "path_note": _path_note(page),
        "limits": _limits(page),
        "policy": _policy(row),
        "policy_links": [
            {"label": "Change", "url": reverse("use-case-rules", args=[row.slug])}
        ],
        "decisions": [_decision(each) for each in page.decisions],
        "decisions_url": link_with(reverse("decisions"), ("use_case", row.slug)),
        "denied": sorted(
            (
                {
                    "reason": each.reason,
                    "count": each.count,
                    "worst": figures.money(each.worst, table.currency),
                    "url": link_with(
                        reverse("decisions"),
                        ("decision", each.outcome),
                        ("reason", each.reason),
                        ("use_case", row.slug),
                    ),
                }
                for each in page.denied
            ),
            key=lambda each: -int(str(each["count"])),
        ),
        "entries": [_entry(each, table.currency) for each in page.entries],
        "entries_url": link_with(reverse("ledger"), ("use_case", row.slug)),
        "unit": unit_block(
            page.line,
            table.period.month_starts[-1],
            caller=caller,
            currency=table.currency,
            frozen=table.frozen,
        ),
        "currency": table.currency,
        "period": table.period.label,
        "kill_url": reverse("kill-criteria-of", args=[row.slug]),
        "live_url": "" if table.frozen else view.url,
    }


def _subline(page: facade.UseCasePage) -> str:
    row = page.row
    who = f"{row.department}, owner {row.owner}" if row.owner else f"{row.department}, no owner"
    binding = _binding(page)
    if binding is None:
        return f"{who}. No envelope limits it."
    left = figures.money(binding.available, page.table.currency).text
    name = "Its own envelope" if binding.own else binding.name
    return f"{who}. {name} binds first, with {left} left."


def _binding(page: facade.UseCasePage) -> facade.BindingLimit | None:
    own = [line for line in page.path if line.use_case == page.row.number]
    found = [line.binding for line in own or page.path if line.binding is not None]
    return min(found, key=lambda each: each.available, default=None)


def _kpis(page: facade.UseCasePage) -> list[shown.Kpi]:
    table, line = page.table, page.line
    currency = table.currency
    asked = line.calls + line.denials
    share = figures.percent(part=line.denials, whole=asked).text if asked else ""
    entries = (
        link_with(reverse("ledger"), ("use_case", page.row.slug))
        + f"&p={table.period.months.text}"
    )
    kpis = [
        shown.Kpi(
            label=f"Spent, {table.period.label}",
            value=figures.money(line.spent, currency),
            delta=shown.delta_to_plan(line.variance, currency=currency),
            note="ΔPL, plan to date" if line.plan is not None else "no plan",
            href=entries,
        ),
        shown.Kpi(
            label=f"Plan, {table.period.label}",
            value=figures.money(line.plan_whole, currency),
            note=f"{figures.percent(part=line.spent, whole=line.plan_whole).text} used"
            if line.plan_whole
            else "",
        ),
    ]
    binding = _binding(page)
    if binding is not None and not table.frozen:
        kpis.append(
            shown.Kpi(
                label="Left, by the limit that binds",
                value=figures.money(binding.available, currency),
                note=binding.name,
                tone="adverse" if binding.available <= 0 else "",
                href=reverse("envelope", args=[binding.public]),
            )
        )
    unit = unit_kpi(line.units, table.period.month_starts[-1], currency=currency, verdict=True)
    kpis += [
        *((unit,) if unit else ()),
        shown.Kpi(
            label="Calls",
            value=figures.count(line.calls),
            note=f"{line.denials:,} denied ({share})" if line.denials else "none denied",
            href=link_with(
                reverse("decisions"), ("decision", "deny"), ("use_case", page.row.slug)
            ),
        ),
        shown.Kpi(
            label="Cost per call",
            value=figures.unit_cost(line.cost_per_call, currency),
            note=f"{figures.count(line.tokens // line.calls).text} tokens a call"
            if unit and line.calls
            else "spent per call served",
        ),
    ]
    if unit:
        return kpis
    return [
        *kpis,
        shown.Kpi(
            label="Tokens",
            value=figures.count(line.tokens),
            note=f"{figures.count(line.tokens // line.calls).text} a call"
            if line.calls
            else "",
        ),
    ]


def _chart(page: facade.UseCasePage) -> dict[str, Any]:
    table, period = page.table, page.table.period
    currency = table.currency
    days = [each.date() for each in page.days["day"]]
    own = next((line for line in page.path if line.use_case == page.row.number), None)
    cap = own.cap if own is not None and page.line.envelope is not None else None
    entries = link_with(reverse("ledger"), ("use_case", page.row.slug))
    figure = facade.draw_spend_by_day(
        page.days,
        currency=currency,
        plan=page.line.plan_whole,
        cap=cap,
        paths=[f"{entries}&p={day:%Y-%m}" for day in days],
    )
    legend = [{"mark": "ac", "label": "Spent"}]
    if page.line.plan_whole is not None:
        legend.append({"mark": "line", "label": "PL, linear"})
    if cap is not None:
        legend.append({"mark": "cap", "label": "Cap"})
    rows = [
        [
            figures.day(day),
            figures.money(shown.whole(spent), currency),
            figures.money(shown.whole(summed), currency),
            figures.count_exact(shown.whole(calls)),
            figures.count_exact(shown.whole(denials)),
        ]
        for day, spent, summed, calls, denials in zip(
            days,
            page.days["ac_nanos"],
            page.days["cumulative_nanos"],
            page.days["calls"],
            page.days["denials"],
            strict=True,
        )
    ]
    return {
        "id": "days",
        "title": f"Spend of {page.row.name} by day, {period.label}",
        "subtitle": f"{currency}; days above on a scale of their own, sum below",
        "summary": page.headline,
        "figure": figure,
        "legend": legend,
        "table": {
            "columns": [
                {"label": "Day"},
                {"label": "Spent", "num": True},
                {"label": "Sum", "num": True},
                {"label": "Calls", "num": True},
                {"label": "Denied", "num": True},
            ],
            "rows": rows,
        },
    }


def _slices(page: facade.UseCasePage) -> list[dict[str, Any]]:
    currency = page.table.currency
    whole = page.line.spent
    scale = figures.money_scale(each.spent for each in page.slices)
    return [
        {
            "model": each.model,
            "venue": each.venue,
            "calls": figures.count(each.calls),
            "tokens": figures.count(each.tokens),
            "spent": figures.money(each.spent, currency, scale=scale),
            "nanos": each.spent,
            "whole": whole,
            "share": figures.percent(part=each.spent, whole=whole) if whole else "",
            "cost": figures.unit_cost(each.cost_per_call, currency),
            "url": link_with(
                reverse("ledger"),
                ("use_case", page.row.slug),
                *((("model", each.model),) if each.model else ()),
            )
            + f"&p={page.table.period.months.text}",
        }
        for each in page.slices
    ]


def _limit(line: facade.EnvelopeLine, currency: str) -> dict[str, Any]:
    binding = line.binding
    left = figures.money(line.available, currency).text
    soft = f"soft {figures.money(line.amount, currency).text}" if not line.hard else ""
    return {
        "name": f"{line.name} · {line.period_label}" if line.period_label else line.name,
        "url": reverse("envelope", args=[line.public]),
        "text": f"{left} left" if line.available is not None else soft or "no own cap",
        "cap": line.cap,
        "spent": line.settled,
        "held": line.held,
        "lent": line.lent - line.held,
        "unsettled": line.unsettled,
        "label": shown.envelope_sentence(line, currency),
        "tone": "adverse"
        if line.health in (facade.Health.OVER, facade.Health.EXHAUSTED, facade.Health.FROZEN)
        else "",
        "binds": bool(binding and binding.own),
    }


def _path_note(page: facade.UseCasePage) -> str:
    binding = _binding(page)
    if binding is None:
        return "Nothing limits these calls: no envelope on the path has a cap."
    left = figures.money(binding.available, page.table.currency).text
    return f"{binding.name} binds first: {left} left. A call must fit into every line above."


def _limits(page: facade.UseCasePage) -> list[dict[str, Any]]:
    currency, row = page.table.currency, page.row
    items: list[dict[str, Any]] = []
    for line in page.path:
        if line.per_call is not None:
            items.append(
                {
                    "term": "Per call",
                    "text": figures.money(line.per_call, currency),
                    "sub": line.name,
                }
            )
        if line.per_run is not None:
            items.append(
                {
                    "term": "Per run",
                    "text": figures.money(line.per_run, currency),
                    "sub": line.name,
                }
            )
    items.append(
        {
            "term": "Output a call",
            "text": f"{row.default_max_output_tokens:,} {TOKENS} unless the call says so"
            if row.default_max_output_tokens
            else f"1,024 {TOKENS} unless the call says so",
        }
    )
    items.append(
        {
            "term": "Input a call",
            "text": f"{row.max_input_tokens:,} {TOKENS}"
            if row.max_input_tokens
            else "the model's own limit",
        }
    )
    return items


def _policy(row: facade.UseCaseRow) -> list[dict[str, Any]]:
    return [
        {"term": "Mode", "status": row.mode},
        {"term": "Model", "text": row.default_model or "as the call names it"},
        {"term": "Floor class", "text": row.floor_class},
        {
            "term": "Fits output",
            "text": "grants fewer output tokens when all do not fit"
            if row.fit_output
            else "denies when the asked output does not fit",
        },
        {
            "term": "No price",
            "text": "denied" if row.strict_prices else "denied under a hard cap",
        },
        {"term": "o10 away", "text": "calls stop" if row.fail_mode == "closed" else "calls go"},
    ]


def _decision(each: facade.DecisionRow) -> dict[str, Any]:
    return {
        "at": each.decided_at,
        "url": reverse("decision", args=[each.public]),
        "outcome": each.outcome,
        "codes": each.codes,
        "model": each.model,
        "worst": each.worst,
    }


def _entry(each: facade.EntryLine, currency: str) -> dict[str, Any]:
    return {
        "seq": each.seq,
        "url": reverse("ledger-entry", args=[each.seq]) if each.seq else "",
        "at": each.recorded_at,
        "kind": each.kind.replace("_", " "),
        "model": each.model,
        "venue": each.venue,
        "tokens": figures.count(each.tokens),
        "amount": figures.money_exact(each.amount, currency),
        "held": figures.money_exact(each.held, currency) if each.held else "",
    }
