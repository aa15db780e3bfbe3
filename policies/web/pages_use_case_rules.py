"""In which mode is a use case, which models may it use, and how does a person change that?"""

from datetime import datetime

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods

from o10.access.keys import Caller
from o10.access.pages import page, render_page
from o10.access.roles import Action
from o10.kernel.errors import Conflict, FieldError, Forbidden, O10Error, ValidationFailed
from policies import facade
from policies.web.envelope_form import end_of_day
from policies.web.shown_approvals import needs_text
from policies.web.shown_envelope_change import Problem
from policies.web.shown_use_case_rules import show_rules

REASON_MOST = 400
DONE = {
    "mode": "The mode holds from the next call on.",
    "stop": "Stopped: the next call is denied.",
    "restore": "It was active already.",
    "add": "Only approved models may be used from the next call on.",
    "remove": "Taken out: the next call that names it is denied.",
    "all": "Every model that has a price may be used.",
}


@require_http_methods(["GET", "POST"])
@page(Action.READ_SPEND)
def use_case_rules(
    request: HttpRequest, slug: str, *, caller: Caller, now: datetime
) -> HttpResponse:
    """The rules as they are, what waits, and the forms that change or ask."""
    view = facade.get_use_case(slug=slug)
    if request.method == "GET":
        return _answer(request, view, caller, now, None)
    do = request.POST.get("do", "")
    try:
        found = facade.ask_use_case_change(
            slug=slug,
            change=_change_in(request.POST, view),
            actor=caller,
            now=now,
            key=request.POST.get("key", "")[:64],
        )
    except (ValidationFailed, Conflict, Forbidden) as failure:
        return _answer(request, view, caller, now, _problem_of(failure))
    if isinstance(found, facade.ApprovalView):
        text = f"Asked: it waits for {needs_text(found.needs)}. Nothing has changed yet."
        messages.success(request, text)
    else:
        messages.success(request, DONE.get(do, "Done."))
    return redirect("use-case-rules", slug)


def _change_in(post: QueryDict, view: facade.UseCaseView) -> facade.UseCaseChange:
    """Which change does the form state?

    Raises: ValidationFailed (`validation_failed`) naming every field that can't be.
    """
    reason = post.get("reason", "").strip()[:REASON_MOST]
    if not reason:
        message = "Say why: the reason is kept with the change."
        raise ValidationFailed(errors=[FieldError("/reason", "required", message)])
    known, name = view.approved_models or (), post.get("model", "").strip()[:200]
    match post.get("do", ""):
        case "mode":
            return facade.UseCaseChange(mode=post.get("mode", "")[:20], reason=reason)
        case "stop":
            return facade.UseCaseChange(state="stopped", reason=reason)
        case "restore":
            return facade.UseCaseChange(state="active", reason=reason)
        case "add":
            until = post.get("until", "").strip()
            fresh = facade.ApprovedModel(
                name=name,
                until=end_of_day(until) if until else None,
                evidence=post.get("evidence", "").strip()[:REASON_MOST],
            )
            kept = tuple(each for each in known if each.name != name)
            return facade.UseCaseChange(approved_models=(*kept, fresh), reason=reason)
        case "remove":
            kept = tuple(each for each in known if each.name != name)
            return facade.UseCaseChange(approved_models=kept, reason=reason)
        case "all":
            return facade.UseCaseChange(approved_models=None, reason=reason)
    message = "One of mode, stop, restore, add, remove, all."
    raise ValidationFailed(errors=[FieldError("/do", "not_a_choice", message)])


def _problem_of(failure: O10Error) -> Problem:
    if isinstance(failure, Forbidden):
        return Problem(
            "Your role can't change this.",
            "An owner or FinOps asks; who agrees stands with the request.",
            status=403,
        )
    if failure.errors:
        fields = tuple(error.pointer.strip("/").split("/")[0] for error in failure.errors)
        text = " ".join(error.message for error in failure.errors)
        return Problem("Nothing was changed.", text, fields, status=422)
    return Problem("Nothing was changed.", f"Code {failure.code}.", status=409)


def _answer(
    request: HttpRequest,
    view: facade.UseCaseView,
    caller: Caller,
    now: datetime,
    problem: Problem | None,
) -> HttpResponse:
    context = show_rules(
        view=view,
        pending=facade.find_open(subject=f"use_case/{view.slug}", now=now),
        caller=caller,
        now=now,
        typed=request.POST.dict() if request.method == "POST" else {},
        problem=problem,
    )
    return render_page(
        request,
        template="policies/use_case_rules.html",
        part="policies/_use_case_rules.html",
        context=context,
        status=problem.status if problem else 200,
    )
