"""How do the changes of an envelope stand in its template: form, effect, refusal, versions?"""

from dataclasses import dataclass
from typing import Any

from django.urls import reverse

from o10.access.checks import can
from o10.access.keys import Caller
from o10.access.roles import Action
from o10.kernel import figures, ids
from o10.kernel.money import amount_text
from policies import facade
from policies.web.shown_envelope_lines import binding_text

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
    until: str = ""


def version_row(each: facade.VersionLine, screen: facade.EnvelopeScreen) -> dict[str, Any]:
    """How does one version stand in the list: what changed, by whom, why?"""
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


def form_of(
    screen: facade.EnvelopeScreen, caller: Caller, typed: Typed, problem: Problem | None
) -> dict[str, Any]:
    """Which form may this caller use, and what was typed into it?"""
    line = screen.line
    may_raise = facade.can_ask(actor=caller, kind="envelope.raise")
    may_lower = facade.can_ask(actor=caller, kind="envelope.confirm")
    may_change = may_raise or may_lower
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
        "until": typed.until,
        "may_change": may_change and line.state == "active",
        "may_raise": may_raise,
        "may_freeze": can(caller=caller, action=Action.FREEZE_ENVELOPE)
        and line.state == "active",
        "may_thaw": facade.can_ask(actor=caller, kind="envelope.restore")
        and line.state == "frozen",
        "wrong": problem.fields if problem else (),
    }


def preview_of(
    preview: facade.Preview | None, line: facade.EnvelopeLine, currency: str
) -> dict[str, Any] | None:
    """How is the effect of another amount told, before anything is entered?"""
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
        "waits": before is not None and preview.amount > before,
        "binding": binding,
        "binding_before": binding_text(line, currency),
        "over_parent": figures.money(preview.over_parent, currency)
        if preview.over_parent
        else "",
        "parent": preview.parent,
    }
