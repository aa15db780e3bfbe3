"""How does a person enter the plan? Paste from a sheet, look at what was read, confirm."""

from datetime import datetime

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods

from o10.access.keys import Caller
from o10.access.pages import page, render_page
from o10.access.roles import Action
from o10.kernel.errors import TooLarge
from reports import facade
from reports.web.shown_plan import show_plan

LONGEST = 400_000
"""Characters of one paste: about 5,000 rows."""


@require_http_methods(["GET", "POST"])
@page(Action.READ_SPEND)
def plan(request: HttpRequest, *, caller: Caller, now: datetime) -> HttpResponse:
    """The plan as it stands, and a form that changes it in two steps: check, then ask."""
    text = request.POST.get("lines", "")
    if len(text) > LONGEST:
        raise TooLarge(limit_bytes=LONGEST)
    review = facade.review_plan(text=text) if text else None
    if review and request.POST.get("step") == "enter" and not review.problems and review.lines:
        asked = facade.ask_plan(
            lines=[
                facade.PlanDraft(line.use_case, line.month, line.amount_nanos)
                for line in review.lines
            ],
            actor=caller,
            now=now,
            reason=request.POST.get("reason", "")[:400],
            key=request.POST.get("key", "")[:64],
        )
        needs = " and ".join(need.replace("|", " or ") for need in asked.needs)
        messages.info(request, f"Asked: it waits for {needs}. The plan has not changed yet.")
        return redirect("approval", asked.id)
    return render_page(
        request,
        template="reports/plan.html",
        part="reports/_plan.html",
        context=show_plan(
            grid=facade.read_plan_grid(now=now),
            text=text,
            review=review,
            caller=caller,
            pending=facade.plans_waiting(now=now),
        ),
        status=422 if review and review.problems else 200,
    )
