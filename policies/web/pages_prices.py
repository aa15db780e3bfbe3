"""What does it cost, since when, says who, and what is not believed? Pages of prices."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from o10.access.keys import Caller
from o10.access.pages import page, pairs_of, render_page
from o10.access.roles import Action
from o10.kernel.errors import Conflict, NotFound, Rejected
from o10.kernel.pageview import PageView
from o10.kernel.viewquery import PageGrammar, ViewQuery, parse
from policies import facade
from policies.web.price_forms import Typed, day_of, price_of, problem_of, typed_of
from policies.web.shown_envelope_change import Problem
from policies.web.shown_prices import (
    offer_url,
    show_offer,
    show_price_form,
    show_prices,
)
from policies.web.shown_quarantine import show_quarantine

NO_FILTERS = PageGrammar(columns=(), by=(), filters=())


@require_GET
@page(Action.READ_SPEND)
def prices(request: HttpRequest, *, caller: Caller, now: datetime) -> HttpResponse:
    """The venue price table: model by venue, region and tier, own prices first."""
    parsed = parse(pairs_of(request), page=facade.PRICE_GRAMMAR)
    view = PageView(request.path, parsed.query, facade.PRICE_GRAMMAR)
    lines = facade.list_price_rows(query=parsed.query, at=now)
    coverage = facade.recent_coverage(now=now)
    context = show_prices(
        lines=lines,
        coverage=coverage,
        view=view,
        caller=caller,
        now=now,
        notices=parsed.messages,
    )
    return render_page(
        request,
        template="policies/prices.html",
        part="policies/_prices.html",
        context=context,
    )


@require_GET
@page(Action.READ_SPEND)
def price(request: HttpRequest, slug: str, *, caller: Caller, now: datetime) -> HttpResponse:
    """One offer: its price, and every rule it ever had."""
    return _offer(request, slug, caller, now, None)


@require_POST
@page(Action.READ_SPEND)
def price_end(request: HttpRequest, *, caller: Caller, now: datetime) -> HttpResponse:
    """Asks that a contract or override ends now."""
    typed = typed_of(request.POST)
    rule, slug = typed.get("rule"), typed.get("slug")

    def ask() -> facade.ApprovalView:
        return facade.propose_price_end(
            rule_id=int(rule) if rule.isdecimal() and len(rule) < 10 else 0,
            slug=slug,
            ended_at=now,
            reason=typed.get("reason"),
            actor=caller,
            now=now,
            key=typed.key,
        )

    problem = asked(request, ask)
    if problem is not None:
        return _offer(request, slug, caller, now, problem)
    return redirect(offer_url(slug))


@require_http_methods(["GET", "POST"])
@page(Action.READ_SPEND)
def price_new(request: HttpRequest, *, caller: Caller, now: datetime) -> HttpResponse:
    """The form for a contract or an override; asks a second person."""
    problem = None
    typed = Typed(_named(request.GET.get("offer", "")[:300], now))
    if request.method == "POST":
        typed = typed_of(request.POST)

        def ask() -> facade.ApprovalView:
            return facade.propose_price(
                draft=price_of(typed),
                actor=caller,
                now=now,
                reason=typed.get("reason"),
                key=typed.key,
            )

        problem = asked(request, ask)
        if problem is None:
            return redirect("prices")
    return render_page(
        request,
        template="policies/price_form.html",
        part="policies/_price_form.html",
        context=show_price_form(typed=typed, problem=problem, caller=caller, now=now),
        status=problem.status if problem else 200,
    )


@require_http_methods(["GET", "POST"])
@page(Action.READ_SPEND)
def quarantine(request: HttpRequest, *, caller: Caller, now: datetime) -> HttpResponse:
    """Rows that are not believed; a person asks for the release of one, or dismisses it."""
    problem = None
    if request.method == "POST":
        problem = _decide(request, typed_of(request.POST), caller, now)
        if problem is None:
            return redirect("price-quarantine")
    view = PageView(request.path, ViewQuery(), NO_FILTERS)
    return render_page(
        request,
        template="policies/price_quarantine.html",
        part="policies/_price_quarantine.html",
        context=show_quarantine(
            rows=facade.list_quarantine(),
            decided=facade.list_decided_quarantine(),
            names=facade.people_names(),
            problem=problem,
            caller=caller,
            now=now,
            view=view,
        ),
        status=problem.status if problem else 200,
    )


def _decide(
    request: HttpRequest, typed: Typed, caller: Caller, now: datetime
) -> Problem | None:
    """A release asks a second person; a dismissal changes no price and holds at once."""
    said = typed.get("row")
    row = int(said) if said.isdecimal() and len(said) < 10 else 0
    if typed.get("do") != "dismiss":
        return asked(
            request,
            lambda: facade.propose_release(
                row_id=row,
                reason=typed.get("reason"),
                free=bool(typed.get("free")),
                actor=caller,
                now=now,
                key=typed.key,
            ),
        )
    try:
        view = facade.dismiss_price_row(
            row_id=row, reason=typed.get("reason"), actor=caller, now=now
        )
    except (Rejected, Conflict, NotFound) as failure:
        return problem_of(failure)
    messages.success(request, f"Dismissed: {view.slug} stays as it is in the price book.")
    return None


def asked(request: HttpRequest, ask: Callable[[], facade.ApprovalView]) -> Problem | None:
    """Was a second person asked? The problem when not; a message when so."""
    try:
        view = ask()
    except (Rejected, Conflict, NotFound) as failure:
        return problem_of(failure)
    needs = ", ".join(view.needs)
    messages.success(request, f"Asked for: {view.text.title}. It waits for {needs}.")
    return None


def days_typed(typed: Typed) -> tuple[datetime, datetime]:
    """Which span was typed: from the first day to the end of the last?"""
    return day_of(typed, "start"), day_of(typed, "end") + timedelta(days=1)


def _offer(
    request: HttpRequest, slug: str, caller: Caller, now: datetime, problem: Problem | None
) -> HttpResponse:
    line = facade.get_price_line(slug=slug, at=now)
    return render_page(
        request,
        template="policies/price.html",
        part="policies/_price.html",
        context=show_offer(
            line=line,
            rules=facade.list_rule_lines(slug=slug, at=now),
            pending=facade.find_open(subject=slug[:160], now=now),
            names=facade.people_names(),
            caller=caller,
            now=now,
            problem=problem,
        ),
        status=problem.status if problem else 200,
    )


def _named(slug: str, now: datetime) -> Mapping[str, str]:
    """What of an offer's name goes into the form?"""
    if not slug:
        return {}
    try:
        key = facade.get_price_line(slug=slug, at=now).key
    except NotFound:
        return {}
    return {
        "venue": key.venue,
        "model": key.model,
        "region": key.region,
        "tier": str(key.tier),
    }
