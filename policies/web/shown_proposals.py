"""How do catalogue refreshes and revaluations stand in their templates?"""

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
from policies.web.shown_prices import (
    DOUBT_WORDS,
    card_words,
    confirmed_words,
    offer_url,
    pending_rows,
    stamp_of,
    tabs_of,
)

LINES_SHOWN: Final = 400
_TONES: Final = {
    "open": "accent",
    "applied": "favourable",
    "superseded": "neutral",
    "void": "warn",
    "declined": "neutral",
}


def show_proposals(
    *,
    found: Sequence[facade.ProposalView],
    confirmed: facade.ConfirmationView | None,
    problem: Problem | None,
    names: Mapping[str, str],
    caller: Caller,
    now: datetime,
    view: PageView,
) -> dict[str, Any]:
    """Which context has the list of refreshes?"""
    currency = facade.organisation().currency
    waiting = [each for each in found if each.state == "open"]
    headline = "No price refresh waits for a decision."
    if waiting:
        delta = int(waiting[0].body["effect"]["total"]["delta"])
        headline = (
            f"A refresh of {waiting[0].catalogue} waits: "
            f"{_moved(delta, currency)} on the usage of 30 days."
        )
    return {
        "head": {
            "headline": headline,
            "subline": "A sync loads nothing: it proposes. Rows that moved by more than 25 % "
            "or are not believed are listed apart and need a release of their own.",
            "tabs": tabs_of("price-proposals"),
        },
        "stamp": stamp_of(now),
        "problem": problem,
        "may": can(caller=caller, action=Action.CHANGE_PRICES),
        "action": reverse("price-proposals"),
        "export_links": view.exports(),
        "confirmed": confirmed_words(confirmed, names),
        "rows": [
            {
                "url": reverse("price-proposal", args=[each.id]),
                "name": f"{each.catalogue} {each.edition}",
                "state": each.state,
                "tone": _TONES[each.state],
                "changes": len(each.body["changes"]),
                "new": len(each.body["new_offers"]),
                "apart": len(each.body["apart"]),
                "disagreements": len(each.body["disagreements"]),
                "delta": figures.money(int(each.body["effect"]["total"]["delta"]), currency),
                "made": each.made_at,
                "by": names.get(each.actor, each.actor),
                "version": each.version,
            }
            for each in found
        ],
        "empty": {
            "title": "No refresh was proposed yet.",
            "text": "The job of the night looks at the installed catalogue; finance can look "
            "now, and a file goes by manage.py prices_sync --catalogue FILE.",
        },
        "currency": currency,
    }


def show_proposal(
    *,
    view: facade.ProposalView,
    pending: Sequence[Any],
    names: Mapping[str, str],
    use_cases: Mapping[int, str],
    now: datetime,
) -> dict[str, Any]:
    """Which context has one refresh, line by line?"""
    currency = facade.organisation().currency
    body = view.body
    total = body["effect"]["total"]
    delta = int(total["delta"])
    calls = total["calls"]
    return {
        "head": {
            "headline": f"{view.catalogue} {view.edition} would have cost "
            f"{_moved(delta, currency)} on the usage of the last "
            f"{body['effect']['days']} days."
            if calls
            else f"{view.catalogue} {view.edition} touches no price that was used in "
            f"{body['effect']['days']} days.",
            "subline": f"{len(body['changes']):,} price changes, "
            f"{len(body['new_offers']):,} new offers, {body['unchanged']:,} unchanged; "
            f"{calls:,} calls priced twice, class by class.",
            "crumbs": [
                {"label": "Prices", "url": reverse("prices")},
                {"label": "Proposals", "url": reverse("price-proposals")},
                {"label": view.id},
            ],
            "status": {"word": view.state, "tone": _TONES[view.state]},
        },
        "stamp": stamp_of(now),
        "pending": pending_rows(pending),
        "kpis": [
            {"label": "Cost before", "value": figures.money(int(total["before"]), currency)},
            {"label": "Cost after", "value": figures.money(int(total["after"]), currency)},
            {
                "label": "Difference",
                "value": figures.delta(
                    new=int(total["after"]), base=int(total["before"]), currency=currency
                ),
            },
            {
                "label": "Listed apart",
                "value": f"{len(body['apart']):,}",
                "note": "not part of it",
                "href": reverse("price-quarantine"),
            },
            {
                "label": "Disagreements",
                "value": f"{len(body['disagreements']):,}",
                "note": "nothing is loaded over the catalogue in force",
            },
        ],
        "effects": _effects(body["effect"]["by_offer"], currency, offer_url),
        "cases": _effects(
            {
                use_cases.get(int(number), "unattributed"): each
                for number, each in body["effect"]["by_use_case"].items()
            },
            currency,
            lambda slug: reverse("use-case", args=[slug]) if slug != "unattributed" else "",
        ),
        "changes": [_change(each, currency) for each in body["changes"][:LINES_SHOWN]],
        "more_changes": max(0, len(body["changes"]) - LINES_SHOWN),
        "disagreements": [
            _change(each, currency) for each in body["disagreements"][:LINES_SHOWN]
        ],
        "apart": [
            {
                "slug": each["slug"],
                "doubts": [DOUBT_WORDS.get(word, word) for word in each["doubts"]],
                "says": card_words(each["cards"][-1]["card"])
                if each["cards"]
                else each["remark"],
                "moves": [_change(move, currency) for move in each["moves"][:4]],
            }
            for each in body["apart"][:LINES_SHOWN]
        ],
        "new_offers": body["new_offers"][:LINES_SHOWN],
        "facts": [
            {"term": "Proposal", "code": view.id},
            {"term": "Content", "hash": view.content_hash},
            {"term": "Diff", "hash": view.hash},
            {"term": "Against price version", "text": f"{view.base_version:,}"},
            {"term": "Asked for by", "text": names.get(view.actor, view.actor)},
            {"term": "At", "text": figures.instant(view.made_at)},
            {
                "term": "Became",
                "text": f"price version {view.version}" if view.version else "—",
            },
        ],
        "currency": currency,
    }


def show_revaluations(
    *,
    months: Sequence[Any],
    runs: Sequence[Any],
    typed: Typed,
    problem: Problem | None,
    caller: Caller,
    now: datetime,
    view: PageView,
) -> dict[str, Any]:
    """Which context has the page of months as booked and as revalued?"""
    currency = facade.organisation().currency
    delta = sum(each.delta for each in months)
    touched = sum(each.entries for each in months)
    return {
        "head": {
            "headline": f"Corrected prices made the last {len(months)} months "
            f"{figures.money(abs(delta), currency).text} "
            f"{'dearer' if delta > 0 else 'cheaper'}, on {touched:,} entries."
            if touched
            else "No past price was corrected.",
            "subline": "Originals stay as booked. The difference of each stands in a "
            "revaluation entry, in its own period while that is open, else in the open one.",
            "tabs": tabs_of("revaluations"),
        },
        "stamp": stamp_of(now),
        "problem": problem,
        "wrong": problem.fields if problem else (),
        "may": can(caller=caller, action=Action.CHANGE_PRICES),
        "action": reverse("revaluations"),
        "form_key": typed.key or ids.new_uuid().hex,
        "values": typed.values,
        "first_day": typed.get("start") or (now - timedelta(days=30)).date().isoformat(),
        "last_day": typed.get("end") or now.date().isoformat(),
        "export_links": view.exports(),
        "months": [
            {
                "month": f"{each.month:%B %Y}",
                "booked": figures.money(each.booked, currency),
                "delta": figures.money(each.delta, currency),
                "revalued": figures.money(each.revalued, currency),
                "entries": each.entries,
            }
            for each in reversed(months)
        ],
        "runs": [
            {
                "run": each.run,
                "at": each.posted_at,
                "version": each.price_version,
                "entries": each.entries,
                "delta": figures.money(each.delta, currency),
                "span": f"{figures.day(each.first_at.date()).text} to "
                f"{figures.day(each.last_at.date()).text}",
            }
            for each in runs
        ],
        "currency": currency,
    }


def _effects(
    said: Mapping[str, Mapping[str, Any]], currency: str, url: Any
) -> list[dict[str, Any]]:
    rows = sorted(said.items(), key=lambda item: (-abs(int(item[1]["delta"])), item[0]))
    return [
        {
            "name": name,
            "url": url(name),
            "before": figures.money(int(each["before"]), currency),
            "after": figures.money(int(each["after"]), currency),
            "delta": figures.delta(
                new=int(each["after"]), base=int(each["before"]), currency=currency
            ),
            "calls": each["calls"],
            "unpriced": each["unpriced"],
        }
        for name, each in rows[:LINES_SHOWN]
    ]


def _change(each: Mapping[str, Any], currency: str) -> dict[str, Any]:
    before, after = _nanos(each["before"]), _nanos(each["after"])
    above = each["above_tokens"]
    return {
        "slug": each["slug"],
        "url": offer_url(each["slug"]),
        "meter": each["meter"] + (f" above {above:,}" if above else ""),
        "from": figures.day(datetime.fromisoformat(each["from"]).date()),
        "before": figures.rate(before, currency),
        "after": figures.rate(after, currency),
        "moved": figures.percent_change(new=after, base=before),
    }


def _nanos(text: str | None) -> int | None:
    return None if text is None else int(text)


def _moved(delta: int, currency: str) -> str:
    if not delta:
        return "nothing"
    amount = figures.money(abs(delta), currency).text
    return f"{amount} {'more' if delta > 0 else 'less'}"
