"""How does a finding become an alert, exactly once, with everybody who shall hear of it?

The alert and its deliveries are written in one transaction: whoever raises it again, in another
process or after a crash, changes nothing. Sending is another job's work (`deliver`), so raising
one never waits for a network and may stand inside any transaction.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from django.db import transaction
from django.db.models import Q

from o10.kernel import ids
from policies.core.alert_kinds import NEWS, Severity
from policies.models import Alert, AlertChannel, AlertDelivery, AlertRule, AlertSnooze

_KIND = re.compile(r"[a-z][a-z_]{1,39}", re.A)
_TITLE_MOST = 200
_DETAIL_MOST = 2_000


class AlertMalformed(ValueError):
    """Did our own code raise an alert whose kind, subject or window cannot be?"""


@dataclass(frozen=True, slots=True)
class Raised:
    """Which alert is it (alt_…), and was it raised just now?"""

    alert: str
    fresh: bool


def raise_alert(
    *,
    kind: str,
    subject: str,
    window: str,
    title: str,
    detail: str,
    severity: str,
    now: datetime,
    evidence: Mapping[str, Any] | None = None,
    url: str = "",
    use_case: int | None = None,
    envelope: int | None = None,
    rule: int | None = None,
    test: bool = False,
    channels: tuple[int, ...] = (),
) -> Raised:
    """Which alert stands for this finding? Raised the first time, found again afterwards.

    Idempotent by (kind, subject, window). `subject` is an id or slug, `window` a text that is
    the same within one window; `title` one sentence with one number; `evidence` the figures
    (integers of money as text), never a secret or a prompt. `use_case` and `envelope` are
    numbers; `rule` the number of its rule, else the built-in rule of the kind holds.
    `test` = fired by hand, resolved at once, as are news; `channels` = told to these alone.
    Locks: the unique key of the alert.
    Raises: AlertMalformed for a fault of the calling code.
    """
    urgency = Severity(severity)
    if not _KIND.fullmatch(kind) or not 0 < len(subject) <= 160 or not 0 < len(window) <= 64:
        raise AlertMalformed(f"{kind!r} {subject!r} {window!r}")
    with transaction.atomic():
        by = _rule_of(kind, rule)
        alert = Alert(
            public=ids.new_id("alt"),
            kind=kind,
            subject=subject,
            window=window,
            severity=urgency.value,
            title=_cut(title, _TITLE_MOST),
            detail=_cut(detail, _DETAIL_MOST),
            evidence=msgspec.to_builtins(dict(evidence or {})),
            url=url,
            rule=by,
            use_case_id=use_case,
            envelope_id=envelope,
            test=test,
            state="resolved" if test or kind in NEWS else "open",
            raised_at=now,
            state_at=now,
        )
        Alert.objects.bulk_create([alert], ignore_conflicts=True)
        stands = Alert.objects.get(kind=kind, subject=subject, window=window)
        if stands.public != alert.public:
            return Raised(stands.public, fresh=False)
        _tell(stands, by, channels, now)
        if by is not None:
            AlertRule.objects.filter(id=by.id).update(last_fired_at=now)
    return Raised(stands.public, fresh=True)


def asleep_until(*, kind: str, subject: str, now: datetime) -> datetime | None:
    """Until when shall nobody be told of this? None = tell at once."""
    return (
        AlertSnooze.objects.filter(
            Q(subject="") | Q(subject=subject), kind=kind, until__gt=now, ended_at=None
        )
        .order_by("-until")
        .values_list("until", flat=True)
        .first()
    )


def _rule_of(kind: str, rule: int | None) -> AlertRule | None:
    if rule is not None:
        return AlertRule.objects.get(id=rule)
    return AlertRule.objects.filter(kind=kind, built_in=True).first()


def _tell(
    alert: Alert, rule: AlertRule | None, channels: tuple[int, ...], now: datetime
) -> None:
    """Writes the outbox: one row for each channel that shall hear of it."""
    found = AlertChannel.objects.filter(state="active")
    if channels:
        found = found.filter(id__in=channels)
    elif rule is not None and rule.channels:
        found = found.filter(id__in=rule.channels)
    urgency = Severity(alert.severity).rank
    due = None if alert.test else asleep_until(kind=alert.kind, subject=alert.subject, now=now)
    AlertDelivery.objects.bulk_create(
        AlertDelivery(
            public=ids.new_id("msg"),
            alert=alert,
            channel=channel,
            event="test" if alert.test else "raised",
            due_at=due or now,
            created_at=now,
        )
        for channel in found.order_by("id")
        if alert.test or Severity(channel.least_severity).rank <= urgency
    )


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
