"""Which use cases do not pay, by how much, and which levers lead where?

Each lever is a link to its form, filled in: a person looks, gives a reason, and where money or
policy moves a second one agrees.
"""

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse

from o10.access.checks import can
from o10.access.keys import Caller
from o10.access.roles import Action as Right
from o10.kernel import figures
from o10.kernel.money import Nanos, amount_text
from o10.kernel.pageview import Link
from reports import facade

UNIT = 10**9
DAYS_OF_SUNSET = 30
FAILING = (facade.Verdict.FAILS, facade.Verdict.AT_RISK)
TONES = {facade.Verdict.FAILS: "adverse", facade.Verdict.AT_RISK: "warn"}
Case = tuple[str, str, facade.UnitCourse, str]
"""Name, slug, course, public id of its own envelope."""


def failing_rows(
    cases: Iterable[Case], *, caller: Caller, currency: str
) -> list[dict[str, Any]]:
    """How does each use case that fails or may fail stand, with its levers?"""
    return [
        _row(case, caller, currency)
        for case in cases
        if case[2].verdict in FAILING and case[2].judged is not None
    ]


def target_text(line: facade.UnitLine, currency: str) -> str:
    """How is what one outcome may cost written? Empty without an approved value."""
    if line.target is None or line.value is None:
        return ""
    value = figures.unit_cost(line.value, currency).text
    if not line.hurdle:
        return f"may cost {value}, its value"
    target = figures.unit_cost(line.target, currency).text
    hurdle = figures.unit_cost(line.hurdle, currency).text
    return f"may cost {target}: {value} of value less a hurdle of {hurdle}"


def _row(case: Case, caller: Caller, currency: str) -> dict[str, Any]:
    name, slug, course, envelope = case
    line = course.judged
    if line is None:
        raise ValueError("only judged courses stand here")
    over = line.over
    return {
        "name": name,
        "url": reverse("use-case", args=[slug]),
        "verdict": course.verdict.value,
        "tone": TONES[course.verdict],
        "months": f"{course.failing} month{'' if course.failing == 1 else 's'} in a row",
        "month": f"{line.month:%B %Y}",
        "cost": facade.unit_text(line.cost, currency),
        "kind": line.kind.replace("_", " "),
        "target": target_text(line, currency),
        "over": figures.unit_cost(over, currency) if over is not None and over > 0 else "",
        "lost": figures.money(_lost(line), currency) if _lost(line) > 0 else "",
        "levers": levers_of(slug, line, envelope=envelope, caller=caller, currency=currency),
    }


def _lost(line: facade.UnitLine) -> Nanos:
    """What did the month cost beyond what its outcomes may cost?"""
    return line.cost.spent - line.cost.successes * (line.target or 0)


def levers_of(
    slug: str, line: facade.UnitLine, *, envelope: str, caller: Caller, currency: str
) -> tuple[Link, ...]:
    """Which levers may this person pull on the use case? Cap, rightsize, stop."""
    found = []
    if envelope and can(caller=caller, action=Right.CHANGE_ENVELOPE):
        url = reverse("envelope", args=[envelope])
        even = line.break_even
        if even is None or even <= 0:
            found.append(Link("Cap", f"{url}#change"))
        else:
            whole = even // UNIT * UNIT
            label = f"Cap at {figures.money(whole, currency).text}"
            amount = amount_text(whole)
            found.append(Link(label, f"{url}?{urlencode({'amount': amount})}#change"))
    if can(caller=caller, action=Right.CHANGE_KILL_CRITERION):
        found.append(Link("Rightsize", _criterion(slug, lever="rightsizing")))
        found.append(
            Link("Sunset", _criterion(slug, lever="sunset", amount=str(DAYS_OF_SUNSET)))
        )
    return tuple(found)


def _criterion(slug: str, **fields: str) -> str:
    """The form of a criterion that trips while an outcome is worth less than it costs."""
    asked = {
        "use_case": slug,
        "metric": "margin_per_outcome",
        "threshold": "0",
        "window": str(30 * 86_400),
        "consecutive": "1",
        "min_sample": "30",
        "name": "Outcomes cost more than they may",
        "evidence": "Cost per outcome, 90 % upper bound, fully loaded.",
    }
    return f"{reverse('kill-criterion-new')}?{urlencode(asked | fields)}"
