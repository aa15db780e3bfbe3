"""How do prices, one offer's history and what is not believed stand in their templates?"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from django.urls import reverse

from o10.access.checks import can
from o10.access.keys import Caller
from o10.access.roles import Action
from o10.kernel import figures, ids
from o10.kernel.pageview import PageView
from policies import facade
from policies.web.price_forms import METERS, Typed
from policies.web.shown_envelope_change import Problem

ROWS: Final = 50
SHOWN_METERS: Final = ("input", "cache_read", "output", "reasoning")
DOUBT_WORDS: Final[Mapping[str, str]] = {
    "too_dear": "above $1,000 per million",
    "moved_tenfold": "moved by more than ten times",
    "moved_over_a_quarter": "moved by more than 25 %",
    "output_below_quarter_of_input": "output below a quarter of input",
    "text_price_on_image_model": "text price on an image model",
    "long_context_cheaper": "long context cheaper",
    "long_twin_cheaper": "long twin cheaper than its base",
    "zero_price": "price of 0",
    "unreadable": "unreadable",
}


def tabs_of(current: str) -> list[dict[str, Any]]:
    """Which parts have the prices?"""
    waiting = facade.count_quarantine()
    open_proposals = sum(each.state == "open" for each in facade.list_proposals())
    parts = (
        ("Prices", "prices", ""),
        ("Proposals", "price-proposals", open_proposals or ""),
        ("Quarantine", "price-quarantine", waiting or ""),
        ("Commitments", "commitments", ""),
        ("FX rates", "fx-rates", ""),
        ("Revaluations", "revaluations", ""),
    )
    return [
        {"label": label, "url": reverse(name), "current": name == current, "count": count}
        for label, name, count in parts
    ]


def stamp_of(now: datetime) -> dict[str, Any]:
    """At which position was the page computed?"""
    return {"seq": facade.ledger_position(), "at": now, "state": "fresh"}


def show_prices(
    *,
    lines: Sequence[facade.PriceLine],
    coverage: Any,
    view: PageView,
    caller: Caller,
    now: datetime,
    notices: Sequence[str],
) -> dict[str, Any]:
    """Which context has the venue price table?"""
    currency = facade.organisation().currency
    state = facade.price_book()
    own = sum(line.source in ("contract", "override") for line in lines)
    unknown = sum(line.source == "none" for line in lines)
    calls = sum(each.calls for each in coverage.by_source.values())
    unpriced = coverage.by_source["none"].calls
    first = (view.query.page_number - 1) * ROWS
    shown = lines[first : first + ROWS]
    stale = facade.prices_stale(at=now)
    headline = f"{len(lines):,} offers are in the price book"
    if not lines:
        headline = "No offer matches this view"
    if unpriced:
        headline += f"; {unpriced:,} calls of the last 30 days had no price."
    else:
        headline += "; every call of the last 30 days had a price." if calls else "."
    listed_until = facade.stale_after(state)
    looked = facade.last_confirmation()
    return {
        "head": {
            "headline": headline,
            "subline": "An override holds before a contract, a contract before the list; no "
            "price means the call is denied, never that it is free.",
            "tabs": tabs_of("prices"),
            "primary": {"label": "Contract price", "url": reverse("price-new"), "icon": "plus"}
            if can(caller=caller, action=Action.CHANGE_PRICES)
            else None,
        },
        "stamp": stamp_of(now),
        "bar": {
            "filters": view.chips(labels={}, names={}),
            "add_filter": view.add_filter(
                labels={},
                choices={
                    "venue": [(each, each) for each in facade.list_price_venues()],
                    "source": [(each, each) for each in SOURCES],
                },
            ),
            "exports": view.exports(),
        },
        "export_links": view.exports(),
        "kpis": [
            {"label": "Price version", "value": f"{state.version:,}", "note": "newest state"},
            {"label": "Own prices", "value": f"{own:,}", "note": "contracts and overrides"},
            {"label": "Without a price", "value": f"{unknown:,}", "note": "denied"},
            {
                "label": "Tokens priced, 30 d",
                "value": figures.percent(part=coverage.priced_ppm, whole=1_000_000)
                if coverage.priced_ppm is not None
                else None,
                "note": f"{unpriced:,} calls unpriced",
                "tone": "adverse" if unpriced else "",
            },
            {
                "label": "List prices",
                "value": "stale" if stale else "fresh",
                "note": _freshness(looked, state.book.listed_at, listed_until, stale=stale),
                "tone": "warn" if stale else "",
                "href": reverse("price-proposals"),
            },
        ],
        "rows": [price_row(line, currency) for line in shown],
        "meters": [label for name, label in METERS if name in SHOWN_METERS],
        "currency": currency,
        "notices": notices,
        "pages": {
            "first": first + 1 if shown else 0,
            "last": first + len(shown),
            "total": len(lines),
            "newer_url": _page_url(view, -1) if first else "",
            "older_url": _page_url(view, 1) if first + ROWS < len(lines) else "",
        },
        "empty": {
            "title": "No offer matches.",
            "text": "Take a filter away, or ask for a contract price.",
            "actions": [{"label": "All prices", "url": reverse("prices"), "primary": True}],
        },
    }


def _freshness(
    looked: facade.ConfirmationView | None,
    listed_at: datetime | None,
    until: datetime | None,
    *,
    stale: bool,
) -> str:
    """Since when or until when are the list prices fresh, and by which look?"""
    if until is None:
        return "never loaded"
    if stale:
        return f"since {figures.day(until.date()).text}"
    if looked is None or looked.confirmed_at != listed_at:
        return f"until {figures.day(until.date()).text}"
    return f"confirmed unchanged {figures.day(looked.confirmed_at.date()).text}"


def confirmed_words(
    found: facade.ConfirmationView | None, names: Mapping[str, str]
) -> dict[str, Any] | None:
    """How is the last look that found nothing new told?"""
    if found is None:
        return None
    return {
        "name": f"{found.catalogue} {found.edition}",
        "at": found.confirmed_at,
        "by": names.get(found.actor, found.actor),
        "unchanged": found.unchanged,
        "apart": found.apart,
        "hash": found.content_hash,
    }


SOURCES: Final = ("override", "contract", "list", "none")


def price_row(line: facade.PriceLine, currency: str) -> dict[str, Any]:
    """How does one offer stand in the table?"""
    return {
        "slug": line.key.slug,
        "url": offer_url(line.key.slug),
        "venue": line.key.venue,
        "model": line.key.model,
        "region": line.key.region,
        "tier": str(line.key.tier),
        "source": line.source,
        "source_name": line.source_name,
        "rates": [
            {
                "price": figures.rate(line.rates.get(meter), currency),
                "listed": figures.rate(line.listed[meter], line.currency).text
                if line.source in ("contract", "override")
                and meter in line.listed
                and line.listed[meter] != line.rates.get(meter)
                else "",
            }
            for meter in SHOWN_METERS
        ],
        "valid_from": _since(line.valid_from),
        "valid_to": figures.day(line.valid_to.date()) if line.valid_to else "open",
        "fx": f"{line.currency} at {line.fx_rate} of {line.fx_date}" if line.fx_rate else "",
        "free": line.free,
    }


def show_offer(
    *,
    line: facade.PriceLine,
    rules: Sequence[facade.RuleLine],
    pending: Sequence[Any],
    names: Mapping[str, str],
    caller: Caller,
    now: datetime,
    problem: Problem | None = None,
) -> dict[str, Any]:
    """Which context has the page of one offer's prices?"""
    currency = facade.organisation().currency
    may = can(caller=caller, action=Action.CHANGE_PRICES)
    paid = figures.rate(line.rates.get("input"), currency).text
    made = figures.rate(line.rates.get("output"), currency).text
    headline = f"{line.key.slug} costs {paid} in and {made} out per million, by {line.source}."
    if line.source == "none":
        headline = f"{line.key.slug} has no price now: calls on it are denied."
    elif line.free:
        headline = f"{line.key.slug} is free by policy, by {line.source}."
    return {
        "head": {
            "headline": headline,
            "subline": line.evidence,
            "crumbs": [
                {"label": "Prices", "url": reverse("prices")},
                {"label": line.key.slug},
            ],
            "primary": {
                "label": "Contract price",
                "url": f"{reverse('price-new')}?offer={line.key.slug}",
                "icon": "plus",
            }
            if may
            else None,
        },
        "stamp": stamp_of(now),
        "problem": problem,
        "pending": pending_rows(pending),
        "facts": [
            {"term": "Venue", "text": line.key.venue},
            {"term": "Model", "text": line.key.model},
            {"term": "Region", "text": line.key.region},
            {"term": "Tier", "text": str(line.key.tier)},
            {"term": "Source", "text": f"{line.source} {line.source_name}".strip()},
            {"term": "Valid", "text": _span(line.valid_from, line.valid_to)},
            {
                "term": "Stated in",
                "text": f"{line.currency}, at {line.fx_rate} of {line.fx_date}"
                if line.fx_rate
                else line.currency or "—",
            },
            {
                "term": "Long context above",
                "text": ", ".join(f"{each:,}" for each in line.thresholds) or "no threshold",
            },
            {
                "term": "Approved by",
                "text": names.get(line.approved_by, line.approved_by)
                or "first load or catalogue",
            },
        ],
        "rules": [
            {
                "id": rule.rule_id,
                "source": rule.source,
                "name": rule.source_name,
                "holds": rule.holds,
                "version": rule.version,
                "span": _span(rule.valid_from, rule.ended_at or rule.valid_to),
                "window": rule.window,
                "meters": [
                    f"{meter}{f' above {above:,}' if above else ''} "
                    f"{figures.rate(price, rule.currency).text}"
                    for meter, above, price in rule.meters
                ],
                "by": names.get(rule.actor, rule.actor),
                "approved": names.get(rule.approved_by, rule.approved_by),
                "evidence": rule.evidence,
                "end_reason": rule.end_reason,
                "can_end": may
                and rule.source != "list"
                and rule.ended_at is None
                and (rule.valid_to is None or rule.valid_to > now),
                "key": ids.new_uuid().hex,
            }
            for rule in rules
        ],
        "end_action": reverse("price-end"),
        "slug": line.key.slug,
        "may": may,
    }


def show_price_form(
    *,
    typed: Typed,
    problem: Problem | None,
    caller: Caller,
    now: datetime,
) -> dict[str, Any]:
    """Which context has the form for a contract or an override?"""
    currency = facade.organisation().currency
    return {
        "head": {
            "headline": "Ask for a contract price or an override",
            "subline": "The effect on the usage of the last 30 days is computed, exactly, "
            "before a second person decides. Nothing booked changes.",
            "crumbs": [
                {"label": "Prices", "url": reverse("prices")},
                {"label": "Contract price"},
            ],
        },
        "problem": problem,
        "wrong": problem.fields if problem else (),
        "may": can(caller=caller, action=Action.CHANGE_PRICES),
        "action": reverse("price-new"),
        "form_key": typed.key or ids.new_uuid().hex,
        "currency": typed.get("currency") or currency,
        "values": typed.values,
        "meters": [
            {"name": f"meter_{name}", "label": label, "value": typed.get(f"meter_{name}")}
            for name, label in METERS
        ],
        "tiers": _choices(("standard", "batch", "flex", "priority"), typed.get("tier")),
        "sources": _choices(("contract", "override"), typed.get("source")),
        "today": typed.get("valid_from") or now.date().isoformat(),
    }


def card_words(text: str) -> str:
    """How is a card told in one line: meters with their prices per million?"""
    parts = text.split(" ", 3)
    if len(parts) < 4:
        return text
    currency, meters = parts[0], parts[3]
    told = []
    for each in meters.split(";"):
        meter, _, brackets = each.rpartition(":")
        first = brackets.split(",")[0].partition("=")[2]
        told.append(f"{meter} {figures.rate(int(first), currency).text}")
    return ", ".join(told)


def pending_rows(pending: Sequence[Any]) -> list[dict[str, Any]]:
    """Which requests about it wait for a second person?"""
    return [
        {
            "title": f"Waits for approval: {each.text.title}.",
            "text": f"Asked for by {each.maker.name}; needs {', '.join(each.needs)} until "
            f"{figures.day(each.expires_at.date()).text}. Until then nothing changes.",
            "url": f"/approvals/{each.id}/",
        }
        for each in pending
    ]


def offer_url(slug: str) -> str:
    """Where does one offer's price history stand?"""
    return reverse("price", args=[slug])


def _since(start: datetime | None) -> figures.Figure:
    """Prices the catalogue gives no start for hold from 2000 on: nobody's date."""
    if start is not None and start.year <= 2000:
        return figures.Figure("always")
    return figures.day(start.date() if start else None)


def _span(start: datetime | None, end: datetime | None) -> str:
    first = figures.day(start.date()).text if start and start.year > 2000 else "always"
    return f"{first} to {figures.day(end.date()).text if end else 'open'}"


def _choices(names: Sequence[str], chosen: str) -> list[dict[str, Any]]:
    return [{"value": name, "chosen": name == chosen} for name in names]


def _page_url(view: PageView, step: int) -> str:
    query = replace(view.query, page_number=view.query.page_number + step)
    return PageView(view.path, query, view.grammar).url
