"""How does the page of drivers stand in its template?"""

from dataclasses import dataclass
from typing import Any

from django.urls import reverse

from o10.access.checks import can
from o10.access.keys import Caller
from o10.access.roles import Action as Right
from o10.kernel import figures
from o10.kernel.pageview import Bar, Link, PageView
from reports import facade
from reports.web import shown


@dataclass(frozen=True, slots=True)
class Entered:
    """What did a person send, and what was wrong with which row? `said` when it was entered."""

    text: str = ""
    problems: tuple[tuple[int, str, str], ...] = ()
    said: str = ""
    status: int = 200


def show_drivers(
    *,
    page: facade.DriversPage,
    view: PageView,
    caller: Caller,
    entered: Entered,
    notices: tuple[str, ...],
) -> dict[str, Any]:
    """Which context has the page of drivers?"""
    exports = view.exports()
    today = page.period.at.date()
    month = f"{page.month:%B %Y}"
    slug = next(iter(page.use_cases), "support-assistant")
    as_of = None
    if page.frozen:
        as_of = shown.AsOf(page.position.seq, page.position.at, view.url_with(as_of=None))
    return {
        "head": shown.Head(
            headline=page.headline,
            subline=_subline(page),
            crumbs=(Link("Cost", reverse("cost")), Link("Drivers", "")),
        ),
        "stamp": shown.Stamp(page.position.seq, page.position.at),
        "as_of": as_of,
        "bar": Bar(
            period=view.months(shown=page.period.label, detail=page.period.detail, today=today),
            copy=view.copy_links(seq=page.position.seq),
            exports=exports,
        ),
        "notices": notices,
        "rows": [_row(line, page) for line in page.lines],
        "volumes": [_volume(row, page) for row in page.volumes],
        "told": page.told,
        "shown": len(page.volumes),
        "period": month,
        "currency": page.currency,
        "export_links": exports,
        "volume_exports": PageView(
            "/cost/drivers/volumes/", view.query, view.grammar
        ).exports(),
        "may_tell": can(caller=caller, action=Right.RECORD_USAGE) and not page.frozen,
        "text": entered.text,
        "problems": [
            {"row": row, "message": message, "text": text}
            for row, message, text in entered.problems
        ],
        "example": f"{slug},tickets,{today},1240",
    }


def _subline(page: facade.DriversPage) -> str:
    said = "Fully loaded cost of the use case in the month / units told for it."
    if not page.without:
        return said
    more = f" and {len(page.without) - 3} more" if len(page.without) > 3 else ""
    return f"{said} No driver: {', '.join(page.without[:3])}{more}."


def _row(line: facade.DriverLine, page: facade.DriversPage) -> dict[str, Any]:
    cost = line.cost
    calls = cost.calls_per_thousand
    return {
        "name": cost.name,
        "url": reverse("use-case", args=[line.slug]),
        "driver": cost.driver,
        "volume": figures.count_exact(cost.volume),
        "calls": f"{calls / 1000:,.2f}" if calls is not None else None,
        "cost": figures.money(cost.cost, page.currency),
        "cost_url": f"{reverse('cost')}?p={page.month:%Y-%m}#cases",
        "per_unit": figures.unit_cost(cost.per_unit, page.currency),
        "days": f"{cost.days_told} of {cost.days_over}",
        "whole": cost.whole,
    }


def _volume(row: facade.VolumeRow, page: facade.DriversPage) -> dict[str, Any]:
    return {
        "period": row.period,
        "use_case": page.use_cases.get(row.use_case, row.use_case),
        "driver": row.driver,
        "volume": figures.count_exact(row.volume),
        "revision": row.revision,
        "source": row.source,
        "at": row.recorded_at,
        "url": reverse("ledger-entry-by-id", args=[row.entry_id]),
    }
