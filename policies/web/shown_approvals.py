"""How do requests stand in their templates: the inbox, and one with its effect and history?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.urls import reverse

from o10.access import queries as people
from o10.access.keys import Caller
from o10.access.roles import Role
from o10.kernel import figures, ids
from o10.kernel.pageview import Bar, Link
from policies import facade
from policies.web.shown_envelope_change import Problem

BOXES: Final = ("mine", "raised", "open", "done")
BOX_WORDS: Final = {
    "mine": "For me",
    "raised": "Raised by me",
    "open": "Others, open",
    "done": "Done",
}
STATE_TONES: Final = {
    "open": "accent",
    "approved": "favourable",
    "declined": "adverse",
    "withdrawn": "neutral",
    "expired": "warn",
    "void": "warn",
}
ACT_WORDS: Final = {
    "raised": "Raised",
    "approved": "Approved",
    "declined": "Declined",
    "asked": "Asked",
    "answered": "Answered",
    "delegated": "Delegated",
    "withdrawn": "Withdrawn",
    "expired": "Expired",
    "voided": "Void",
}
_EMPTY: Final = {
    "mine": (
        "Nothing waits for you.",
        "What others ask for and your role may agree to stands here.",
    ),
    "raised": ("You have asked for nothing that is open.", "Ask on the page of what changes."),
    "open": ("Nothing else is open.", "Requests that wait for other people are here."),
    "done": ("Nothing has been decided yet.", "Every decision stays here with its entries."),
}


@dataclass(frozen=True, slots=True)
class Typed:
    """What did the person choose and type?"""

    do: str = ""
    reason: str = ""
    until: str = ""
    to: str = ""


def show_inbox(*, inbox: facade.Inbox, box: str, now: datetime) -> dict[str, Any]:
    """Which context has the list of requests?"""
    boxes: Mapping[str, Sequence[facade.ApprovalView]] = {
        "mine": inbox.mine,
        "raised": inbox.raised,
        "open": inbox.others,
        "done": inbox.done,
    }
    counts = {name: len(views) for name, views in boxes.items()} | {"done": inbox.done_count}
    url = reverse("approvals")
    title, text = _EMPTY[box]
    return {
        "head": {
            "headline": _headline(inbox.mine),
            "subline": _subline(inbox.mine, now),
            "crumbs": [Link("Approvals", "")],
            "actions": [{"label": "Who approves what", "url": reverse("approval-policy")}],
        },
        "stamp": _stamp(now),
        "bar": Bar(exports=_exports(url, box)),
        "tabs": [
            {
                "label": BOX_WORDS[name],
                "url": url if name == "mine" else f"{url}?box={name}",
                "current": name == box,
                "count": counts[name],
            }
            for name in BOXES
        ],
        "rows": [_row(view, now) for view in boxes[box]],
        "done": box == "done",
        "empty": {"title": title, "text": text, "icon": "approvals"},
        "live_url": url if box == "mine" else f"{url}?box={box}",
    }


def _exports(url: str, box: str) -> tuple[Link, ...]:
    path = url.rstrip("/") if box == "mine" else f"{url}{box}"
    return tuple(Link(form.upper(), f"{path}.{form}") for form in ("csv", "xlsx", "json"))


def show_approval(
    *,
    view: facade.ApprovalView,
    caller: Caller,
    now: datetime,
    following: str,
    typed: Typed,
    problem: Problem | None = None,
) -> dict[str, Any]:
    """Which context has the page of one request?"""
    url = reverse("approval", args=[view.id])
    acts = _acts(view, caller, now, typed)
    chosen = next((act for act in acts if act["do"] == typed.do), None)
    return {
        "head": {
            "headline": view.text.title,
            "subline": _told(view),
            "crumbs": [Link("Approvals", reverse("approvals")), Link(view.text.title, "")],
            "status": {"word": _state_word(view, acts), "tone": STATE_TONES[view.state]},
        },
        "stamp": _stamp(now),
        "bar": Bar(),
        "view": view,
        "effect": view.text.effect,
        "diff": _diff(view),
        "evidence": [
            {"term": row.label, "text": row.value, "href": row.url, "sub": row.note}
            for row in view.text.evidence
        ],
        "facts": _facts(view),
        "duties": _duties(view, caller),
        "events": [_event(step) for step in view.steps],
        "acts": acts,
        "chosen": chosen,
        "closed": _closed(view),
        "why_not": _why_not(view, caller, acts),
        "next_url": reverse("approval", args=[following]) if following else "",
        "problem": problem,
        "url": url,
        "live_url": url,
    }


def needs_text(needs: Sequence[str]) -> str:
    """How is it told whom a request waits for?"""
    words = [" or ".join(_role_word(each) for each in need.split("|")) for need in needs]
    return " and ".join(words) or "nobody else"


def _role_word(name: str) -> str:
    return {"cfo": "CFO", "compliance": "a compliance approver"}.get(name, name)


def _headline(mine: Sequence[facade.ApprovalView]) -> str:
    if not mine:
        return "Nothing waits for you."
    if len(mine) == 1:
        return f"One approval waits for you: {mine[0].text.title}."
    return f"{len(mine)} approvals wait for you; the first to expire is {mine[0].text.title}."


def _subline(mine: Sequence[facade.ApprovalView], now: datetime) -> str:
    if not mine:
        return "Two people make every change that costs more. Silence never approves."
    money = sum(int(view.text.money_nanos or 0) for view in mine)
    unknown = sum(view.text.money_nanos is None for view in mine)
    said = f"Together {_signed(money)} a month at most"
    if unknown:
        said += f"; {unknown} without a figure"
    return f"{said}. The next request expires {_left(mine[0], now)}."


def _row(view: facade.ApprovalView, now: datetime) -> dict[str, Any]:
    money = view.text.money_nanos
    return {
        "id": view.id,
        "url": reverse("approval", args=[view.id]),
        "title": view.text.title,
        "money": None if money is None else _signed(int(money)),
        "maker": view.maker.name,
        "reason": view.reason,
        "needs": needs_text(view.needs),
        "left": _left(view, now),
        "expires": view.expires_at,
        "state": view.state,
        "tone": STATE_TONES[view.state],
        "decided": view.decided_at or (view.expires_at if view.state == "expired" else None),
        "by": ", ".join(step.by.name for step in view.steps[1:] if step.act in _ENDS),
    }


_ENDS: Final = frozenset({"approved", "declined", "withdrawn", "expired", "voided"})


def _left(view: facade.ApprovalView, now: datetime) -> str:
    seconds = int((view.expires_at - now).total_seconds())
    if seconds <= 0:
        return "now"
    days, rest = divmod(seconds, 86_400)
    hours, rest = divmod(rest, 3_600)
    if days:
        return f"in {days} d {hours} h"
    return f"in {hours} h {rest // 60} min"


def _signed(nanos: int) -> str:
    sign = "+" if nanos > 0 else ""
    return f"{sign}{figures.money(nanos, _currency()).text}"


def _currency() -> str:
    return facade.organisation().currency


def _stamp(now: datetime) -> dict[str, Any]:
    return {"seq": facade.ledger_position(), "at": now, "state": "fresh"}


def _told(view: facade.ApprovalView) -> str:
    raised = figures.instant(view.raised_at).text
    said = f"{view.maker.name}, {view.maker.role}, {raised}"
    if view.reason:
        said += f": “{view.reason}”"
    if view.is_open:
        said += f" Ends {figures.instant(view.expires_at).text} if nobody acts."
    return said


def _state_word(view: facade.ApprovalView, acts: Sequence[Mapping[str, Any]]) -> str:
    if view.is_open and any(act["do"] == "approve" for act in acts):
        return "waits for you"
    return view.state


def _diff(view: facade.ApprovalView) -> list[dict[str, str]]:
    lines = []
    for row in view.text.rows:
        if row.old:
            lines.append({"sign": "-", "text": f"{row.label}  {row.old}"})
        lines.append({"sign": "+", "text": f"{row.label}  {row.new}".rstrip()})
    return lines


def _facts(view: facade.ApprovalView) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"term": "Changes", "text": view.subject, "href": view.text.url},
        {"term": "Kind", "code": view.kind},
        {"term": "Made against", "text": view.base},
        {"term": "Hash of the change", "hash": view.change_hash},
        {"term": "Approval policy", "text": f"version {view.policy_version}"},
    ]
    if view.until is not None:
        found.append({"term": "Holds until", "text": figures.instant(view.until).text})
    for word, made in view.result.items():
        found.append({"term": f"Made: {word.replace('_', ' ')}", "text": made})
    return found


def _duties(view: facade.ApprovalView, caller: Caller) -> list[dict[str, Any]]:
    def named(party: facade.PartyView) -> str:
        return f"{party.name} (you)" if party.id == caller.principal else party.name

    rows = [
        {
            "name": named(view.maker),
            "role": view.maker.role,
            "text": "Maker. Raised it, so may not approve it.",
            "word": "maker",
            "tone": "neutral",
        }
    ]
    for step in view.steps:
        if step.act == "approved":
            text = f"Agreed {figures.instant(step.at).text}"
            if step.for_whom:
                text += f" for {step.for_whom.name}"
            rows.append(
                {
                    "name": named(step.by),
                    "role": step.by.role,
                    "text": text,
                    "word": "approved",
                    "tone": "favourable",
                }
            )
    if view.is_open:
        rows += [
            {
                "name": needs_text([need]),
                "role": "",
                "text": "Still needed, a person of their own.",
                "word": "waiting",
                "tone": "warn",
            }
            for need in view.needs
        ]
    return rows


def _event(step: facade.StepView) -> dict[str, Any]:
    text = f"by {step.by.name}"
    if step.for_whom and step.act == "approved":
        text += f" for {step.for_whom.name}"
    if step.to_whom:
        text += f" to {step.to_whom.name}"
    if step.until:
        text += f", until {figures.instant(step.until).text}"
    if step.reason:
        text += f": “{step.reason}”"
    seq = facade.position_of_entry(step.entry)
    return {
        "at": step.at,
        "strong": ACT_WORDS[step.act],
        "text": text,
        "href": reverse("ledger-entry", args=[seq]) if seq else "",
        "sub": f"entry {seq:,}" if seq else "being sealed",
    }


def _closed(view: facade.ApprovalView) -> str:
    return {
        "approved": "It was approved and carried out.",
        "declined": "It was declined; nothing was changed.",
        "withdrawn": "Who asked took it back; nothing was changed.",
        "expired": "Its time ended and nobody acted; silence never approves.",
        "void": "What it was made against has changed; it has to be asked again.",
    }.get(view.state, "")


def _why_not(
    view: facade.ApprovalView, caller: Caller, acts: Sequence[Mapping[str, Any]]
) -> str:
    if not view.is_open or any(act["do"] == "approve" for act in acts):
        return ""
    if view.maker.id == caller.principal:
        return f"You asked for it, so others decide: it waits for {needs_text(view.needs)}."
    if any(step.act == "approved" and step.by.id == caller.principal for step in view.steps):
        return f"You have agreed. It still waits for {needs_text(view.needs)}."
    return f"It waits for {needs_text(view.needs)}; your role is {caller.role.value}."


def _acts(
    view: facade.ApprovalView, caller: Caller, now: datetime, typed: Typed
) -> list[dict[str, Any]]:
    """What may this caller do about it now? The first is the main one."""
    if not view.is_open:
        return []
    url = reverse("approval-act", args=[view.id])
    page = reverse("approval", args=[view.id])

    def act(do: str, label: str, title: str, **more: Any) -> dict[str, Any]:
        return {
            "do": do,
            "id": f"do-{do}",
            "label": label,
            "title": title,
            "action": url,
            "href": f"{page}?do={do}#decide",
            "key": ids.new_uuid().hex,
            "version": view.version,
            "reason": typed.reason if typed.do == do else "",
            "until": typed.until,
            "to": typed.to,
            "keys": {"approve": "a", "decline": "d"}.get(do, ""),
            "primary": do == "approve",
            **more,
        }

    found = []
    if facade.can_decide(view, caller=caller, now=now):
        money = view.text.money_nanos
        effect = f" {_signed(int(money))}" if money not in (None, "0") else ""
        found.append(act("approve", f"Approve{effect}", "Approve this change"))
        if facade.takes_until(view.kind):
            found.append(
                act("until", "Approve until…", "Approve until a date", wants_until=True)
            )
        found.append(
            act("decline", "Decline…", "Decline this change", required=True, danger=True)
        )
        takers = _takers(view, caller)
        if takers and not caller.key_id.startswith("key_"):
            found.append(
                act("delegate", "Delegate…", "Hand your vote to somebody", takers=takers)
            )
    if view.maker.id == caller.principal:
        if any(step.act == "asked" for step in view.steps):
            found.append(act("ask", "Answer…", "Answer the question", required=True))
        found.append(act("withdraw", "Withdraw…", "Take the request back", danger=True))
    elif facade.can_take_part(caller):
        found.append(act("ask", "Ask…", "Ask who raised it", required=True))
    return found


def _takers(view: facade.ApprovalView, caller: Caller) -> list[dict[str, str]]:
    barred = {view.maker.id, caller.principal} | {party.id for party in view.approved_by}
    return [
        {"id": person.id, "name": f"{person.display_name}, {person.role}"}
        for person in people.list_people()
        if person.is_active
        and person.id not in barred
        and Role(person.role) in facade.DELEGATES
    ]
