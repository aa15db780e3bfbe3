"""What is left in each envelope, and how does a person raise, lower or freeze one?"""

from datetime import datetime

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_GET, require_POST

from o10.access.keys import Caller
from o10.access.pages import page, render_page
from o10.access.roles import Action
from o10.kernel.errors import Conflict, PreconditionFailed, ValidationFailed
from o10.kernel.money import AmountMalformed, Nanos, parse_nanos
from o10.kernel.pageview import PageView
from o10.kernel.viewquery import PageGrammar, ViewQuery
from policies import facade
from policies.web.envelope_form import asked_change, problem_of
from policies.web.shown_approvals import needs_text
from policies.web.shown_envelope import show_envelope
from policies.web.shown_envelope_change import Problem, Typed
from policies.web.shown_envelopes import show_tree

NO_FILTERS = PageGrammar(columns=(), by=(), filters=())


@require_GET
@page(Action.READ_SPEND)
def envelopes(request: HttpRequest, *, caller: Caller, now: datetime) -> HttpResponse:
    """The whole tree, each limit with what is spent, held and left on one line."""
    screen = facade.get_envelope_tree(now=now)
    view = PageView(request.path, ViewQuery(), NO_FILTERS)
    return render_page(
        request,
        template="policies/envelopes.html",
        part="policies/_envelopes.html",
        context=show_tree(screen=screen, view=view, caller=caller, now=now),
    )


@require_GET
@page(Action.READ_SPEND)
def envelope(
    request: HttpRequest, envelope_id: str, *, caller: Caller, now: datetime
) -> HttpResponse:
    """One envelope: its periods, holds, denials, versions; `?amount=` previews another cap."""
    typed = Typed(amount=request.GET.get("amount", "")[:40])
    amount, problem = _amount_of(typed)
    screen = facade.get_envelope_screen(envelope=envelope_id, now=now, amount=amount)
    return _answer(request, screen, caller, now, typed, problem)


@require_POST
@page(Action.READ_SPEND)
def change(
    request: HttpRequest, envelope_id: str, *, caller: Caller, now: datetime
) -> HttpResponse:
    """Raises, lowers, freezes or thaws it: once for each form, and only as it was read."""
    typed = Typed(
        amount=request.POST.get("amount", "")[:40],
        reason=request.POST.get("reason", "")[:400],
        until=request.POST.get("until", "")[:20],
    )
    try:
        asked = asked_change(request.POST, typed=typed)
        view = facade.ask_envelope_change(
            envelope=envelope_id,
            change=asked.change,
            actor=caller,
            now=now,
            key=asked.key,
            expected_version=asked.version,
            until=asked.until,
        )
    except (AmountMalformed, ValidationFailed, PreconditionFailed, Conflict) as failure:
        screen = facade.get_envelope_screen(envelope=envelope_id, now=now)
        problem = problem_of(failure, screen=screen)
        return _answer(request, screen, caller, now, typed, problem)
    if isinstance(view, facade.ApprovalView):
        messages.info(
            request, f"Asked: it waits for {needs_text(view.needs)}. Nothing has changed yet."
        )
    else:
        messages.success(request, asked.done)
    return redirect("envelope", envelope_id)


def _amount_of(typed: Typed) -> tuple[Nanos | None, Problem | None]:
    if not typed.amount:
        return None, None
    try:
        amount = parse_nanos(typed.amount.replace(",", ""))
    except AmountMalformed:
        amount = -1
    if amount < 0:
        text = "An amount is a plain number such as 135000 or 0.50; 0 stops every call."
        return None, Problem("That is no amount.", text, ("amount",))
    return amount, None


def _answer(
    request: HttpRequest,
    screen: facade.EnvelopeScreen,
    caller: Caller,
    now: datetime,
    typed: Typed,
    problem: Problem | None,
) -> HttpResponse:
    return render_page(
        request,
        template="policies/envelope.html",
        part="policies/_envelope.html",
        context=show_envelope(
            screen=screen,
            caller=caller,
            now=now,
            typed=typed,
            problem=problem,
            pending=facade.find_open(subject=screen.line.public, now=now),
        ),
        status=problem.status if problem else 200,
    )
