"""How do dated rates of other currencies stand in their template?"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.urls import reverse

from o10.access.checks import can
from o10.access.keys import Caller
from o10.access.roles import Action
from o10.kernel import figures, ids
from o10.kernel.pageview import PageView
from policies import facade
from policies.web.price_forms import Typed
from policies.web.shown_envelope_change import Problem
from policies.web.shown_prices import stamp_of, tabs_of


def show_fx_rates(
    *,
    lines: Sequence[facade.FxLine],
    names: Mapping[str, str],
    typed: Typed,
    problem: Problem | None,
    caller: Caller,
    now: datetime,
    view: PageView,
) -> dict[str, Any]:
    """Which context has the page of rates?"""
    currency = facade.organisation().currency
    newest = [line for line in lines if line.newest]
    stale = [line.currency for line in newest if line.stale]
    several = "currency has" if len(newest) == 1 else "currencies have"
    headline = f"{len(newest)} {several} a dated rate in {currency}"
    if not newest:
        headline = f"Everything is priced in {currency}: no other currency has a rate."
    elif stale:
        headline += f"; that of {', '.join(stale)} is older than a week."
    else:
        headline += ", none older than a week."
    return {
        "head": {
            "headline": headline,
            "subline": "A rate holds from its date until the next. A new one changes no booked "
            "entry; the difference to what was paid is a line of its own.",
            "tabs": tabs_of("fx-rates"),
        },
        "stamp": stamp_of(now),
        "problem": problem,
        "wrong": problem.fields if problem else (),
        "may": can(caller=caller, action=Action.CHANGE_PRICES),
        "action": reverse("fx-rates"),
        "form_key": typed.key or ids.new_uuid().hex,
        "values": typed.values,
        "today": typed.get("date") or now.date().isoformat(),
        "export_links": view.exports(),
        "rows": [
            {
                "currency": line.currency,
                "rate": line.rate,
                "date": figures.day(line.rate_date),
                "source": line.source,
                "evidence": line.evidence,
                "by": names.get(line.actor, line.actor),
                "version": line.version,
                "state": "stale"
                if line.stale
                else "in force"
                if line.newest
                else "held"
                if line.in_force
                else "replaced",
                "tone": "warn" if line.stale else "favourable" if line.newest else "neutral",
            }
            for line in lines
        ],
        "currency": currency,
    }
