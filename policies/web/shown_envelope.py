"""How does the page of one envelope stand in its template?"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.urls import reverse

from o10.access.keys import Caller
from o10.kernel import figures
from o10.kernel.figures import Figure
from o10.kernel.money import Nanos
from o10.kernel.pageview import Bar, Link, link_with
from policies import facade
from policies.web.shown_approvals import needs_text
from policies.web.shown_envelope_change import (
    Problem,
    Typed,
    form_of,
    preview_of,
    version_row,
)
from policies.web.shown_envelope_lines import (
    HEALTH_TONES,
    SCOPE_WORDS,
    binding_text,
    cap_text,
    entries_of,
    fold_lines,
    fold_note,
    left_text,
    line_row,
    resets_text,
    soft_text,
)


def show_envelope(
    *,
    screen: facade.EnvelopeScreen,
    caller: Caller,
    now: datetime,
    typed: Typed,
    problem: Problem | None = None,
    pending: Sequence[facade.ApprovalView] = (),
) -> dict[str, Any]:
    """Which context has the page of one envelope?"""
    line, currency = screen.line, screen.currency
    url = reverse("envelope", args=[line.public])
    return {
        "head": _head(screen),
        "stamp": {"seq": screen.position.seq, "at": now, "state": "fresh"},
        "bar": Bar(),
        "kpis": _kpis(line, currency),
        "path": [line_row(each, currency) for each in screen.path],
        "below": [line_row(each, currency) for each, _ in fold_lines(screen.below)],
        "below_note": fold_note(len(screen.below)),
        "facts": _facts(screen),
        "periods": [_period(each, screen) for each in screen.periods],
        "holds": [_hold(hold, name, currency, now) for hold, name in screen.holds],
        "denied": [_denied(each, currency) for each in screen.denied],
        "denials": [
            {
                "at": each.decided_at,
                "url": reverse("decision", args=[each.public]),
                "codes": each.codes,
                "use_case": each.use_case,
                "worst": figures.money_exact(each.worst, currency),
            }
            for each in screen.denials
        ],
        "versions": [version_row(each, screen) for each in screen.versions],
        "form": form_of(screen, caller, typed, problem),
        "preview": preview_of(screen.preview, line, currency),
        "problem": problem,
        "pending": [
            {
                "title": each.text.title,
                "needs": needs_text(each.needs),
                "url": reverse("approval", args=[each.id]),
                "confirms": each.kind == "envelope.confirm",
            }
            for each in pending
        ],
        "currency": currency,
        "url": url,
        "burn_url": f"{url}burn/",
        "live_url": url,
    }


def _head(screen: facade.EnvelopeScreen) -> dict[str, Any]:
    line, currency = screen.line, screen.currency
    resets = resets_text(line)
    if line.health is facade.Health.FROZEN:
        headline = f"{line.name} is frozen: every call that needs it is denied."
    elif line.period is None:
        headline = f"{line.name} is not in force now."
    elif line.available is None and line.binding is None:
        headline = f"{line.name} has no cap, and nothing above it has one."
    elif line.available is None:
        headline = f"{line.name} has no cap of its own; {binding_text(line, currency)}."
    elif line.available < 0:
        over = figures.money(-line.available, currency).text
        headline = f"{line.name} is {over} over its cap; no new money is granted."
    elif line.health is facade.Health.EXHAUSTED:
        left = figures.money(line.available, currency).text
        headline = f"{line.name} has {left} left, less than its smallest call needs."
    else:
        left = figures.money(line.available, currency).text
        cap = figures.money(line.cap, currency).text
        headline = f"{left} of {cap} is left in {line.name}."
    crumbs = [Link("Envelopes", reverse("envelopes"))]
    crumbs += [Link(each.name, reverse("envelope", args=[each.public])) for each in screen.path]
    return {
        "headline": headline,
        "subline": f"{SCOPE_WORDS[line.scope_kind].capitalize()} envelope, "
        f"{line.period_label or 'no period now'}; resets {resets}. "
        f"Binding limit: {binding_text(line, currency)}.",
        "crumbs": crumbs,
        "status": {
            "word": line.health.value.replace("_", " "),
            "tone": HEALTH_TONES[line.health],
        },
    }


def _kpis(line: facade.EnvelopeLine, currency: str) -> list[dict[str, Any]]:
    entries = entries_of(line)
    notes = []
    if line.cap:
        notes.append(f"{figures.percent(part=line.settled, whole=line.cap).text} of cap")
    if line.unguarded:
        notes.append(f"{figures.money(line.unguarded, currency).text} without a hold")
    return [
        {"label": "Cap", "value": cap_text(line, currency), "note": line.period_label},
        {
            "label": "Spent",
            "value": figures.money(line.settled, currency),
            "note": ", ".join(notes),
            "href": entries("settle", "usage", "overrun", "adjust", "reversal"),
        },
        {
            "label": "Held",
            "value": figures.money(line.held, currency),
            "note": "worst case of open calls",
            "href": entries("reserve", "release", "settle", "expire"),
        },
        _lent(line, currency),
        {
            "label": "Unsettled",
            "value": figures.money(line.unsettled, currency),
            "note": "expired without an answer",
            "tone": "warn" if line.unsettled else "",
            "href": entries("expire", "write_off"),
        },
        {
            "label": "Left",
            "value": left_text(line, currency),
            "note": "own cap binds"
            if line.binding and line.binding.own
            else binding_text(line, currency),
            "tone": "adverse" if line.available is not None and line.available <= 0 else "",
        },
    ]


def _lent(line: facade.EnvelopeLine, currency: str) -> dict[str, Any]:
    """What is lent in all; after a cut, what is to come back from those who borrowed it."""
    href = entries_of(line)("lease", "lease_return", "settle", "expire")
    out = figures.money(line.out, currency)
    over = line.available is not None and line.available < 0
    if line.out and over:
        return {
            "label": "Still out on lease",
            "value": out,
            "note": "recalled; counts until it is back",
            "tone": "warn",
            "href": href,
        }
    return {
        "label": "Lent",
        "value": figures.money(line.lent, currency),
        "note": f"{out.text} still out on lease" if line.out else "to open calls alone",
        "href": href,
    }


def _facts(screen: facade.EnvelopeScreen) -> list[dict[str, Any]]:
    line, currency = screen.line, screen.currency
    items: list[dict[str, Any]] = [
        {"term": "Period", "text": f"{line.period_kind}, {line.time_zone}"},
        {"term": "Resets", "text": resets_text(line)},
        {
            "term": "Limit",
            "text": "hard: a call that does not fit is denied"
            if line.hard
            else "soft: told, never denied",
        },
        {"term": "Soft thresholds", "text": soft_text(line)},
        {"term": "Per call", "text": _or_none(line.per_call, currency)},
        {"term": "Per run", "text": _or_none(line.per_run, currency)},
        {
            "term": "Contingency",
            "text": figures.money(line.contingency, currency) if line.contingency else "none",
        },
        {
            "term": "Children",
            "text": "together at most this cap"
            if not screen.allow_overallocation
            else "may exceed this cap together",
        },
        {"term": "Version", "text": str(line.version)},
        {"term": "Id", "code": line.public},
    ]
    return items


def _or_none(nanos: Nanos | None, currency: str) -> Figure | str:
    return "no limit" if nanos is None else figures.money(nanos, currency)


def _hold(
    hold: facade.HoldState, use_case: str, currency: str, now: datetime
) -> dict[str, Any]:
    return {
        "id": hold.public,
        "url": link_with(reverse("ledger"), ("reservation", hold.public)),
        "use_case": use_case,
        "state": hold.state,
        "open": figures.money_exact(hold.open, currency),
        "authorized_at": hold.authorized_at,
        "expires": figures.ago(hold.expires_at, now=now)
        if hold.expires_at <= now
        else figures.instant(hold.expires_at),
    }


def _denied(each: facade.DecisionCount, currency: str) -> dict[str, Any]:
    return {
        "reason": each.reason,
        "use_case": each.use_case,
        "count": each.count,
        "worst": figures.money(each.worst, currency),
        "url": link_with(
            reverse("decisions"),
            ("decision", each.outcome),
            ("reason", each.reason),
            ("use_case", each.use_case),
        ),
    }


def _period(each: facade.PeriodLine, screen: facade.EnvelopeScreen) -> dict[str, Any]:
    line, currency = screen.line, screen.currency
    since = each.period.start.isoformat().replace("+00:00", "Z")
    until = each.period.end.isoformat().replace("+00:00", "Z")
    return {
        "label": each.label,
        "current": line.period is not None and each.period.start == line.period.start,
        "cap": figures.money(each.cap, currency),
        "spent": figures.money(each.settled, currency),
        "unguarded": figures.money(each.unguarded, currency),
        "held": figures.money(each.held, currency),
        "lent": figures.money(each.lent, currency),
        "unsettled": figures.money(each.unsettled, currency),
        "left": figures.money(each.available, currency),
        "bullet": {
            "cap": each.cap,
            "spent": each.settled,
            "held": each.held,
            "lent": each.lent - each.held,
            "unsettled": each.unsettled,
        },
        "url": link_with(
            reverse("ledger"), ("envelope", line.public), ("since", since), ("until", until)
        ),
    }
