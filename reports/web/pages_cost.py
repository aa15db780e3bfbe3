"""What does everything cost, fully loaded, and what does an outcome cost? Pages and forms.

Amounts are entered by finance; a rule, a value and a booking are asked for here and wait for a
second person.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_GET, require_POST

from o10.access.keys import Caller
from o10.access.pages import page, pairs_of, render_page
from o10.access.roles import Action
from o10.kernel import figures
from o10.kernel.errors import (
    Conflict,
    FieldError,
    O10Error,
    Rejected,
    ValidationFailed,
)
from o10.kernel.money import parse_nanos
from o10.kernel.pageview import PageView
from o10.kernel.viewquery import ViewQuery, parse
from reports import facade
from reports.web.machine_form import MACHINE_FIELDS, machine_typed
from reports.web.serializers import PPM, month_of
from reports.web.shown_cost import Typed, show_cost
from reports.web.shown_outcomes import show_outcomes

LONGEST = 400
_WEIGHTS_MOST = 4_000


@require_GET
@page(Action.READ_SPEND)
def cost(request: HttpRequest, *, caller: Caller, now: datetime) -> HttpResponse:
    """Fully loaded cost: sentence, waterfall, components with grade and source, use cases."""
    parsed = parse(pairs_of(request), page=facade.COST_GRAMMAR)
    return _cost(request, parsed.query, caller, now, Typed(), parsed.messages)


@require_GET
@page(Action.READ_SPEND)
def outcomes(request: HttpRequest, *, caller: Caller, now: datetime) -> HttpResponse:
    """Cost per outcome of each use case: interval, n, margin, verdict, approved values."""
    parsed = parse(pairs_of(request), page=facade.COST_GRAMMAR)
    return _outcomes(request, parsed.query, caller, now, Typed(), parsed.messages)


@require_POST
@page(Action.READ_SPEND)
def state_amount(request: HttpRequest, *, caller: Caller, now: datetime) -> HttpResponse:
    """Enters one amount of a component, or that there is none."""
    fields = (
        "component",
        "month",
        "use_case",
        "amount",
        "source",
        "basis",
        "grade",
        "coverage",
    )
    typed = _typed(request.POST, fields)

    def enter() -> str:
        changed = facade.set_component_amounts(
            drafts=[_amount_draft(typed)], actor=caller, now=now, key=_key(request.POST)
        )
        return "Entered; an allocation books it." if changed else "It was stated so already."

    return _done(request, "amount", typed, enter, caller, now)


@require_POST
@page(Action.READ_SPEND)
def state_machine(request: HttpRequest, *, caller: Caller, now: datetime) -> HttpResponse:
    """Enters one owned machine of a month, or what became of it; others of the month stay."""
    typed = _typed(request.POST, MACHINE_FIELDS)

    def enter() -> str:
        found = facade.put_machine(
            month=month_of(typed["month"]),
            use_case=typed["use_case"],
            machine=machine_typed(typed),
            source=typed["source"],
            actor=caller,
            now=now,
            key=_key(request.POST),
        )
        return _machines_said(found)

    return _done(request, "machine", typed, enter, caller, now)


@require_POST
@page(Action.READ_SPEND)
def remove_machine(request: HttpRequest, *, caller: Caller, now: datetime) -> HttpResponse:
    """Takes one owned machine out of a month."""
    typed = _typed(request.POST, ("month", "use_case", "name"))

    def enter() -> str:
        found = facade.take_machine(
            month=month_of(typed["month"]),
            use_case=typed["use_case"],
            name=typed["name"],
            actor=caller,
            now=now,
            key=_key(request.POST),
        )
        return _machines_said(found)

    return _done(request, "machine", typed, enter, caller, now)


def _machines_said(found: facade.HardwareStated) -> str:
    if not found.changed:
        return "It was stated so already."
    currency = facade.cost_currency()
    return (
        f"Entered: {figures.money(found.used, currency).text} used, "
        f"{figures.money(found.waste, currency).text} waste; an allocation books it."
    )


@require_POST
@page(Action.READ_SPEND)
def ask_rule(request: HttpRequest, *, caller: Caller, now: datetime) -> HttpResponse:
    """Asks for a rule of allocation; a second person decides."""
    fields = ("component", "method", "driver", "from", "weights", "reason")
    typed = _typed(request.POST, fields)

    def enter() -> str:
        change = {
            "component": typed["component"],
            "method": typed["method"],
            "from": typed["from"],
            "weights": _weights(typed["weights"]),
            **({"driver": typed["driver"]} if typed["driver"] else {}),
            "reason": typed["reason"],
        }
        return _asked(request.POST, "allocation.rule", change, typed, caller, now)

    return _done(request, "rule", typed, enter, caller, now)


@require_POST
@page(Action.READ_SPEND)
def ask_allocation(request: HttpRequest, *, caller: Caller, now: datetime) -> HttpResponse:
    """Asks to book the shared costs of a month; a second person decides."""
    typed = _typed(request.POST, ("month", "reason"))

    def enter() -> str:
        if not typed["reason"].strip():
            message = "Say why: the reason is kept with the booking."
            raise ValidationFailed(errors=[FieldError("/reason", "required", message)])
        change = facade.allocation_change(
            month=month_of(typed["month"]), reason=typed["reason"]
        )
        return _asked(request.POST, "allocation.run", change, typed, caller, now)

    return _done(request, "run", typed, enter, caller, now)


@require_POST
@page(Action.READ_SPEND)
def ask_value(request: HttpRequest, *, caller: Caller, now: datetime) -> HttpResponse:
    """Asks for the value of an outcome; a second person decides."""
    fields = ("use_case", "type", "value", "hurdle", "window_days", "from", "reason")
    typed = _typed(request.POST, fields)

    def enter() -> str:
        days = typed["window_days"]
        plain = days.isascii() and days.isdigit() and len(days) < 4
        change: dict[str, object] = {
            **typed,
            "hurdle": typed["hurdle"] or "0",
            "window_days": int(days) if plain else -1,
        }
        return _asked(request.POST, "outcome.value", change, typed, caller, now)

    return _done(request, "value", typed, enter, caller, now)


def _done(
    request: HttpRequest,
    form: str,
    typed: dict[str, str],
    enter: Callable[[], str],
    caller: Caller,
    now: datetime,
) -> HttpResponse:
    """Back to the page with a message, or the page again with what was typed and why not."""
    try:
        said = enter()
    except (Rejected, Conflict) as failure:
        problem = _problem(form, typed, failure)
        build = _outcomes if form == "value" else _cost
        status = 409 if isinstance(failure, Conflict) else 422
        return build(request, _view_of(typed), caller, now, problem, (), status=status)
    messages.success(request, said)
    if form == "value":
        return redirect("cost-outcomes")
    answer = redirect("cost")
    month = typed.get("month") or typed.get("from", "")
    answer["Location"] += f"?p={month}" if month and month != f"{now:%Y-%m}" else ""
    return answer


def _asked(
    post: Mapping[str, str],
    kind: str,
    change: Mapping[str, object],
    typed: Mapping[str, str],
    caller: Caller,
    now: datetime,
) -> str:
    view = facade.propose_cost_change(
        kind=kind, change=change, actor=caller, now=now, reason=typed["reason"], key=_key(post)
    )
    return f"Asked for: {view.text.title}. It waits for {', '.join(view.needs)}."


def _problem(form: str, typed: dict[str, str], failure: O10Error) -> Typed:
    text = " ".join(error.message for error in failure.errors)
    return Typed(
        form=form,
        values=typed,
        title="Nothing was entered.",
        text=text or f"The present state does not allow this. Code {failure.code}.",
        wrong=tuple(
            {error.pointer.rstrip("/").split("/")[-1] for error in failure.errors}
            | {error.pointer.strip("/").split("/")[0] for error in failure.errors}
        ),
    )


def _view_of(typed: Mapping[str, str]) -> ViewQuery:
    month = typed.get("month", "")
    return parse([("p", month)] if month else [], page=facade.COST_GRAMMAR).query


def _typed(post: Mapping[str, str], fields: tuple[str, ...]) -> dict[str, str]:
    most = {"weights": _WEIGHTS_MOST}
    return {name: post.get(name, "")[: most.get(name, LONGEST)].strip() for name in fields}


def _key(post: Mapping[str, str]) -> str:
    return post.get("key", "")[:64]


def _amount_draft(typed: Mapping[str, str]) -> facade.ComponentDraft:
    amount = typed["amount"].replace(",", "")
    coverage = typed["coverage"] or "100"
    whole = coverage.isascii() and coverage.isdigit() and len(coverage) < 4
    return facade.ComponentDraft(
        component=typed["component"],
        month=month_of(typed["month"]),
        amount_nanos=parse_nanos(amount) if amount else None,
        use_case=typed["use_case"],
        source=typed["source"],
        basis=typed["basis"],
        grade=typed["grade"],
        coverage_ppm=int(coverage) * (PPM // 100) if whole else -1,
    )


def _weights(text: str) -> dict[str, str]:
    """One use case a line: slug and weight; shares of 100 % as "25%" or "0.25"."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        slug, _, weight = line.replace("\t", " ").strip().partition(" ")
        weight = weight.strip()
        if not slug:
            continue
        found[slug[:64]] = _share(weight) if weight.endswith("%") else weight[:16]
    return found


def _share(text: str) -> str:
    """Writes 12.5% as 0.125; anything else stays as it is, for the check to name."""
    number = text.rstrip("%").strip()
    whole, _, fraction = number.partition(".")
    if not (whole.isascii() and whole.isdigit() and (fraction.isdigit() or not fraction)):
        return text[:16]
    digits = whole.rjust(3, "0")
    return f"{int(digits[:-2])}.{digits[-2:]}{fraction}"[:16]


def _cost(
    request: HttpRequest,
    query: ViewQuery,
    caller: Caller,
    now: datetime,
    typed: Typed,
    notices: tuple[str, ...],
    *,
    status: int = 200,
) -> HttpResponse:
    found = facade.get_cost_page(query=query, now=now)
    context = show_cost(
        page=found,
        view=PageView("/cost/", query, facade.COST_GRAMMAR),
        caller=caller,
        typed=typed,
        notices=notices,
    )
    return _render(request, "cost", context, status)


def _outcomes(
    request: HttpRequest,
    query: ViewQuery,
    caller: Caller,
    now: datetime,
    typed: Typed,
    notices: tuple[str, ...],
    *,
    status: int = 200,
) -> HttpResponse:
    found = facade.get_outcomes_page(query=query, now=now)
    context = show_outcomes(
        page=found,
        view=PageView("/cost/outcomes/", query, facade.COST_GRAMMAR),
        caller=caller,
        typed=typed,
        notices=notices,
    )
    return _render(request, "outcomes", context, status)


def _render(
    request: HttpRequest, name: str, context: dict[str, Any], status: int
) -> HttpResponse:
    return render_page(
        request,
        template=f"reports/{name}.html",
        part=f"reports/_{name}.html",
        context=context,
        status=status,
    )
