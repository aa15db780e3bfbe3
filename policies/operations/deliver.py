"""How does an alert reach its channels: claimed, signed, sent, noted, tried again?

The outbox is claimed for a short time, in a transaction of its own; the sending stands outside
of any; the answer is noted in a third step. A worker that dies in between loses its claim, and
the next one sends under the same message id, by which the receiver knows it (Standard Webhooks:
`webhook-id`; mail: `Message-ID`). So nothing is lost, and nothing is counted twice.
Source: docs/algorithms/alerts.md; the Standard Webhooks specification.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID, uuid4

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Coalesce
from standardwebhooks import Webhook

from o10.access.keys import SecretUnreadable, unwrap
from policies.core.alert_messages import (
    GROUP_MOST,
    Told,
    mail_of,
    slack_body,
    teams_body,
    webhook_body,
)
from policies.models import AlertAttempt, AlertChannel, AlertDelivery
from policies.operations.post_outside import Answer, post
from policies.operations.send_mail import send_mail
from policies.queries.organisation import find_organisation

CLAIM: Final = timedelta(seconds=60)
"""Longer than any sending takes: ten seconds to connect, ten for each read."""
BACK_OFF_S: Final = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 72_000)
"""Seconds to the next try; together just under three days."""
GIVE_UP_AFTER: Final = timedelta(days=3)
GONE: Final = 410
_GOOD: Final = range(200, 300)
_log = structlog.get_logger("policies.alerts")


@dataclass(frozen=True, slots=True)
class Parcel:
    """What was claimed: which rows go to which channel under which message id?"""

    claim: UUID
    message: str
    channel: AlertChannel
    rows: tuple[AlertDelivery, ...]
    started: float


def deliver_due(*, now: datetime, most: int = 50) -> int:
    """How many messages were sent? Claims and sends one after the other, oldest first.

    Safe to run in any number of workers at once.
    Locks: the rows it claims, skipping those of others.
    """
    began = time.monotonic()
    sent = 0
    for _ in range(most):
        at = now + timedelta(seconds=time.monotonic() - began)
        parcel = claim_next(now=at)
        if parcel is None:
            break
        answer = send(parcel, now=at)
        note(parcel, answer, now=now + timedelta(seconds=time.monotonic() - began))
        sent += answer.code in _GOOD
    return sent


def claim_next(*, now: datetime) -> Parcel | None:
    """Which message shall this worker send next? None = nothing is due.

    Alerts that are due at once go into one message of a chat room or a mail.
    """
    with transaction.atomic():
        due = Q(state="waiting", due_at__lte=now) | Q(state="claimed", claim_ends_at__lte=now)
        locked = AlertDelivery.objects.select_for_update(skip_locked=True, of=("self",))
        first = locked.select_related("channel").filter(due).order_by("due_at", "id").first()
        if first is None:
            return None
        rows = [first]
        if first.message:
            mine = locked.filter(due, message=first.message, channel=first.channel_id)
            rows += list(mine.exclude(id=first.id).order_by("id"))
        elif first.channel.kind != "webhook":
            fresh = locked.filter(
                state="waiting",
                due_at__lte=now,
                message="",
                event=first.event,
                channel=first.channel_id,
            )
            rows += list(fresh.exclude(id=first.id).order_by("id")[: GROUP_MOST - 1])
        parcel = Parcel(
            uuid4(),
            first.message or first.public,
            first.channel,
            tuple(rows),
            time.monotonic(),
        )
        AlertDelivery.objects.filter(id__in=[row.id for row in rows]).update(
            state="claimed",
            claim=parcel.claim,
            claim_ends_at=now + CLAIM,
            message=parcel.message,
            attempts=F("attempts") + 1,
            first_attempt_at=Coalesce("first_attempt_at", now),
        )
    return parcel


def send(parcel: Parcel, *, now: datetime) -> Answer:
    """What answered? Never raises for what is outside: that is an answer too, code 0."""
    channel = parcel.channel
    if channel.state != "active":
        return Answer(GONE, f"the channel is {channel.state}")
    told = list_told(parcel.rows)
    try:
        target = unwrap(bytes(channel.target_wrapped)).decode()
        if channel.kind == "email":
            return _mail(parcel, told, target)
        if channel.kind == "webhook":
            body = webhook_body(told[0])
            return post(target, body, headers=_signed(channel, parcel.message, body, now))
    except SecretUnreadable:
        return Answer(0, "the stored address or secret cannot be read with this secret key")
    body = slack_body(told) if channel.kind == "slack" else teams_body(told)
    return post(target, body, headers={})


def note(parcel: Parcel, answer: Answer, *, now: datetime) -> None:
    """Writes the delivery log, and whether it ends here or when it is tried again."""
    took_ms = int((time.monotonic() - parcel.started) * 1_000)
    with transaction.atomic():
        rows = list(
            AlertDelivery.objects.select_for_update(of=("self",))
            .filter(id__in=[row.id for row in parcel.rows])
            .order_by("id")
        )
        AlertAttempt.objects.bulk_create(
            AlertAttempt(
                delivery=row,
                message=parcel.message,
                number=row.attempts,
                at=now,
                took_ms=took_ms,
                code=answer.code,
                outcome=answer.outcome,
            )
            for row in rows
        )
        for row in rows:
            # Whoever took the claim over says how it ended; unless it is known to have arrived.
            if row.claim == parcel.claim or answer.code in _GOOD:
                _end(row, answer, now)
        if answer.code == GONE and parcel.channel.state == "active":
            AlertChannel.objects.filter(id=parcel.channel.id).update(
                state="disabled", state_reason="It answered 410 Gone.", updated_at=now
            )
    _log.info(
        "alert_delivered" if answer.code in _GOOD else "alert_not_delivered",
        message=parcel.message,
        channel=parcel.channel.public,
        alerts=len(parcel.rows),
        status=answer.code,
        outcome=answer.outcome,
    )


def list_told(rows: Sequence[AlertDelivery]) -> list[Told]:
    """What is told of the alerts of these rows? In their order."""
    found = {
        row.id: row
        for row in AlertDelivery.objects.select_related("alert").filter(
            id__in=[row.id for row in rows]
        )
    }
    return [
        Told(
            id=alert.public,
            kind=alert.kind,
            severity=alert.severity,
            subject=alert.subject.partition("#")[0],
            title=alert.title,
            detail=alert.detail,
            state=alert.state,
            raised_at=alert.raised_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            url=f"{settings.O10_BASE_URL}/alerts/{alert.public}/",
            evidence=alert.evidence,
            event=row.event,
        )
        for row in rows
        for alert in (found[row.id].alert,)
    ]


def _end(row: AlertDelivery, answer: Answer, now: datetime) -> None:
    row.claim, row.claim_ends_at = None, None
    row.response_code, row.outcome = answer.code, answer.outcome
    began = row.first_attempt_at or now
    if answer.code in _GOOD:
        row.state, row.ended_at = "sent", now
        return row.save()
    step = BACK_OFF_S[min(row.attempts, len(BACK_OFF_S)) - 1]
    wait = timedelta(seconds=max(step, min(answer.retry_after_s, 86_400)))
    if answer.code == GONE or now + wait - began > GIVE_UP_AFTER:
        row.state, row.ended_at = "given_up", now
    else:
        row.state, row.due_at = "waiting", now + wait
    return row.save()


def _signed(
    channel: AlertChannel, message: str, body: bytes, now: datetime
) -> Mapping[str, str]:
    """Which headers prove who sent it? During a rotation both secrets sign."""
    wrapped = [channel.secret_wrapped]
    if channel.previous_wrapped and channel.previous_ends_at and channel.previous_ends_at > now:
        wrapped.append(channel.previous_wrapped)
    # The library takes the time as if it were UTC, and cuts it to whole seconds.
    at = now.astimezone(UTC)
    signatures = [
        Webhook(unwrap(bytes(each))).sign(message, at, body.decode())
        for each in wrapped
        if each is not None
    ]
    return {
        "webhook-id": message,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


def _mail(parcel: Parcel, told: Sequence[Told], target: str) -> Answer:
    company = find_organisation()
    subject, text, html = mail_of(
        told,
        company=company.name if company else "o10",
        settings_url=f"{settings.O10_BASE_URL}/alerts/channels/",
    )
    return send_mail(
        to=target.split(","),
        subject=subject,
        text=text,
        html=html,
        message=parcel.message,
        settings_url=f"{settings.O10_BASE_URL}/alerts/channels/",
    )
