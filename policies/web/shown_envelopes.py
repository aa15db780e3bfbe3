"""How do the tree of envelopes and the page of one stand in their templates?"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.urls import reverse

from o10.access.checks import can
from o10.access.keys import Caller
from o10.access.roles import Action
from o10.kernel import figures, ids
from o10.kernel.figures import Figure
from o10.kernel.money import Nanos, amount_text
from o10.kernel.pageview import Bar, Link, PageView, link_with
from o10.kernel.periods import zone_of
from policies import facade

SCOPE_WORDS = {
    "company": "company",
    "department": "department",
    "use_case": "use case",
    "environment": "environment",
    "customer": "customer",
    "run": "run",
}
HEALTH_TONES = {
    facade.Health.OK: "favourable",
    facade.Health.SOFT: "warn",
    facade.Health.EXHAUSTED: "adverse",
    facade.Health.OVER: "adverse",
    facade.Health.FROZEN: "adverse",
    facade.Health.CLOSED: "neutral",
    facade.Health.NOT_STARTED: "neutral",
    facade.Health.ENDED: "neutral",
}
_NO_CAP = "No envelope at the top has a cap"
CHANGED_WORDS = {
    "amount_nanos": "Cap",
    "hard": "Hard",
    "soft_thresholds_ppm": "Soft thresholds",
    "per_call_nanos": "Per call",
    "per_run_nanos": "Per run",
    "allow_overallocation": "Children may exceed it",
    "state": "State",
    "end_at": "Ends",
    "name": "Name",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """What went wrong with a change, and what was not done?"""

    title: str
    text: str
    fields: tuple[str, ...] = ()
    status: int = 422


@dataclass(frozen=True, slots=True)
class Typed:
    """What did the person type into the form?"""

    amount: str = ""
    reason: str = ""


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
        "rows": [_row(line, currency) for line in screen.lines],
        "total": _total(tops, currency) if len(tops) > 1 else None,
        "currency": currency,
        "export_links": view.exports(),
        "may_create": can(caller=caller, action=Action.CHANGE_ENVELOPE),
        "live_url": view.url,
    }


def show_envelope(
    *,
    screen: facade.EnvelopeScreen,
    caller: Caller,
    now: datetime,
    typed: Typed,
    problem: Problem | None = None,
) -> dict[str, Any]:
    """Which context has the page of one envelope?"""
    line, currency = screen.line, screen.currency
    url = reverse("envelope", args=[line.public])
    return {
        "head": _head(screen),
        "stamp": {"seq": screen.position.seq, "at": now, "state": "fresh"},
        "bar": Bar(),
        "kpis": _kpis(line, currency),
        "path": [_row(each, currency) for each in screen.path],
        "below": [_row(each, currency) for each in screen.below],
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
        "versions": [_version(each, screen) for each in screen.versions],
        "form": _form(screen, caller, typed, problem),
        "preview": _preview(screen.preview, line, currency),
        "problem": problem,
        "currency": currency,
        "url": url,
        "burn_url": f"{url}burn/",
        "live_url": url,
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
    return f"{said} until {_resets_day(ends[min(ends)]).removeprefix('ends ')}"


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


def _row(line: facade.EnvelopeLine, currency: str) -> dict[str, Any]:
    """One line of the tree: every number leads to its entries."""
    entries = _entries(line)
    return {
        "name": line.name,
        "kind": SCOPE_WORDS.get(line.scope_kind, line.scope_kind),
        "url": reverse("envelope", args=[line.public]),
        "level": line.depth,
        "cap": line.cap,
        "cap_text": _cap_text(line, currency),
        "capped": line.cap is not None,
        "spent": line.settled,
        "unguarded": line.unguarded,
        "held": line.held,
        "lent": line.lent,
        "unsettled": line.unsettled,
        "left": line.available,
        "left_text": _left_text(line, currency),
        "over": line.available is not None and line.available < 0,
        "spent_url": entries("settle", "usage", "overrun", "adjust", "reversal"),
        "unguarded_url": entries("usage", "overrun", "adjust"),
        "held_url": entries("reserve", "release", "settle", "expire"),
        "unsettled_url": entries("expire", "write_off"),
        "soft": tuple(each / 1_000_000 for each in line.soft_thresholds_ppm),
        "soft_text": _soft_text(line),
        "resets": _resets_day(line),
        "resets_time": _resets_time(line),
        "period": line.period_label,
        "binding": _binding_name(line),
        "binding_url": _binding_url(line),
        "binding_left": ""
        if line.binding is None or line.binding.own
        else figures.money(line.binding.available, currency).text,
        "binds": bool(line.binding and line.binding.own and line.binding.available <= 0),
        "health": _health_word(line),
        "tone": HEALTH_TONES[line.health],
        "label": _bullet(line, currency),
        "action": "Change",
    }


def _entries(line: facade.EnvelopeLine) -> Any:
    """Where are the entries behind a figure of this period? By kinds."""

    def url(*kinds: str) -> str:
        filters = [("envelope", line.public), *(("kind", kind) for kind in kinds)]
        if line.period is not None:
            filters.append(("since", line.period.start.isoformat().replace("+00:00", "Z")))
            filters.append(("until", line.period.end.isoformat().replace("+00:00", "Z")))
        return link_with(reverse("ledger"), *filters)

    return url


def _cap_text(line: facade.EnvelopeLine, currency: str) -> Figure:
    if line.cap is not None:
        return figures.money(line.cap, currency)
    if line.amount is not None:
        amount = figures.money(line.amount, currency)
        return Figure(f"{amount.text} soft", amount.exact, f"{amount.text}, soft: never denies")
    above = line.binding.name if line.binding else ""
    return Figure("no own cap", "", f"no own cap; limited by {above}" if above else "no cap")


def _left_text(line: facade.EnvelopeLine, currency: str) -> Figure:
    if line.available is not None:
        return figures.money(line.available, currency)
    if line.binding is not None:
        shared = figures.money(line.binding.available, currency)
        return Figure(
            f"{shared.text} shared",
            shared.exact,
            f"{shared.text}, shared in {line.binding.name}",
        )
    return Figure("unlimited", "", "unlimited: no cap on the whole path")


def _soft_text(line: facade.EnvelopeLine) -> str:
    shares = ", ".join(f"{each // 10_000}%" for each in line.soft_thresholds_ppm)
    if not shares:
        return "none"
    if line.soft_passed_ppm is None:
        return shares
    return f"{shares}; {line.soft_passed_ppm // 10_000}% passed"


def _resets_text(line: facade.EnvelopeLine) -> str:
    if line.period is None:
        return "not in force"
    at = figures.instant(line.period.end, time_zone=line.time_zone).text
    return f"ends {at}" if line.period_kind == "fixed" else at


def _resets_day(line: facade.EnvelopeLine) -> str:
    if line.period is None:
        return "not in force"
    day = line.period.end.astimezone(zone_of(line.time_zone)).date()
    return f"{'ends ' if line.period_kind == 'fixed' else ''}{figures.day(day).text}"


def _resets_time(line: facade.EnvelopeLine) -> str:
    if line.period is None:
        return ""
    return figures.clock_time(line.period.end, time_zone=line.time_zone).text


def _health_word(line: facade.EnvelopeLine) -> str:
    if line.health is facade.Health.SOFT and line.soft_passed_ppm is not None:
        return f"soft {line.soft_passed_ppm // 10_000}%"
    return line.health.value.replace("_", " ")


def _binding_name(line: facade.EnvelopeLine) -> str:
    if line.binding is None:
        return "nothing limits it"
    return "own cap" if line.binding.own else line.binding.name


def _binding_url(line: facade.EnvelopeLine) -> str:
    if line.binding is None or line.binding.own:
        return ""
    return reverse("envelope", args=[line.binding.public])


def _binding_text(line: facade.EnvelopeLine, currency: str) -> str:
    if line.binding is None:
        return "nothing limits it"
    left = figures.money(line.binding.available, currency).text
    if line.binding.own:
        return f"own cap, {left} left"
    return f"{line.binding.name}, {left} left"


def _bullet(line: facade.EnvelopeLine, currency: str) -> str:
    parts = [f"{line.name}: spent {figures.money(line.settled, currency).text}"]
    if line.held:
        parts.append(f"held {figures.money(line.held, currency).text}")
    if line.unsettled:
        parts.append(f"unsettled {figures.money(line.unsettled, currency).text}")
    cap = "no own cap" if line.cap is None else f"cap {figures.money(line.cap, currency).text}"
    return ", ".join([*parts, cap])


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


def _head(screen: facade.EnvelopeScreen) -> dict[str, Any]:
    line, currency = screen.line, screen.currency
    resets = _resets_text(line)
    if line.health is facade.Health.FROZEN:
        headline = f"{line.name} is frozen: every call that needs it is denied."
    elif line.period is None:
        headline = f"{line.name} is not in force now."
    elif line.available is None and line.binding is None:
        headline = f"{line.name} has no cap, and nothing above it has one."
    elif line.available is None:
        headline = f"{line.name} has no cap of its own; {_binding_text(line, currency)}."
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
        f"Binding limit: {_binding_text(line, currency)}.",
        "crumbs": crumbs,
        "status": {
            "word": line.health.value.replace("_", " "),
            "tone": HEALTH_TONES[line.health],
        },
    }


def _kpis(line: facade.EnvelopeLine, currency: str) -> list[dict[str, Any]]:
    entries = _entries(line)
    used = figures.percent(part=line.settled, whole=line.cap).text if line.cap else ""
    return [
        {"label": "Cap", "value": _cap_text(line, currency), "note": line.period_label},
        {
            "label": "Spent",
            "value": figures.money(line.settled, currency),
            "note": f"{used} of cap" if used else "",
            "href": entries("settle", "usage", "overrun", "adjust", "reversal"),
        },
        {
            "label": "of it unguarded",
            "value": figures.money(line.unguarded, currency),
            "note": "spent without a hold",
            "href": entries("usage", "overrun", "adjust"),
        },
        {
            "label": "Held",
            "value": figures.money(line.held, currency),
            "note": "worst case of open calls",
            "href": entries("reserve", "release", "settle", "expire"),
        },
        {
            "label": "Unsettled",
            "value": figures.money(line.unsettled, currency),
            "note": "expired without an answer",
            "tone": "warn" if line.unsettled else "",
            "href": entries("expire", "write_off"),
        },
        {
            "label": "Left",
            "value": _left_text(line, currency),
            "note": "own cap binds"
            if line.binding and line.binding.own
            else _binding_text(line, currency),
            "tone": "adverse" if line.available is not None and line.available <= 0 else "",
        },
    ]


def _facts(screen: facade.EnvelopeScreen) -> list[dict[str, Any]]:
    line, currency = screen.line, screen.currency
    items: list[dict[str, Any]] = [
        {"term": "Period", "text": f"{line.period_kind}, {line.time_zone}"},
        {"term": "Resets", "text": _resets_text(line)},
        {
            "term": "Limit",
            "text": "hard: a call that does not fit is denied"
            if line.hard
            else "soft: told, never denied",
        },
        {"term": "Soft thresholds", "text": _soft_text(line)},
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
        "unsettled": figures.money(each.unsettled, currency),
        "left": figures.money(each.available, currency),
        "bullet": {
            "cap": each.cap,
            "spent": each.settled,
            "held": each.held,
            "unsettled": each.unsettled,
        },
        "url": link_with(
            reverse("ledger"), ("envelope", line.public), ("since", since), ("until", until)
        ),
    }


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


def _version(each: facade.VersionLine, screen: facade.EnvelopeScreen) -> dict[str, Any]:
    changes = [
        f"{CHANGED_WORDS.get(name, name)}: {_value(name, old, screen)} → "
        f"{_value(name, new, screen)}"
        for name, old, new in each.changes
    ]
    seq = screen.seqs.get(each.version)
    return {
        "version": each.version,
        "at": each.at,
        "actor": each.actor,
        "reason": each.reason,
        "changes": changes or ["made"],
        "seq": seq,
        "url": reverse("ledger-entry", args=[seq]) if seq else "",
    }


def _value(name: str, value: Any, screen: facade.EnvelopeScreen) -> str:
    if value is None:
        return "none"
    if name.endswith("_nanos"):
        return figures.money(int(value), screen.currency).text
    if name == "soft_thresholds_ppm":
        return ", ".join(f"{int(each) // 10_000}%" for each in value) or "none"
    if name in ("hard", "allow_overallocation"):
        return "yes" if value and value != "0" else "no"
    return str(value)


def _form(
    screen: facade.EnvelopeScreen, caller: Caller, typed: Typed, problem: Problem | None
) -> dict[str, Any]:
    line = screen.line
    may_change = can(caller=caller, action=Action.CHANGE_ENVELOPE) and caller.role.value in (
        "finops",
        "controller",
    )
    amount = typed.amount
    if not amount and line.amount is not None:
        amount = amount_text(line.amount)
    return {
        "action": reverse("envelope-change", args=[line.public]),
        "preview_action": reverse("envelope", args=[line.public]),
        "key": ids.new_uuid().hex,
        "version": line.version,
        "amount": amount,
        "reason": typed.reason,
        "currency": screen.currency,
        "may_change": may_change and line.state == "active",
        "may_freeze": can(caller=caller, action=Action.FREEZE_ENVELOPE)
        and line.state == "active",
        "may_thaw": may_change is True and line.state == "frozen",
        "wrong": problem.fields if problem else (),
    }


def _preview(
    preview: facade.Preview | None, line: facade.EnvelopeLine, currency: str
) -> dict[str, Any] | None:
    if preview is None:
        return None
    before = line.amount
    binding = "nothing limits it"
    if preview.binding is not None:
        left = figures.money(preview.binding.available, currency).text
        name = "its own cap" if preview.binding.own else preview.binding.name
        binding = f"{name}, {left} left"
    return {
        "amount": figures.money(preview.amount, currency),
        "before": figures.money(before, currency),
        "delta": figures.delta(new=preview.amount, base=before, currency=currency)
        if before is not None
        else "",
        "left": figures.money(preview.left, currency),
        "left_before": figures.money(line.available, currency),
        "over": preview.left < 0,
        "binding": binding,
        "binding_before": _binding_text(line, currency),
        "over_parent": figures.money(preview.over_parent, currency)
        if preview.over_parent
        else "",
        "parent": preview.parent,
    }


def _count(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"
