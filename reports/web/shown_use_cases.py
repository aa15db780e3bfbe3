"""How does the list of use cases stand in its template?"""

from typing import Any

from o10.kernel.pageview import PageView
from reports import facade
from reports.web import shown
from reports.web.shown_overview import show_total


def show_use_cases(
    *, table: facade.UseCaseTable, view: PageView, notices: tuple[str, ...]
) -> dict[str, Any]:
    """Which context has the list?"""
    said = table.headline
    exports = view.exports()
    return {
        "head": shown.Head(headline=said.title, subline=said.detail),
        "stamp": shown.stamp_of(table),
        "as_of": shown.as_of(view, table),
        "bar": shown.bar_of(
            view, table, exports=exports, choices=shown.filter_choices(table.lines)
        ),
        "notices": notices,
        "rows": shown.use_case_rows(table),
        "columns": view.columns(shown.USE_CASE_COLUMNS),
        "total": show_total(table),
        "period": table.period.label,
        "currency": table.currency,
        "export_links": exports,
        "live_url": "" if table.frozen else view.url,
    }
