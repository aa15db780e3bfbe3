"""Which price refreshes wait, what would they cost, and what was revalued? Pages of both."""

from datetime import datetime

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_GET, require_http_methods

from o10.access.checks import check
from o10.access.keys import Caller
from o10.access.pages import page, render_page
from o10.access.roles import Action
from o10.kernel.errors import Conflict, NotFound, Rejected
from o10.kernel.pageview import PageView
from o10.kernel.viewquery import ViewQuery
from policies import facade
from policies.web.pages_prices import NO_FILTERS, asked, days_typed
from policies.web.price_forms import Typed, problem_of, typed_of
from policies.web.shown_envelope_change import Problem
from policies.web.shown_proposals import show_proposal, show_proposals, show_revaluations


@require_http_methods(["GET", "POST"])
@page(Action.READ_SPEND)
def proposals(request: HttpRequest, *, caller: Caller, now: datetime) -> HttpResponse:
    """Every refresh that was proposed; finance looks at the catalogue now."""
    problem = None
    if request.method == "POST":
        problem = _look(request, caller, now)
        if problem is None:
            return redirect("price-proposals")
    context = show_proposals(
        found=facade.list_proposals(),
        confirmed=facade.last_confirmation(),
        problem=problem,
        names=facade.people_names(),
        caller=caller,
        now=now,
        view=PageView(request.path, ViewQuery(), NO_FILTERS),
    )
    return render_page(
        request,
        template="policies/price_proposals.html",
        part="policies/_price_proposals.html",
        context=context,
        status=problem.status if problem else 200,
    )


@require_GET
@page(Action.READ_SPEND)
def proposal(
    request: HttpRequest, proposal_id: str, *, caller: Caller, now: datetime
) -> HttpResponse:
    """One refresh: its effect by offer and use case, its changes, what is listed apart."""
    view = facade.get_proposal(proposal=proposal_id)
    numbers = [int(each) for each in view.body["effect"]["by_use_case"]]
    found = facade.meanings_of(domain="use_case", numbers=numbers)
    context = show_proposal(
        view=view,
        pending=facade.find_open(subject=proposal_id, now=now),
        names=facade.people_names(),
        use_cases={number: str(body.get("slug", "")) for number, body in found.items()},
        now=now,
    )
    return render_page(
        request,
        template="policies/price_proposal.html",
        part="policies/_price_proposal.html",
        context=context,
    )


@require_http_methods(["GET", "POST"])
@page(Action.READ_SPEND)
def revaluations(request: HttpRequest, *, caller: Caller, now: datetime) -> HttpResponse:
    """Months as booked and as revalued; finance asks for a revaluation."""
    problem = None
    typed = Typed()
    if request.method == "POST":
        typed = typed_of(request.POST)

        def ask() -> facade.ApprovalView:
            start, end = days_typed(typed)
            return facade.propose_revaluation(
                offers=[
                    each.strip() for each in typed.get("offers").split(",") if each.strip()
                ],
                start=start,
                end=end,
                reason=typed.get("reason"),
                actor=caller,
                now=now,
                key=typed.key,
            )

        problem = asked(request, ask)
        if problem is None:
            return redirect("revaluations")
    months = facade.sum_revalued(
        start=now.date().replace(year=now.year - 1, day=1), end=now.date()
    )
    return render_page(
        request,
        template="policies/revaluations.html",
        part="policies/_revaluations.html",
        context=show_revaluations(
            months=months,
            runs=facade.list_revaluation_runs(),
            typed=typed,
            problem=problem,
            caller=caller,
            now=now,
            view=PageView(request.path, ViewQuery(), NO_FILTERS),
        ),
        status=problem.status if problem else 200,
    )


def _look(request: HttpRequest, caller: Caller, now: datetime) -> Problem | None:
    # Before the catalogue is read: that takes a second.
    check(caller=caller, action=Action.CHANGE_PRICES)
    try:
        found = facade.propose_price_refresh(
            catalogue=facade.read_catalogue(source=facade.GENAI_PRICES),
            actor=caller,
            now=now,
        )
    except (Rejected, Conflict, NotFound) as failure:
        return problem_of(failure)
    if found.approval is None and found.confirmed:
        messages.success(
            request,
            f"Confirmed: {found.proposal.catalogue} {found.proposal.edition} says what the "
            f"price book says on {found.proposal.unchanged:,} offers. They count as fresh.",
        )
    elif found.approval is None:
        messages.info(
            request, "The installed catalogue would change nothing and confirms nothing."
        )
    else:
        messages.success(request, f"Asked for: {found.approval.text.title}.")
    return None
