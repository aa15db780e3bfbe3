"""How do kill criteria stand in the list and in their form?"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.urls import NoReverseMatch, reverse

from o10.access.checks import can
from o10.access.keys import Caller
from o10.access.roles import Action
from o10.kernel import figures, ids
from o10.kernel.pageview import FORMATS, Link
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
        "export_links": export_links("/policies/kill-criteria"),
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
        "near": near(view),
        "lever": facade.LEVER_NAMES[facade.Lever(view.spec.lever)],
        "execution": "by itself" if view.spec.execution == "auto" else "asks first",
        "signal": view.signal,
        "action": view.action,
        "last_at": view.last.at,
    }


def show_form(
    *,
    typed: Typed,
    problem: Problem | None,
    use_cases: Sequence[tuple[str, str]],
    view: facade.KillView | None = None,
) -> dict[str, Any]:
    """Which context has the form of a new criterion, or of one that is there (`view`)?"""
    return {
        "head": _form_head(view),
        "view": view,
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
        "windows": _windows_of(typed.window),
        "severities": facade.KILL_SEVERITIES,
    }


def _form_head(view: facade.KillView | None) -> dict[str, Any]:
    home = Link("Kill criteria", reverse("kill-criteria"))
    if view is None:
        return {
            "headline": "A rule that stops what fails, written in advance.",
            "subline": "It starts as a draft: drill it on history; a second person arms it.",
            "crumbs": (home, Link("New criterion", "")),
        }
    return {
        "headline": f"Change {view.name}.",
        "subline": "A draft, or a stricter rule, reads so at once; "
        "a looser one once a second person agrees.",
        "crumbs": (
            home,
            Link(view.name, reverse("kill-criterion", args=[view.id])),
            Link("Change", ""),
        ),
    }


WINDOWS = (
    (600, "10 minutes"),
    (3_600, "1 hour"),
    (86_400, "1 day"),
    (7 * 86_400, "7 days"),
    (30 * 86_400, "30 days"),
)


def _windows_of(chosen: str) -> tuple[tuple[int, str], ...]:
    """Those offered, and the one that a rule has already."""
    seconds = int(chosen) if chosen.isdecimal() and len(chosen) <= 9 else 0
    if not seconds or seconds in dict(WINDOWS):
        return WINDOWS
    return (*WINDOWS, (seconds, facade.span_text(seconds)))


def approval_url(approval: str) -> str:
    """Where is this request decided? Empty while there is no page for it."""
    try:
        return str(reverse("approval", args=[approval]))
    except NoReverseMatch:
        return ""


def export_links(path: str) -> tuple[Link, ...]:
    """Where can the rows of this page be had as a file?"""
    return tuple(Link(form.upper(), f"{path}.{form}") for form in FORMATS)


def no_data(metric: str) -> str:
    """What is missing before this signal says anything? Empty = it is measured."""
    needs = facade.waits_for(metric)
    return f"No data yet: needs {needs}." if needs else ""


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
        "subline": f"Nearest is {nearest.name}: {near(nearest)}.",
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


def near(view: facade.KillView) -> str:
    """How near is it to its threshold, or why is that not known?"""
    if no_data(view.spec.metric):
        return lower_first(no_data(view.spec.metric)).rstrip(".")
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


def lower_first(text: str) -> str:
    """The text as it reads within a sentence."""
    return f"{text[:1].lower()}{text[1:]}" if text else ""
