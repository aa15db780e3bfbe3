"""How do people and keys stand in their template?"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.urls import reverse

from o10.access import queries as access
from o10.access.keys import Caller
from o10.access.models import Person, RouterKey
from o10.access.roles import KEY_ROLES, PERSON_ROLES, Role
from o10.kernel import ids
from o10.kernel.pageview import Bar, Link
from policies import facade
from policies.web.shown_approvals import needs_text
from policies.web.shown_envelope_change import Problem

ROLE_WORDS: Final = {
    "viewer": "reads",
    "owner": "answers for use cases, asks for money",
    "finops": "keeps prices, plans, imports; asks",
    "controller": "agrees to what moves money",
    "cfo": "agrees to what is material; stops",
    "auditor": "reads and verifies everything",
    "admin": "keeps people and keys, no money",
    "router": "spends: authorize and settle",
}
KINDS: Final = ("person.create", "person.role", "key.create")


@dataclass(frozen=True, slots=True)
class Shown:
    """Which secret was just made? On the page this once."""

    title: str
    secret: str
    text: str


def show_people(
    *,
    caller: Caller,
    now: datetime,
    typed: Mapping[str, str],
    problem: Problem | None,
    shown: Shown | None,
) -> dict[str, Any]:
    """Which context has the page?"""
    staff, keys = access.list_people(), access.list_keys()
    waiting = [
        each
        for kind in KINDS
        for each in facade.list_approvals(now=now, state="open", kind=kind).items
    ]
    active = [each for each in staff if each.is_active]
    living = [each for each in keys if _key_state(each, now) == "active"]
    names = {each.id: each.display_name for each in staff}
    return {
        "head": {
            "headline": f"{_count(len(active), 'person', 'people')} and "
            f"{_count(len(living), 'key', 'keys')} have access.",
            "subline": "Authority over money and people, and keys over a whole department, are "
            "given and taken by two.",
            "crumbs": [Link("Settings", ""), Link("People and keys", "")],
        },
        "stamp": {"seq": facade.ledger_position(), "at": now, "state": "fresh"},
        "bar": Bar(),
        "pending": [
            {
                "title": each.text.title,
                "text": f"Waits for {needs_text(each.needs)}. Asked by {each.maker.name}.",
                "url": reverse("approval", args=[each.id]),
            }
            for each in waiting
        ],
        "people": [_person(each, caller) for each in staff],
        "keys": [_key(each, names, now) for each in keys],
        "person_roles": _roles(PERSON_ROLES, typed.get("role", "")),
        "key_roles": _roles(KEY_ROLES, typed.get("role", "router")),
        "use_cases": [
            {"slug": each.slug, "name": each.name}
            for each in facade.list_use_cases(limit=200).items
        ],
        "key": ids.new_uuid().hex,
        "typed": typed,
        "wrong": problem.fields if problem else (),
        "problem": problem,
        "shown": shown,
    }


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def _roles(roles: frozenset[Role], chosen: str) -> list[dict[str, Any]]:
    return [
        {
            "value": role.value,
            "label": f"{role.value}: {ROLE_WORDS[role.value]}",
            "chosen": role.value == chosen,
        }
        for role in Role
        if role in roles
    ]


def _person(row: Person, caller: Caller) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.display_name,
        "email": row.email,
        "role": row.role,
        "active": row.is_active,
        "own": row.id == caller.principal,
        "url": reverse("person-act", args=[row.id]),
        "roles": [
            {"value": role.value, "chosen": role.value == row.role}
            for role in Role
            if role in PERSON_ROLES
        ],
    }


def _key(row: RouterKey, names: Mapping[str, str], now: datetime) -> dict[str, Any]:
    state = _key_state(row, now)
    scope = "every use case" if row.use_cases is None else ", ".join(row.use_cases)
    return {
        "name": row.name,
        "last_four": row.last_four,
        "role": row.role,
        "scope": scope or "none",
        "by": names.get(row.created_by_id or "", "command line"),
        "created": row.created_at,
        "used": row.last_used_at,
        "expires": row.expires_at,
        "state": state,
        "tone": "favourable" if state == "active" else "neutral",
        "url": reverse("key-act", args=[row.id]) if state == "active" else "",
    }


def _key_state(row: RouterKey, now: datetime) -> str:
    if row.revoked_at is not None:
        return "revoked"
    if row.expires_at is not None and row.expires_at <= now:
        return "expired"
    return "active"
