"""What waits for whom, and how does a person approve, decline, ask, delegate or withdraw?"""

from datetime import datetime

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_GET, require_POST

from o10.access.keys import Caller
from o10.access.pages import page, render_page
from o10.access.roles import Action
from o10.kernel.errors import (
    Conflict,
    FieldError,
    Forbidden,
    IdempotencyMismatch,
    NotFound,
    O10Error,
    PreconditionFailed,
    SelfApproval,
    ValidationFailed,
)
from policies import facade
from policies.web.envelope_form import end_of_day
from policies.web.shown_approvals import BOXES, Typed, show_approval, show_inbox
from policies.web.shown_envelope_change import Problem

REASON_MOST = 400
DONE = {
    "approve": "Approved.",
    "until": "Approved until that day.",
    "decline": "Declined: nothing was changed.",
    "ask": "Sent: it is kept with the request.",
    "delegate": "Handed over: the two of you stay one voter.",
    "withdraw": "Withdrawn: nothing was changed.",
}


@require_GET
@page(Action.READ_SPEND)
def approvals(request: HttpRequest, *, caller: Caller, now: datetime) -> HttpResponse:
    """What waits for this person, what they asked for, what else is open, what is done."""
    box = request.GET.get("box", "mine")
    inbox = facade.inbox(caller=caller, now=now)
    return render_page(
        request,
        template="policies/approvals.html",
        part="policies/_approvals.html",
        context=show_inbox(inbox=inbox, box=box if box in BOXES else "mine", now=now),
    )


@require_GET
@page(Action.READ_SPEND)
def approval(
    request: HttpRequest, approval_id: str, *, caller: Caller, now: datetime
) -> HttpResponse:
    """One request: effect, exact change, evidence, who did what; `?do=` opens its form."""
    return _answer(request, approval_id, caller, now, Typed(do=request.GET.get("do", "")[:20]))


@require_POST
@page(Action.READ_SPEND)
def approval_act(
    request: HttpRequest, approval_id: str, *, caller: Caller, now: datetime
) -> HttpResponse:
    """One step: once for each form, and only on the request as it was read."""
    typed = Typed(
        do=request.POST.get("do", "")[:20],
        reason=request.POST.get("reason", "")[: REASON_MOST + 1],
        until=request.POST.get("until", "")[:20],
        to=request.POST.get("to", "")[:64],
    )
    try:
        view = _act(request, approval_id, caller, now, typed)
    except (ValidationFailed, Conflict, Forbidden, SelfApproval) as failure:
        problem = _problem_of(failure)
        return _answer(request, approval_id, caller, now, typed, problem)
    said = DONE[typed.do]
    if typed.do in ("approve", "until") and not view.is_open:
        said = "Approved and carried out: the next call obeys it."
    messages.success(request, said)
    return redirect("approval", approval_id)


def _act(
    request: HttpRequest, approval_id: str, caller: Caller, now: datetime, typed: Typed
) -> facade.ApprovalView:
    key = request.POST.get("key", "")[:64]
    stated = request.POST.get("version", "")
    version = int(stated) if stated.isdecimal() and len(stated) < 10 else None
    match typed.do:
        case "approve" | "until":
            return facade.approve(
                approval=approval_id,
                actor=caller,
                now=now,
                reason=typed.reason,
                until=end_of_day(typed.until) if typed.do == "until" else None,
                key=key,
                expected_version=version,
            )
        case "decline":
            return facade.decline(
                approval=approval_id,
                actor=caller,
                now=now,
                reason=typed.reason,
                key=key,
                expected_version=version,
            )
        case "withdraw":
            return facade.withdraw(
                approval=approval_id,
                actor=caller,
                now=now,
                reason=typed.reason,
                key=key,
                expected_version=version,
            )
        case "ask":
            return facade.ask(
                approval=approval_id, actor=caller, now=now, reason=typed.reason, key=key
            )
        case "delegate":
            return _delegate(approval_id, caller, now, typed, key)
    raise ValidationFailed(errors=[FieldError("/do", "unknown", "Use one of the buttons.")])


def _delegate(
    approval_id: str, caller: Caller, now: datetime, typed: Typed, key: str
) -> facade.ApprovalView:
    try:
        return facade.delegate(
            approval=approval_id,
            actor=caller,
            to=typed.to,
            now=now,
            reason=typed.reason,
            key=key,
        )
    except NotFound as error:
        if error.fields.get("kind") != "person":
            raise
        message = "Choose a person of the list."
        raise ValidationFailed(errors=[FieldError("/to", "unknown", message)]) from error


def _answer(
    request: HttpRequest,
    approval_id: str,
    caller: Caller,
    now: datetime,
    typed: Typed,
    problem: Problem | None = None,
) -> HttpResponse:
    view = facade.get_approval(approval=approval_id, now=now)
    mine = facade.inbox(caller=caller, now=now, done_most=0).mine
    after = [each.id for each in mine if each.id != view.id]
    return render_page(
        request,
        template="policies/approval.html",
        part="policies/_approval.html",
        context=show_approval(
            view=view,
            caller=caller,
            now=now,
            following=after[0] if after else "",
            typed=typed,
            problem=problem,
        ),
        status=problem.status if problem else 200,
    )


def _problem_of(failure: O10Error) -> Problem:
    """How is a refusal told? What happened, what was not done, what to do."""
    if isinstance(failure, SelfApproval):
        return Problem(
            "You asked for this yourself.",
            "Another person has to decide it. Nothing was changed.",
            status=403,
        )
    if isinstance(failure, Forbidden):
        return Problem(
            "Your role can't do this.",
            "Nothing was changed. The page says whom the request waits for.",
            status=403,
        )
    if isinstance(failure, PreconditionFailed):
        return Problem(
            "Somebody acted on this request while you were looking at it.",
            "What holds now is shown here; your step was not taken. Look again, and send it "
            "once more if it still holds.",
            status=409,
        )
    if isinstance(failure, IdempotencyMismatch):
        return Problem(
            "This form was already sent with something else.",
            "The first one holds. Nothing more was entered.",
            status=409,
        )
    texts = {
        "base_changed": (
            "What this change was made against has changed.",
            "The request is void; nothing was changed. It has to be asked again.",
        ),
        "approval_closed": (
            "This request has ended.",
            "Nothing was changed. How it ended is shown here.",
        ),
        "already_approved": (
            "You have agreed already, or somebody has for you.",
            "One person counts once. Nothing was changed.",
        ),
    }
    if failure.code in texts:
        title, text = texts[failure.code]
        return Problem(title, text, status=409)
    if failure.errors:
        return Problem(
            "Nothing was changed.",
            " ".join(error.message for error in failure.errors),
            tuple(error.pointer.strip("/").split("/")[0] for error in failure.errors),
            status=422,
        )
    return Problem(
        "It can't be carried out as things stand.",
        f"Nothing was changed. Code {failure.code}.",
        status=409,
    )
