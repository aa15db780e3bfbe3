"""How do the rules of a use case stand in their template: mode, models, stop, what waits?"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from django.urls import reverse

from o10.access.checks import can
from o10.access.keys import Caller
from o10.access.roles import Action
from o10.kernel import figures, ids
from o10.kernel.pageview import Bar, Link
from policies import facade
from policies.web.shown_approvals import needs_text
from policies.web.shown_envelope_change import Problem

MODE_WORDS: Final = {
    "observe": "watches its calls and stops none",
    "shadow": "decides about its calls and stops none",
    "enforce": "enforces its limits",
}
MODE_LABELS: Final = {
    "observe": "observe: watch, stop nothing",
    "shadow": "shadow: decide, stop nothing",
    "enforce": "enforce: deny what does not fit",
}


def show_rules(
    *,
    view: facade.UseCaseView,
    pending: Sequence[facade.ApprovalView],
    caller: Caller,
    now: datetime,
    typed: Mapping[str, str],
    problem: Problem | None,
) -> dict[str, Any]:
    """Which context has the page?"""
    may = can(caller=caller, action=Action.CHANGE_USE_CASE)
    makes = facade.can_ask(actor=caller, kind="rollout.enforce")
    restores = facade.can_ask(actor=caller, kind="use_case.restore")
    return {
        "head": {
            "headline": _headline(view),
            "subline": _subline(view, pending),
            "crumbs": [
                Link("Use cases", reverse("use-cases")),
                Link(view.name, reverse("use-case", args=[view.slug])),
                Link("Rules", ""),
            ],
            "status": {"word": view.mode if view.state == "active" else view.state},
        },
        "stamp": {"seq": facade.ledger_position(), "at": now, "state": "fresh"},
        "bar": Bar(),
        "view": view,
        "pending": [
            {
                "title": each.text.title,
                "text": f"Waits for {needs_text(each.needs)}. "
                f"Asked by {each.maker.name}; ends {figures.instant(each.expires_at).text}."
                if each.kind != "use_case.confirm"
                else f"It holds already; {needs_text(each.needs)} confirms it.",
                "url": reverse("approval", args=[each.id]),
            }
            for each in pending
        ],
        "modes": _modes(view, typed, makes=makes),
        "models": _models(view, now),
        "every_model": view.approved_models is None,
        "may": may,
        "makes": makes,
        "stops": view.state == "active" and can(caller=caller, action=Action.FREEZE_ENVELOPE),
        "restores": view.state != "active" and restores,
        "key": ids.new_uuid().hex,
        "typed": typed,
        "wrong": problem.fields if problem else (),
        "problem": problem,
    }


def _headline(view: facade.UseCaseView) -> str:
    if view.state == "stopped":
        return f"{view.name} is stopped: every call is denied."
    if view.state == "sunset":
        return f"{view.name} is wound down: every call is denied."
    said = f"{view.name} {MODE_WORDS.get(view.mode, view.mode)}"
    models = view.approved_models
    if models is None:
        return f"{said}, on every model that has a price."
    if len(models) == 1:
        return f"{said}, on one approved model."
    return f"{said}, on {len(models) or 'no'} approved models."


def _subline(view: facade.UseCaseView, pending: Sequence[facade.ApprovalView]) -> str:
    if pending:
        word = "request waits" if len(pending) == 1 else "requests wait"
        return f"{len(pending)} {word} for a second person."
    said = f"Policy version {view.policy_version}."
    return f"{said} What costs more or checks less takes two people."


def _modes(
    view: facade.UseCaseView, typed: Mapping[str, str], *, makes: bool
) -> list[dict[str, Any]]:
    chosen = typed.get("mode", view.mode)
    return [
        {"value": name, "label": MODE_LABELS[name], "chosen": name == chosen}
        for name in MODE_LABELS
        if makes or name != "enforce" or name == view.mode
    ]


def _models(view: facade.UseCaseView, now: datetime) -> list[dict[str, Any]]:
    return [
        {
            "name": each.name,
            "until": figures.instant(each.until).text if each.until else "no end",
            "over": each.until is not None and each.until <= now,
            "evidence": each.evidence,
            "approval": each.approval,
            "url": reverse("approval", args=[each.approval]) if each.approval else "",
        }
        for each in view.approved_models or ()
    ]
