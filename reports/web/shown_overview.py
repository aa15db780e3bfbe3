"""How does the overview stand in its template?"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from o10.access.checks import can
from o10.access.keys import Caller
from o10.access.roles import Action as Right
from o10.kernel import figures
from o10.kernel.figures import Figure
from o10.kernel.pageview import PageView, link_with
from reports import facade
from reports.web import shown
from reports.web.shown_failing import failing_rows
from reports.web.shown_outcomes import unit_kpi

HELD = "Held now"
NEAREST = 6
"""How many envelopes the short list of nearest limits shows."""


def show_overview(
    *,
    page: facade.Overview,
    view: PageView,
    caller: Caller,
    notices: tuple[str, ...],
    waiting: Sequence[facade.ApprovalView] = (),
) -> dict[str, Any]:
    """Which context has the overview? `waiting`: requests that this caller can decide."""
    table = page.table
    exports = PageView("/use-cases/", view.query, view.grammar).exports()
    return {
        "head": _head(page, caller),
        "stamp": shown.stamp_of(table),
        "as_of": shown.as_of(view, table),
        "bar": shown.bar_of(
            view, table, exports=exports, choices=shown.filter_choices(table.lines)
        ),
        "notices": notices,
        "kpis": _kpis(page),
        "chart": _chart(page, view),
        "limits": _limits(page),
        "decisions": None if table.frozen else show_decisions(waiting, currency=table.currency),
        "units": _units(page, caller),
        "rows": shown.use_case_rows(table),
        "columns": view.columns(shown.USE_CASE_COLUMNS),
        "total": show_total(table),
        "period": table.period.label,
        "export_links": exports,
        "live_url": "" if table.frozen else view.url,
        "currency": table.currency,
        "planned": table.planned,
        "may_plan": can(caller=caller, action=Right.CHANGE_PLAN) and not table.frozen,
    }


def show_decisions(
    waiting: Sequence[facade.ApprovalView], *, currency: str
) -> dict[str, Any] | None:
    """What needs this person's decision? The three that expire first; None = nothing does."""
    if not waiting:
        return None
    count = len(waiting)
    ordered = sorted(waiting, key=lambda view: (view.expires_at, view.id))
    return {
        "title": "One request needs your decision"
        if count == 1
        else f"{count} requests need your decision",
        "cards": [
            _decision(view, currency, first=place == 0)
            for place, view in enumerate(ordered[:3])
        ],
        "links": [{"label": f"All {count}", "url": reverse("approvals")}] if count > 3 else [],
    }


def _decision(view: facade.ApprovalView, currency: str, *, first: bool) -> dict[str, Any]:
    money = None if view.text.money_nanos is None else int(view.text.money_nanos)
    effect = "" if money is None else f"{figures.money(money, currency).text} a month"
    if money is not None and money > 0:
        effect = f"+{effect}"
    said = f" “{view.reason}”" if view.reason else ""
    expires = figures.instant(view.expires_at).text
    return {
        "title": view.text.title,
        "effect": effect,
        "text": f"{view.maker.name} asks.{said} Ends {expires} if nobody acts.",
        "actions": [
            {"label": "Decide", "url": reverse("approval", args=[view.id]), "primary": first}
        ],
    }


def show_onboarding(
    *, request: HttpRequest, page: facade.Overview, now: datetime
) -> dict[str, Any]:
    """Which context has the first page of a company that has no call yet?"""
    base = f"{request.scheme}://{request.get_host()}"
    return {
        "head": shown.Head(
            headline="No call has asked for money yet.",
            subline="Connect a router, post what was already used, or look at a demo company. "
            "The first entry appears here within two seconds.",
        ),
        "stamp": shown.stamp_of(page.table),
        "key_command": "o10 create_key --name my-router --role router",
        "curl_authorize": (
            f"curl -s {base}/api/v1/authorize \\\n"
            "  -H 'Authorization: Bearer YOUR_KEY' \\\n"
            "  -H 'Content-Type: application/json' \\\n"
            '  -d \'{"request_id": "first-1", "use_case": "my-use-case", '
            '"model": "openai/gpt-4o-mini", "input_tokens": 1200}\''
        ),
        "curl_usage": (
            f"curl -s {base}/api/v1/usage \\\n"
            "  -H 'Authorization: Bearer YOUR_KEY' \\\n"
            "  -H 'Content-Type: application/json' \\\n"
            f'  -d \'[{{"id": "usage-1", "at": "{now:%Y-%m-%dT%H:%M:%SZ}", '
            '"use_case": "my-use-case", '
            '"model": "openai/gpt-4o-mini", "usage": {"input_tokens": 1200, '
            '"output_tokens": 310}}]\''
        ),
        "demo_command": "o10 demo",
        "live_url": reverse("overview"),
    }


def _head(page: facade.Overview, caller: Caller) -> shown.Head:
    said = page.table.headline
    primary = None
    may_plan = can(caller=caller, action=Right.CHANGE_PLAN) and not page.table.frozen
    if may_plan and not page.table.planned:
        primary = shown.Action("Enter plan", reverse("plan"))
    return shown.Head(headline=said.title, subline=said.detail, primary=primary)


def _kpis(page: facade.Overview) -> list[shown.Kpi]:
    table = page.table
    currency, period = table.currency, table.period
    running = period.progress is facade.Progress.RUNNING
    entries = f"{reverse('ledger')}?p={period.months.text}"
    kpis = [
        shown.Kpi(
            label="Spent, month to date" if running else f"Spent, {period.label}",
            value=figures.money(table.total.actual, currency),
            delta=shown.delta_to_plan(table.total, currency=currency),
            note="ΔPL, plan to date" if table.total.plan is not None else "no plan yet",
            href=entries,
            spark=_course(page),
            spark_label=f"Spent by day, {period.label}",
        ),
        _plan_kpi(table),
    ]
    if page.headroom is not None:
        kpis += _headroom_kpis(page.headroom, currency)
    unit = _unit_kpi(table)
    if unit is not None:
        # Six tiles: what is held stands with what is left then.
        kpis = [each for each in kpis if each.label != HELD] + [unit]
    kpis.append(_calls_kpi(table))
    if page.coverage is not None:
        kpis.append(_coverage_kpi(page.coverage))
    return kpis


def _unit_kpi(table: facade.UseCaseTable) -> shown.Kpi | None:
    """Cost per outcome of the use case that costs most and tells its outcomes."""
    month = table.period.month_starts[-1]
    dearest = sorted(
        (line for line in table.lines if line.units is not None), key=lambda line: -line.spent
    )
    tiles = (unit_kpi(line.units, month, currency=table.currency) for line in dearest)
    return next((tile for tile in tiles if tile is not None), None)


def _units(page: facade.Overview, caller: Caller) -> dict[str, Any] | None:
    """Which use cases fail unit economics, and what does everything cost, fully loaded?"""
    table, full = page.table, page.full
    courses = [line for line in table.lines if line.units is not None]
    if not courses and not full.total:
        return None
    return {
        "title": facade.units_headline(
            [
                (line.name, line.units.verdict, line.units.failing)
                for line in courses
                if line.units is not None
            ]
        ),
        "subtitle": facade.cost_headline(
            full, period=table.period.name, currency=table.currency
        ),
        "detail": facade.cost_detail(full),
        "failing": failing_rows(
            (
                (
                    line.name,
                    line.slug,
                    line.units,
                    line.envelope.public if line.envelope else "",
                )
                for line in courses
                if line.units is not None
            ),
            caller=caller,
            currency=table.currency,
        )
        if not table.frozen
        else [],
        "links": [
            {"label": "Fully loaded cost", "url": reverse("cost")},
            {"label": "Cost per outcome", "url": reverse("cost-outcomes")},
        ],
    }


def _plan_kpi(table: facade.UseCaseTable) -> shown.Kpi:
    used: Figure | str = "no plan yet"
    if table.plan_whole is not None:
        share = figures.percent(part=table.total.actual, whole=table.plan_whole)
        detail = f", {table.period.detail}" if table.period.detail else ""
        used = Figure(f"{share.text} used{detail}", share.exact)
    return shown.Kpi(
        label=f"Plan, {table.period.label}",
        value=figures.money(table.plan_whole, table.currency),
        note=used,
        href=reverse("plan"),
    )


def _headroom_kpis(room: facade.Headroom, currency: str) -> list[shown.Kpi]:
    capped = "no envelope has a cap"
    if room.cap is not None:
        share = figures.percent(part=room.available, whole=room.cap).text
        capped = f"{share} of a cap of {figures.money(room.cap, currency).text}"
    capped += f"; held {figures.money(room.held, currency).text}"
    held = f"{room.open_calls:,} open calls, worst case"
    if room.unsettled:
        held += f"; unsettled {figures.money(room.unsettled, currency).text}"
    return [
        shown.Kpi(
            label="Left in envelopes",
            value=figures.money(room.available, currency),
            note=capped,
            tone="adverse" if (room.available or 0) < 0 else "",
            href=reverse("envelopes"),
        ),
        shown.Kpi(
            label=HELD,
            value=figures.money(room.held, currency),
            note=held,
            tone="warn" if room.unsettled else "",
            href=reverse("envelopes"),
        ),
    ]


def _calls_kpi(table: facade.UseCaseTable) -> shown.Kpi:
    asked = table.calls + table.denials
    share = figures.percent(part=table.denials, whole=asked).text if asked else ""
    return shown.Kpi(
        label=f"Calls, {table.period.label}",
        value=figures.count(table.calls),
        title=f"{table.calls:,}",
        note=f"{table.denials:,} denied ({share})" if table.denials else "none denied",
        href=link_with(reverse("decisions"), ("decision", "deny")),
    )


def _coverage_kpi(coverage: facade.PriceCoverage) -> shown.Kpi:
    priced = coverage.priced_ppm
    value = figures.percent(part=priced, whole=1_000_000)
    sources = [
        f"{source} {figures.percent(part=coverage.share_ppm(source), whole=1_000_000).text}"
        for source in ("contract", "list", "override", "none")
        if coverage.share_ppm(source)
    ]
    missing = priced is not None and priced < 1_000_000
    return shown.Kpi(
        label="Tokens with a price",
        value=value,
        note=", ".join(sources) if sources else "no token used yet",
        tone="warn" if missing else "",
    )


def _course(page: facade.Overview) -> tuple[int | None, ...]:
    """The sum up to each day, for a spark line; integers in cents of a unit."""
    known = (shown.whole(value) for value in page.days["cumulative_nanos"])
    return tuple(value // 10_000_000 for value in known if value is not None)


def _chart(page: facade.Overview, view: PageView) -> dict[str, Any]:
    table, months = page.table, page.months
    paths = [f"{reverse('overview')}?p={month.strftime('%Y-%m')}" for month in months["month"]]
    drawing = facade.draw_spend_against_plan(months, currency=table.currency, paths=paths)
    unit = f"{table.currency} {drawing.unit}".strip()
    note = f"; {drawing.scale_note}" if drawing.scale_note else ""
    rows = [
        [
            month.strftime("%b %Y"),
            figures.money(shown.whole(spent), table.currency),
            figures.money(shown.whole(plan), table.currency),
            figures.money(shown.whole(due), table.currency),
            figures.delta(
                new=shown.whole(spent) if shown.whole(due) is not None else None,
                base=shown.whole(due),
                currency=table.currency,
            ),
        ]
        for month, spent, plan, due in zip(
            months["month"],
            months["ac_nanos"],
            months["pl_nanos"],
            months["due_nanos"],
            strict=True,
        )
    ]
    return {
        "id": "months",
        "title": f"Spend against plan, {page.year}",
        "subtitle": f"{unit}; ΔPL above, months below; the running month against plan to date"
        f"{note}",
        "summary": table.headline.title,
        "figure": drawing.figure,
        "legend": [{"mark": "ac", "label": "AC"}, {"mark": "pl", "label": "PL"}],
        "table": {
            "columns": [
                {"label": "Month"},
                {"label": "AC spent", "num": True},
                {"label": "PL plan", "num": True},
                {"label": "PL to date", "num": True},
                {"label": "ΔPL", "num": True},
            ],
            "rows": rows,
        },
    }


def _limits(page: facade.Overview) -> list[dict[str, Any]]:
    """Envelopes with least of their cap left, nearest first."""
    currency = page.table.currency
    capped = [line for line in page.envelopes if line.cap and line.state == "active"]
    nearest = sorted(
        capped, key=lambda line: (line.available or 0) * 1_000_000 // (line.cap or 1)
    )
    return [
        {
            "name": line.name,
            "url": reverse("envelope", args=[line.public]),
            "text": f"{figures.money(line.available, currency).text} left"
            f" · {figures.percent(part=line.available, whole=line.cap).text}",
            "cap": line.cap,
            "spent": line.settled,
            "held": line.held,
            "lent": line.lent - line.held,
            "unsettled": line.unsettled,
            "label": shown.envelope_sentence(line, currency),
            "tone": _limit_tone(line),
        }
        for line in nearest[:NEAREST]
    ]


def _limit_tone(line: facade.EnvelopeLine) -> str:
    if line.health in (facade.Health.OVER, facade.Health.EXHAUSTED):
        return "adverse"
    return "warn" if (line.soft_passed_ppm or 0) >= 800_000 else ""


def show_total(table: facade.UseCaseTable) -> dict[str, Any]:
    """What do the rows add up to, as the page writes it?"""
    currency = table.currency
    spent = [line.spent for line in table.lines]
    return {
        "spent": figures.money(table.total.actual, currency, scale=figures.money_scale(spent)),
        "plan": figures.money(table.total.plan, currency),
        "delta": shown.delta_to_plan(table.total, currency=currency),
        "calls": figures.count(table.calls),
        "denials": f"{table.denials:,}",
        "rounded": figures.rounding_note(
            parts=spent, total=table.total.actual, scale=figures.money_scale(spent)
        ),
        "rows": len(table.lines),
    }
