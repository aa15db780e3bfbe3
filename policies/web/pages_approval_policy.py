"""Who has to agree to what, and how does a person ask for another approval policy?"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from o10.access import queries as people
from o10.access.keys import Caller
from o10.access.pages import page, render_page
from o10.access.roles import Action, Role
from o10.kernel import ids
from o10.kernel.errors import Conflict, FieldError, Forbidden, O10Error, ValidationFailed
from o10.kernel.money import AmountMalformed, amount_text, parse_nanos
from o10.kernel.pageview import Bar, Link
from policies import facade
from policies.web.shown_approvals import needs_text
from policies.web.shown_envelope_change import Problem

PPM_PER_PERCENT = 10_000


@require_http_methods(["GET", "POST"])
@page(Action.READ_SPEND)
def approval_policy(request: HttpRequest, *, caller: Caller, now: datetime) -> HttpResponse:
    """The table of maker and checker, the company's own limits, and the form that asks."""
    if request.method == "GET":
        return _answer(request, caller, now, {}, None)
    try:
        asked = facade.ask_approval_policy(
            policy=_policy_in(request.POST),
            actor=caller,
            now=now,
            reason=request.POST.get("reason", "")[:400],
            key=request.POST.get("key", "")[:64],
        )
    except (ValidationFailed, Conflict, Forbidden) as failure:
        return _answer(request, caller, now, request.POST.dict(), _problem_of(failure))
    messages.success(request, f"Asked: it waits for {needs_text(asked.needs)}.")
    return redirect("approval", asked.id)


def _policy_in(post: QueryDict) -> facade.ApprovalPolicy:
    """Which policy does the form state? Tiers, which it doesn't show, stay as they are.

    Raises: ValidationFailed (`validation_failed`) naming every field that can't be.
    """
    wrong = []
    try:
        materiality = parse_nanos(post.get("materiality", "")[:40].replace(",", "").strip())
    except AmountMalformed:
        materiality = 0
        wrong.append(FieldError("/materiality", "bad_format", "An amount such as 10000."))
    numbers = {}
    for name, most in (("percent", 100), ("expiry_days", 90), ("confirm_hours", 168)):
        stated = post.get(name, "").strip()
        if not (stated.isascii() and stated.isdecimal() and len(stated) <= 3):
            wrong.append(
                FieldError(f"/{name}", "bad_format", f"{name}: a whole number to {most}.")
            )
            continue
        numbers[name] = int(stated)
    if wrong:
        raise ValidationFailed(errors=wrong)
    return facade.ApprovalPolicy(
        materiality_nanos=materiality,
        materiality_parent_ppm=numbers["percent"] * PPM_PER_PERCENT,
        expiry_days=numbers["expiry_days"],
        confirm_hours=numbers["confirm_hours"],
        keys_may_approve=post.get("keys_may_approve") == "yes",
        compliance_approvers=tuple(each[:64] for each in post.getlist("compliance")),
        tiers=facade.approval_policy().policy.tiers,
    )


def _answer(
    request: HttpRequest,
    caller: Caller,
    now: datetime,
    typed: Mapping[str, Any],
    problem: Problem | None,
) -> HttpResponse:
    view = facade.approval_policy()
    policy, currency = view.policy, facade.organisation().currency
    staff = [each for each in people.list_people() if each.is_active]
    names = {each.id: each.display_name for each in staff}
    percent = policy.materiality_parent_ppm // PPM_PER_PERCENT
    form = {
        "key": ids.new_uuid().hex,
        "may": facade.can_ask(actor=caller, kind="approval.policy"),
        "currency": currency,
        "materiality": typed.get("materiality", amount_text(policy.materiality_nanos)),
        "percent": typed.get("percent", percent),
        "expiry_days": typed.get("expiry_days", policy.expiry_days),
        "confirm_hours": typed.get("confirm_hours", policy.confirm_hours),
        "keys": (typed.get("keys_may_approve") == "yes") if typed else policy.keys_may_approve,
        "reason": typed.get("reason", ""),
        "people": [
            {
                "id": each.id,
                "name": f"{each.display_name}, {each.role}",
                "named": each.id in policy.compliance_approvers,
            }
            for each in staff
            if each.role != Role.ADMIN.value
        ],
    }
    context = {
        "head": {
            "headline": "Two people make every change that costs more.",
            "subline": "Maker and checker are different people, administrators too; each "
            "person counts once; silence never approves.",
            "crumbs": [Link("Approvals", reverse("approvals")), Link("Who approves what", "")],
        },
        "stamp": {
            "seq": facade.ledger_position(),
            "at": now,
            "state": "fresh",
        },
        "bar": Bar(),
        "rules": [_rule_row(kind, rule) for kind, rule in facade.RULES.items()],
        "version": view.version,
        "policy": policy,
        "percent": percent,
        "currency": currency,
        "compliance": ", ".join(names.get(each, each) for each in policy.compliance_approvers),
        "form": form,
        "problem": problem,
        "pending": [
            {
                "title": each.text.title,
                "needs": needs_text(each.needs),
                "url": reverse("approval", args=[each.id]),
            }
            for each in facade.find_open(subject="approval-policy", now=now)
        ],
    }
    return render_page(
        request,
        template="policies/approval_policy.html",
        part="policies/_approval_policy.html",
        context=context,
        status=problem.status if problem else 200,
    )


def _rule_row(kind: str, rule: facade.ApprovalRule) -> dict[str, str]:
    makers = sorted(rule.makers) + (["o10 itself"] if rule.by_system else [])
    needs = needs_text(["|".join(sorted(need)) for need in rule.needs])
    above = needs_text(["|".join(sorted(need)) for need in rule.above]) if rule.above else ""
    return {
        "kind": kind,
        "makers": ", ".join(makers),
        "needs": f"holds at once; confirmed by {needs}" if rule.confirms else needs,
        "above": above,
    }


def _problem_of(failure: O10Error) -> Problem:
    if isinstance(failure, Forbidden):
        return Problem(
            "Your role can't ask for this.", "A controller asks, the CFO agrees.", status=403
        )
    if failure.errors:
        text = " ".join(error.message for error in failure.errors)
        return Problem("Nothing was asked.", text, status=422)
    return Problem("Nothing was asked.", f"Code {failure.code}.", status=409)
