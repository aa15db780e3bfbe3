"""How does a channel of alerts come to be, change, get a new secret, and get tried?

Its address and secret are wrapped at rest and never told again: the secret of a webhook is in
the answer that made it and nowhere else. Each change is a ledger entry without either.
"""

import base64
import os
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import UNSET

from o10.access.checks import check
from o10.access.keys import Caller, wrap
from o10.access.roles import Action
from o10.kernel import ids
from o10.kernel.errors import (
    Conflict,
    FieldError,
    Forbidden,
    NotFound,
    PreconditionFailed,
    ValidationFailed,
)
from policies.core.alert_drafts import (
    ChannelChange,
    ChannelDraft,
    check_channel,
    check_mails,
)
from policies.core.webhook_target import target_of
from policies.models import AlertChannel
from policies.operations.audit_rule import Told, write_rule_change
from policies.operations.post_outside import allowed_places
from policies.operations.raise_alert import Raised, raise_alert

SECRET_BYTES: Final = 32
GRACE_MOST: Final = timedelta(days=30)
CHANNELS_MOST: Final = 100


class ChannelRetired(Conflict):
    """Was the channel retired, which is for ever? Fields: `channel`."""

    code = "conflict"


class ChannelUnsigned(Conflict):
    """Does this kind of channel sign nothing, so that there is no secret? Fields: `channel`."""

    code = "conflict"


@dataclass(frozen=True, slots=True, repr=False)
class NewSecret:
    """Which channel, and which secret was just made? `secret` "" = none, or told before."""

    channel: str
    secret: str

    def __repr__(self) -> str:
        """Never the secret: this may end in a log."""
        return f"NewSecret({self.channel})"


class _Rotation(msgspec.Struct, frozen=True):
    channel: str
    grace_s: int


def create_channel(
    *, draft: ChannelDraft, actor: Caller, now: datetime, key: str = ""
) -> NewSecret:
    """Which channel is new? A webhook gets a secret, told now and never again.

    Raises: Forbidden; ValidationFailed; IdempotencyMismatch.
    """
    _check_company_wide(actor, Action.CHANGE_CHANNELS)
    check_channel(draft)
    target, shown = _target(draft.kind, draft.target)
    secret = os.urandom(SECRET_BYTES) if draft.kind == "webhook" else None
    made: list[str] = []

    def run(uid: UUID) -> Told:
        if AlertChannel.objects.exclude(state="retired").count() >= CHANNELS_MOST:
            message = f"There are {CHANNELS_MOST} channels already; retire one first."
            raise ValidationFailed(errors=[FieldError("", "too_many", message)])
        row = AlertChannel.objects.create(
            public=ids.id_of("chn", uid),
            name=draft.name.strip(),
            kind=draft.kind,
            target_wrapped=wrap(target.encode()),
            target_shown=shown,
            secret_wrapped=wrap(secret) if secret else None,
            least_severity=draft.least_severity,
            created_at=now,
            created_by=actor.actor,
            updated_at=now,
        )
        made.append(row.public)
        return f"alert channel {row.public} created", None, facts_of(row)

    written = write_rule_change(
        scope="alert_channel", key=key, asked=draft, actor=actor, now=now, run=run
    )
    if written is None:
        raise NotFound(kind="channel", id="")
    return NewSecret(ids.id_of("chn", written.uid), _text(secret) if made else "")


def change_channel(
    *,
    channel: str,
    change: ChannelChange,
    actor: Caller,
    now: datetime,
    key: str = "",
    expected_version: int | None = None,
) -> None:
    """How does this channel read from now on?

    Raises: Forbidden; NotFound; ValidationFailed; ChannelRetired; PreconditionFailed;
    IdempotencyMismatch.
    Locks: the key, the channel.
    """
    _check_company_wide(actor, Action.CHANGE_CHANNELS)
    check_channel(change)
    _find(channel)

    def run(uid: UUID) -> Told | None:
        row = _locked(channel)
        if expected_version is not None and row.version != expected_version:
            raise PreconditionFailed(channel=channel, version=row.version)
        before = facts_of(row)
        if change.name is not UNSET:
            row.name = change.name.strip()
        if change.least_severity is not UNSET:
            row.least_severity = change.least_severity
        if change.state is not UNSET:
            row.state, row.state_reason = change.state, change.reason.strip()[:200]
        moved = change.target is not UNSET
        if change.target is not UNSET:
            target, row.target_shown = _target(row.kind, change.target)
            row.target_wrapped = wrap(target.encode())
        if facts_of(row) == before and not moved:
            return None
        row.version += 1
        row.updated_at = now
        row.save()
        return f"alert channel {row.public} changed", before, facts_of(row)

    write_rule_change(
        scope=f"alert_channel/{channel}",
        key=key,
        asked=change,
        actor=actor,
        now=now,
        run=run,
        reason=change.reason,
    )


def rotate_channel_secret(
    *, channel: str, grace: timedelta, actor: Caller, now: datetime, key: str = ""
) -> NewSecret:
    """Which secret signs from now on? Until `now` + `grace` the one before signs beside it.

    Raises: Forbidden; NotFound; ValidationFailed; ChannelUnsigned (`conflict`);
    ChannelRetired.
    Locks: the key, the channel.
    """
    _check_company_wide(actor, Action.CHANGE_CHANNELS)
    if not timedelta(0) <= grace <= GRACE_MOST:
        message = "The old secret lives on for 0 to 30 days."
        raise ValidationFailed(errors=[FieldError("/grace_s", "out_of_range", message)])
    if _find(channel).kind != "webhook":
        raise ChannelUnsigned(channel=channel)
    secret = os.urandom(SECRET_BYTES)
    fresh: list[str] = []

    def run(uid: UUID) -> Told:
        row = _locked(channel)
        before = facts_of(row)
        row.previous_wrapped = row.secret_wrapped
        row.previous_ends_at = now + grace
        row.secret_wrapped = wrap(secret)
        row.version += 1
        row.updated_at = now
        row.save()
        fresh.append(row.public)
        return f"alert channel {row.public} got a new secret", before, facts_of(row)

    write_rule_change(
        scope=f"alert_channel/{channel}/secret",
        key=key,
        asked=_Rotation(channel, int(grace.total_seconds())),
        actor=actor,
        now=now,
        run=run,
    )
    return NewSecret(channel, _text(secret) if fresh else "")


def test_channel(*, channel: str, actor: Caller, now: datetime, key: str = "") -> Raised:
    """Which alert tries this channel? Fired by hand, told to it alone, and marked as a test.

    Raises: Forbidden; NotFound; ChannelRetired when it is not active.
    """
    _check_company_wide(actor, Action.CHANGE_ALERT_RULES)
    row = _find(channel)
    if row.state != "active":
        raise ChannelRetired(channel=channel, state=row.state)
    return raise_alert(
        kind="test",
        subject=row.public,
        window=key[:64] or str(ids.new_uuid()),
        title=f"The channel {row.name} works.",
        detail="Fired by hand to try it; nothing is wrong.",
        severity="info",
        now=now,
        evidence={"channel": row.public},
        test=True,
        channels=(row.id,),
    )


def facts_of(row: AlertChannel) -> dict[str, Any]:
    """How does the channel read in a document? Without address and secret."""
    return {
        "id": row.public,
        "name": row.name,
        "kind": row.kind,
        "target": row.target_shown,
        "least_severity": row.least_severity,
        "state": row.state,
        "version": row.version,
        "previous_secret_ends_at": row.previous_ends_at.isoformat()
        if row.previous_ends_at
        else "",
    }


def _check_company_wide(actor: Caller, action: Action) -> None:
    """Alerts of the whole company go out by a channel: no key of some use cases opens one."""
    check(caller=actor, action=action)
    if actor.use_case_slugs is not None:
        raise Forbidden(action=action.value, role=actor.role.value)


def _target(kind: str, target: str) -> tuple[str, str]:
    """Which address is stored, and what of it is shown?"""
    if kind == "email":
        plain = check_mails(target)
        return plain, plain[:160]
    target = target.strip()
    return target, target_of(target, allowed=allowed_places()).shown[:160]


def _find(channel: str) -> AlertChannel:
    row = AlertChannel.objects.filter(public=channel).first()
    if row is None:
        raise NotFound(kind="channel", id=channel)
    return row


def _locked(channel: str) -> AlertChannel:
    row = AlertChannel.objects.select_for_update().get(public=channel)
    if row.state == "retired":
        raise ChannelRetired(channel=channel)
    return row


def _text(secret: bytes | None) -> str:
    return f"whsec_{base64.b64encode(secret).decode()}" if secret else ""
