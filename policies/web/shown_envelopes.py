"""How does the tree of envelopes stand in its template?"""

from datetime import datetime
from typing import Any

from django.urls import reverse

from o10.access.checks import can
from o10.access.keys import Caller
from o10.access.roles import Action
from o10.kernel import figures
from o10.kernel.money import Nanos
from o10.kernel.pageview import Bar, PageView
from policies import facade
from policies.web.shown_envelope_lines import fold_lines, line_row, resets_day

_NO_CAP = "No envelope at the top has a cap"


def show_tree(
    *, screen: facade.EnvelopeTreeScreen, view: PageView, caller: Caller, now: datetime
) -> dict[str, Any]:
    """Which context has the page of all envelopes?"""
    currency = screen.currency
    tops = [line for line in screen.lines if line.depth == 0 and line.state != "closed"]
    return {
        "head": _tree_head(screen, tops),
        "stamp": {"seq": screen.position.seq, "at": now, "state": "fresh"},
        "bar": Bar(exports=view.exports()),
        "kpis": _tree_kpis(tops, currency) if screen.lines else [],
        "rows": [
            line_row(line, currency, note=note) for line, note in fold_lines(screen.lines)
        ],
        "total": _total(tops, currency) if len(tops) > 1 else None,
        "currency": currency,
        "export_links": view.exports(),
        "may_create": can(caller=caller, action=Action.CHANGE_ENVELOPE),
        "live_url": view.url,
    }


def _tree_head(
    screen: facade.EnvelopeTreeScreen, tops: list[facade.EnvelopeLine]
) -> dict[str, Any]:
    currency = screen.currency
    if not screen.lines:
        return {
            "headline": "There is no envelope yet, so every call is denied.",
            "subline": "An envelope gives a company, a department or a use case an amount for "
            "a period.",
        }
    left = [line.available for line in tops if line.available is not None]
    empty = [
        line
        for line in screen.lines
        if line.health in (facade.Health.EXHAUSTED, facade.Health.OVER)
    ]
    frozen = [line for line in screen.lines if line.health is facade.Health.FROZEN]
    start = _left_until(tops, sum(left), currency) if left else _NO_CAP
    stops = []
    if empty:
        stops.append(f"{_count(len(empty), 'envelope is', 'envelopes are')} exhausted")
    if frozen:
        stops.append(f"{_count(len(frozen), 'is', 'are')} frozen")
    headline = f"{start}, and {' and '.join(stops or ['no limit is reached'])}."
    if empty:
        names = ", ".join(line.name for line in empty[:3])
        subline = f"Calls of {names} are denied until more is granted or the period resets."
    else:
        soft = [line for line in screen.lines if line.health is facade.Health.SOFT]
        names = ", ".join(line.name for line in soft[:3])
        subline = (
            f"A soft threshold is passed by {names}{_more(soft)}."
            if soft
            else "No soft threshold is passed."
        )
    return {"headline": headline, "subline": subline}


def _left_until(tops: list[facade.EnvelopeLine], left: Nanos, currency: str) -> str:
    """What is left at the top, of how much, until when?"""
    caps = sum(line.cap for line in tops if line.cap is not None)
    said = (
        f"{figures.money(left, currency).text} of {figures.money(caps, currency).text} is left"
    )
    ends = {line.period.end: line for line in tops if line.period is not None}
    if not ends:
        return said
    return f"{said} until {resets_day(ends[min(ends)]).removeprefix('ends ')}"


def _more(lines: list[facade.EnvelopeLine]) -> str:
    return f" and {len(lines) - 3} more" if len(lines) > 3 else ""


def _tree_kpis(tops: list[facade.EnvelopeLine], currency: str) -> list[dict[str, Any]]:
    caps = [line.cap for line in tops if line.cap is not None]
    left = [line.available for line in tops if line.available is not None]
    settled = sum(line.settled for line in tops)
    unguarded = sum(line.unguarded for line in tops)
    cap = sum(caps) if caps else None
    return [
        {"label": "Cap", "value": figures.money(cap, currency), "note": _resets(tops)},
        {
            "label": "Spent",
            "value": figures.money(settled, currency),
            "note": f"{figures.percent(part=settled, whole=cap).text} of cap" if cap else "",
            "href": reverse("ledger"),
        },
        {
            "label": "of it unguarded",
            "value": figures.money(unguarded, currency),
            "note": "spent without a hold",
            "tone": "",
        },
        {
            "label": "Held",
            "value": figures.money(sum(line.held for line in tops), currency),
            "note": "worst case of open calls",
        },
        {
            "label": "Unsettled",
            "value": figures.money(sum(line.unsettled for line in tops), currency),
            "note": "expired without an answer",
            "tone": "warn" if any(line.unsettled for line in tops) else "",
        },
        {
            "label": "Left",
            "value": figures.money(sum(left) if left else None, currency),
            "note": f"{figures.percent(part=sum(left), whole=cap).text} of cap"
            if cap and left
            else "",
            "tone": "adverse" if left and sum(left) < 0 else "",
        },
    ]


def _resets(tops: list[facade.EnvelopeLine]) -> str:
    ends = sorted(line.period.end for line in tops if line.period is not None)
    if not ends:
        return ""
    zone = next(line.time_zone for line in tops if line.period is not None)
    return f"resets {figures.instant(ends[0], time_zone=zone).text}"


def _total(tops: list[facade.EnvelopeLine], currency: str) -> dict[str, Any]:
    caps = [line.cap for line in tops if line.cap is not None]
    left = [line.available for line in tops if line.available is not None]
    return {
        "cap": figures.money(sum(caps) if caps else None, currency),
        "spent": figures.money(sum(line.settled for line in tops), currency),
        "unguarded": figures.money(sum(line.unguarded for line in tops), currency),
        "held": figures.money(sum(line.held for line in tops), currency),
        "lent": figures.money(sum(line.lent for line in tops), currency),
        "unsettled": figures.money(sum(line.unsettled for line in tops), currency),
        "left": figures.money(sum(left) if left else None, currency),
    }


def _count(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"
