"""Who works with o10, with which keys do machines call, and how does that change?"""

from datetime import datetime
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods, require_POST

from o10.access.keys import Caller
from o10.access.pages import page, render_page
from o10.access.roles import Action, Role
from o10.kernel.errors import (
    Conflict,
    FieldError,
    Forbidden,
    NotFound,
    O10Error,
    SelfApproval,
    ValidationFailed,
)
from policies import facade
from policies.web.envelope_form import end_of_day
from policies.web.shown_approvals import needs_text
from policies.web.shown_envelope_change import Problem
from policies.web.shown_people import Shown, show_people

REASON_MOST = 400
_FAILURES = (ValidationFailed, Conflict, Forbidden, SelfApproval, NotFound)


@require_http_methods(["GET", "POST"])
@page(Action.MANAGE_PEOPLE)
def people(request: HttpRequest, *, caller: Caller, now: datetime) -> HttpResponse:
    """People and keys, and the forms that make one. A secret is in the answer, and once."""
    if request.method == "GET":
        return _answer(request, caller, now)
    try:
        shown = _made(request, caller, now)
    except _FAILURES as failure:
        return _answer(request, caller, now, problem=_problem_of(failure))
    return _answer(request, caller, now, shown=shown)


@require_POST
@page(Action.MANAGE_PEOPLE)
def person_act(
    request: HttpRequest, person: str, *, caller: Caller, now: datetime
) -> HttpResponse:
    """Another role for a person, or none any more."""
    post, key = request.POST, request.POST.get("key", "")[:64]
    reason = post.get("reason", "").strip()[:REASON_MOST]
    try:
        if post.get("do") == "deactivate":
            asked = facade.ask_to_deactivate(
                person=person, actor=caller, now=now, reason=reason, key=key
            )
        else:
            asked = facade.ask_role(
                person=person,
                role=_role(post.get("role", "")),
                actor=caller,
                now=now,
                reason=reason,
                key=key,
            )
    except _FAILURES as failure:
        return _answer(request, caller, now, problem=_problem_of(failure))
    _tell(request, asked, "Done: it holds from the next request of theirs on.")
    return redirect("people")


@require_POST
@page(Action.MANAGE_KEYS)
def key_act(request: HttpRequest, key: str, *, caller: Caller, now: datetime) -> HttpResponse:
    """The end of a key."""
    try:
        facade.revoke_key(key=key, actor=caller, now=now)
    except _FAILURES as failure:
        return _answer(request, caller, now, problem=_problem_of(failure))
    messages.success(request, "Revoked: no process accepts it from the next second on.")
    return redirect("people")


def _made(request: HttpRequest, caller: Caller, now: datetime) -> Shown:
    post = request.POST
    reason = post.get("reason", "").strip()[:REASON_MOST]
    if post.get("do") == "person":
        email = post.get("email", "").strip()[:300]
        person = facade.ask_person(
            email=email,
            name=post.get("name", "").strip()[:200],
            role=_role(post.get("role", "")),
            actor=caller,
            now=now,
            reason=reason,
        )
        told = "They sign in with it."
        if person.approval is not None:
            told = f"A viewer until others agree: it waits for {_needs(person.approval)}."
        return Shown(f"The first password of {email}", person.password, told)
    scope = post.getlist("use_cases")
    ends = post.get("expires", "").strip()
    made = facade.ask_key(
        name=post.get("name", "").strip()[:200],
        role=_role(post.get("role", "")),
        use_cases=[each[:64] for each in scope] if scope else None,
        expires_at=end_of_day(ends) if ends else None,
        actor=caller,
        now=now,
        reason=reason,
        key=post.get("key", "")[:64],
    )
    told = "It works from now on."
    if made.approval is not None:
        told = f"It works once others have agreed: it waits for {_needs(made.approval)}."
    secret = made.secret or "shown before: this form was sent twice"
    return Shown(f"The secret of the key {post.get('name', '')[:120]}", secret, told)


def _role(stated: str) -> Role:
    try:
        return Role(stated)
    except ValueError as error:
        wrong = FieldError("/role", "not_a_choice", "Choose a role.")
        raise ValidationFailed(errors=[wrong]) from error


def _needs(view: facade.ApprovalView) -> str:
    return needs_text(view.needs)


def _tell(request: HttpRequest, asked: facade.ApprovalView | None, done: str) -> None:
    waits = "" if asked is None else f"Asked: it waits for {_needs(asked)}."
    messages.success(request, waits or done)


def _problem_of(failure: O10Error) -> Problem:
    if isinstance(failure, SelfApproval):
        return Problem(
            "Nobody changes their own access.", "Another administrator does.", status=403
        )
    if isinstance(failure, Forbidden):
        return Problem("Your role can't do this.", "An administrator can.", status=403)
    if isinstance(failure, NotFound):
        return Problem("It is not there.", "Nothing was changed.", status=404)
    if failure.errors:
        fields = tuple(error.pointer.strip("/") for error in failure.errors)
        text = " ".join(error.message for error in failure.errors)
        return Problem("Nothing was changed.", text, fields, status=422)
    return Problem(
        "Nothing was changed.", "This e-mail address or form was used before.", status=409
    )


def _answer(
    request: HttpRequest,
    caller: Caller,
    now: datetime,
    *,
    problem: Problem | None = None,
    shown: Shown | None = None,
) -> HttpResponse:
    typed: dict[str, Any] = request.POST.dict() if problem else {}
    return render_page(
        request,
        template="policies/people.html",
        part="policies/_people.html",
        context=show_people(caller=caller, now=now, typed=typed, problem=problem, shown=shown),
        status=problem.status if problem else 200,
    )
