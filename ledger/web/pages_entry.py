"""What is this charge, why this price, and can anybody have changed it? One entry.

Also the way to take it back: a reversing entry, asked for here and entered once a second person
has agreed.
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
from o10.access.keys import Caller
from o10.access.pages import page, render_page
from o10.access.roles import Action
from o10.kernel import ids
from o10.kernel.errors import (
    Forbidden,
    IdempotencyMismatch,
    NotFound,
    Rejected,
    ValidationFailed,
)
from o10.kernel.money import Nanos, parse_nanos

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
    """Asks for the entry to be taken back: once for each form, and a second person decides."""
    reason = request.POST.get("reason", "").strip()[:REASON_MOST]
    typed = {"reason": reason, "amount": request.POST.get("amount", "").strip()[:40]}
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
        asked = facade.correction_desk().ask(
            uid=stored.uid,
            amount_nanos=_amount(typed["amount"]),
            reason=reason,
            actor=caller,
            now=now,
            key=request.POST.get("key", "")[:64],
        )
    except _REFUSALS as error:
        problem = _problem_of(error, typed)
        return _answer(request, seq, caller=caller, now=now, problem=problem)
    messages.success(request, "Asked: it waits for controller. Nothing has been entered yet.")
    return redirect(asked.url)


def _amount(typed: str) -> Nanos | None:
    """Empty = it never happened. Raises: ValidationFailed (`validation_failed`)."""
    try:
        return parse_nanos(typed.replace(",", "")) if typed else None
    except Rejected as error:
        raise ValidationFailed(errors=list(error.errors)) from error


_REFUSALS = (
    Forbidden,
    ValidationFailed,
    facade.AlreadyReversed,
    facade.NotReversible,
    IdempotencyMismatch,
)
_ANSWERS: dict[type[Exception], tuple[str, str, int]] = {
    Forbidden: (
        "This person may not ask for it.",
        "A person with the role finops asks, a controller agrees. Nothing was entered.",
        403,
    ),
    ValidationFailed: (
        "That amount can't be.",
        "An amount such as 12.50, not negative, and another one than now. Nothing was entered.",
        422,
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
        "The first one counts. Load the page again to see what waits.",
        409,
    ),
}


def _problem_of(error: Exception, typed: dict[str, str]) -> ReversalProblem:
    title, text, status = next(
        answer for kind, answer in _ANSWERS.items() if isinstance(error, kind)
    )
    return ReversalProblem(title, text, status, typed)


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
