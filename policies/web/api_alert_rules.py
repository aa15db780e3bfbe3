"""What is watched, and who is told? `/alert-rules`, `/channels`: made, changed, tried."""

from datetime import timedelta
from typing import Annotated, ClassVar

import msgspec
from django.http import HttpResponse
from msgspec import UNSET, Meta, UnsetType
from rest_framework.request import Request

from o10.access.doors import JSON, KEYED, Operation
from o10.access.rest import caller_of
from o10.access.roles import Action
from o10.access.views import Door, answer, key_of, query_of, version_of
from o10.kernel import clock
from o10.wire import fields as f
from policies import facade
from policies.web.serializers import Note, Title

_EDIT = {**KEYED, "If-Match": "ETag of the version the change was made on; else 412."}
Threshold = Annotated[str, Meta(min_length=1, max_length=29, pattern=r"^[0-9.,]+$(?!\n)")]
"""In the unit of the kind: a share, a multiple, an amount, seconds, calls."""
TargetText = Annotated[str, Meta(min_length=1, max_length=500)]
Channels = Annotated[tuple[f.Word, ...], Meta(max_length=20)]
Seconds = Annotated[int, Meta(ge=0, le=30 * 86_400)]


class _Body(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What do these bodies have in common? By name, nothing unknown."""


class RuleScopeBody(_Body, kw_only=True):
    """What does the rule cover? The company has no slug."""

    kind: f.Word = "company"
    slug: f.Name | None = None


class AlertRuleBody(_Body, kw_only=True):
    """Which rule shall watch?"""

    name: Title
    kind: f.Word
    scope: RuleScopeBody = RuleScopeBody()
    threshold: Threshold | None = None
    window: f.Word | None = None
    severity: f.Word | None = None
    channels: Channels = ()
    request_id: f.Name | None = None


class AlertRuleChangeBody(_Body, kw_only=True):
    """What shall change in a rule? What is left out stays; threshold null = its kind's own."""

    name: Title | UnsetType = UNSET
    threshold: Threshold | None | UnsetType = UNSET
    severity: f.Word | UnsetType = UNSET
    channels: Channels | UnsetType = UNSET
    state: f.Word | UnsetType = UNSET
    reason: Note = ""
    request_id: f.Name | None = None


class ChannelBody(_Body, kw_only=True):
    """Which channel shall there be? `target`: e-mail addresses, or a URL."""

    name: Title
    kind: f.Word
    target: TargetText
    least_severity: f.Word = "info"
    request_id: f.Name | None = None


class ChannelChangeBody(_Body, kw_only=True):
    """What shall change in a channel? What is left out stays."""

    name: Title | UnsetType = UNSET
    target: TargetText | UnsetType = UNSET
    least_severity: f.Word | UnsetType = UNSET
    state: f.Word | UnsetType = UNSET
    reason: Note = ""
    request_id: f.Name | None = None


class RotateBody(_Body, kw_only=True):
    """For how many seconds does the old secret sign beside the new one?"""

    grace_s: Seconds = 86_400
    request_id: f.Name | None = None


class FireBody(_Body, kw_only=True):
    """Under which key is it fired? A repeat fires nothing more."""

    request_id: f.Name | None = None


class NewChannelView(msgspec.Struct, frozen=True, kw_only=True):
    """Which channel is it? `secret` is told once: null in every later answer."""

    channel: facade.ChannelView
    secret: str | None


class FiredView(msgspec.Struct, frozen=True, kw_only=True):
    """Which alert was fired to try it?"""

    alert: str


class AlertRulesDoor(Door):
    """The rules, built-in ones first."""

    operations: ClassVar = {
        "GET": Operation(action=Action.READ_SPEND, gives={JSON: facade.AlertRules}),
        "POST": Operation(
            action=Action.CHANGE_ALERT_RULES,
            takes={JSON: AlertRuleBody},
            gives={JSON: facade.AlertRuleView},
            headers=KEYED,
            status=201,
        ),
    }

    def get(self, request: Request) -> HttpResponse:
        """All of them: they are few."""
        query_of(request, allowed=frozenset())
        return answer(facade.list_alert_rules())

    def post(self, request: Request) -> HttpResponse:
        """Makes a rule; it is looked at from the next evaluation on."""
        body = self.parse(request, AlertRuleBody)
        rule = facade.create_alert_rule(
            draft=facade.AlertRuleDraft(
                name=body.name,
                kind=body.kind,
                scope_kind=body.scope.kind,
                scope_slug=body.scope.slug or "",
                threshold=body.threshold,
                window=body.window or "",
                severity=body.severity or "",
                channels=body.channels,
            ),
            actor=caller_of(request),
            now=clock.now(),
            key=key_of(request, body),
        )
        return _rule(rule, status=201)


class OneAlertRule(Door):
    """One rule."""

    operations: ClassVar = {
        "GET": Operation(action=Action.READ_SPEND, gives={JSON: facade.AlertRuleView}),
        "PATCH": Operation(
            action=Action.CHANGE_ALERT_RULES,
            takes={JSON: AlertRuleChangeBody},
            gives={JSON: facade.AlertRuleView},
            headers=_EDIT,
        ),
    }

    def get(self, request: Request, rule: str) -> HttpResponse:
        """By its id; the ETag is its version."""
        query_of(request, allowed=frozenset())
        return _rule(rule)

    def patch(self, request: Request, rule: str) -> HttpResponse:
        """Changes, pauses or retires it."""
        body = self.parse(request, AlertRuleChangeBody)
        facade.change_alert_rule(
            rule=rule,
            change=facade.AlertRuleChange(
                name=body.name,
                threshold=body.threshold,
                severity=body.severity,
                channels=body.channels,
                state=body.state,
                reason=body.reason,
            ),
            actor=caller_of(request),
            now=clock.now(),
            key=key_of(request, body),
            expected_version=version_of(request),
        )
        return _rule(rule)


class AlertRuleTest(Door):
    """Fires a rule by hand."""

    operations: ClassVar = {
        "POST": Operation(
            action=Action.CHANGE_ALERT_RULES,
            takes={JSON: FireBody},
            gives={JSON: FiredView},
            headers=KEYED,
            status=202,
        ),
    }

    def post(self, request: Request, rule: str) -> HttpResponse:
        """Tells the rule's channels, marked as a test."""
        body = self.parse(request, FireBody)
        fired = facade.test_alert_rule(
            rule=rule,
            actor=caller_of(request),
            now=clock.now(),
            key=key_of(request, body),
        )
        return answer(FiredView(alert=fired.alert), status=202)


class AlertChannels(Door):
    """The channels, without addresses and secrets."""

    operations: ClassVar = {
        "GET": Operation(action=Action.CHANGE_ALERT_RULES, gives={JSON: facade.Channels}),
        "POST": Operation(
            action=Action.CHANGE_CHANNELS,
            takes={JSON: ChannelBody},
            gives={JSON: NewChannelView},
            headers=KEYED,
            status=201,
        ),
    }

    def get(self, request: Request) -> HttpResponse:
        """All of them: they are few."""
        query_of(request, allowed=frozenset())
        return answer(facade.list_channels())

    def post(self, request: Request) -> HttpResponse:
        """Makes a channel; the secret of a webhook is in this answer and nowhere else."""
        body = self.parse(request, ChannelBody)
        made = facade.create_channel(
            draft=facade.ChannelDraft(
                name=body.name,
                kind=body.kind,
                target=body.target,
                least_severity=body.least_severity,
            ),
            actor=caller_of(request),
            now=clock.now(),
            key=key_of(request, body),
        )
        return _secret(made, status=201)


class OneAlertChannel(Door):
    """One channel."""

    operations: ClassVar = {
        "GET": Operation(action=Action.CHANGE_ALERT_RULES, gives={JSON: facade.ChannelView}),
        "PATCH": Operation(
            action=Action.CHANGE_CHANNELS,
            takes={JSON: ChannelChangeBody},
            gives={JSON: facade.ChannelView},
            headers=_EDIT,
        ),
    }

    def get(self, request: Request, channel: str) -> HttpResponse:
        """By its id; the ETag is its version."""
        query_of(request, allowed=frozenset())
        return _channel(channel)

    def patch(self, request: Request, channel: str) -> HttpResponse:
        """Changes, disables or retires it."""
        body = self.parse(request, ChannelChangeBody)
        facade.change_channel(
            channel=channel,
            change=facade.ChannelChange(
                name=body.name,
                target=body.target,
                least_severity=body.least_severity,
                state=body.state,
                reason=body.reason,
            ),
            actor=caller_of(request),
            now=clock.now(),
            key=key_of(request, body),
            expected_version=version_of(request),
        )
        return _channel(channel)


class AlertChannelRotate(Door):
    """Gives a webhook a new secret."""

    operations: ClassVar = {
        "POST": Operation(
            action=Action.CHANGE_CHANNELS,
            takes={JSON: RotateBody},
            gives={JSON: NewChannelView},
            headers=KEYED,
        ),
    }

    def post(self, request: Request, channel: str) -> HttpResponse:
        """The old one signs beside it until the grace is over."""
        body = self.parse(request, RotateBody)
        made = facade.rotate_channel_secret(
            channel=channel,
            grace=timedelta(seconds=body.grace_s),
            actor=caller_of(request),
            now=clock.now(),
            key=key_of(request, body),
        )
        return _secret(made)


class AlertChannelTest(Door):
    """Tries a channel."""

    operations: ClassVar = {
        "POST": Operation(
            action=Action.CHANGE_ALERT_RULES,
            takes={JSON: FireBody},
            gives={JSON: FiredView},
            headers=KEYED,
            status=202,
        ),
    }

    def post(self, request: Request, channel: str) -> HttpResponse:
        """Tells it alone, marked as a test."""
        body = self.parse(request, FireBody)
        fired = facade.test_channel(
            channel=channel,
            actor=caller_of(request),
            now=clock.now(),
            key=key_of(request, body),
        )
        return answer(FiredView(alert=fired.alert), status=202)


def _rule(rule: str, *, status: int = 200) -> HttpResponse:
    view = facade.get_alert_rule(rule=rule)
    return answer(view, status=status, headers={"ETag": f'"v{view.version}"'})


def _channel(channel: str) -> HttpResponse:
    view = facade.get_channel(channel=channel)
    return answer(view, headers={"ETag": f'"v{view.version}"'})


def _secret(made: facade.NewSecret, *, status: int = 200) -> HttpResponse:
    view = facade.get_channel(channel=made.channel)
    told = NewChannelView(channel=view, secret=made.secret or None)
    return answer(told, status=status, headers={"ETag": f'"v{view.version}"'})
