"""How does one kill criterion stand on its page: state, evidence, rule, history, drill?"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.urls import reverse

from o10.access.checks import can
from o10.access.keys import Caller
from o10.access.roles import Action
from o10.kernel import figures, ids
from o10.kernel.money import parse_nanos
from o10.kernel.pageview import Link
from policies import facade
from policies.web.shown_envelope_change import Problem
from policies.web.shown_kill import (
    TONES,
    approval_url,
    export_links,
    lower_first,
    near,
    row_of,
)

EVENTS = {
    "create": "Made",
    "change": "Changed",
    "loosen": "Loosened",
    "arm": "Armed",
    "trip": "Tripped",
    "restore": "Restored",
    "rearm": "Armed again",
    "override": "Set aside",
    "retire": "Retired",
    "review": "Board decided",
    "end": "Ended and archived",
}
INPUT_WORDS = {
    "over": "",
    "repeats": "most repeats of one step",
    "asked": "calls asked",
    "settled": "spent",
    "leased": "lent",
}
MONEY = frozenset(
    {
        "settled", "leased", "unsettled", "cap", "spend", "plan", "full_cost", "waste",
        "direct", "actual", "reserved", "unattributed", "unguarded", "same_weekday_spend",
        "direct_before", "full_cost_before", "review", "premium", "value_nanos",
        "cost_upper_nanos",
    }
)  # fmt: skip
"""Inputs that are nanos."""


def show_criterion(
    *,
    screen: facade.KillScreen,
    caller: Caller,
    now: datetime,
    pending: Sequence[facade.ApprovalView],
    problem: Problem | None = None,
    reason: str = "",
) -> dict[str, Any]:
    """Which context has the page of one criterion?"""
    view = screen.view
    return {
        "head": {
            "headline": _headline(screen),
            "subline": f"If {lower_first(view.signal)}, then: {lower_first(view.action)}",
            "crumbs": (
                Link("Kill criteria", reverse("kill-criteria")),
                Link(view.name, ""),
            ),
            "status": {"word": view.state, "tone": TONES[view.state]},
        },
        "stamp": {"seq": screen.as_of.ledger_seq, "at": now, "state": "fresh"},
        "problem": problem,
        "pending": [
            {"title": each.text.title, "url": approval_url(each.id), "needs": _needs(each)}
            for each in pending
        ],
        "kpis": _kpis(screen, now),
        "row": row_of(view, screen.use_case_name),
        "export_links": export_links(f"/policies/kill-criteria/{view.id}"),
        "evidence": _evidence(screen),
        "review": _review(screen, now),
        "archive": _archive(screen),
        "spec": _spec(screen),
        "events": [_event(each, screen) for each in screen.events],
        "versions": [
            {
                "version": each.version,
                "at": each.at,
                "actor": _who(each.actor, screen),
                "reason": each.reason,
                "text": f"{each.signal}. {each.action}",
            }
            for each in screen.versions
        ],
        "drill": _drill(screen),
        "drill_url": reverse("kill-criterion", args=[view.id]) + "?drill=90#drill",
        "form": _form(view, caller, reason, now),
        "live_url": reverse("kill-criterion", args=[view.id]),
    }


def _needs(approval: facade.ApprovalView) -> str:
    return " and ".join(need.replace("|", " or ") for need in approval.needs) or "nobody else"


def _headline(screen: facade.KillScreen) -> str:
    view = screen.view
    scope = screen.use_case_name
    value = view.last.shown
    match view.state:
        case "tripped" | "restoring":
            since = figures.instant(view.tripped_at).text
            if view.restorable_at is not None:
                return f"{view.name} stopped {scope} on {since}; two people may lift it."
            return f"{view.name} tripped at {scope} on {since}."
        case "overridden":
            until = figures.instant(view.override_until).text
            return f"{view.name} is set aside until {until}."
        case "draft":
            return f"{view.name} is a draft: it watches {scope} and stops nothing."
        case "retired":
            return f"{view.name} is retired."
    if view.last.value is None:
        return f"{view.name} watches {scope}: {near(view)}."
    return f"{view.name} watches {scope}: {value} now, {near(view)}."


def _kpis(screen: facade.KillScreen, now: datetime) -> list[dict[str, Any]]:
    view, metric = screen.view, screen.metric
    beyond = view.last.evidence == "beyond"
    limit = facade.value_text(metric, view.spec.beyond_at, currency=screen.currency)
    inside = facade.value_text(metric, view.spec.inside_at, currency=screen.currency)
    trips = sum(each.kind == "trip" for each in screen.events)
    return [
        {
            "label": "Now",
            "value": view.last.shown if view.last.value is not None else None,
            "note": near(view),
            "tone": "adverse" if beyond else "",
        },
        {"label": "Trips at", "value": limit, "note": _windows(view.spec)},
        {"label": "Over again at", "value": inside, "note": "restore threshold"},
        {
            "label": "Evidence",
            "value": figures.count_exact(view.last.sample),
            "note": f"of {view.spec.min_sample:,} needed",
        },
        {
            "label": "Trips so far",
            "value": figures.count_exact(trips),
            "note": figures.ago(view.tripped_at, now=now).text if view.tripped_at else "",
        },
    ]


def _windows(spec: facade.KillSpec) -> str:
    span = facade.span_text(spec.window_s)
    return span if spec.consecutive == 1 else f"{spec.consecutive} times {span} in a row"


def _evidence(screen: facade.KillScreen) -> list[dict[str, Any]]:
    """Which numbers did the last trip rest on?"""
    trip = next((each for each in screen.events if each.kind == "trip"), None)
    if trip is None:
        return []
    currency = screen.currency
    found = trip.inputs
    value = facade.fraction_of(found)
    rows = [
        {
            "term": screen.metric.label,
            "text": facade.value_text(screen.metric, value, currency=currency),
            "sub": screen.metric.means,
        },
        {"term": "Sample", "text": f"{int(found.get('sample', 0)):,}"},
    ]
    needed = set(screen.metric.needs)
    for name, each in sorted(found.get("inputs", {}).items()):
        if name not in needed:
            continue
        number = int(each)
        shown = f"{number:,}"
        if name in MONEY:
            shown = figures.money_exact(number, currency).text
        rows.append({"term": _word(name), "text": shown})
    rows.append({"term": "Ledger position", "text": f"{int(found.get('ledger_seq', 0)):,}"})
    return rows


def _word(name: str) -> str:
    text = INPUT_WORDS.get(name) or name.removesuffix("_nanos").replace("_", " ")
    return f"{text[:1].upper()}{text[1:]}"


def _spec(screen: facade.KillScreen) -> list[dict[str, Any]]:
    view, spec = screen.view, screen.view.spec
    review = figures.day(spec.review_by).text if spec.review_by else "no date"
    return [
        {"term": "Watches", "text": screen.use_case_name},
        {"term": "Metric", "text": screen.metric.label, "sub": screen.metric.means},
        {"term": "If", "text": view.signal},
        {"term": "Sample at least", "text": f"{spec.min_sample:,}"},
        {"term": "Then", "text": view.action},
        {
            "term": "Acts",
            "text": "by itself" if spec.execution == "auto" else "once a second person agrees",
        },
        {
            "term": "Restores",
            "text": "by itself" if spec.restores_itself else "by two people",
            "sub": f"inside for {spec.restore_consecutive:,} windows, "
            f"{facade.span_text(spec.cooldown_s) if spec.cooldown_s else 'at once'} after "
            "the trip at the earliest",
        },
        {"term": "Board review", "text": "with each trip" if spec.board_review else "no"},
        {"term": "Severity", "text": spec.severity},
        {"term": "Owner", "text": spec.owner or "not named"},
        {"term": "Reviewed by", "text": review},
        {"term": "Evidence", "text": spec.evidence or "not stated"},
        {"term": "Version", "text": f"{view.version:,}", "sub": view.id},
    ]


def _review(screen: facade.KillScreen, now: datetime) -> dict[str, Any] | None:
    """What has the board to decide, or what did it decide last?"""
    found = screen.view.review
    if found is None:
        return None
    cap = "none: the lever holds"
    if found.cap_an_hour is not None:
        nanos = parse_nanos(found.cap_an_hour)
        cap = f"{figures.money_exact(nanos, screen.currency).text} an hour"
    late = found.decided_at is None and now.date() > found.due
    items = [
        {"term": "Owner", "text": _who(found.owner, screen)},
        {
            "term": "Due",
            "text": figures.day(found.due),
            "sub": "overdue" if late else "",
        },
        {"term": "Interim cap", "text": cap},
        {"term": "Opened", "text": figures.instant(found.opened_at)},
    ]
    if found.decided_at is not None:
        items += [
            {"term": "Decided", "text": figures.instant(found.decided_at)},
            {"term": "By", "text": _who(found.decided_by or "", screen)},
            {"term": "Decision", "text": found.decision or ""},
        ]
    return {"items": items, "open": found.decided_at is None, "late": late}


def _archive(screen: facade.KillScreen) -> dict[str, Any] | None:
    """What is kept of a sunset that has ended?"""
    end = next((each for each in screen.events if each.kind == "end"), None)
    if end is None:
        return None
    kept, currency = end.inputs, screen.currency
    return {
        "items": [
            {"term": "Began", "text": figures.instant(_at(kept["begun"]))},
            {"term": "Ended", "text": figures.instant(_at(kept["until"]))},
            {
                "term": "Cap at the trip",
                "text": figures.money(int(kept["cap_nanos"]), currency),
            },
            {
                "term": "Spent meanwhile",
                "text": figures.money(int(kept["spent_nanos"]), currency),
            },
            {"term": "Calls", "text": figures.count_exact(int(kept["calls"]))},
        ],
        "caps": [
            {"at": _at(each["at"]), "cap": figures.money(int(each["nanos"]), currency)}
            for each in kept["caps"]
        ],
    }


def _at(stored: Any) -> datetime:
    return datetime.fromisoformat(str(stored))


def _event(each: facade.KillEventLine, screen: facade.KillScreen) -> dict[str, Any]:
    value = facade.fraction_of(each.inputs)
    shown = ""
    if value is not None:
        shown = facade.value_text(screen.metric, value, currency=screen.currency)
    if each.kind == "override" and each.inputs.get("until"):
        until = datetime.fromisoformat(str(each.inputs["until"]))
        shown = f"until {figures.instant(until).text}"
    seq = screen.seqs.get(each.entry_uid)
    return {
        "at": each.at,
        "what": EVENTS.get(each.kind, each.kind),
        "tone": TONES.get(each.after, "neutral"),
        "state": each.after,
        "value": shown,
        "actor": _who(each.actor, screen),
        "reason": each.reason,
        "seq": seq,
        "url": reverse("ledger-entry", args=[seq]) if seq else "",
    }


def _drill(screen: facade.KillScreen) -> dict[str, Any] | None:
    found = screen.drill
    if found is None:
        return None
    currency = screen.currency
    days = (found.end - found.start).days
    return {
        "days": days,
        "summary": _drill_words(screen, days),
        "seq": found.ledger_seq,
        "rows": [
            {
                "day": figures.day(trip.day),
                "at": trip.at,
                "value": facade.value_text(screen.metric, trip.value, currency=currency),
                "held": _held(trip),
                "spent": figures.money(trip.spent, currency),
                "avoided": "not known"
                if trip.avoided is None
                else figures.money(trip.avoided, currency),
                "refused": "not known" if trip.refused is None else f"{trip.refused:,}",
                "itself": "yes" if trip.reversed_itself else "no",
            }
            for trip in found.trips
        ],
    }


def _drill_words(screen: facade.KillScreen, days: int) -> str:
    found = screen.drill
    if found is None:
        return ""
    if not found.trips:
        if found.blind == found.looks:
            return f"In {days} days there was never enough evidence to say anything."
        return f"It would not have tripped in {days} days."
    times = f"{len(found.trips):,} time" + ("" if len(found.trips) == 1 else "s")
    saved = ""
    if found.avoided is not None:
        saved = (
            f" It would have avoided {figures.money(found.avoided, screen.currency).text} "
            f"and refused {found.refused or 0:,} calls."
        )
    on = f"{len(found.days):,} day" + ("" if len(found.days) == 1 else "s")
    return (
        f"It would have tripped {times} in {days} days, on {on}; "
        f"{found.false_trips:,} reversed by themselves.{saved}"
    )


def _held(trip: facade.KillDrillTrip) -> str:
    if trip.restored_at is None:
        return "still"
    hours = (trip.restored_at - trip.at) // timedelta(hours=1)
    return f"{hours:,} h" if hours < 72 else f"{hours // 24:,} days"


def _form(view: facade.KillView, caller: Caller, reason: str, now: datetime) -> dict[str, Any]:
    may_change = can(caller=caller, action=Action.CHANGE_KILL_CRITERION)
    acting = view.state in ("tripped", "restoring")
    strict = view.spec.lever in ("freeze", "sunset") or view.spec.board_review
    return {
        "action": reverse("kill-criterion-act", args=[view.id]),
        "key": ids.new_uuid().hex,
        "version": view.version,
        "reason": reason,
        "until": f"{now + timedelta(days=7):%Y-%m-%d}",
        "until_most": f"{now + timedelta(days=14):%Y-%m-%d}",
        "until_least": f"{now + timedelta(days=1):%Y-%m-%d}",
        "may_arm": may_change and view.state == "draft",
        "may_restore": may_change and acting,
        "may_override": may_change and (acting or view.state == "armed"),
        "may_retire": may_change and view.state != "retired",
        "restore_label": "Ask to lift the lever" if strict else "Lift the lever",
        "retire_label": "Throw away" if view.state == "draft" else "Ask to retire",
        "may_anything": may_change and view.state != "retired",
        "may_decide": may_change,
        "edit_url": reverse("kill-criterion-edit", args=[view.id]) if may_change else "",
    }


def _who(actor: str, screen: facade.KillScreen) -> str:
    return "o10" if actor == "system" else screen.people.get(actor, actor)
