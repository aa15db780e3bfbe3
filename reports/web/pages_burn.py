"""How did the money of one envelope run out? Its chart, alone or inside the envelope's page."""

from datetime import datetime
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_GET

from o10.access.keys import Caller
from o10.access.pages import page, render_page
from o10.access.roles import Action
from o10.kernel import figures
from o10.kernel.pageview import Link, link_with
from reports import facade
from reports.web import shown


@require_GET
@page(Action.READ_SPEND)
def burn(
    request: HttpRequest, envelope_id: str, *, caller: Caller, now: datetime
) -> HttpResponse:
    """Spent by day and in sum, against the cap."""
    found = facade.get_burn(envelope=envelope_id, now=now)
    return render_page(
        request,
        template="reports/burn.html",
        part="reports/_burn.html",
        context=show_burn(found),
    )


def show_burn(found: facade.Burn) -> dict[str, Any]:
    """Which context has the chart?"""
    line, currency = found.line, found.currency
    left = figures.money(line.available, currency).text
    cap = figures.money(line.cap, currency).text
    said = (
        f"{line.name}: {left} of {cap} is left."
        if line.cap is not None
        else f"{line.name} has no cap of its own."
    )
    return {
        "head": shown.Head(
            headline=said,
            subline=f"Spent by day, {line.period_label}.",
            crumbs=(
                Link("Envelopes", reverse("envelopes")),
                Link(line.name, reverse("envelope", args=[line.public])),
                Link("Exposure over the period", ""),
            ),
        ),
        "stamp": shown.Stamp(found.position.seq, found.position.at),
        "chart": _chart(found, said) if not found.days.empty else None,
    }


def _chart(found: facade.Burn, said: str) -> dict[str, Any]:
    line, currency = found.line, found.currency
    days = [each.date() for each in found.days["day"]]
    entries = link_with(reverse("ledger"), ("envelope", line.public))
    figure = facade.draw_spend_by_day(
        found.days,
        currency=currency,
        plan=None,
        cap=line.cap,
        paths=[f"{entries}&p={day:%Y-%m}" for day in days],
    )
    rows = [
        [
            figures.day(day),
            figures.money(shown.whole(spent), currency),
            figures.money(shown.whole(summed), currency),
            figures.count_exact(shown.whole(calls)),
        ]
        for day, spent, summed, calls in zip(
            days,
            found.days["ac_nanos"],
            found.days["cumulative_nanos"],
            found.days["calls"],
            strict=True,
        )
    ]
    return {
        "id": "burn-figure",
        "title": f"Spent since the period began, {line.period_label}",
        "subtitle": f"{currency}; days of {found.time_zone} above, sum and cap below",
        "summary": said,
        "figure": figure,
        "legend": [{"mark": "ac", "label": "Spent"}, {"mark": "cap", "label": "Cap"}],
        "table": {
            "columns": [
                {"label": "Day"},
                {"label": "Spent", "num": True},
                {"label": "Sum", "num": True},
                {"label": "Calls", "num": True},
            ],
            "rows": rows,
        },
    }
