"""How does the decision log stand in its template?"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.urls import reverse

from o10.kernel import figures
from o10.kernel.cursorview import CursorPage
from o10.kernel.pageview import Bar, Link, PageView, PeriodMenu
from o10.kernel.periods import zone_of
from o10.kernel.viewquery import PeriodRange
from o10.wire.decisions import Mode, Outcome
from o10.wire.reasons import Reason
from policies import facade
from policies.web.shown_hours import show_chart
from policies.web.shown_times import to_the_millisecond, zone_word

LABELS = {
    "decision": "Decision",
    "reason": "First reason",
    "use_case": "Use case",
    "model": "Model",
    "status": "Mode",
}
MONTHS_OFFERED = 13
OUTCOME_WORDS = {each.value: each.value.replace("_", " ") for each in Outcome}


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionScreen:
    """Which decisions are shown, and what do all that match come to?

    Shape: `hours` (went ahead, denied or on hold) of the last 24, oldest first, or empty;
    `names` use-case slug to name.
    """

    rows: tuple[facade.DecisionRow, ...]
    counts: tuple[facade.DecisionCount, ...]
    hours: tuple[tuple[int, int], ...]
    pages: CursorPage
    names: Mapping[str, str]
    holds: facade.HoldFigures
    currency: str
    time_zone: str
    position: int
    notices: tuple[str, ...]
    now: datetime

    @property
    def total(self) -> int:
        """How many decisions match?"""
        return sum(each.count for each in self.counts)

    def of(self, *outcomes: Outcome) -> int:
        """How many of them had one of these outcomes?"""
        return sum(each.count for each in self.counts if each.outcome in outcomes)

    def denied_by(self, field: str) -> Counter[str]:
        """How many were denied, by `reason` or `use_case`?"""
        found: Counter[str] = Counter()
        for each in self.counts:
            if each.outcome == Outcome.DENY:
                found[getattr(each, field)] += each.count
        return found


def show_decisions(*, screen: DecisionScreen, view: PageView) -> dict[str, Any]:
    """Which context has the log?"""
    exports = view.exports()
    return {
        "head": _head(screen, view),
        "stamp": {"seq": screen.position, "at": screen.now, "state": "fresh"},
        "bar": _bar(screen, view, exports),
        "notices": screen.notices,
        "kpis": _kpis(screen, view),
        "chart": show_chart(screen.hours, until=screen.now, time_zone=screen.time_zone)
        if screen.hours and screen.total
        else None,
        "denied": _denied(screen, view),
        "denied_total": screen.of(Outcome.DENY),
        "zone": zone_word(screen.time_zone),
        "currency": screen.currency,
        "rows": [_row(row, screen) for row in screen.rows],
        "pages": screen.pages,
        "export_links": exports,
        "empty": _empty(screen, view),
        "live_url": "" if screen.pages.newer_url else view.url,
        "seen": seen_token(screen),
    }


def seen_token(screen: DecisionScreen) -> str:
    """Which state does the page show? Equal tokens mean equal pages."""
    newest = screen.rows[0].public if screen.rows else ""
    held = screen.holds.held_nanos
    return f"{newest}.{screen.total}.{held}.{screen.now:%Y%m%d%H}"


def window_words(view: PageView) -> str:
    """Over which time does the page look, inside a sentence?"""
    return view.query.period.label if view.query.period else "24 h"


def _head(screen: DecisionScreen, view: PageView) -> dict[str, Any]:
    total, window = screen.total, window_words(view)
    crumbs = (Link("Decisions", reverse("decisions")), Link(window, ""))
    if not total:
        return {
            "headline": f"No decision matches in {window}."
            if view.query.filters
            else f"No call asked for money in {window}.",
            "subline": "Each authorization is written down here, allowed or denied.",
            "crumbs": crumbs,
        }
    headline = (
        f"{total:,} decision{'s match' if total > 1 else ' matches'} in {window}: "
        if view.query.filters
        else f"Of {total:,} call{'s' if total > 1 else ''} in {window}, "
    )
    return {
        "headline": f"{headline}{_outcomes(screen)}.",
        "subline": _subline(screen),
        "crumbs": crumbs,
    }


def _outcomes(screen: DecisionScreen) -> str:
    """How many went which way, in one clause?"""
    gone = screen.of(Outcome.ALLOW, Outcome.ALLOW_WITH_CAPS, Outcome.REROUTE)
    denied, waiting = screen.of(Outcome.DENY), screen.of(Outcome.HOLD)
    parts = [
        f"{number:,} {one if number == 1 else many}"
        for number, one, many in (
            (gone, "went ahead", "went ahead"),
            (denied, "was denied", "were denied"),
            (waiting, "waits for a person", "wait for a person"),
        )
        if number
    ]
    if parts[1:]:
        return f"{', '.join(parts[:-1])} and {parts[-1]}"
    return f"{parts[0]}, none was denied" if gone else parts[0]


def _subline(screen: DecisionScreen) -> str:
    reasons, cases = screen.denied_by("reason"), screen.denied_by("use_case")
    if not reasons:
        return "No call was stopped."
    reason, most = reasons.most_common(1)[0]
    parts = [f"Most denials: {reason}, {most:,}. {Reason(reason).row.meaning}"]
    (slug, met), *others = cases.most_common(2)
    if others and met > others[0][1]:
        share = figures.percent(part=met, whole=sum(cases.values())).text
        parts.append(f"{screen.names.get(slug, slug)} met {share} of the denials.")
    return " ".join(parts)


def _kpis(screen: DecisionScreen, view: PageView) -> list[dict[str, Any]]:
    total = screen.total
    authorised = screen.of(Outcome.ALLOW, Outcome.ALLOW_WITH_CAPS)
    capped, rerouted = screen.of(Outcome.ALLOW_WITH_CAPS), screen.of(Outcome.REROUTE)
    waiting, denied = screen.of(Outcome.HOLD), screen.of(Outcome.DENY)
    worst = sum(each.worst for each in screen.counts if each.outcome == Outcome.DENY)
    kpis = [
        _share("Authorised", authorised, total, note="allowed, with caps or without"),
        {
            **_share("With caps", capped, total, note="output limited so that it fits"),
            "href": view.url_filtered("decision", Outcome.ALLOW_WITH_CAPS.value),
        },
        {
            **_share(
                "Denied",
                denied,
                total,
                note=f"worst case {figures.money(worst, screen.currency).text}"
                if worst
                else "none had a price to name"
                if denied
                else "none",
            ),
            "href": view.url_filtered("decision", Outcome.DENY.value),
            "tone": "adverse" if denied else "",
        },
        {
            "label": "Held now",
            "value": figures.money(screen.holds.held_nanos, screen.currency),
            "note": _overdue(screen),
            "tone": "warn" if screen.holds.overdue_nanos else "",
        },
    ]
    if rerouted:
        kpis.insert(2, _share("Rerouted", rerouted, total, note="to a passing offer"))
    if waiting:
        kpis.insert(-1, _share("Held for a person", waiting, total, note="wait for approval"))
    return kpis


def _overdue(screen: DecisionScreen) -> str:
    holds, currency = screen.holds, screen.currency
    if holds.overdue_nanos:
        return f"{figures.money(holds.overdue_nanos, currency).text} past its end"
    if holds.unsettled_nanos:
        return f"{figures.money(holds.unsettled_nanos, currency).text} expired, unsettled"
    return "open calls at their worst case"


def _share(label: str, number: int, total: int, *, note: str) -> dict[str, Any]:
    return {
        "label": label,
        "value": figures.count_exact(number),
        "unit": figures.percent(part=number, whole=total).text if total else "",
        "note": note,
    }


def _denied(screen: DecisionScreen, view: PageView) -> list[dict[str, Any]]:
    """Denials by first reason, most first, each with the use case that met it most."""
    most: dict[str, Counter[str]] = {}
    for each in screen.counts:
        if each.outcome == Outcome.DENY:
            most.setdefault(each.reason, Counter())[each.use_case] += each.count
    rows = [
        {
            "number": Reason(reason).number,
            "reason": reason,
            "calls": sum(cases.values()),
            "use_case": screen.names.get(cases.most_common(1)[0][0])
            or cases.most_common(1)[0][0],
            "url": view.url_filtered("reason", reason),
        }
        for reason, cases in most.items()
    ]
    return sorted(rows, key=lambda row: (-int(str(row["calls"])), str(row["reason"])))


def _row(row: facade.DecisionRow, screen: DecisionScreen) -> dict[str, Any]:
    goes = Outcome(row.outcome).goes
    return {
        "url": reverse("decision", args=[row.public]),
        "at": to_the_millisecond(row.decided_at, time_zone=screen.time_zone),
        "use_case": screen.names.get(row.use_case, row.use_case),
        "known": row.use_case in screen.names,
        "asked": row.asked,
        "offer": row.offer if goes else "",
        "as_asked": goes and row.offer == row.asked,
        "outcome": row.outcome,
        "would": row.would if row.would != row.outcome else "",
        "reason": row.codes[0] if row.codes else "",
        "more": len(row.codes) - 1,
        "goes": goes,
        "worst": figures.money_exact(row.worst, screen.currency)
        if row.worst or goes
        else figures.money_exact(None),
        "caller": row.caller,
        "folded": row.folded,
    }


def _bar(screen: DecisionScreen, view: PageView, exports: tuple[Link, ...]) -> Bar:
    choices = {
        "decision": list(OUTCOME_WORDS.items()),
        "reason": sorted({(each.reason, each.reason) for each in screen.counts}),
        "use_case": sorted(screen.names.items(), key=lambda each: each[1].casefold()),
        "status": [(each.value, each.value) for each in Mode],
    }
    return Bar(
        period=_period(screen, view),
        filters=view.chips(
            labels=LABELS, names={key: dict(pairs) for key, pairs in choices.items()}
        ),
        add_filter=view.add_filter(labels=LABELS, choices=choices),
        copy=view.copy_links(seq=0),
        exports=exports,
    )


def _period(screen: DecisionScreen, view: PageView) -> PeriodMenu:
    query = view.query
    today = screen.now.astimezone(zone_of(screen.time_zone)).date()
    newest = today.year * 12 + today.month - 1
    months = [PeriodRange(m, m) for m in range(newest, newest - MONTHS_OFFERED, -1)]
    links = (
        Link("Last 24 h", view.url_with(period=None), query.period is None),
        *(
            Link(each.label, view.url_with(period=each), query.period == each)
            for each in months
        ),
    )
    return PeriodMenu(query.period.label if query.period else "Last 24 h", "", links)


def _empty(screen: DecisionScreen, view: PageView) -> dict[str, Any] | None:
    if screen.rows:
        return None
    if view.query.filters:
        kept = view.query.filters[:-1]
        return {
            "title": "No decision matches.",
            "text": "All filters must hold together; the same one twice means either.",
            "actions": [
                {"label": "Take the last filter off", "url": view.url_with(filters=kept)}
            ],
        }
    today = screen.now.astimezone(zone_of(screen.time_zone)).date()
    month = PeriodRange(today.year * 12 + today.month - 1, today.year * 12 + today.month - 1)
    return {
        "title": f"No decision in {window_words(view)}.",
        "text": "A router asks with POST /api/v1/authorize before each call.",
        "actions": [
            {"label": f"Look at {month.label}", "url": view.url_with(period=month)}
            if view.query.period is None
            else {"label": "Last 24 hours", "url": view.url_with(period=None)}
        ],
    }
