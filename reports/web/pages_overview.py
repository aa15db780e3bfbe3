"""What does the overview show? Also: where does a search lead?"""

from datetime import datetime

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_GET

from o10.access.keys import Caller
from o10.access.pages import page, pairs_of, render_page
from o10.access.roles import Action
from o10.kernel.pageview import PageView
from o10.kernel.viewquery import parse
from reports import facade
from reports.web.shown_overview import show_onboarding, show_overview


@require_GET
@page(Action.READ_SPEND)
def overview(request: HttpRequest, *, caller: Caller, now: datetime) -> HttpResponse:
    """The company at one ledger position: sentence, figures, months, limits, use cases."""
    parsed = parse(pairs_of(request), page=facade.USE_CASE_GRAMMAR)
    found = facade.get_overview(query=parsed.query, now=now)
    if not found.begun:
        return render_page(
            request,
            template="reports/onboarding.html",
            part="reports/_onboarding.html",
            context=show_onboarding(request=request, page=found, now=now),
        )
    view = PageView(request.path, parsed.query, facade.USE_CASE_GRAMMAR)
    context = show_overview(
        page=found,
        view=view,
        caller=caller,
        notices=parsed.messages,
        waiting=facade.requests_for(caller=caller, now=now),
    )
    return render_page(
        request,
        template="reports/overview.html",
        part="reports/_overview.html",
        context=context,
    )


@require_GET
@page(Action.READ_SPEND)
def search(request: HttpRequest, *, caller: Caller, now: datetime) -> HttpResponse:
    """The page of the one thing that was named, else the use cases that match."""
    text = request.GET.get("q", "")[:200]
    target = facade.find_target(text=text)
    if target is None:
        return redirect("use-cases")
    names = {
        "entry": "ledger-entry",
        "envelope": "envelope",
        "decision": "decision",
        "use_case": "use-case",
    }
    if target.kind in names:
        return redirect(names[target.kind], target.name)
    return redirect(f"/ledger/?f=reservation:{target.name}")
