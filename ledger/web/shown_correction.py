"""How does the way to take an entry back stand in its template, and who may go it?"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.urls import reverse

from ledger import facade
from ledger.web.shown import entry_url, signed_exact
from o10.access.checks import can
from o10.access.keys import Caller
from o10.access.roles import Action
from o10.kernel import figures

NEEDS = "finops asks, a controller agrees"
APPROVAL_WORDS = {
    "reason": "Reason",
    "requested_by": "Proposed by",
    "approved_by": "Confirmed by",
    "approval": "By request",
}
"""Field of an approval document to what a person reads."""


@dataclass(frozen=True, slots=True)
class ReversalProblem:
    """Why was nothing entered, and what can be done?"""

    title: str
    text: str
    status: int = 422
    typed: dict[str, str] = field(default_factory=dict)


def show_correction(
    detail: facade.EntryDetail,
    *,
    currency: str,
    caller: Caller,
    now: datetime,
    key: str,
    problem: ReversalProblem | None,
) -> dict[str, Any]:
    """What takes the entry back, what would it move, and may this person propose it?"""
    line = detail.line
    reversible = facade.Kind[line.kind.upper()] in facade.REVERSIBLE
    desk = facade.correction_desk()
    may = can(caller=caller, action=Action.CORRECT_LEDGER) and desk.may_ask(caller)
    waiting = desk.waiting(line.uid, now) if reversible else ()
    undone = detail.reversed_by is not None
    facts = [
        _link_fact("Reversed by", detail.reversed_by),
        _link_fact("Reverses", detail.reverses),
    ]
    if detail.reverses is not None:
        facts += _approval(detail)
    if reversible and not undone:
        back = figures.money_exact(-line.amount, currency).text
        left = signed_exact(line.amount + line.unsettled, currency).text
        facts.append({"term": "If reversed", "text": f"Spent {back} · Left {left}"})
        facts.append({"term": "Needs", "text": NEEDS})
    return {
        "shown": reversible or undone or detail.reverses is not None,
        "facts": facts,
        "open": may and reversible and not undone and not waiting and line.seq is not None,
        "waiting": waiting,
        "why_not": _why_not(line, may=may, reversible=reversible, undone=undone),
        "url": reverse("ledger-reverse", args=[line.seq]) if line.seq else "",
        "key": key,
        "problem": problem,
        "typed": problem.typed if problem else {},
    }


def _why_not(line: facade.EntryLine, *, may: bool, reversible: bool, undone: bool) -> str:
    if undone:
        return "An entry is taken back once."
    if line.kind == "reversal":
        return "A reversal is never reversed: what was right is entered anew."
    if not reversible:
        return (
            "This kind moves no settled money: a hold ends by release, settle or expiry, and a "
            "statement is superseded by a newer one."
        )
    return "" if may else "A person with the role finops can ask for it; a controller agrees."


def _approval(detail: facade.EntryDetail) -> list[dict[str, Any]]:
    document = detail.document or {}
    return [
        {"term": word, "text": str(document[name])}
        if name == "reason"
        else {"term": word, "code": str(document[name])}
        for name, word in APPROVAL_WORDS.items()
        if document.get(name)
    ]


def _link_fact(term: str, line: facade.EntryLine | None) -> dict[str, Any]:
    if line is None:
        return {"term": term, "text": "no entry"}
    return {
        "term": term,
        "text": f"entry {line.seq:,}" if line.seq else "an entry not sealed yet",
        "href": entry_url(line),
    }
