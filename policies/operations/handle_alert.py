"""What do people do with an alert: acknowledge, resolve, snooze, wake it?

Each step notes who took it, when and why. A snooze silences the telling, not the finding: what
is raised while it runs is told when it ends, unless it was resolved by then.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import transaction

from o10.access.checks import check
from o10.access.keys import Caller
from o10.access.roles import Action
from o10.kernel import ids
from o10.kernel.errors import Conflict, FieldError, NotFound, ValidationFailed
from policies.models import Alert, AlertDelivery, AlertSnooze

REASON_MOST = 400
SNOOZE_MOST = timedelta(days=30)


class AlertOver(Conflict):
    """Is the alert resolved already? Fields: `alert`."""

    code = "conflict"


def acknowledge_alert(*, alert: str, reason: str, actor: Caller, now: datetime) -> None:
    """Somebody looks after it: it stays, but counts as open no more. Twice is once.

    Raises: Forbidden; NotFound; AlertOver (`conflict`); ValidationFailed.
    Locks: the alert.
    """
    check(caller=actor, action=Action.HANDLE_ALERTS)
    _check_reason(reason, needed="")
    with transaction.atomic():
        row = _locked(alert)
        if row.state == "resolved":
            raise AlertOver(alert=alert)
        if row.state == "open":
            _move(row, "acknowledged", actor.actor, reason, now)


def resolve_alert(*, alert: str, reason: str, actor: Caller, now: datetime) -> None:
    """It is dealt with; what was not yet told is not told any more. Twice is once.

    Raises: Forbidden; NotFound; ValidationFailed without a reason.
    Locks: the alert.
    """
    check(caller=actor, action=Action.HANDLE_ALERTS)
    _check_reason(reason, needed="Say what was done: it is kept with the alert.")
    with transaction.atomic():
        row = _locked(alert)
        if row.state != "resolved":
            _resolve(row, actor.actor, reason, now)


def snooze_alert(
    *,
    alert: str,
    until: datetime,
    whole_kind: bool,
    reason: str,
    actor: Caller,
    now: datetime,
) -> None:
    """Nobody is told of this subject (or of the whole kind) until then, 30 days at most.

    Raises: Forbidden; NotFound; ValidationFailed.
    Locks: the alert.
    """
    check(caller=actor, action=Action.HANDLE_ALERTS)
    _check_reason(reason, needed="Say why: it is kept with the alert.")
    if not now < until <= now + SNOOZE_MOST:
        message = "A snooze ends between now and 30 days from now."
        raise ValidationFailed(errors=[FieldError("/until", "out_of_range", message)])
    with transaction.atomic():
        row = _locked(alert)
        AlertSnooze.objects.create(
            kind=row.kind,
            subject="" if whole_kind else row.subject,
            until=until,
            reason=reason,
            at=now,
            by=actor.actor,
        )
        waiting = AlertDelivery.objects.filter(
            alert__kind=row.kind, event="raised", state="waiting", attempts=0
        )
        if not whole_kind:
            waiting = waiting.filter(alert__subject=row.subject)
        waiting.update(due_at=until)


def wake_alert(*, alert: str, actor: Caller, now: datetime) -> None:
    """Ends the snoozes of this alert's subject and kind; what waited is told now.

    Raises: Forbidden; NotFound.
    Locks: the alert.
    """
    check(caller=actor, action=Action.HANDLE_ALERTS)
    with transaction.atomic():
        row = _locked(alert)
        AlertSnooze.objects.filter(
            kind=row.kind, subject__in=("", row.subject), until__gt=now, ended_at=None
        ).update(ended_at=now)
        AlertDelivery.objects.filter(
            alert__kind=row.kind, event="raised", state="waiting", attempts=0, due_at__gt=now
        ).update(due_at=now)


def resolve_by_itself(*, rule: int, but: Sequence[str], now: datetime) -> None:
    """Resolves what this rule raised and no longer finds.

    Locks: the alerts, in order.
    """
    over = Alert.objects.filter(rule_id=rule).exclude(state="resolved").exclude(subject__in=but)
    if not over.exists():
        return
    with transaction.atomic():
        for row in over.select_for_update(of=("self",)).order_by("id"):
            _resolve(row, "", "It is no longer so.", now)


def _resolve(row: Alert, by: str, reason: str, now: datetime) -> None:
    _move(row, "resolved", by, reason, now)
    AlertDelivery.objects.filter(alert=row, event="raised", state="waiting", attempts=0).update(
        state="dropped", ended_at=now, outcome="resolved before it was told"
    )
    told = AlertDelivery.objects.filter(
        alert=row, event="raised", channel__kind="webhook", channel__state="active"
    ).exclude(state="dropped")
    AlertDelivery.objects.bulk_create(
        [
            AlertDelivery(
                public=ids.new_id("msg"),
                alert=row,
                channel_id=channel,
                event="resolved",
                due_at=now,
                created_at=now,
            )
            for channel in told.order_by("channel_id").values_list("channel_id", flat=True)
        ],
        ignore_conflicts=True,
    )


def _move(row: Alert, state: str, by: str, reason: str, now: datetime) -> None:
    Alert.objects.filter(id=row.id).update(
        state=state, state_at=now, state_by=by, state_reason=reason.strip()
    )


def _locked(alert: str) -> Alert:
    row = Alert.objects.select_for_update(of=("self",)).filter(public=alert).first()
    if row is None:
        raise NotFound(kind="alert", id=alert)
    return row


def _check_reason(reason: str, *, needed: str) -> None:
    if needed and not reason.strip():
        raise ValidationFailed(errors=[FieldError("/reason", "required", needed)])
    if len(reason) > REASON_MOST or any(ord(letter) < 32 for letter in reason):
        message = f"At most {REASON_MOST} characters of plain text."
        raise ValidationFailed(errors=[FieldError("/reason", "too_long", message)])
