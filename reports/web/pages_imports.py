"""Which files came in, and how does a person bring one? Upload, look, confirm, receipt."""

from datetime import datetime

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from o10.access.checks import check
from o10.access.keys import Caller
from o10.access.pages import page, render_page
from o10.access.roles import Action
from o10.kernel.errors import O10Error, TooLarge
from reports import facade
from reports.web.shown_imports import (
    Typed,
    show_import,
    show_imports,
    show_new,
)


@require_GET
@page(Action.READ_SPEND)
def imports(request: HttpRequest, *, caller: Caller, now: datetime) -> HttpResponse:
    """Sources with their last sync, imports and bills.

    A bill of a closed month is held against the ledger again once a line of it came late.
    """
    bills = facade.list_invoices(limit=24)
    closed = {row.period for row in facade.list_periods() if row.status == "closed"}
    open_bills = facade.reconcile_invoices(
        [each for each in bills if each.late_lines or each.period not in closed]
    )
    return render_page(
        request,
        template="reports/imports.html",
        part="reports/_imports.html",
        context=show_imports(
            syncs=facade.last_syncs(),
            rows=facade.list_imports(limit=30),
            bills=bills,
            open_bills=open_bills,
            caller=caller,
            now=now,
        ),
    )


@require_http_methods(["GET", "POST"])
@page(Action.READ_SPEND)
def import_new(request: HttpRequest, *, caller: Caller, now: datetime) -> HttpResponse:
    """The first step: which source, which file. It is looked at; nothing is booked."""
    typed = Typed(
        source=request.POST.get("source", request.GET.get("source", ""))[:32],
        use_case=request.POST.get("use_case", "").strip()[:64],
    )
    problem = ""
    if request.method == "POST":
        check(caller=caller, action=Action.CORRECT_LEDGER)
        upload = request.FILES.get("file")
        try:
            if upload is None:
                problem = "Choose a file."
            elif (upload.size or 0) > facade.FILE_MOST:
                raise TooLarge(limit_bytes=facade.FILE_MOST)
            else:
                row = facade.check_file(
                    source=typed.source,
                    file_name=str(upload.name or "upload"),
                    body=upload.read(),
                    use_case=typed.use_case,
                    actor=caller.actor,
                    now=now,
                )
                return redirect("import", row.public)
        except O10Error as failure:
            problem = _said(failure)
    return render_page(
        request,
        template="reports/import_new.html",
        part="reports/_import_new.html",
        context=show_new(typed=typed, problem=problem, caller=caller),
        status=422 if problem else 200,
    )


@require_GET
@page(Action.READ_SPEND)
def import_one(
    request: HttpRequest, public: str, *, caller: Caller, now: datetime
) -> HttpResponse:
    """What was found, how far it is, or the receipt. Polled while a worker books it."""
    row = facade.get_import(public)
    context = show_import(row=row, rejects=facade.list_rejects(public), caller=caller, now=now)
    return render_page(
        request, template="reports/import.html", part="reports/_import.html", context=context
    )


@require_POST
@page(Action.CORRECT_LEDGER)
def confirm(
    request: HttpRequest, public: str, *, caller: Caller, now: datetime
) -> HttpResponse:
    """Books it: a worker takes it within seconds. A second click changes nothing."""
    facade.confirm_import(public=public, now=now)
    return redirect("import", public)


@require_POST
@page(Action.CORRECT_LEDGER)
def discard(
    request: HttpRequest, public: str, *, caller: Caller, now: datetime
) -> HttpResponse:
    """Forgets the file; nothing of it was booked."""
    facade.discard_import(public=public, now=now)
    messages.success(request, "The file was discarded; nothing was booked.")
    return redirect("imports")


@require_GET
@page(Action.READ_SPEND)
def rejects(
    request: HttpRequest, public: str, *, caller: Caller, now: datetime
) -> HttpResponse:
    """The rows that were not taken, as CSV with their reasons."""
    facade.get_import(public)
    text = facade.rejects_csv(facade.stream_rejects(public))
    answer = HttpResponse(text, content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="{public}-rejects.csv"'
    return answer


def _said(failure: O10Error) -> str:
    if failure.errors:
        return failure.errors[0].message
    what = failure.fields.get("what")
    if what:
        return f"The file was not read: {what}."
    limit = failure.fields.get("limit_bytes")
    return (
        f"A file has at most {limit} bytes here; use o10 import_usage."
        if limit
        else (f"The file was not read. Code {failure.code}.")
    )
