"""Which rules stop what fails, how near is each, and how does a person make or lift one?"""

from datetime import UTC, datetime, timedelta

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from o10.access.keys import Caller
from o10.access.pages import page, render_page
from o10.access.roles import Action
from o10.kernel.errors import (
    Conflict,
    FieldError,
    Forbidden,
    NotFound,
    O10Error,
    ValidationFailed,
)
from policies import facade
from policies.web.kill_form import (
    DEPARTMENT,
    draft_from,
    spec_from,
    typed_from,
    typed_in,
    typed_of,
)
from policies.web.shown_criterion import show_criterion
from policies.web.shown_envelope_change import Problem
from policies.web.shown_kill import show_form, show_list

REASON_MOST = 400
DRILL_DAYS = 90


@require_GET
@page(Action.READ_SPEND)
def kill_criteria(request: HttpRequest, *, caller: Caller, now: datetime) -> HttpResponse:
    """All criteria, acting first, with the distance of each; `?use_case=` those of one."""
    slug = request.GET.get("use_case", "")[:64]
    return _list(request, slug, caller, now, part="policies/_kill_criteria.html")


@require_GET
@page(Action.READ_SPEND)
def kill_criteria_of(
    request: HttpRequest, slug: str, *, caller: Caller, now: datetime
) -> HttpResponse:
    """Those that concern one use case: the card on its page, or the list by itself."""
    return _list(request, slug, caller, now, part="policies/_kill_card.html")


@require_GET
@page(Action.READ_SPEND)
def kill_criterion(
    request: HttpRequest, criterion: str, *, caller: Caller, now: datetime
) -> HttpResponse:
    """One criterion: state, history, rule; `?drill=90` walks it over history."""
    days = None
    if request.GET.get("drill"):
        stated = request.GET["drill"]
        whole = int(stated[:4]) if stated.isascii() and stated.isdigit() else 0
        days = min(400, whole) or DRILL_DAYS
    return _answer(request, criterion, caller, now, days=days)


@require_http_methods(["GET", "POST"])
@page(Action.CHANGE_KILL_CRITERION)
def kill_criterion_new(request: HttpRequest, *, caller: Caller, now: datetime) -> HttpResponse:
    """The form of a new criterion; what it makes is a draft."""
    if request.method == "GET":
        typed = typed_from(request.GET)
        return _form(request, show_form(typed=typed, problem=None, use_cases=_use_cases()))
    typed = typed_in(request.POST)
    try:
        public = facade.create_criterion(
            draft=draft_from(typed),
            actor=caller,
            now=now,
            key=request.POST.get("key", "")[:64],
        )
    except (ValidationFailed, NotFound, Conflict) as failure:
        problem = _problem_of(failure)
        context = show_form(typed=typed, problem=problem, use_cases=_use_cases())
        return _form(request, context, status=problem.status)
    messages.success(request, "A draft was made: drill it on history, then have it armed.")
    return redirect("kill-criterion", public)


@require_http_methods(["GET", "POST"])
@page(Action.CHANGE_KILL_CRITERION)
def kill_criterion_edit(
    request: HttpRequest, criterion: str, *, caller: Caller, now: datetime
) -> HttpResponse:
    """The form of one that is there: stricter at once, looser by a second person."""
    view = facade.get_kill_view(criterion=criterion, slugs=caller.use_case_slugs)
    if request.method == "GET":
        typed = typed_of(view.spec, name=view.name)
        return _form(request, show_form(typed=typed, problem=None, use_cases=[], view=view))
    typed = typed_in(request.POST)
    try:
        asked = facade.ask_to_change(
            criterion=criterion,
            spec=spec_from(typed, before=view.spec),
            name=typed.name,
            actor=caller,
            now=now,
            reason=request.POST.get("reason", "").strip()[:REASON_MOST],
            key=request.POST.get("key", "")[:64],
            expected_version=_version(request.POST.get("version", "")),
        )
    except (ValidationFailed, NotFound, Conflict, Forbidden) as failure:
        problem = _problem_of(failure)
        context = show_form(typed=typed, problem=problem, use_cases=[], view=view)
        return _form(request, context, status=problem.status)
    messages.success(request, _said(asked))
    return redirect("kill-criterion", criterion)


def _version(stated: str) -> int | None:
    return int(stated[:9]) if stated.isascii() and stated.isdigit() else None


@require_POST
@page(Action.READ_SPEND)
def kill_criterion_act(
    request: HttpRequest, criterion: str, *, caller: Caller, now: datetime
) -> HttpResponse:
    """Arms, lifts, sets aside or retires it: mostly by asking a second person."""
    reason = request.POST.get("reason", "").strip()[:REASON_MOST]
    try:
        said = _act(request, criterion, caller, now, reason)
    except (ValidationFailed, Conflict, Forbidden) as failure:
        problem = _problem_of(failure)
        return _answer(request, criterion, caller, now, problem=problem, reason=reason)
    messages.success(request, said)
    return redirect("kill-criterion", criterion)


def _act(
    request: HttpRequest, criterion: str, caller: Caller, now: datetime, reason: str
) -> str:
    key = request.POST.get("key", "")[:64]
    if not reason:
        message = "Say why: the reason is kept with the change."
        raise ValidationFailed(errors=[FieldError("/reason", "required", message)])
    asked: facade.ApprovalView | None
    match request.POST.get("do", ""):
        case "arm":
            asked = facade.ask_to_arm(
                criterion=criterion, actor=caller, now=now, reason=reason, key=key
            )
        case "restore":
            asked = facade.ask_to_restore(
                criterion=criterion, actor=caller, now=now, reason=reason, key=key
            )
        case "override":
            asked = facade.ask_to_override(
                criterion=criterion,
                until=_until(request.POST.get("until", ""), now),
                actor=caller,
                now=now,
                reason=reason,
                key=key,
            )
        case "retire":
            asked = facade.ask_to_retire(
                criterion=criterion, actor=caller, now=now, reason=reason, key=key
            )
        case "decide":
            asked = facade.ask_to_decide(
                criterion=criterion, decision=reason, actor=caller, now=now, key=key
            )
        case _:
            raise ValidationFailed(errors=[FieldError("/do", "unknown", "Use a button.")])
    return _said(asked)


def _said(asked: facade.ApprovalView | None) -> str:
    if asked is None:
        return "Done: the next call obeys."
    needs = " and ".join(need.replace("|", " or ") for need in asked.needs)
    return f"Asked: it waits for {needs}. Nothing has changed yet."


def _until(stated: str, now: datetime) -> datetime:
    try:
        day = datetime.strptime(stated[:10], "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError as error:
        message = "A day such as 2026-12-01."
        raise ValidationFailed(errors=[FieldError("/until", "malformed", message)]) from error
    # The whole day counts, as far as 14 days from now reach.
    return min(day + timedelta(days=1), now + timedelta(days=14)) if day > now else day


def _list(
    request: HttpRequest, slug: str, caller: Caller, now: datetime, *, part: str
) -> HttpResponse:
    name = facade.get_use_case(slug=slug).name if slug else ""
    screen = facade.get_kill_list(use_case=slug or None)
    return render_page(
        request,
        template="policies/kill_criteria.html",
        part=part,
        context=show_list(screen=screen, caller=caller, now=now, use_case=slug, name=name),
    )


def _answer(
    request: HttpRequest,
    criterion: str,
    caller: Caller,
    now: datetime,
    *,
    days: int | None = None,
    problem: Problem | None = None,
    reason: str = "",
) -> HttpResponse:
    screen = facade.get_kill_screen(criterion=criterion, now=now, days=days)
    context = show_criterion(
        screen=screen,
        caller=caller,
        now=now,
        pending=facade.find_open(subject=criterion, now=now),
        problem=problem,
        reason=reason,
    )
    return render_page(
        request,
        template="policies/kill_criterion.html",
        part="policies/_kill_criterion.html",
        context=context,
        status=problem.status if problem else 200,
    )


def _form(
    request: HttpRequest, context: dict[str, object], *, status: int = 200
) -> HttpResponse:
    return render_page(
        request,
        template="policies/kill_criterion_new.html",
        part="policies/_kill_criterion_new.html",
        context=context,
        status=status,
    )


def _use_cases() -> list[tuple[str, str]]:
    rows = facade.list_use_case_rows()
    departments = {row.department_slug: row.department for row in rows}
    return [
        *((f"{DEPARTMENT}{slug}", f"Department {name}") for slug, name in departments.items()),
        *((row.slug, row.name) for row in rows),
    ]


def _problem_of(failure: O10Error) -> Problem:
    """How is this refusal told? What was not done, and what to do."""
    if failure.errors:
        return Problem(
            "Nothing was changed.",
            " ".join(error.message for error in failure.errors),
            tuple(error.pointer.strip("/").split("/")[-1] for error in failure.errors),
            status=422,
        )
    if isinstance(failure, Forbidden):
        return Problem(
            "Your role may not do this.",
            "Nothing was changed. Use-case owners, FinOps and controllers ask; "
            "a controller agrees.",
            status=403,
        )
    if isinstance(failure, NotFound):
        return Problem("Nothing was made.", "There is no such use case.", ("use_case",))
    return Problem(
        "It stands elsewhere by now.",
        "Somebody was faster, or its state does not allow this. Nothing was changed; "
        f"look again. Code {failure.code}.",
        status=409,
    )
