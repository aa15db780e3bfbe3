"""How do the rows of a page leave as a file? Its path with `.csv`, `.xlsx` or `.json`."""

from collections.abc import Callable
from datetime import datetime

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_GET

from o10.access.keys import Caller
from o10.access.pages import page, pairs_of
from o10.access.roles import Action
from o10.kernel.viewquery import PageGrammar, parse
from reports import facade

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


@require_GET
@page(Action.READ_SPEND)
def export(
    request: HttpRequest, screen: str, form: str, *, caller: Caller, now: datetime
) -> HttpResponse:
    """Exactly the rows that the page of this address shows, with position and filters."""
    own = screen in facade.OWN_EXPORTS
    grammar = PageGrammar() if own else facade.EXPORTS[screen].grammar
    parsed = parse(pairs_of(request), page=grammar)
    table = facade.build_table(screen=screen, query=parsed.query, caller=caller, now=now)
    return _answer(table, form)


@require_GET
@page(Action.READ_SPEND)
def export_one(
    request: HttpRequest, screen: str, public: str, form: str, *, caller: Caller, now: datetime
) -> HttpResponse:
    """What the page of one import, bill or month shows."""
    return _answer(facade.EXPORTS_OF_ONE[screen](public, now), form)


def _answer(table: facade.Table, form: str) -> HttpResponse:
    response = WRITERS[form](table)
    stem = table.name if not table.view else f"{table.name}-view"
    response.headers["Content-Disposition"] = f'attachment; filename="{stem}.{form}"'
    response.headers["X-O10-Ledger-Position"] = str(table.position)
    response.headers["X-O10-View"] = table.view
    response.headers["X-O10-More-Rows"] = "yes" if table.more else "no"
    return response


def _csv(table: facade.Table) -> HttpResponse:
    return HttpResponse(facade.to_csv(table), content_type="text/csv; charset=utf-8")


def _json(table: facade.Table) -> HttpResponse:
    return JsonResponse(facade.to_json(table))


def _xlsx(table: facade.Table) -> HttpResponse:
    return HttpResponse(facade.to_xlsx(table), content_type=XLSX)


WRITERS: dict[str, Callable[[facade.Table], HttpResponse]] = {
    "csv": _csv,
    "json": _json,
    "xlsx": _xlsx,
}
