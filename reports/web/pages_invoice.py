"""How does a bill stand to the ledger, line by line, and how is its difference booked?"""

from datetime import datetime

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_GET, require_POST

from o10.access.keys import Caller
from o10.access.pages import page, render_page
from o10.access.roles import Action
from o10.kernel.errors import Conflict, ValidationFailed
from reports import facade
from reports.web.shown_invoice import CLASSES, Problem, Typed, show_invoice


@require_GET
@page(Action.READ_SPEND)
def invoice(
    request: HttpRequest, public: str, *, caller: Caller, now: datetime
) -> HttpResponse:
    """The lines of the bill against the ledger, what differs, and what was booked."""
    return _answer(request, public, caller, now, Typed(), None)


@require_POST
@page(Action.CORRECT_LEDGER)
def book(request: HttpRequest, public: str, *, caller: Caller, now: datetime) -> HttpResponse:
    """Asks a second person to book the differences; once for each form."""
    typed = Typed(
        reason=request.POST.get("reason", "").strip()[:400],
        causes={name: request.POST.get(f"cause-{name}", "")[:32] for name in CLASSES},
    )
    try:
        if not typed.reason:
            raise ValidationFailed(errors=[])
        facade.propose_differences(
            invoice=public,
            causes={name: cause for name, cause in typed.causes.items() if cause},
            reason=typed.reason,
            actor=caller,
            now=now,
            key=request.POST.get("key", "")[:64],
        )
    except ValidationFailed as failure:
        told = " ".join(error.message for error in failure.errors) or "Say why: it is kept."
        return _answer(request, public, caller, now, typed, Problem("Nothing was asked.", told))
    except Conflict as failure:
        told = f"The bill or the ledger changed, or this was sent before. Code {failure.code}."
        return _answer(
            request, public, caller, now, typed, Problem("Nothing was asked.", told, 409)
        )
    messages.success(request, "Asked: a controller decides whether it is booked.")
    return redirect("invoice", public)


def _answer(
    request: HttpRequest,
    public: str,
    caller: Caller,
    now: datetime,
    typed: Typed,
    problem: Problem | None,
) -> HttpResponse:
    stands = facade.reconcile_invoice(public)
    context = show_invoice(
        stands=stands,
        booked=facade.list_booked_differences(public),
        status=facade.read_status(stands.invoice.period),
        waiting=facade.find_open(subject=f"invoice/{public}", now=now),
        caller=caller,
        typed=typed,
        problem=problem,
    )
    return render_page(
        request,
        template="reports/invoice.html",
        part="reports/_invoice.html",
        context=context,
        status=problem.status if problem else 200,
    )
