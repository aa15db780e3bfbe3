"""Which capacity is paid, used and wasted, and what is a currency worth? Pages of both."""

from datetime import datetime

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_GET, require_http_methods

from o10.access.keys import Caller
from o10.access.pages import page, render_page
from o10.access.roles import Action
from o10.kernel.errors import Conflict, NotFound, Rejected
from o10.kernel.pageview import PageView
from o10.kernel.viewquery import ViewQuery
from policies import facade
from policies.web.pages_prices import NO_FILTERS, asked, days_typed
from policies.web.price_forms import (
    Typed,
    commitment_of,
    date_of,
    problem_of,
    rates_of,
    typed_of,
)
from policies.web.shown_commitment import show_commitment
from policies.web.shown_commitments import (
    show_commitment_form,
    show_commitments,
)
from policies.web.shown_envelope_change import Problem
from policies.web.shown_fx_rates import show_fx_rates

PASTE_LONGEST = 200_000


@require_GET
@page(Action.READ_SPEND)
def commitments(request: HttpRequest, *, caller: Caller, now: datetime) -> HttpResponse:
    """Every commitment: drawdown, charge, waste, notice date, advice."""
    waiting = facade.list_approvals(now=now, state="open", kind="commitment.set", limit=20)
    context = show_commitments(
        found=facade.list_commitments(now=now),
        pending=waiting.items,
        caller=caller,
        now=now,
        view=PageView(request.path, ViewQuery(), NO_FILTERS),
    )
    return render_page(
        request,
        template="policies/commitments.html",
        part="policies/_commitments.html",
        context=context,
    )


@require_GET
@page(Action.READ_SPEND)
def commitment(
    request: HttpRequest, commitment_id: str, *, caller: Caller, now: datetime
) -> HttpResponse:
    """One commitment: waste day by day, who drew on it, break-even and what to do."""
    context = show_commitment(
        view=facade.get_commitment(public=commitment_id, now=now),
        pending=facade.find_open(subject=commitment_id[:160], now=now),
        names=facade.people_names(),
        caller=caller,
        now=now,
    )
    return render_page(
        request,
        template="policies/commitment.html",
        part="policies/_commitment.html",
        context=context,
    )


@require_http_methods(["GET", "POST"])
@page(Action.READ_SPEND)
def commitment_new(request: HttpRequest, *, caller: Caller, now: datetime) -> HttpResponse:
    """The form for a commitment or its other terms; asks a second person."""
    said = request.POST if request.method == "POST" else request.GET
    public = said.get("commitment", "")[:64]
    terms = facade.get_commitment(public=public, now=now).terms if public else None
    typed, problem = Typed(), None
    if request.method == "POST":
        typed = typed_of(request.POST)

        def ask() -> facade.ApprovalView:
            return facade.propose_commitment(
                draft=commitment_of(typed, currency=facade.organisation().currency),
                public=public,
                actor=caller,
                now=now,
                reason=typed.get("reason"),
                key=typed.key,
            )

        problem = asked(request, ask)
        if problem is None:
            return redirect("commitments")
    return render_page(
        request,
        template="policies/commitment_form.html",
        part="policies/_commitment_form.html",
        context=show_commitment_form(
            typed=typed, terms=terms, problem=problem, caller=caller, now=now
        ),
        status=problem.status if problem else 200,
    )


@require_http_methods(["GET", "POST"])
@page(Action.READ_SPEND)
def fx_rates(request: HttpRequest, *, caller: Caller, now: datetime) -> HttpResponse:
    """Dated rates; enter one, paste many, or ask for the booking of a difference."""
    typed, problem = Typed(), None
    if request.method == "POST":
        typed = typed_of(request.POST, longest=PASTE_LONGEST)
        if typed.get("do") == "difference":
            problem = _ask_difference(request, typed, caller, now)
        else:
            problem = _enter(request, typed, caller, now)
        if problem is None:
            return redirect("fx-rates")
    context = show_fx_rates(
        lines=facade.list_fx_rates(now=now),
        names=facade.people_names(),
        typed=typed,
        problem=problem,
        caller=caller,
        now=now,
        view=PageView(request.path, ViewQuery(), NO_FILTERS),
    )
    return render_page(
        request,
        template="policies/fx_rates.html",
        part="policies/_fx_rates.html",
        context=context,
        status=problem.status if problem else 200,
    )


def _enter(request: HttpRequest, typed: Typed, caller: Caller, now: datetime) -> Problem | None:
    try:
        added = facade.add_fx_rates(rates=rates_of(typed), actor=caller, now=now, key=typed.key)
    except (Rejected, Conflict, NotFound) as failure:
        return problem_of(failure)
    messages.success(
        request,
        f"{added.added} rates entered, {added.known} were there; price version "
        f"{added.version}. No booked entry changed.",
    )
    return None


def _ask_difference(
    request: HttpRequest, typed: Typed, caller: Caller, now: datetime
) -> Problem | None:
    def ask() -> facade.ApprovalView:
        start, end = days_typed(typed)
        return facade.propose_fx_difference(
            currency=typed.get("currency").upper(),
            rate=typed.get("rate"),
            paid_on=date_of(typed, "paid_on"),
            start=start,
            end=end,
            reason=typed.get("reason"),
            actor=caller,
            now=now,
            key=typed.key,
        )

    return asked(request, ask)
