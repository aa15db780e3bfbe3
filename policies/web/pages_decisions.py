"""Which decisions were taken, and why this one? The log and the page of one decision."""

from dataclasses import replace
from datetime import datetime

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_GET

from o10.access.keys import Caller
from o10.access.pages import page, pairs_of, render_page
from o10.access.roles import Action
from o10.kernel.cursorview import cursor_page, split_trail
from o10.kernel.errors import NotFound, Rejected
from o10.kernel.pageview import PageView
from o10.kernel.viewquery import Match, ViewQuery, parse
from policies import facade
from policies.web.shown_decision import show_decision
from policies.web.shown_decisions import DecisionScreen, seen_token, show_decisions

ROWS = 50
HOURS = 24
SEEN = "X-O10-Seen"
"""Header of a page that asks whether there is something new."""


@require_GET
@page(Action.READ_DECISIONS)
def decisions(request: HttpRequest, *, caller: Caller, now: datetime) -> HttpResponse:
    """The log, newest first, with what was denied and why; 204 when nothing is new."""
    pairs, trail = split_trail(pairs_of(request))
    parsed = parse(pairs, page=facade.DECISION_GRAMMAR)
    query, refused = _kept(parsed.query)
    view = PageView(request.path, query, facade.DECISION_GRAMMAR)
    screen = _read(
        view, trail=trail, caller=caller, notices=(*parsed.messages, *refused), now=now
    )
    if request.headers.get(SEEN) == seen_token(screen):
        return HttpResponse(status=204)
    return render_page(
        request,
        template="policies/decisions.html",
        part="policies/_decisions.html",
        context=show_decisions(screen=screen, view=view),
    )


@require_GET
@page(Action.READ_DECISIONS)
def decision(
    request: HttpRequest, decision_id: str, *, caller: Caller, now: datetime
) -> HttpResponse:
    """One decision: asked, answered, why, on which balances, and what became of it."""
    try:
        detail = facade.get_decision_detail(decision=decision_id)
    except Rejected as error:
        raise NotFound(kind="decision", id=decision_id) from error
    scope = caller.use_case_slugs
    if scope is not None and detail.row.use_case not in scope:
        raise NotFound(kind="decision", id=decision_id)
    company = facade.organisation()
    context = show_decision(
        detail=detail,
        trail=facade.get_decision_trail(detail=detail),
        names=_use_case_names(),
        currency=company.currency,
        time_zone=company.time_zone,
        position=facade.ledger_position(),
        now=now,
    )
    return render_page(
        request,
        template="policies/decision.html",
        part="policies/_decision.html",
        context=context,
    )


def _read(
    view: PageView,
    *,
    trail: tuple[str, ...],
    caller: Caller,
    notices: tuple[str, ...],
    now: datetime,
) -> DecisionScreen:
    company = facade.organisation()
    where = _in_scope(
        facade.decision_filter_of(view.query, now=now, time_zone=company.time_zone),
        caller=caller,
    )
    found = facade.list_decision_rows(
        where=where, cursor=trail[-1] if trail else None, limit=ROWS
    )
    counts = facade.count_decisions(where=where)
    windowed = view.query.period is None
    return DecisionScreen(
        rows=found.items,
        counts=tuple(counts),
        hours=tuple(facade.count_by_hour(where=where, hours=HOURS, until=now))
        if windowed
        else (),
        pages=cursor_page(
            view,
            trail=trail,
            shown=len(found.items),
            size=ROWS,
            total=sum(each.count for each in counts),
            following=found.next,
        ),
        names=_use_case_names(),
        holds=facade.hold_figures(now=now),
        currency=company.currency,
        time_zone=company.time_zone,
        position=facade.ledger_position(),
        notices=notices,
        now=now,
    )


def _use_case_names() -> dict[str, str]:
    return {row.slug: row.name for row in facade.list_use_case_rows()}


def _kept(query: ViewQuery) -> tuple[ViewQuery, tuple[str, ...]]:
    """The view without what this page can't do, and a sentence for each part left out."""
    dropped = [each for each in query.filters if each.match is Match.IS_NOT]
    messages = [
        f"f={each.text} was left out: the log's filters keep decisions, they drop none."
        for each in dropped
    ]
    if query.as_of is not None:
        messages.append("as_of was left out: the decision log has no earlier state to show.")
    kept = tuple(each for each in query.filters if each.match is Match.IS)
    return replace(query, filters=kept, as_of=None), tuple(messages)


def _in_scope(where: facade.DecisionLogFilter, *, caller: Caller) -> facade.DecisionLogFilter:
    """A key with use cases reads those alone; no use case has an empty slug."""
    scope = caller.use_case_slugs
    if scope is None:
        return where
    seen = scope & set(where.use_cases) if where.use_cases else scope
    return replace(where, use_cases=tuple(sorted(seen)) or ("",))
