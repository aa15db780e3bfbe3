"""How does the plan stand in its template?"""

from collections.abc import Sequence
from typing import Any

from django.urls import reverse

from o10.access.keys import Caller
from o10.kernel import figures, ids
from o10.kernel.pageview import Link
from reports import facade
from reports.web import shown


def show_plan(
    *,
    grid: facade.PlanGrid,
    text: str,
    review: facade.PlanReview | None,
    caller: Caller,
    pending: Sequence[facade.ApprovalView] = (),
) -> dict[str, Any]:
    """Which context has the plan's page?"""
    scale = figures.money_scale(
        [amount for row in grid.rows for amount in row.amounts if amount is not None]
    )
    newest = grid.version
    if newest.version:
        headline = (
            f"The plan of {grid.year} is {figures.money(grid.total, grid.currency).text}."
        )
        subline = (
            f"Version {newest.version}, entered {figures.instant(newest.entered_at).text}."
        )
    else:
        headline = "There is no plan yet."
        subline = (
            "Paste one from a sheet: use case, month, amount. Spend is then read against it."
        )
    return {
        "head": shown.Head(
            headline=headline,
            subline=subline,
            crumbs=(Link("Overview", reverse("overview")), Link("Plan", "")),
        ),
        "months": [f"{month:%b}" for month in grid.months],
        "rows": [
            {
                "name": row.name,
                "slug": row.slug,
                "amounts": [
                    figures.money(amount, grid.currency, scale=scale) for amount in row.amounts
                ],
                "total": figures.money(row.total, grid.currency),
            }
            for row in grid.rows
        ],
        "totals": [figures.money(amount, grid.currency) for amount in grid.totals],
        "total": figures.money(grid.total, grid.currency),
        "year": grid.year,
        "currency": grid.currency,
        "text": text,
        "example": grid.example,
        "may_plan": facade.can_ask_plan(actor=caller),
        "key": ids.new_uuid().hex,
        "pending": [
            {"title": each.text.title, "url": reverse("approval", args=[each.id])}
            for each in pending
        ],
        "review": None if review is None else _review(review, grid.currency),
    }


def _review(review: facade.PlanReview, currency: str) -> dict[str, Any]:
    return {
        "lines": len(review.lines),
        "total": figures.money(review.total, currency),
        "was": figures.money(review.total_before, currency),
        "delta": figures.delta(new=review.total, base=review.total_before, currency=currency),
        "problems": [
            {"row": each.row, "text": each.text, "message": each.message}
            for each in review.problems
        ],
        "ready": bool(review.lines) and not review.problems,
    }
