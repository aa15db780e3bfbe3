"""Which alerts, rules, channels and deliveries are there, as people and scripts read them?

Addresses are shown shortened and secrets never. A caller of some use cases sees the alerts of
those alone.
"""

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Any, Final

import msgspec
from django.db.models import Count, Q, QuerySet

from o10.kernel.errors import NotFound
from policies.core.alert_drafts import threshold_text
from policies.core.alert_kinds import KINDS, Unit, title_of
from policies.models import (
    Alert,
    AlertAttempt,
    AlertChannel,
    AlertDelivery,
    AlertRule,
    AlertSnooze,
    ChangeSighting,
)
from policies.queries.envelopes import AsOf, ledger_position

LIMIT_MOST: Final = 200
STATES: Final = ("open", "acknowledged", "resolved")


class AlertView(msgspec.Struct, frozen=True, kw_only=True):
    """What does one alert say? `snoozed_until` null = its subject is told at once."""

    id: str
    kind: str
    kind_title: str
    severity: str
    state: str
    subject: str
    window: str
    title: str
    detail: str
    evidence: dict[str, Any]
    url: str
    use_case: str | None
    envelope: str | None
    rule: str | None
    test: bool
    raised_at: datetime
    state_at: datetime
    state_by: str
    state_reason: str
    snoozed_until: datetime | None


class AlertPage(msgspec.Struct, frozen=True, kw_only=True):
    """Which alerts, newest first, and where does the next page begin?"""

    items: tuple[AlertView, ...]
    next: str | None
    as_of: AsOf


class AlertRuleView(msgspec.Struct, frozen=True, kw_only=True):
    """What does a rule watch? `threshold` as text in `unit`; null = that of the kind."""

    id: str
    name: str
    kind: str
    kind_title: str
    meaning: str
    scope_kind: str
    scope_slug: str
    threshold: str | None
    default_threshold: str | None
    unit: str
    window: str
    severity: str
    channels: tuple[str, ...]
    state: str
    built_in: bool
    version: int
    created_by: str
    updated_at: datetime
    last_fired_at: datetime | None
    open_alerts: int


class AlertRules(msgspec.Struct, frozen=True, kw_only=True):
    """Which rules are there, built-in ones first?"""

    items: tuple[AlertRuleView, ...]
    next: str | None
    as_of: AsOf


class ChannelView(msgspec.Struct, frozen=True, kw_only=True):
    """Where does a channel lead? `target` is what may be shown of it, never a whole URL."""

    id: str
    name: str
    kind: str
    target: str
    least_severity: str
    state: str
    state_reason: str
    signs: bool
    previous_secret_ends_at: datetime | None
    version: int
    created_by: str
    updated_at: datetime
    waiting: int
    sent: int
    failed: int


class Channels(msgspec.Struct, frozen=True, kw_only=True):
    """Which channels are there, in the order they were made?"""

    items: tuple[ChannelView, ...]
    next: str | None
    as_of: AsOf


class AttemptView(msgspec.Struct, frozen=True, kw_only=True):
    """What answered one try? `code` 0 = nothing did."""

    number: int
    at: datetime
    took_ms: int
    code: int
    outcome: str


class DeliveryView(msgspec.Struct, frozen=True, kw_only=True):
    """Did it arrive? `message` is the id that a receiver saw (`webhook-id`)."""

    id: str
    alert: str
    alert_title: str
    channel: str
    channel_name: str
    channel_kind: str
    event: str
    message: str
    state: str
    attempts: int
    due_at: datetime
    response_code: int | None
    outcome: str
    log: tuple[AttemptView, ...]


class Deliveries(msgspec.Struct, frozen=True, kw_only=True):
    """Which deliveries, newest first?"""

    items: tuple[DeliveryView, ...]
    next: str | None
    as_of: AsOf


class ChangeView(msgspec.Struct, frozen=True, kw_only=True):
    """Which change was first seen when, and who signed it? `signed_by` "" = nobody."""

    use_case: str
    use_case_name: str
    dimension: str
    value: str
    before: str
    seen_at: datetime
    seq: int
    signed_by: str
    signed_ref: str
    weighing: str
    result: dict[str, Any] | None
    alert: str | None


def list_alerts(
    *,
    now: datetime,
    state: str = "",
    kind: str = "",
    severity: str = "",
    use_case: str = "",
    slugs: AbstractSet[str] | None = None,
    tests: bool = False,
    cursor: str = "",
    limit: int = 50,
) -> AlertPage:
    """Which alerts match, newest first? `state` "" = all; "unresolved" = not resolved."""
    found = _seen(slugs).select_related("use_case", "envelope", "rule")
    if state == "unresolved":
        found = found.exclude(state="resolved")
    elif state:
        found = found.filter(state=state)
    if kind:
        found = found.filter(kind=kind)
    if severity:
        found = found.filter(severity=severity)
    if use_case:
        found = found.filter(use_case__slug=use_case)
    if not tests:
        found = found.filter(test=False)
    if cursor.isdecimal() and len(cursor) < 19:
        found = found.filter(id__lt=int(cursor))
    rows = list(found.order_by("-id")[: min(limit, LIMIT_MOST) + 1])
    shown = rows[: min(limit, LIMIT_MOST)]
    return AlertPage(
        items=_views(shown, now),
        next=str(shown[-1].id) if len(rows) > len(shown) else None,
        as_of=AsOf(ledger_seq=ledger_position()),
    )


def get_alert(*, alert: str, now: datetime, slugs: AbstractSet[str] | None = None) -> AlertView:
    """What does this alert say?

    Raises: NotFound (`not_found`), also for one outside the caller's use cases.
    """
    row = _seen(slugs).select_related("use_case", "envelope", "rule").filter(public=alert)
    found = row.first()
    if found is None:
        raise NotFound(kind="alert", id=alert)
    return _views([found], now)[0]


def count_open_alerts(*, slugs: AbstractSet[str] | None = None) -> int:
    """How many alerts wait for somebody? Acknowledged ones and mere information do not."""
    return _seen(slugs).filter(state="open").exclude(severity="info").count()


def count_by_severity() -> dict[str, int]:
    """How many unresolved alerts has each severity?"""
    rows = (
        Alert.objects.exclude(state="resolved")
        .values_list("severity")
        .annotate(n=Count("id"))
        .order_by("severity")
    )
    return dict(rows)


def list_alert_rules(*, retired: bool = False) -> AlertRules:
    """Which rules watch, built-in ones first?"""
    found = AlertRule.objects.order_by("-built_in", "id")
    rows = list(found if retired else found.exclude(state="retired"))
    names = dict(AlertChannel.objects.values_list("id", "public"))
    opened = dict(
        Alert.objects.exclude(state="resolved")
        .exclude(rule=None)
        .values_list("rule_id")
        .annotate(n=Count("id"))
        .order_by("rule_id")
    )
    return AlertRules(
        items=tuple(_rule(row, names, opened.get(row.id, 0)) for row in rows),
        next=None,
        as_of=AsOf(ledger_seq=ledger_position()),
    )


def get_alert_rule(*, rule: str) -> AlertRuleView:
    """What does this rule watch?

    Raises: NotFound (`not_found`).
    """
    for each in list_alert_rules(retired=True).items:
        if each.id == rule:
            return each
    raise NotFound(kind="alert_rule", id=rule)


def list_channels(*, retired: bool = False) -> Channels:
    """Which channels are there?"""
    found = AlertChannel.objects.order_by("id")
    rows = list(found if retired else found.exclude(state="retired"))
    counts: dict[tuple[int, str], int] = {
        (channel, state): n
        for channel, state, n in AlertDelivery.objects.values_list("channel_id", "state")
        .annotate(n=Count("id"))
        .order_by("channel_id", "state")
    }
    return Channels(
        items=tuple(_channel(row, counts) for row in rows),
        next=None,
        as_of=AsOf(ledger_seq=ledger_position()),
    )


def get_channel(*, channel: str) -> ChannelView:
    """Where does this channel lead?

    Raises: NotFound (`not_found`).
    """
    for each in list_channels(retired=True).items:
        if each.id == channel:
            return each
    raise NotFound(kind="channel", id=channel)


def list_deliveries(
    *, alert: str = "", channel: str = "", cursor: str = "", limit: int = 50
) -> Deliveries:
    """Which deliveries had this alert, or this channel, newest first, with their log?"""
    found = AlertDelivery.objects.select_related("alert", "channel").order_by("-id")
    if alert:
        found = found.filter(alert__public=alert)
    if channel:
        found = found.filter(channel__public=channel)
    if cursor.isdecimal() and len(cursor) < 19:
        found = found.filter(id__lt=int(cursor))
    rows = list(found[: min(limit, LIMIT_MOST) + 1])
    shown = rows[: min(limit, LIMIT_MOST)]
    logs: dict[int, list[AttemptView]] = {}
    for each in AlertAttempt.objects.filter(delivery_id__in=[row.id for row in shown]).order_by(
        "id"
    ):
        logs.setdefault(each.delivery_id, []).append(
            AttemptView(
                number=each.number,
                at=each.at,
                took_ms=each.took_ms,
                code=each.code,
                outcome=each.outcome,
            )
        )
    return Deliveries(
        items=tuple(_delivery(row, logs.get(row.id, ())) for row in shown),
        next=str(shown[-1].id) if len(rows) > len(shown) else None,
        as_of=AsOf(ledger_seq=ledger_position()),
    )


def list_changes(
    *, use_case: str = "", slugs: AbstractSet[str] | None = None, limit: int = 50
) -> tuple[ChangeView, ...]:
    """Which changes were first seen, newest first? Without what a use case began with."""
    found = ChangeSighting.objects.filter(baseline=False).select_related("use_case", "alert")
    if use_case:
        found = found.filter(use_case__slug=use_case)
    if slugs is not None:
        found = found.filter(use_case__slug__in=slugs)
    return tuple(
        ChangeView(
            use_case=row.use_case.slug,
            use_case_name=row.use_case.name,
            dimension=row.dimension,
            value=row.value,
            before=row.before,
            seen_at=row.seen_at,
            seq=row.seq,
            signed_by=row.signed_by,
            signed_ref=row.signed_ref,
            weighing=row.weighing,
            result=row.result,
            alert=row.alert.public if row.alert else None,
        )
        for row in found.order_by("-seq", "-id")[:limit]
    )


def _seen(slugs: AbstractSet[str] | None) -> QuerySet[Alert]:
    found = Alert.objects.all()
    return found if slugs is None else found.filter(use_case__slug__in=slugs)


def _views(rows: Sequence[Alert], now: datetime) -> tuple[AlertView, ...]:
    sleeps = list(
        AlertSnooze.objects.filter(
            Q(subject="") | Q(subject__in=[row.subject for row in rows]),
            kind__in={row.kind for row in rows},
            until__gt=now,
            ended_at=None,
        ).values_list("kind", "subject", "until")
    )

    def until(row: Alert) -> datetime | None:
        found = [
            each
            for kind, subject, each in sleeps
            if kind == row.kind and subject in ("", row.subject)
        ]
        return max(found, default=None)

    return tuple(
        AlertView(
            id=row.public,
            kind=row.kind,
            kind_title=title_of(row.kind),
            severity=row.severity,
            state=row.state,
            subject=row.subject.partition("#")[0],
            window=row.window,
            title=row.title,
            detail=row.detail,
            evidence=row.evidence,
            url=row.url,
            use_case=row.use_case.slug if row.use_case else None,
            envelope=row.envelope.public if row.envelope else None,
            rule=row.rule.public if row.rule else None,
            test=row.test,
            raised_at=row.raised_at,
            state_at=row.state_at,
            state_by=row.state_by,
            state_reason=row.state_reason,
            snoozed_until=until(row),
        )
        for row in rows
    )


def _rule(row: AlertRule, names: dict[int, str], opened: int) -> AlertRuleView:
    kind = KINDS.get(row.kind)
    return AlertRuleView(
        id=row.public,
        name=row.name,
        kind=row.kind,
        kind_title=title_of(row.kind),
        meaning=kind.meaning if kind else "",
        scope_kind=row.scope_kind,
        scope_slug=row.scope_slug,
        threshold=threshold_text(kind, row.threshold),
        default_threshold=threshold_text(kind, kind.threshold) if kind else None,
        unit=(kind.unit if kind else Unit.CALLS).value,
        window=row.window,
        severity=row.severity,
        channels=tuple(names[each] for each in row.channels if each in names),
        state=row.state,
        built_in=row.built_in,
        version=row.version,
        created_by=row.created_by,
        updated_at=row.updated_at,
        last_fired_at=row.last_fired_at,
        open_alerts=opened,
    )


def _channel(row: AlertChannel, counts: dict[tuple[int, str], int]) -> ChannelView:
    def number(*states: str) -> int:
        return sum(counts.get((row.id, state), 0) for state in states)

    return ChannelView(
        id=row.public,
        name=row.name,
        kind=row.kind,
        target=row.target_shown,
        least_severity=row.least_severity,
        state=row.state,
        state_reason=row.state_reason,
        signs=row.kind == "webhook",
        previous_secret_ends_at=row.previous_ends_at,
        version=row.version,
        created_by=row.created_by,
        updated_at=row.updated_at,
        waiting=number("waiting", "claimed"),
        sent=number("sent"),
        failed=number("given_up"),
    )


def _delivery(row: AlertDelivery, log: Iterable[AttemptView]) -> DeliveryView:
    return DeliveryView(
        id=row.public,
        alert=row.alert.public,
        alert_title=row.alert.title,
        channel=row.channel.public,
        channel_name=row.channel.name,
        channel_kind=row.channel.kind,
        event=row.event,
        message=row.message,
        state=row.state,
        attempts=row.attempts,
        due_at=row.due_at,
        response_code=row.response_code,
        outcome=row.outcome,
        log=tuple(log),
    )
