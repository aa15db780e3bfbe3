"""How much of what causes calls was there, what does one unit cost, and how is it told?

A paste or a file is entered whole or not at all; each volume is an entry of the ledger.
"""

from datetime import datetime

from django.contrib import messages
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods

from o10.access.keys import Caller
from o10.access.pages import page, pairs_of, render_page
from o10.access.roles import Action
from o10.kernel.errors import Conflict, Rejected, TooLarge
from o10.kernel.pageview import PageView
from o10.kernel.viewquery import parse
from reports import facade
from reports.web.driver_bodies import VOLUME_BYTES, draft_of
from reports.web.shown_drivers import Entered, show_drivers

SHOWN_MOST = 20


@require_http_methods(["GET", "POST"])
@page(Action.READ_SPEND)
def drivers(request: HttpRequest, *, caller: Caller, now: datetime) -> HttpResponse:
    """Cost of a unit by use case and driver, the volumes told, and the form that takes more."""
    entered = Entered()
    if request.method == "POST":
        entered = _enter(request, caller, now)
        if not entered.problems:
            messages.success(request, entered.said)
            return redirect("cost-drivers")
    parsed = parse(pairs_of(request), page=facade.COST_GRAMMAR)
    return render_page(
        request,
        template="reports/drivers.html",
        part="reports/_drivers.html",
        context=show_drivers(
            page=facade.get_drivers_page(query=parsed.query, now=now),
            view=PageView("/cost/drivers/", parsed.query, facade.COST_GRAMMAR),
            caller=caller,
            entered=entered,
            notices=parsed.messages,
        ),
        status=entered.status,
    )


def _enter(request: HttpRequest, caller: Caller, now: datetime) -> Entered:
    """All of the rows, or none and what is wrong with which."""
    text = _text(request)
    found = facade.parse_volumes(text)
    problems = [(each.row, each.message, each.text) for each in found.problems]
    if not problems and not found.lines:
        problems = [(1, "There is no row to enter.", "")]
    if problems:
        return Entered(text=text, problems=tuple(problems[:SHOWN_MOST]), status=422)
    try:
        results = facade.record_drivers(
            drafts=[draft_of(line) for line in found.lines], actor=caller, now=now
        )
    except (Rejected, Conflict) as failure:
        if not failure.errors:
            raise
        wrong = [
            (found.lines[_place(error.pointer)].row, error.message, "")
            for error in failure.errors[:SHOWN_MOST]
        ]
        status = 409 if isinstance(failure, Conflict) else 422
        return Entered(text=text, problems=tuple(wrong), status=status)
    fresh = sum(each.status == "recorded" for each in results)
    again = len(results) - fresh
    beside = f" {again:,} stood so already." if again else ""
    return Entered(said=f"{fresh:,} volume{'' if fresh == 1 else 's'} entered.{beside}")


def _place(pointer: str) -> int:
    first = pointer.strip("/").split("/")[0]
    return int(first) if first.isdecimal() else 0


def _text(request: HttpRequest) -> str:
    """What was pasted, or else the file that was chosen."""
    sent = request.FILES.get("file")
    if isinstance(sent, UploadedFile) and sent.size:
        if sent.size > VOLUME_BYTES:
            raise TooLarge(limit_bytes=VOLUME_BYTES)
        return sent.read().decode("utf-8", errors="replace")
    text = str(request.POST.get("lines", ""))
    if len(text) > VOLUME_BYTES:
        raise TooLarge(limit_bytes=VOLUME_BYTES)
    return text
