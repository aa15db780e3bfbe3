"""What is this charge, why this price, and can anybody have changed it? One entry.

Also the way to take it back: a reversing entry, proposed by the person who is signed in and
confirmed on the same screen by a second one.
"""

from datetime import datetime
from pathlib import Path

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_GET, require_POST

from ledger import facade
from ledger.web.scope import check_in_scope
from ledger.web.shown_correction import ReversalProblem
from ledger.web.shown_entry import EntryPage, show_entry, show_unsealed
from o10.access import keys, sessions
from o10.access.checks import can
from o10.access.keys import Caller
from o10.access.pages import page, render_page
from o10.access.roles import Action
from o10.kernel import ids
from o10.kernel.errors import (
    IdempotencyMismatch,
    NotFound,
    RateLimited,
    Rejected,
    SelfApproval,
    Unauthorized,
)

REASON_LEAST = 8
REASON_MOST = 400
WAITING_STATUS = 409
"""As the API answers: it is there, and has no position yet. htmx swaps nothing then."""


@require_GET
@page(Action.READ_LEDGER)
def entry(request: HttpRequest, seq: int, *, caller: Caller, now: datetime) -> HttpResponse:
    """The entry at this position; a position just ahead waits for the seal."""
    seal = facade.seal_state(now=now)
    if seal.seq < seq <= seal.seq + seal.waiting:
        return _unsealed(request, show_unsealed(line=None, seq=seq, url=request.path))
    return _answer(request, seq, caller=caller, now=now)


@require_GET
@page(Action.READ_LEDGER)
def entry_by_id(
    request: HttpRequest, public: str, *, caller: Caller, now: datetime
) -> HttpResponse:
    """The entry of this id: at its position once it has one, else the page that waits."""
    try:
        uid = ids.uuid_of(public, "ent")
    except Rejected as error:
        raise NotFound(kind="entry", id=public) from error
    stored = facade.get_by_uid(ledger_id=facade.COMPANY_LEDGER, uid=uid)
    check_in_scope(caller, stored)
    if stored.seq is not None:
        return redirect("ledger-entry", stored.seq)
    line = facade.lines_of([stored])[0]
    return _unsealed(request, show_unsealed(line=line, seq=None, url=request.path))


@require_POST
@page(Action.CORRECT_LEDGER)
def reverse_entry(
    request: HttpRequest, seq: int, *, caller: Caller, now: datetime
) -> HttpResponse:
    """Takes the entry back: once for each form, with a reason and a second person."""
    reason = request.POST.get("reason", "").strip()[:REASON_MOST]
    typed = {"reason": reason, "email": request.POST.get("email", "")[:254]}
    stored = facade.get_by_seq(ledger_id=facade.COMPANY_LEDGER, seq=seq)
    check_in_scope(caller, stored)
    if len(reason) < REASON_LEAST:
        problem = ReversalProblem(
            "Say why.",
            "A reason of at least eight characters stays with the entry.",
            422,
            typed,
        )
        return _answer(request, seq, caller=caller, now=now, problem=problem)
    try:
        second = _second(request, email=typed["email"], now=now)
        written = facade.reverse(
            uid=stored.uid,
            key=request.POST.get("key", "")[:64] or f"{stored.uid}",
            reason=reason,
            requested_by=caller.actor,
            approved_by=second.actor,
            actor_id=facade.intern(
                facade.Domain.ACTOR,
                {"id": caller.actor},
                ledger_id=facade.COMPANY_LEDGER,
                actor=0,
                now=now,
            ),
            now=now,
        )
    except _REFUSALS as error:
        problem = _problem_of(error, typed)
        return _answer(request, seq, caller=caller, now=now, problem=problem)
    messages.success(request, f"Entry {seq:,} is taken back; both entries stay.")
    return redirect("ledger-entry-by-id", ids.id_of("ent", written.uid))


class _MayNotConfirm(Rejected):
    """Does the second person lack the right to correct the ledger?"""

    code = "forbidden"


_REFUSALS = (
    Unauthorized,
    RateLimited,
    _MayNotConfirm,
    SelfApproval,
    facade.AlreadyReversed,
    facade.NotReversible,
    IdempotencyMismatch,
)
_ANSWERS: dict[type[Exception], tuple[str, str, int]] = {
    Unauthorized: (
        "The second person was not recognised.",
        "E-mail address or password is wrong. Nothing was entered.",
        422,
    ),
    RateLimited: (
        "Too many tries.",
        "Nothing was entered. Wait a quarter of an hour and confirm again.",
        429,
    ),
    _MayNotConfirm: (
        "This person may not confirm it.",
        "A second person with the role finops or controller has to. Nothing was entered.",
        403,
    ),
    SelfApproval: (
        "Two people are needed.",
        "Nobody confirms what they proposed themselves. Nothing was entered.",
        403,
    ),
    facade.AlreadyReversed: (
        "It was taken back before.",
        "An entry is taken back once. Nothing was entered now.",
        409,
    ),
    facade.NotReversible: (
        "This kind of entry can't be taken back.",
        "It moves no settled money. Nothing was entered.",
        409,
    ),
    IdempotencyMismatch: (
        "This form was sent before with another reason.",
        "The first one counts. Load the page again to see what was entered.",
        409,
    ),
}


def _problem_of(error: Exception, typed: dict[str, str]) -> ReversalProblem:
    title, text, status = next(
        answer for kind, answer in _ANSWERS.items() if isinstance(error, kind)
    )
    return ReversalProblem(title, text, status, typed)


def _second(request: HttpRequest, *, email: str, now: datetime) -> Caller:
    person = sessions.confirm_person(
        request, email=email, password=request.POST.get("password", ""), now=now
    )
    second = keys.caller_of_person(person)
    if not can(caller=second, action=Action.CORRECT_LEDGER):
        raise _MayNotConfirm(role=second.role.value)
    return second


def _answer(
    request: HttpRequest,
    seq: int,
    *,
    caller: Caller,
    now: datetime,
    problem: ReversalProblem | None = None,
) -> HttpResponse:
    detail = facade.get_entry_detail(seq=seq)
    check_in_scope(caller, facade.get_by_seq(ledger_id=facade.COMPANY_LEDGER, seq=seq))
    company = facade.ledger_of_company()
    context = show_entry(
        EntryPage(
            detail=detail,
            decision=facade.find_decisions([detail.line]).get(detail.line.uid),
            badge=facade.seal_badge(now=now),
            company=company,
            keys=verifier_keys(company),
            caller=caller,
            form_key=ids.new_uuid().hex,
            now=now,
            problem=problem,
        )
    )
    return render_page(
        request,
        template="ledger/entry.html",
        part="ledger/_entry.html",
        context=context,
        status=problem.status if problem else 200,
    )


def verifier_keys(company: facade.LedgerRow) -> tuple[str, ...]:
    """Which public keys may have signed this ledger, as C2SP text? None before the first."""
    path = Path(settings.O10_SIGNING_KEY_FILE)
    if not (path.exists() or path.with_suffix(".pub").exists()):
        return ()
    known = facade.load_verifier_keys(path=path, name=company.origin)
    return tuple(key.text() for key in known)


def _unsealed(request: HttpRequest, context: dict[str, object]) -> HttpResponse:
    return render_page(
        request,
        template="ledger/unsealed.html",
        part="ledger/_unsealed.html",
        context=context,
        status=WAITING_STATUS,
    )
