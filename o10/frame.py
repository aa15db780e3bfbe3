"""What stands around every page: navigation, the ledger's seal, the demo band?"""

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse

from ledger import facade as ledger
from o10.kernel import clock
from policies import facade as policies


@dataclass(frozen=True, slots=True)
class NavItem:
    """Where can a person go from here?"""

    label: str
    url: str
    icon: str
    group: str
    current: bool
    count: int | None = None


SCREENS = (
    ("Overview", "overview", "overview", ""),
    ("Use cases", "use-cases", "use-cases", ""),
    ("Envelopes", "envelopes", "envelopes", ""),
    ("Ledger", "ledger", "ledger", ""),
    ("Decisions", "decisions", "policies", "Control"),
)
"""Label, URL name, icon, group: the screens that exist; the others are no dead links."""


def page_frame(request: HttpRequest) -> dict[str, Any]:
    """What do all templates get? Nothing for anonymous visitors."""
    person = getattr(request, "user", None)
    if person is None or not person.is_authenticated:
        return {}
    now = clock.now()
    return {
        "nav": _navigation(request.path),
        "seal": ledger.seal_badge(now=now),
        "organisation": policies.organisation(),
        "person": person,
    }


def _navigation(path: str) -> list[NavItem]:
    items = []
    for label, name, icon, group in SCREENS:
        try:
            url = reverse(name)
        except NoReverseMatch:
            continue
        current = path == url or (url != "/" and path.startswith(url))
        items.append(NavItem(label=label, url=url, icon=icon, group=group, current=current))
    return items
