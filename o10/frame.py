"""What stands around every page: navigation, the ledger's seal, the demo band?"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import NoReverseMatch, path, reverse

from ledger import facade as ledger
from o10.access.checks import can
from o10.access.keys import caller_of_person
from o10.access.models import Person
from o10.access.roles import Action
from o10.kernel import clock, figures
from o10.management.installation import demo_people
from policies import facade as policies

OVERDUE_SECONDS = 60
"""The tail is verified every few seconds; a look older than this is shown as stale."""


@dataclass(frozen=True, slots=True)
class NavItem:
    """Where can a person go from here?"""

    label: str
    url: str
    icon: str
    group: str
    current: bool
    keys: str
    count: int | None = None


@dataclass(frozen=True, slots=True)
class Seal:
    """What does the side bar say about the ledger?"""

    state: str
    entries: int
    age: str
    newest_at: datetime | None
    head: str
    proof_url: str
    detail: str


SCREENS = (
    ("Overview", "overview", "overview", "", "g o"),
    ("Use cases", "use-cases", "use-cases", "", "g u"),
    ("Envelopes", "envelopes", "envelopes", "", "g e"),
    ("Cost", "cost", "columns", "", "g t"),
    ("Ledger", "ledger", "ledger", "", "g l"),
    ("Decisions", "decisions", "policies", "Control", "g d"),
    ("Approvals", "approvals", "approvals", "Control", "g a"),
    ("Alerts", "alerts", "alerts", "Control", "g n"),
    ("Kill criteria", "kill-criteria", "warning", "Control", "g c"),
    ("Prices", "prices", "prices", "Govern", "g p"),
    ("Imports", "imports", "imports", "Govern", "g i"),
    ("Close", "close", "lock", "Govern", "g m"),
)
"""Label, URL name, icon, group, keys: the screens that exist; the others are no dead links."""

COUNTS: Mapping[str, Callable[[], int]] = {"alerts": policies.count_open_alerts}
"""What waits for somebody on a screen, by its URL name."""


def page_frame(request: HttpRequest) -> dict[str, Any]:
    """What do all templates get? Anonymous visitors of a demo company see its log-ins."""
    organisation = policies.find_organisation()
    person = getattr(request, "user", None)
    demo = organisation is not None and organisation.demo
    if person is None or not person.is_authenticated:
        return {"demo_people": demo_people() if demo else ()}
    detail = organisation.currency if organisation else ""
    return {
        "nav": _navigation(request.path, waiting=_waiting(person)),
        "seal": _seal(),
        "seal_poll_url": reverse("seal"),
        "organisation": {
            "name": organisation.name if organisation else "o10",
            "detail": f"Production · {detail}" if detail else "",
            "links": _links(person),
        },
        "person": {
            "name": person.display_name,
            "role": person.role,
            "sign_out_url": reverse("sign-out"),
        },
        "demo": demo,
        "search_url": reverse("search"),
    }


def _links(person: Person) -> list[dict[str, str]]:
    """What else is there, below the name of the company?"""
    found = [{"label": "API documents", "url": "/api/docs"}]
    if can(caller=caller_of_person(person), action=Action.MANAGE_PEOPLE):
        found.insert(0, {"label": "People and keys", "url": reverse("people")})
    return found


def seal_part(request: HttpRequest) -> HttpResponse:
    """What is the state of the seal now? The side bar's part alone, polled by pages."""
    if not request.user.is_authenticated:
        return HttpResponse(status=401)
    values = {"seal": _seal(), "poll_url": reverse("seal")}
    answer = render(request, "_components/_seal.html", values)
    answer["Cache-Control"] = "no-store"
    return answer


urlpatterns = [path("seal/", seal_part, name="seal")]


def _seal() -> Seal:
    now = clock.now()
    badge = ledger.seal_badge(now=now)
    state, detail = str(badge.state), ""
    if badge.finding:
        detail = describe(badge.finding)
    elif badge.age_seconds is not None and badge.age_seconds > OVERDUE_SECONDS:
        state = "stale"
        detail = "The verifier has not looked for a while: is the worker running?"
    return Seal(
        state=state,
        entries=badge.entries,
        age=figures.ago(badge.verified_at, now=now).text if badge.verified_at else "",
        newest_at=badge.verified_at,
        head=badge.head,
        proof_url=reverse("ledger-verify"),
        detail=detail,
    )


def describe(finding: dict[str, Any]) -> str:
    """What does a finding say in one sentence?"""
    place = finding.get("what") or "the ledger"
    where = f"entry {finding['seq']:,}" if finding.get("seq") else place
    column = f", {finding['column']}" if finding.get("column") else ""
    code = str(finding.get("code", "differs")).replace("_", " ")
    return f"{code[:1].upper()}{code[1:]} at {where}{column}."


def _waiting(person: Person) -> int | None:
    """How many requests wait for this person? None, not 0: nothing is shown then."""
    if not person.is_active:
        return None
    return policies.count_waiting(caller=caller_of_person(person), now=clock.now()) or None


def _navigation(at: str, *, waiting: int | None) -> list[NavItem]:
    items = []
    for label, name, icon, group, keys in SCREENS:
        try:
            url = reverse(name)
        except NoReverseMatch:
            continue
        current = at == url or (url != "/" and at.startswith(url))
        count = waiting if name == "approvals" else COUNTS[name]() if name in COUNTS else 0
        items.append(NavItem(label, url, icon, group, current, keys, count or None))
    return items
