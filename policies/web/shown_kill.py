"""How do kill criteria stand in their templates: the list, one criterion, its form?"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.urls import NoReverseMatch, reverse

from o10.access.checks import can
from o10.access.keys import Caller
from o10.access.roles import Action
from o10.kernel import figures, ids
from o10.kernel.pageview import Link
from policies import facade
from policies.web.kill_form import Typed
from policies.web.shown_envelope_change import Problem

TONES = {
    "draft": "neutral",
    "armed": "accent",
    "tripped": "adverse",
    "restoring": "warn",
    "overridden": "warn",
    "retired": "neutral",
}
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
_FULL = 1_000_000


def show_list(
    *,
    screen: facade.KillListScreen,
    caller: Caller,
    now: datetime,
    use_case: str = "",
    name: str = "",
) -> dict[str, Any]:
    """Which context has the list of criteria?"""
    may_change = can(caller=caller, action=Action.CHANGE_KILL_CRITERION)
    new = reverse("kill-criterion-new")
    after = f"&use_case={use_case}" if use_case else ""
    return {
        "head": {
            **_list_head(screen, name),
            "crumbs": _crumbs(name, use_case),
            "primary": {"label": "New criterion", "url": new, "icon": "plus"}
            if may_change
            else None,
        },
        "stamp": {"seq": screen.as_of.ledger_seq, "at": now, "state": "fresh"},
        "rows": [row_of(view, screen.names[view.id]) for view in screen.views],
        "kpis": _list_kpis(screen) if screen.views else [],
        "offered": [
            {
                "name": each.name,
                "signal": facade.signal_text(each.spec, currency=screen.currency),
                "action": facade.action_text(each.spec, currency=screen.currency),
                "url": f"{new}?offered={each.slug}{after}",
                "needs": no_data(each.spec.metric),
            }
            for each in screen.offered
        ],
        "may_change": may_change,
        "use_case": use_case,
        "live_url": reverse("kill-criteria") + (f"?use_case={use_case}" if use_case else ""),
    }


def row_of(view: facade.KillView, scope: str) -> dict[str, Any]:
    """How does one criterion stand in a list: state, distance, lever?"""
    return {
        "id": view.id,
        "url": reverse("kill-criterion", args=[view.id]),
        "name": view.name,
        "scope": scope,
        "state": view.state,
        "tone": TONES[view.state],
        "metric": facade.METRICS[view.spec.metric].label,
        "value": view.last.shown if view.last.value is not None else "",
        "limit": facade.value_text(
            facade.METRICS[view.spec.metric],
            view.spec.beyond_at,
            currency=facade.organisation().currency,
        ),
        "progress": view.last.progress_ppm,
        "full": _FULL,
        "progress_tone": "adverse" if (view.last.progress_ppm or 0) >= _FULL else "ac",
        "near": _near(view),
        "lever": facade.LEVER_NAMES[facade.Lever(view.spec.lever)],
        "execution": "by itself" if view.spec.execution == "auto" else "asks first",
        "signal": view.signal,
        "action": view.action,
        "last_at": view.last.at,
    }


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
            "subline": f"If {_lower(view.signal)}, then: {_lower(view.action)}",
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
        "evidence": _evidence(screen),
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


def show_form(
    *, typed: Typed, problem: Problem | None, use_cases: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    """Which context has the form of a new criterion?"""
    return {
        "head": {
            "headline": "A rule that stops what fails, written in advance.",
            "subline": "It starts as a draft: drill it on history; a second person arms it.",
            "crumbs": (
                Link("Kill criteria", reverse("kill-criteria")),
                Link("New criterion", ""),
            ),
        },
        "problem": problem,
        "typed": typed,
        "key": ids.new_uuid().hex,
        "wrong": problem.fields if problem else (),
        "use_cases": use_cases,
        "metrics": [
            {
                "id": each.id,
                "label": each.label,
                "means": each.means,
                "needs": no_data(each.id),
                "least": each.min_sample,
            }
            for each in facade.METRICS.values()
        ],
        "levers": [(str(lever), facade.LEVER_NAMES[lever]) for lever in facade.Lever],
        "windows": WINDOWS,
    }


WINDOWS = (
    (600, "10 minutes"),
    (3_600, "1 hour"),
    (86_400, "1 day"),
    (7 * 86_400, "7 days"),
    (30 * 86_400, "30 days"),
)


def approval_url(approval: str) -> str:
    """Where is this request decided? Empty while there is no page for it."""
    try:
        return str(reverse("approval", args=[approval]))
    except NoReverseMatch:
        return ""


def no_data(metric: str) -> str:
    """What is missing before this signal says anything? Empty = it is measured."""
    needs = facade.waits_for(metric)
    return f"No data yet: needs {needs}." if needs else ""


def _needs(approval: facade.ApprovalView) -> str:
    return " and ".join(need.replace("|", " or ") for need in approval.needs) or "nobody else"


def _crumbs(name: str, use_case: str) -> tuple[Link, ...]:
    if not use_case:
        return ()
    return (
        Link("Use cases", reverse("use-cases")),
        Link(name, reverse("use-case", args=[use_case])),
        Link("Kill criteria", ""),
    )


def _list_head(screen: facade.KillListScreen, name: str) -> dict[str, Any]:
    where = f" for {name}" if name else ""
    views = screen.views
    acting = [view for view in views if view.state in ("tripped", "restoring")]
    armed = [view for view in views if view.state in ("armed", "overridden")]
    if not views:
        return {
            "headline": f"No rule stops what fails{where} yet.",
            "subline": "Take one of those offered below, drill it on history, have it armed.",
        }
    if acting:
        first = acting[0]
        more = f" and {len(acting) - 1} more" if len(acting) > 1 else ""
        return {
            "headline": f"{first.name} stands tripped at {screen.names[first.id]}{more}.",
            "subline": first.action,
        }
    nearest = max(armed, key=lambda view: view.last.progress_ppm or 0, default=None)
    if nearest is None:
        return {
            "headline": f"{len(views):,} written{where}, none armed.",
            "subline": "A draft watches and stops nothing until a second person has armed it.",
        }
    return {
        "headline": f"{len(armed):,} armed{where}, none tripped.",
        "subline": f"Nearest is {nearest.name}: {_near(nearest)}.",
    }


def _list_kpis(screen: facade.KillListScreen) -> list[dict[str, Any]]:
    def count(*states: str) -> int:
        return sum(view.state in states for view in screen.views)

    tripped = count("tripped", "restoring")
    blind = sum(view.last.evidence == "not_enough" for view in screen.views)
    return [
        {
            "label": "Tripped",
            "value": figures.count_exact(tripped),
            "note": "their levers hold",
            "tone": "adverse" if tripped else "",
        },
        {"label": "Armed", "value": figures.count_exact(count("armed")), "note": "watching"},
        {
            "label": "Set aside",
            "value": figures.count_exact(count("overridden")),
            "note": "until a date",
            "tone": "warn" if count("overridden") else "",
        },
        {
            "label": "Not enough evidence",
            "value": figures.count_exact(blind),
            "note": "never trip like that",
        },
        {"label": "Drafts", "value": figures.count_exact(count("draft")), "note": "not armed"},
    ]


def _near(view: facade.KillView) -> str:
    if no_data(view.spec.metric):
        return _lower(no_data(view.spec.metric)).rstrip(".")
    if view.last.evidence == "none":
        return "not looked at yet"
    if view.last.evidence == "not_enough":
        missing = ", ".join(each.replace("_", " ") for each in view.last.missing[:3])
        if missing:
            return f"not enough evidence: {missing} not known"
        return f"not enough evidence: {view.last.sample:,} of {view.spec.min_sample:,}"
    if view.last.progress_ppm is None:
        return f"at {view.last.shown}"
    percent = figures.percent(part=view.last.progress_ppm, whole=_FULL).text
    return f"{percent} of the way"


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
        return f"{view.name} watches {scope}: {_near(view)}."
    return f"{view.name} watches {scope}: {value} now, {_near(view)}."


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
            "note": _near(view),
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
    }


def _who(actor: str, screen: facade.KillScreen) -> str:
    return "o10" if actor == "system" else screen.people.get(actor, actor)


def _lower(text: str) -> str:
    return f"{text[:1].lower()}{text[1:]}" if text else ""
