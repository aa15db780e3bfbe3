"""What needs attention, who is told of it, and what do people do about it?"""

from datetime import datetime, timedelta

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
    IdempotencyMismatch,
    NotFound,
    O10Error,
    PreconditionFailed,
    ValidationFailed,
)
from policies import facade
from policies.web.shown_alerts import (
    seen_token,
    show_alert,
    show_changes,
    show_channels,
    show_list,
    show_rule_form,
    show_rules,
)
from policies.web.shown_envelope_change import Problem

ROWS = 50
SEEN = "X-O10-Seen"
"""Header of a page that asks whether there is something new."""
REFUSALS = (ValidationFailed, Conflict, Forbidden, NotFound)
SNOOZES = {"1": 1, "4": 4, "24": 24, "168": 168}
"""Hours that the form offers."""


@require_GET
@page(Action.READ_SPEND)
def alerts(request: HttpRequest, *, caller: Caller, now: datetime) -> HttpResponse:
    """The list, newest first: what is not resolved, or `?state=resolved`."""
    state = request.GET.get("state", "")
    state = state if state in ("open", "acknowledged", "resolved") else "unresolved"
    cursor = request.GET.get("cursor", "")[:19]
    found = facade.list_alerts(now=now, state=state, cursor=cursor, limit=ROWS)
    if request.headers.get(SEEN) == seen_token(found):
        return HttpResponse(status=204)
    context = show_list(
        found=found,
        state=state,
        counts=facade.count_by_severity(),
        caller=caller,
        cursor=cursor,
        position=facade.ledger_position(),
        now=now,
    )
    return _page(request, "alerts", context)


@require_GET
@page(Action.READ_SPEND)
def alert(
    request: HttpRequest, alert_id: str, *, caller: Caller, now: datetime
) -> HttpResponse:
    """One alert: figures, who was told, what each try gave."""
    return _alert(request, alert_id, caller, now)


@require_POST
@page(Action.READ_SPEND)
def alert_act(
    request: HttpRequest, alert_id: str, *, caller: Caller, now: datetime
) -> HttpResponse:
    """Acknowledges, resolves, snoozes or wakes it."""
    reason = request.POST.get("reason", "").strip()[:400]
    try:
        said = _act(request, alert_id, reason, caller, now)
    except REFUSALS as failure:
        if isinstance(failure, NotFound):
            raise
        return _alert(request, alert_id, caller, now, _problem(failure), reason)
    messages.success(request, said)
    return redirect("alert", alert_id)


@require_POST
@page(Action.CHANGE_ALERT_RULES)
def alert_redeliver(
    request: HttpRequest, delivery: str, *, caller: Caller, now: datetime
) -> HttpResponse:
    """Sends a message once more, under the id it had."""
    back = request.POST.get("alert", "")[:30]
    try:
        facade.redeliver(delivery=delivery, actor=caller, now=now)
        messages.success(request, "It is sent again, under the id it had.")
    except Conflict:
        messages.warning(request, "It is on its way already; nothing was changed.")
    return redirect("alert", back) if back.startswith("alt_") else redirect("alerts")


@require_GET
@page(Action.READ_SPEND)
def alert_rules(request: HttpRequest, *, caller: Caller, now: datetime) -> HttpResponse:
    """All rules, with what they found last."""
    context = show_rules(
        rules=facade.list_alert_rules(),
        caller=caller,
        position=facade.ledger_position(),
        now=now,
    )
    return _page(request, "alert_rules", context)


@require_http_methods(["GET", "POST"])
@page(Action.CHANGE_ALERT_RULES)
def alert_rule_new(request: HttpRequest, *, caller: Caller, now: datetime) -> HttpResponse:
    """The form of a new rule."""
    if request.method == "GET":
        return _rule_form(request, caller, None, {"severity": "warning"})
    typed = _typed_rule(request)
    kind, _, slug = str(typed["scope"]).partition(":")
    try:
        rule = facade.create_alert_rule(
            draft=facade.AlertRuleDraft(
                name=str(typed["name"]),
                kind=str(typed["kind"]),
                scope_kind=kind or "company",
                scope_slug=slug,
                threshold=str(typed["threshold"]) or None,
                window=str(typed["window"]),
                severity=str(typed["severity"]),
                channels=tuple(request.POST.getlist("channels")[:20]),
            ),
            actor=caller,
            now=now,
            key=request.POST.get("key", "")[:64],
        )
    except REFUSALS as failure:
        return _rule_form(request, caller, None, typed, _problem(failure))
    messages.success(request, "The rule watches from now on.")
    return redirect("alert-rule", rule)


@require_http_methods(["GET", "POST"])
@page(Action.READ_SPEND)
def alert_rule(
    request: HttpRequest, rule_id: str, *, caller: Caller, now: datetime
) -> HttpResponse:
    """One rule and the form that changes it."""
    rule = facade.get_alert_rule(rule=rule_id)
    if request.method == "GET":
        typed: dict[str, object] = {
            "name": rule.name,
            "threshold": rule.threshold or "",
            "severity": rule.severity,
            "channels": rule.channels,
        }
        return _rule_form(request, caller, rule, typed)
    typed = _typed_rule(request)
    version = request.POST.get("version", "")
    try:
        facade.change_alert_rule(
            rule=rule_id,
            change=facade.AlertRuleChange(
                name=str(typed["name"]),
                threshold=str(typed["threshold"]) or None,
                severity=str(typed["severity"]),
                channels=tuple(request.POST.getlist("channels")[:20]),
                reason=str(typed["reason"]),
            ),
            actor=caller,
            now=now,
            key=request.POST.get("key", "")[:64],
            expected_version=int(version) if version.isdecimal() and len(version) < 9 else None,
        )
    except REFUSALS as failure:
        return _rule_form(request, caller, rule, typed, _problem(failure))
    messages.success(request, "The rule holds as you wrote it from the next look on.")
    return redirect("alert-rule", rule_id)


@require_POST
@page(Action.CHANGE_ALERT_RULES)
def alert_rule_act(
    request: HttpRequest, rule_id: str, *, caller: Caller, now: datetime
) -> HttpResponse:
    """Pauses, wakes, retires or tries a rule."""
    state = {"pause": "paused", "resume": "active", "retire": "retired"}
    do, key = request.POST.get("do", ""), request.POST.get("key", "")[:64]
    try:
        if do == "test":
            facade.test_alert_rule(rule=rule_id, actor=caller, now=now, key=key)
            messages.success(request, "Fired: its channels are told, marked as a test.")
        elif do in state:
            change = facade.AlertRuleChange(state=state[do])
            facade.change_alert_rule(rule=rule_id, change=change, actor=caller, now=now)
            messages.success(request, f"The rule is {state[do]} now.")
        else:
            messages.warning(request, "Nothing was changed: use a button.")
    except Conflict:
        messages.warning(request, "Nothing was changed: a built-in rule is only paused.")
    return redirect("alert-rules")


@require_http_methods(["GET", "POST"])
@page(Action.READ_SPEND)
def alert_channels(request: HttpRequest, *, caller: Caller, now: datetime) -> HttpResponse:
    """All channels, and the form of a new one; its secret is on the answer and never again."""
    if request.method == "GET":
        return _channels(request, caller, now, {"least_severity": "warning"})
    typed = {
        name: request.POST.get(name, "").strip()[:500]
        for name in ("name", "kind", "target", "least_severity")
    }
    try:
        made = facade.create_channel(
            draft=facade.ChannelDraft(**typed),
            actor=caller,
            now=now,
            key=request.POST.get("key", "")[:64],
        )
    except REFUSALS as failure:
        return _channels(request, caller, now, typed, problem=_problem(failure))
    messages.success(request, "The channel is there; try it.")
    if made.secret:
        return _channels(request, caller, now, {}, secret=made)
    return redirect("alert-channels")


@require_POST
@page(Action.READ_SPEND)
def alert_channel_act(
    request: HttpRequest, channel_id: str, *, caller: Caller, now: datetime
) -> HttpResponse:
    """Tries, disables, wakes or retires a channel, or gives it a new secret."""
    state = {"disable": "disabled", "enable": "active", "retire": "retired"}
    do, key = request.POST.get("do", ""), request.POST.get("key", "")[:64]
    try:
        if do == "test":
            facade.test_channel(channel=channel_id, actor=caller, now=now, key=key)
            messages.success(request, "A test is on its way to this channel alone.")
        elif do == "rotate":
            made = facade.rotate_channel_secret(
                channel=channel_id, grace=timedelta(days=1), actor=caller, now=now, key=key
            )
            return _channels(request, caller, now, {}, secret=made)
        elif do in state:
            change = facade.ChannelChange(state=state[do])
            facade.change_channel(channel=channel_id, change=change, actor=caller, now=now)
            messages.success(request, f"The channel is {state[do]} now.")
        else:
            messages.warning(request, "Nothing was changed: use a button.")
    except REFUSALS as failure:
        if isinstance(failure, NotFound | Forbidden):
            raise
        return _channels(request, caller, now, {}, problem=_problem(failure))
    return redirect("alert-channels")


@require_http_methods(["GET", "POST"])
@page(Action.READ_SPEND)
def alert_changes(request: HttpRequest, *, caller: Caller, now: datetime) -> HttpResponse:
    """Changes of use cases when first seen, and the form that asks for a signature."""
    if request.method == "GET":
        typed = {
            name: request.GET.get(name, "")[:128] for name in ("use_case", "dimension", "value")
        }
        return _changes(request, caller, now, typed)
    typed = {
        name: request.POST.get(name, "").strip()[:400]
        for name in ("use_case", "dimension", "value", "reason")
    }
    try:
        asked = facade.propose_change(
            kind="change.signed",
            subject=typed["use_case"],
            change={name: typed[name] for name in ("use_case", "dimension", "value")},
            actor=caller,
            now=now,
            reason=typed["reason"],
            key=request.POST.get("key", "")[:64],
        )
    except REFUSALS as failure:
        return _changes(request, caller, now, typed, _problem(failure))
    messages.success(request, "Asked: it is signed once a second person agrees.")
    return redirect("approval", asked.id)


def _act(
    request: HttpRequest, alert_id: str, reason: str, caller: Caller, now: datetime
) -> str:
    match request.POST.get("do", ""):
        case "acknowledge":
            facade.acknowledge_alert(alert=alert_id, reason=reason, actor=caller, now=now)
            return "Acknowledged: it counts as open no more."
        case "resolve":
            facade.resolve_alert(alert=alert_id, reason=reason, actor=caller, now=now)
            return "Resolved."
        case "wake":
            facade.wake_alert(alert=alert_id, actor=caller, now=now)
            return "The snooze is over; what waited is told now."
        case "snooze":
            hours = SNOOZES.get(request.POST.get("hours", ""), 24)
            facade.snooze_alert(
                alert=alert_id,
                until=now + timedelta(hours=hours),
                whole_kind=request.POST.get("whole_kind") == "1",
                reason=reason,
                actor=caller,
                now=now,
            )
            return "Snoozed: nobody is told until then."
    raise ValidationFailed(errors=[FieldError("/do", "unknown", "Use a button.")])


def _alert(
    request: HttpRequest,
    alert_id: str,
    caller: Caller,
    now: datetime,
    problem: Problem | None = None,
    reason: str = "",
) -> HttpResponse:
    context = show_alert(
        alert=facade.get_alert(alert=alert_id, now=now),
        deliveries=facade.list_deliveries(alert=alert_id).items,
        caller=caller,
        currency=facade.organisation().currency,
        position=facade.ledger_position(),
        now=now,
        problem=problem,
        reason=reason,
    )
    return _page(request, "alert", context, problem)


def _typed_rule(request: HttpRequest) -> dict[str, object]:
    names = ("name", "kind", "scope", "threshold", "window", "severity", "reason")
    typed: dict[str, object] = {
        name: request.POST.get(name, "").strip()[:400] for name in names
    }
    typed["channels"] = request.POST.getlist("channels")[:20]
    return typed


def _rule_form(
    request: HttpRequest,
    caller: Caller,
    rule: facade.AlertRuleView | None,
    typed: dict[str, object],
    problem: Problem | None = None,
) -> HttpResponse:
    use_cases = facade.list_use_case_rows()
    scopes = [("company:", "The whole company")]
    scopes += [(f"department:{name}", f"Department {name}") for name in _departments(use_cases)]
    scopes += [(f"use_case:{row.slug}", row.name) for row in use_cases]
    context = show_rule_form(
        rule=rule,
        typed=typed,
        channels=facade.list_channels().items,
        scopes=[(value.removesuffix(":"), label) for value, label in scopes],
        caller=caller,
        problem=problem,
    )
    return _page(request, "alert_rule", context, problem)


def _departments(use_cases: list[facade.UseCaseRow]) -> list[str]:
    return sorted({row.department for row in use_cases})


def _channels(
    request: HttpRequest,
    caller: Caller,
    now: datetime,
    typed: dict[str, str],
    *,
    secret: facade.NewSecret | None = None,
    problem: Problem | None = None,
) -> HttpResponse:
    context = show_channels(
        channels=facade.list_channels(),
        typed=typed,
        secret=secret,
        caller=caller,
        problem=problem,
        position=facade.ledger_position(),
        now=now,
    )
    return _page(request, "alert_channels", context, problem)


def _changes(
    request: HttpRequest,
    caller: Caller,
    now: datetime,
    typed: dict[str, str],
    problem: Problem | None = None,
) -> HttpResponse:
    chosen = typed.get("use_case", "") if request.method == "GET" else ""
    context = show_changes(
        changes=facade.list_changes(use_case=chosen, limit=ROWS),
        use_cases=[(row.slug, row.name) for row in facade.list_use_case_rows()],
        typed=typed,
        caller=caller,
        problem=problem,
        currency=facade.organisation().currency,
        position=facade.ledger_position(),
        now=now,
    )
    return _page(request, "alert_changes", context, problem)


def _page(
    request: HttpRequest,
    name: str,
    context: dict[str, object],
    problem: Problem | None = None,
) -> HttpResponse:
    return render_page(
        request,
        template=f"policies/{name}.html",
        part=f"policies/_{name}.html",
        context=context,
        status=problem.status if problem else 200,
    )


def _problem(failure: O10Error) -> Problem:
    """How is a refusal told? What happened, what was not done, what to do."""
    if isinstance(failure, PreconditionFailed):
        return Problem(
            "Somebody changed this while you were looking at it.",
            "Your change was not entered; look again and send it once more if it still holds.",
            status=409,
        )
    if isinstance(failure, IdempotencyMismatch):
        return Problem(
            "This form was already sent with another change.",
            "The first one holds. Nothing more was entered.",
            status=409,
        )
    if failure.errors:
        return Problem(
            "Nothing was changed.",
            " ".join(error.message for error in failure.errors),
            tuple(error.pointer.strip("/").split("/")[0] for error in failure.errors),
        )
    if isinstance(failure, Forbidden):
        return Problem(
            "Your role may not do this.",
            "Nothing was changed. Finance and owners of use cases handle alerts.",
            status=403,
        )
    return Problem(
        "The present state does not allow this.",
        f"Nothing was changed. Code {failure.code}.",
        status=409,
    )
