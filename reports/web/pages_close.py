"""How is a month closed by people? The months, one checklist, prepare, accrue."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_GET, require_POST

from o10.access.keys import Caller
from o10.access.pages import page, render_page
from o10.access.roles import Action
from o10.kernel.errors import Conflict, ValidationFailed
from o10.kernel.money import AmountMalformed, parse_nanos
from reports import facade
from reports.web.shown_close import show_close, show_months
from reports.web.shown_invoice import Problem


@dataclass(frozen=True, slots=True)
class _Typed:
    """What stands in the forms again after a refusal?"""

    waivers: Mapping[str, str] = field(default_factory=dict)
    accrual: Mapping[str, str] = field(default_factory=dict)


@require_GET
@page(Action.READ_SPEND)
def close_list(request: HttpRequest, *, caller: Caller, now: datetime) -> HttpResponse:
    """The months with their state, the newest first."""
    return render_page(
        request,
        template="reports/close.html",
        part="reports/_close.html",
        context=show_months(lines=facade.list_period_states(now=now), now=now),
    )


@require_GET
@page(Action.READ_SPEND)
def close_month(
    request: HttpRequest, period: str, *, caller: Caller, now: datetime
) -> HttpResponse:
    """The checklist of an open month; the seal and the restatement of a closed one."""
    return _answer(request, period, caller, now, _Typed(), None)


@require_POST
@page(Action.CORRECT_LEDGER)
def prepare(
    request: HttpRequest, period: str, *, caller: Caller, now: datetime
) -> HttpResponse:
    """Prepares the close and asks the second person, when every condition holds."""
    waivers = {
        name: request.POST.get(f"waive-{name}", "").strip()[:300] for name in facade.WAIVABLE
    }
    try:
        prepared = facade.prepare_close(
            period=period,
            actor=caller,
            now=now,
            waivers=waivers,
            key=request.POST.get("key", "")[:64],
        )
    except (Conflict, ValidationFailed) as failure:
        told = Problem("The close was not prepared.", f"Code {failure.code}.", 409)
        return _answer(request, period, caller, now, _Typed(waivers=waivers), told)
    if prepared.approval is None:
        names = " ".join(each.found for each in prepared.checklist.missing)
        problem = Problem("The month can't be closed yet.", names, 409)
        return _answer(request, period, caller, now, _Typed(waivers=waivers), problem)
    messages.success(request, "Prepared: a controller decides; the approval seals the month.")
    return redirect("close-month", period)


@require_POST
@page(Action.CORRECT_LEDGER)
def accrue(request: HttpRequest, period: str, *, caller: Caller, now: datetime) -> HttpResponse:
    """Asks a second person to book cost that is expected and not billed yet."""
    typed = {
        "venue": request.POST.get("venue", "").strip().lower()[:128],
        "amount": request.POST.get("amount", "").replace(",", "").strip()[:64],
        "reason": request.POST.get("reason", "").strip()[:400],
    }
    try:
        facade.propose_accrual(
            period=period,
            venue=typed["venue"],
            amount_nanos=parse_nanos(typed["amount"]),
            reason=typed["reason"],
            actor=caller,
            now=now,
            key=request.POST.get("key", "")[:64],
        )
    except (AmountMalformed, ValidationFailed, Conflict) as failure:
        told = " ".join(error.message for error in failure.errors) or f"Code {failure.code}."
        problem = Problem("Nothing was asked.", told)
        return _answer(request, period, caller, now, _Typed(accrual=typed), problem)
    messages.success(request, "Asked: a controller decides whether it is booked.")
    return redirect("close-month", period)


def _answer(
    request: HttpRequest,
    period: str,
    caller: Caller,
    now: datetime,
    typed: _Typed,
    problem: Problem | None,
) -> HttpResponse:
    listed = facade.read_checklist(period=period, now=now, waivers=typed.waivers)
    row = listed.period
    context = show_close(
        listed=listed,
        parts=facade.list_period_parts(starts_at=row.starts_at, ends_at=row.ends_at),
        sealed=facade.find_close(period),
        waiting=facade.find_open(subject=facade.subject_of(period), now=now),
        caller=caller,
        waivers=typed.waivers,
        accrual=typed.accrual,
        problem=problem,
    )
    return render_page(
        request,
        template="reports/close_month.html",
        part="reports/_close_month.html",
        context=context,
        status=problem.status if problem else 200,
    )
