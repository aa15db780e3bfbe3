"""How does committed capacity stand in its templates: the list, and the form of terms?"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from django.urls import reverse

from o10.access.checks import can
from o10.access.keys import Caller
from o10.access.roles import Action
from o10.kernel import figures, ids
from o10.kernel.pageview import PageView
from policies import facade
from policies.web.price_forms import Typed
from policies.web.shown_envelope_change import Problem
from policies.web.shown_prices import pending_rows, stamp_of, tabs_of

NOTICE_SOON: Final = timedelta(days=45)
ADVICE: Final = {
    "keep": ("Keep it", "favourable"),
    "shrink": ("Shrink at term", "warn"),
    "end": ("End at term", "adverse"),
    "watch": ("Watch", "neutral"),
    "not_enough_evidence": ("Not enough evidence", "neutral"),
}


def show_commitments(
    *,
    found: Sequence[facade.CommitmentView],
    pending: Sequence[Any],
    caller: Caller,
    now: datetime,
    view: PageView,
) -> dict[str, Any]:
    """Which context has the list of commitments?"""
    currency = facade.organisation().currency
    charge = sum(each.charge for each in found)
    waste = sum(each.waste for each in found)
    beyond = sum(each.beyond_nanos for each in found)
    if not found:
        headline = "No capacity is committed: every call is bought on demand."
    elif not charge:
        headline = f"{len(found)} commitments; no day of them was charged yet."
    else:
        headline = (
            f"{figures.money(waste, currency).text} of {figures.money(charge, currency).text} "
            f"paid for capacity in 30 days was not used "
            f"({figures.percent(part=waste, whole=charge).text})."
        )
    if beyond:
        headline += f" {figures.money(beyond, currency).text} more was bought on demand."
    return {
        "head": {
            "headline": headline,
            "subline": "A charge is due whether used or not. What is used costs nothing more "
            "at the margin; what is not is waste, a line of its own with the owner; what lies "
            "beyond the capacity of an hour is bought on demand beside it.",
            "tabs": tabs_of("commitments"),
            "primary": {"label": "New commitment", "url": reverse("commitment-new")}
            if can(caller=caller, action=Action.CHANGE_PRICES)
            else None,
        },
        "stamp": stamp_of(now),
        "pending": pending_rows(pending),
        "export_links": view.exports(),
        "rows": [_row(each, currency, now) for each in found],
        "currency": currency,
        "empty": {
            "title": "No capacity is committed.",
            "text": "A commitment buys units by the hour: its charge, drawdown and waste are "
            "booked day by day once two people agreed to it.",
        },
    }


def _row(view: facade.CommitmentView, currency: str, now: datetime) -> dict[str, Any]:
    terms = view.terms
    word, tone = ADVICE[view.advice.step.value]
    return {
        "name": terms.name,
        "url": reverse("commitment", args=[terms.public]),
        "offer": terms.key.slug,
        "owner": terms.owner_slug,
        "ends": figures.day(terms.end_at.date()),
        "notice": figures.day(terms.notice_date),
        "notice_soon": notice_word(terms, now),
        "hour": f"{figures.count(view.hour_used).text} of "
        f"{figures.count(terms.capacity_an_hour).text}",
        "charge": figures.money(view.charge, currency),
        "waste": figures.money(view.waste, currency),
        "beyond": figures.money(view.beyond_nanos, currency),
        "used": figures.percent(part=view.used, whole=view.capacity) if view.capacity else None,
        "advice": word,
        "tone": tone,
    }


def show_commitment_form(
    *,
    typed: Typed,
    terms: facade.CommitmentTerms | None,
    problem: Problem | None,
    caller: Caller,
    now: datetime,
) -> dict[str, Any]:
    """Which context has the form of a commitment: new, or other terms?"""
    currency = facade.organisation().currency
    values = dict(_typed_terms(terms)) | dict(typed.values)
    owner = values.get("owner", "")
    cases = facade.list_use_case_rows()
    owners = [("company:company", "The company")]
    owners += [
        (f"department:{slug}", f"Department {slug}")
        for slug in sorted({case.department for case in cases if case.department})
    ]
    owners += [(f"use_case:{case.slug}", case.name) for case in cases]
    return {
        "head": {
            "headline": f"Ask for other terms of {terms.name}"
            if terms
            else "Ask for committed capacity",
            "subline": "Charged by the hour whether used or not. It holds, and is booked day "
            "by day, once a second person agreed.",
            "crumbs": [
                {"label": "Commitments", "url": reverse("commitments")},
                {"label": terms.name if terms else "New commitment"},
            ],
        },
        "problem": problem,
        "wrong": problem.fields if problem else (),
        "may": can(caller=caller, action=Action.CHANGE_PRICES),
        "action": reverse("commitment-new"),
        "form_key": typed.key or ids.new_uuid().hex,
        "public": terms.public if terms else "",
        "values": values,
        "currency": values.get("currency") or currency,
        "owners": [
            {"value": value, "label": label, "chosen": value == owner}
            for value, label in owners
        ],
        "beyonds": [
            {"value": "on_demand", "label": "bought on demand"},
            {
                "value": "refused",
                "label": "refused by the venue",
                "chosen": values.get("beyond") == "refused",
            },
        ],
        "today": values.get("start") or now.date().isoformat(),
    }


def _typed_terms(terms: facade.CommitmentTerms | None) -> Mapping[str, str]:
    if terms is None:
        return {}
    rate = figures.csv_money(terms.hourly_rate_nanos)
    return {
        "name": terms.name,
        "venue": terms.key.venue,
        "model": terms.key.model,
        "region": terms.key.region,
        "units": str(terms.units),
        "hourly_rate": rate,
        "currency": terms.currency,
        "unit_tokens": str(terms.unit_tokens),
        "term": terms.term,
        "start": terms.start_at.date().isoformat(),
        "end": terms.end_at.date().isoformat(),
        "notice_date": terms.notice_date.isoformat(),
        "owner": f"{terms.owner_kind}:{terms.owner_slug}",
        "beyond": terms.beyond,
        "evidence": terms.evidence,
    }


def notice_word(terms: facade.CommitmentTerms, now: datetime) -> str:
    """Is the last day of notice near, or over?"""
    left = terms.notice_date - now.date()
    if left < timedelta(0):
        return "passed"
    return "soon" if left <= NOTICE_SOON else ""
