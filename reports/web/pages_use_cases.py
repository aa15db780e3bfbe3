"""What did the use cases cost, all in one list, or one on its own page?"""

from datetime import datetime

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_GET

from o10.access.keys import Caller
from o10.access.pages import page, pairs_of, render_page
from o10.access.roles import Action
from o10.kernel.pageview import PageView
from o10.kernel.viewquery import PageGrammar, parse
from reports import facade
from reports.web.shown_use_case import show_use_case
from reports.web.shown_use_cases import show_use_cases

ONE_GRAMMAR = PageGrammar(columns=(), by=(), filters=())
"""The page of one use case takes a period and a position."""


@require_GET
@page(Action.READ_SPEND)
def use_cases(request: HttpRequest, *, caller: Caller, now: datetime) -> HttpResponse:
    """Every use case with spend against plan and what is left of its envelope."""
    parsed = parse(pairs_of(request), page=facade.USE_CASE_GRAMMAR)
    table = facade.read_use_case_table(query=parsed.query, now=now)
    view = PageView(request.path, parsed.query, facade.USE_CASE_GRAMMAR)
    return render_page(
        request,
        template="reports/use_cases.html",
        part="reports/_use_cases.html",
        context=show_use_cases(table=table, view=view, notices=parsed.messages),
    )


@require_GET
@page(Action.READ_SPEND)
def use_case(request: HttpRequest, slug: str, *, caller: Caller, now: datetime) -> HttpResponse:
    """One use case: its spend, envelopes, limits, decisions and entries."""
    parsed = parse(pairs_of(request), page=ONE_GRAMMAR)
    found = facade.get_use_case_page(slug=slug, query=parsed.query, now=now)
    view = PageView(request.path, parsed.query, ONE_GRAMMAR)
    return render_page(
        request,
        template="reports/use_case.html",
        part="reports/_use_case.html",
        context=show_use_case(page=found, view=view, caller=caller, notices=parsed.messages),
    )
