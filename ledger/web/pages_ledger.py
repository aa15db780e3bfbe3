"""Which entries are there? The list, newest first, that follows the ledger."""

from dataclasses import replace
from datetime import datetime

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_GET

from ledger import facade
from ledger.web.shown_entries import EntryList, seen_token, show_entries
from o10.access.keys import Caller
from o10.access.pages import page, pairs_of, render_page
from o10.access.roles import Action
from o10.kernel.cursorview import cursor_page, split_trail
from o10.kernel.pageview import PageView
from o10.kernel.viewquery import Match, ViewQuery, parse

ROWS = 50
SEEN = "X-O10-Seen"
"""Header of a page that asks whether there is something new."""


@require_GET
@page(Action.READ_LEDGER)
def ledger(request: HttpRequest, *, caller: Caller, now: datetime) -> HttpResponse:
    """Entries, newest first, also those that wait for the seal; 204 when nothing is new."""
    pairs, trail = split_trail(pairs_of(request))
    parsed = parse(pairs, page=facade.LEDGER_GRAMMAR)
    query, refused = _kept(parsed.query)
    view = PageView(request.path, query, facade.LEDGER_GRAMMAR)
    found = _read(
        view,
        trail=trail,
        caller=caller,
        notices=(*parsed.messages, *refused),
        now=now,
    )
    if request.headers.get(SEEN) == seen_token(found):
        return HttpResponse(status=204)
    return render_page(
        request,
        template="ledger/entries.html",
        part="ledger/_entries.html",
        context=show_entries(found=found, view=view),
    )


def _read(
    view: PageView,
    *,
    trail: tuple[str, ...],
    caller: Caller,
    notices: tuple[str, ...],
    now: datetime,
) -> EntryList:
    company = facade.ledger_of_company()
    position = facade.position_of(ledger_id=company.id, as_of=view.query.as_of)
    where = _in_scope(
        facade.line_filter_of(view.query, time_zone=company.time_zone), caller=caller
    )
    lines = facade.list_entry_lines(
        where=where, cursor=trail[-1] if trail else None, limit=ROWS
    )
    return EntryList(
        lines=lines,
        decisions=facade.find_decisions(lines.items),
        pages=cursor_page(
            view,
            trail=trail,
            shown=len(lines.items),
            size=ROWS,
            total=None if lines.amount is None else lines.matches,
            following=lines.next,
        ),
        position=position,
        frozen=view.query.as_of is not None,
        badge=facade.seal_badge(now=now),
        seal=facade.seal_state(now=now),
        company=company,
        notices=notices,
        now=now,
    )


def _kept(query: ViewQuery) -> tuple[ViewQuery, tuple[str, ...]]:
    """The view without what this page can't do, and a sentence for each part left out."""
    dropped = [each for each in query.filters if each.match is Match.IS_NOT]
    messages = tuple(
        f"f={each.text} was left out: the ledger's filters keep entries, they drop none."
        for each in dropped
    )
    kept = tuple(each for each in query.filters if each.match is Match.IS)
    return replace(query, filters=kept), messages


def _in_scope(where: facade.LineFilter, *, caller: Caller) -> facade.LineFilter:
    """A key with use cases reads those alone; no use case has an empty slug."""
    scope = caller.use_case_slugs
    if scope is None:
        return where
    seen = scope & set(where.use_cases) if where.use_cases else scope
    return replace(where, use_cases=tuple(sorted(seen)) or ("",))
