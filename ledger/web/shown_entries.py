"""How does the list of entries stand in its template?"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from django.urls import reverse

from ledger import facade
from ledger.web.shown import (
    Action,
    Stamp,
    Status,
    entry_url,
    finding_sentence,
    kind_word,
    seal_clause,
    signed_exact,
    to_the_millisecond,
)
from o10.kernel import figures
from o10.kernel.cursorview import CursorPage
from o10.kernel.pageview import Bar, Link, PageView, PeriodMenu
from o10.kernel.periods import day_start, zone_of
from o10.kernel.viewquery import PeriodRange

LABELS = {
    "use_case": "Use case",
    "envelope": "Envelope",
    "kind": "Kind",
    "model": "Model",
    "venue": "Venue",
    "reservation": "Reservation",
    "component": "Component",
    "since": "Since",
    "until": "Before",
}
MONTHS_OFFERED = 13
DAYS_OFFERED = 14


@dataclass(frozen=True, slots=True)
class EntryList:
    """Which entries are shown, at which position, in which state of the ledger?

    `frozen` true = as known at `position`, an earlier one.
    """

    lines: facade.LinePage
    decisions: Mapping[UUID, facade.DecisionWords]
    pages: CursorPage
    position: facade.Position
    frozen: bool
    badge: facade.SealBadge
    seal: facade.SealStatus
    company: facade.LedgerRow
    notices: tuple[str, ...]
    now: datetime


def show_entries(*, found: EntryList, view: PageView) -> dict[str, Any]:
    """Which context has the list?"""
    exports = view.exports()
    choices = facade.list_line_choices()
    return {
        "head": _head(found, view),
        "stamp": Stamp(found.position.seq, found.position.at if found.frozen else found.now),
        "as_of": _as_of(found, view),
        "bar": _bar(found, view, choices, exports),
        "notices": found.notices,
        "subtitle": _subtitle(found),
        "zone": _zone(found),
        "currency": found.company.currency,
        "one_case": _one_case(view),
        "rows": [_row(line, found) for line in found.lines.items],
        "pages": found.pages,
        "export_links": exports,
        "empty": _empty(found, view),
        "live_url": view.url if is_live(found) else "",
        "seen": seen_token(found),
    }


def _one_case(view: PageView) -> bool:
    """Is it one use case's list? Then no row needs to name it."""
    return len(view.query.values_of("use_case")) == 1


def is_live(found: EntryList) -> bool:
    """Does the page follow the ledger? The newest page does, unless it is frozen."""
    return not found.frozen and not found.pages.newer_url


def seen_token(found: EntryList) -> str:
    """Which state does the page show? Equal tokens mean equal pages."""
    newest = found.lines.items[0].public if found.lines.items else ""
    sealed = sum(line.seq is not None for line in found.lines.items)
    return f"{found.badge.state}.{found.seal.seq}.{found.seal.waiting}.{sealed}.{newest}"


def _head(found: EntryList, view: PageView) -> dict[str, Any]:
    badge, lines = found.badge, found.lines
    broken = badge.state is facade.SealVerdict.BROKEN
    count = f"{lines.matches:,}" if lines.amount is not None else "more than 100,000"
    total = (
        figures.money_exact(lines.amount, found.company.currency).text
        if lines.amount is not None
        else ""
    )
    if not badge.entries and not lines.matches:
        headline = "The ledger is open and has no entry yet."
    elif broken:
        headline = f"{seal_clause(badge)}: {finding_sentence(badge.finding or {})}"
    elif view.query.filters or view.query.period is not None or found.frozen:
        headline = f"{_matching(lines.matches, count, total)}. {seal_clause(badge)}."
    else:
        headline = f"{seal_clause(badge)}; what they booked adds up to {total or 'more'}."
    return {
        "headline": headline,
        "subline": _subline(found),
        "actions": (
            Action("Proof and verification", reverse("ledger-verify"), "shield-check"),
        ),
        "status": Status("broken") if broken else None,
    }


def _matching(matches: int, count: str, total: str) -> str:
    if not matches:
        return "No entry matches"
    which = "entry matches and adds" if matches == 1 else "entries match and add"
    return f"{count} {which} up to {total}" if total else f"{count} entries match"


def _subline(found: EntryList) -> str:
    badge, seal = found.badge, found.seal
    if not badge.entries and not found.lines.matches:
        return (
            "The first authorization, usage record or envelope appears here within two seconds."
        )
    parts = []
    if badge.verified_at is not None:
        ago = figures.ago(badge.verified_at, now=found.now).text
        when = "just now" if ago == "now" else ago
        parts.append(f"Verified up to entry {badge.verified_seq:,}, {when}.")
    if seal.waiting:
        unit = "entry waits" if seal.waiting == 1 else "entries wait"
        parts.append(f"{seal.waiting:,} newer {unit} for the seal, which follows in a second.")
    parts.append("Nothing here is ever edited: a correction is an entry of its own.")
    return " ".join(parts)


def _subtitle(found: EntryList) -> str:
    lines, currency = found.lines, found.company.currency
    if not lines.matches:
        return ""
    if lines.amount is None:
        return "more than 100,000 match; full stored precision; filter to see their sum"
    total = figures.money_exact(lines.amount, currency).text
    entries = "entry" if lines.matches == 1 else "entries"
    return f"{lines.matches:,} {entries}, full stored precision; their sum {total}"


def _row(line: facade.EntryLine, found: EntryList) -> dict[str, Any]:
    words = found.decisions.get(line.uid)
    return {
        "seq": line.seq,
        "url": entry_url(line),
        "at": to_the_millisecond(line.recorded_at, time_zone=found.company.time_zone),
        "kind": kind_word(line.kind),
        "use_case": line.use_case,
        "use_case_url": reverse("use-case", args=[line.use_case_slug])
        if line.use_case_slug
        else "",
        "envelope": line.envelope,
        "model": line.model,
        "venue": line.venue,
        "tokens": figures.count(line.tokens),
        "price_version": line.price_version or None,
        "amount": figures.money_exact(line.amount, found.company.currency),
        "moves": bool(line.amount),
        "held": signed_exact(line.held, found.company.currency) if line.held else "0",
        "calls": line.calls if abs(line.calls) > 1 else 0,
        "outcome": words.outcome.replace("_", " ") if words else "",
        "reason": words.reason if words else line.reason,
        "decision_url": reverse("decision", args=[words.public]) if words else "",
        "note": "takes back an entry" if line.reverses else "",
        "leaf": line.leaf,
    }


def _as_of(found: EntryList, view: PageView) -> dict[str, Any] | None:
    if not found.frozen:
        return None
    return {
        "seq": found.position.seq,
        "at": found.position.at,
        "live_url": view.url_with(as_of=None),
    }


def _bar(
    found: EntryList,
    view: PageView,
    choices: Mapping[str, list[tuple[str, str]]],
    exports: tuple[Link, ...],
) -> Bar:
    names = {key: dict(pairs) for key, pairs in choices.items()}
    names["envelope"] = _envelope_names(view)
    for key in ("since", "until"):
        names[key] = {
            value: _instant_name(value, found.company.time_zone)
            for value in view.query.values_of(key)
        }
    days = _days(found)
    return Bar(
        period=_months(found, view),
        filters=view.chips(labels=LABELS, names=names),
        add_filter=view.add_filter(
            labels=LABELS,
            choices={
                "use_case": choices["use_case"],
                "kind": choices["kind"],
                "model": choices["model"],
                "venue": choices["venue"],
                "component": choices["component"],
                "since": days,
                "until": days,
            },
        ),
        copy=view.copy_links(seq=found.position.seq),
        exports=exports,
    )


def _months(found: EntryList, view: PageView) -> PeriodMenu:
    """Everything first: a ledger is read from its end, not by the month."""
    query = view.query
    today = found.now.astimezone(zone_of(found.company.time_zone)).date()
    newest = today.year * 12 + today.month - 1
    months = [PeriodRange(m, m) for m in range(newest, newest - MONTHS_OFFERED, -1)]
    links = [
        Link("All time", view.url_with(period=None), query.period is None),
        *(
            Link(each.label, view.url_with(period=each), query.period == each)
            for each in months
        ),
    ]
    shown = query.period.label if query.period else "All time"
    return PeriodMenu(shown, "by time of use" if query.period else "", tuple(links))


def _days(found: EntryList) -> list[tuple[str, str]]:
    zone = zone_of(found.company.time_zone)
    today = found.now.astimezone(zone).date()
    days = [today - timedelta(days=back) for back in range(DAYS_OFFERED)]
    return [(_midnight(day, found.company.time_zone), figures.day(day).text) for day in days]


def _midnight(day: date, time_zone: str) -> str:
    return day_start(day, zone_of(time_zone)).isoformat()


def _instant_name(value: str, time_zone: str) -> str:
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        return value
    return figures.instant(at, time_zone=time_zone).text if at.tzinfo else value


def _envelope_names(view: PageView) -> dict[str, str]:
    if not view.query.values_of("envelope"):
        return {}
    bound = facade.list_meanings(domain=facade.Domain.ENVELOPE)
    return {str(body.get("id")): str(body.get("name")) for body in bound.values()}


def _zone(found: EntryList) -> str:
    zone = found.company.time_zone
    return zone if zone == "UTC" else zone.rpartition("/")[2].replace("_", " ")


def _empty(found: EntryList, view: PageView) -> dict[str, Any] | None:
    if found.lines.items:
        return None
    if not found.badge.entries and not found.lines.matches and not view.query.filters:
        return {
            "title": "No entry yet.",
            "text": "Connect a router, post usage, or load the demo company.",
            "actions": [Action("How to begin", reverse("overview"))],
        }
    kept = view.query.filters[:-1]
    label = "Take the last filter off" if view.query.filters else "Show all entries"
    url = view.url_with(filters=kept) if view.query.filters else view.url_with(period=None)
    return {
        "title": "No entry matches.",
        "text": "All filters must hold together; the same one twice means either.",
        "actions": [Action(label, url)],
    }
