"""Which rules watch the money, what did they find, and who was told of it?

Rules and channels are definitions; each change of one is a ledger entry. Deliveries are an
outbox: they are written with the alert, in one transaction, and sent by a job afterwards.
"""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from policies.models.envelope import Envelope
from policies.models.use_case import UseCase

SEVERITIES = ("info", "warning", "critical")


class AlertRule(models.Model):
    """What is watched, from which threshold on, and who hears of it?

    Units: `threshold` in the unit of the kind (`policies.core.alert_kinds`): millionths of a
    cap, nanos, seconds; null = the kind's own. `channels` empty = every active channel.
    """

    STATES = ("active", "paused", "retired")

    id = models.AutoField(primary_key=True)
    public = models.CharField(max_length=30, unique=True, help_text="public id, alr_…")
    name = models.CharField(max_length=120)
    kind = models.CharField(max_length=40)
    scope_kind = models.CharField(
        max_length=16, help_text="company, department, use_case, envelope"
    )
    scope_slug = models.CharField(max_length=128, blank=True)
    threshold = models.BigIntegerField(null=True)
    window = models.CharField(
        max_length=8, help_text="once per: period, hour, day, week, month"
    )
    severity = models.CharField(max_length=8)
    channels = ArrayField(models.IntegerField(), default=list)
    state = models.CharField(max_length=8, default="active")
    built_in = models.BooleanField(default=False)
    version = models.IntegerField(default=1)
    created_at = models.DateTimeField()
    created_by = models.CharField(max_length=64)
    updated_at = models.DateTimeField()
    last_fired_at = models.DateTimeField(null=True)

    class Meta:
        """Table and rules."""

        db_table = "policies_alert_rule"
        constraints = [
            models.UniqueConstraint(
                fields=["kind"], name="alert_rule_built_in_once", condition=Q(built_in=True)
            ),
            models.CheckConstraint(
                condition=Q(state__in=("active", "paused", "retired")),
                name="alert_rule_state_known",
            ),
            models.CheckConstraint(
                condition=Q(severity__in=SEVERITIES), name="alert_rule_severity_known"
            ),
            models.CheckConstraint(
                condition=Q(threshold__isnull=True) | Q(threshold__gte=0),
                name="alert_rule_threshold_ge_0",
            ),
        ]

    def __str__(self) -> str:
        """The name on screen."""
        return self.name


class AlertChannel(models.Model):
    """Where does an alert go, and with what is it signed?

    Addresses of chat rooms are secrets themselves, so the whole target is wrapped;
    `target_shown` is what people see of it. The secret of a webhook is shown once, when it is
    made; the one before stays valid until `previous_ends_at`.
    """

    KINDS = ("email", "slack", "teams", "webhook")
    STATES = ("active", "disabled", "retired")

    id = models.AutoField(primary_key=True)
    public = models.CharField(max_length=30, unique=True, help_text="public id, chn_…")
    name = models.CharField(max_length=120)
    kind = models.CharField(max_length=8)
    target_wrapped = models.BinaryField(help_text="address or URL under the secret key")
    target_shown = models.CharField(max_length=160)
    secret_wrapped = models.BinaryField(null=True, help_text="32 bytes under the secret key")
    previous_wrapped = models.BinaryField(null=True)
    previous_ends_at = models.DateTimeField(
        null=True, help_text="both sign before this instant"
    )
    least_severity = models.CharField(max_length=8, default="info")
    state = models.CharField(max_length=8, default="active")
    state_reason = models.CharField(max_length=200, blank=True)
    version = models.IntegerField(default=1)
    created_at = models.DateTimeField()
    created_by = models.CharField(max_length=64)
    updated_at = models.DateTimeField()

    class Meta:
        """Table and rules."""

        db_table = "policies_alert_channel"
        constraints = [
            models.CheckConstraint(
                condition=Q(kind__in=("email", "slack", "teams", "webhook")),
                name="alert_channel_kind_known",
            ),
            models.CheckConstraint(
                condition=Q(state__in=("active", "disabled", "retired")),
                name="alert_channel_state_known",
            ),
            models.CheckConstraint(
                condition=Q(least_severity__in=SEVERITIES),
                name="alert_channel_severity_known",
            ),
            models.CheckConstraint(
                condition=Q(kind="webhook", secret_wrapped__isnull=False)
                | (~Q(kind="webhook") & Q(secret_wrapped__isnull=True)),
                name="alert_channel_webhook_signs",
            ),
        ]

    def __str__(self) -> str:
        """The name on screen, never the address."""
        return self.name


class Alert(models.Model):
    """What was found, once for each kind, subject and window?

    `evidence` holds the figures it was found with, integers as text where they are money.
    `test` true = fired by hand to try the channels.
    """

    STATES = ("open", "acknowledged", "resolved")

    id = models.BigAutoField(primary_key=True)
    public = models.CharField(max_length=30, unique=True, help_text="public id, alt_…")
    kind = models.CharField(max_length=40)
    subject = models.CharField(max_length=160, help_text="what it is about: an id or a slug")
    window = models.CharField(max_length=64, help_text="in which it is raised once")
    severity = models.CharField(max_length=8)
    title = models.CharField(max_length=200)
    detail = models.TextField(blank=True)
    evidence = models.JSONField(default=dict)
    url = models.CharField(max_length=300, blank=True, help_text="page of the subject")
    rule = models.ForeignKey(AlertRule, null=True, on_delete=models.PROTECT, related_name="+")
    use_case = models.ForeignKey(UseCase, null=True, on_delete=models.PROTECT, related_name="+")
    envelope = models.ForeignKey(
        Envelope, null=True, on_delete=models.PROTECT, related_name="+"
    )
    test = models.BooleanField(default=False)
    state = models.CharField(max_length=12, default="open")
    raised_at = models.DateTimeField()
    state_at = models.DateTimeField()
    state_by = models.CharField(max_length=64, blank=True, help_text="empty = the system")
    state_reason = models.CharField(max_length=400, blank=True)

    class Meta:
        """Table, rules and the index of the list."""

        db_table = "policies_alert"
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "subject", "window"], name="alert_once_per_window"
            ),
            models.CheckConstraint(
                condition=Q(state__in=("open", "acknowledged", "resolved")),
                name="alert_state_known",
            ),
            models.CheckConstraint(
                condition=Q(severity__in=SEVERITIES), name="alert_severity_known"
            ),
        ]
        indexes = [
            models.Index(fields=["-raised_at", "-id"], name="alert_newest"),
            models.Index(
                fields=["kind", "subject"],
                name="alert_unresolved",
                condition=~Q(state="resolved"),
            ),
        ]

    def __str__(self) -> str:
        """The sentence of it."""
        return self.title


class AlertSnooze(models.Model):
    """Until when is nobody told of this kind and subject? Empty subject = of the whole kind."""

    id = models.BigAutoField(primary_key=True)
    kind = models.CharField(max_length=40)
    subject = models.CharField(max_length=160, blank=True)
    until = models.DateTimeField()
    reason = models.CharField(max_length=400)
    at = models.DateTimeField()
    by = models.CharField(max_length=64)
    ended_at = models.DateTimeField(null=True, help_text="ended by hand before its time")

    class Meta:
        """Table and index."""

        db_table = "policies_alert_snooze"
        indexes = [models.Index(fields=["kind", "until"], name="alert_snooze_running")]

    def __str__(self) -> str:
        """What sleeps until when?"""
        return f"{self.kind} {self.subject} until {self.until:%Y-%m-%d %H:%M}"


class AlertDelivery(models.Model):
    """Is this alert on its way to this channel, and under which message id?

    The outbox: written with the alert. A worker claims a row for a short time; one that dies
    loses its claim and the next sends again under the same `message`, by which a receiver
    knows it. Several alerts may go in one message of a chat room or a mail.
    """

    STATES = ("waiting", "claimed", "sent", "given_up", "dropped")

    id = models.BigAutoField(primary_key=True)
    public = models.CharField(max_length=30, unique=True, help_text="public id, msg_…")
    alert = models.ForeignKey(Alert, on_delete=models.PROTECT, related_name="+")
    channel = models.ForeignKey(AlertChannel, on_delete=models.PROTECT, related_name="+")
    event = models.CharField(max_length=8, help_text="raised, resolved, test")
    message = models.CharField(
        max_length=30, blank=True, help_text="webhook id; empty = not sent"
    )
    state = models.CharField(max_length=8, default="waiting")
    attempts = models.IntegerField(default=0)
    due_at = models.DateTimeField()
    claim = models.UUIDField(null=True)
    claim_ends_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField()
    first_attempt_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    response_code = models.IntegerField(null=True)
    outcome = models.CharField(max_length=200, blank=True)

    class Meta:
        """Table, rules and the index of the workers."""

        db_table = "policies_alert_delivery"
        constraints = [
            models.UniqueConstraint(
                fields=["alert", "channel", "event"], name="alert_delivery_once"
            ),
            models.CheckConstraint(
                condition=Q(state__in=("waiting", "claimed", "sent", "given_up", "dropped")),
                name="alert_delivery_state_known",
            ),
            models.CheckConstraint(
                condition=Q(state="claimed", claim__isnull=False, claim_ends_at__isnull=False)
                | (~Q(state="claimed") & Q(claim__isnull=True)),
                name="alert_delivery_claim_has_an_end",
            ),
        ]
        indexes = [
            models.Index(
                fields=["due_at"],
                name="alert_delivery_due",
                condition=Q(state__in=("waiting", "claimed")),
            ),
            models.Index(fields=["message"], name="alert_delivery_message"),
        ]

    def __str__(self) -> str:
        """Which message?"""
        return f"{self.public} {self.state}"


class AlertAttempt(models.Model):
    """What answered when a message was sent? Append-only: the delivery log.

    `code` 0 = no answer came. Never what was answered, since that may repeat a secret.
    """

    id = models.BigAutoField(primary_key=True)
    delivery = models.ForeignKey(AlertDelivery, on_delete=models.PROTECT, related_name="+")
    message = models.CharField(max_length=30)
    number = models.IntegerField()
    at = models.DateTimeField()
    took_ms = models.IntegerField()
    code = models.IntegerField()
    outcome = models.CharField(max_length=200)

    class Meta:
        """Table and index."""

        db_table = "policies_alert_attempt"
        indexes = [models.Index(fields=["delivery", "id"], name="alert_attempt_delivery")]

    def __str__(self) -> str:
        """Which try, with which answer?"""
        return f"{self.message} #{self.number} {self.code}"


class ChangeSighting(models.Model):
    """When was this prompt version, model, retry setting or venue first seen on a use case?

    `baseline` true = what the use case began with, no change. `signed_by` empty = nobody
    signed it. Cost per call before and after is weighed while `weighing` is open.
    """

    DIMENSIONS = ("prompt_version", "model", "attempt", "venue")
    WEIGHINGS = ("open", "shifted", "steady", "none")

    id = models.BigAutoField(primary_key=True)
    use_case = models.ForeignKey(UseCase, on_delete=models.PROTECT, related_name="+")
    dimension = models.CharField(max_length=16)
    value = models.CharField(max_length=128)
    before = models.CharField(
        max_length=128, blank=True, help_text="the newest value until then"
    )
    baseline = models.BooleanField(default=False)
    seq = models.BigIntegerField(help_text="ledger position of the first entry")
    entry_uid = models.UUIDField()
    seen_at = models.DateTimeField(help_text="when that entry was recorded")
    found_at = models.DateTimeField()
    signed_by = models.CharField(max_length=200, blank=True)
    signed_ref = models.CharField(max_length=64, blank=True)
    weighing = models.CharField(max_length=8, default="open")
    looks = models.SmallIntegerField(default=0)
    result = models.JSONField(null=True)
    alert = models.ForeignKey(Alert, null=True, on_delete=models.PROTECT, related_name="+")

    class Meta:
        """Table and rules."""

        db_table = "policies_change_sighting"
        constraints = [
            models.UniqueConstraint(
                fields=["use_case", "dimension", "value"], name="change_first_seen_once"
            ),
            models.CheckConstraint(
                condition=Q(weighing__in=("open", "shifted", "steady", "none")),
                name="change_weighing_known",
            ),
        ]
        indexes = [
            models.Index(
                fields=["use_case", "seen_at"],
                name="change_weighed",
                condition=Q(weighing="open"),
            )
        ]

    def __str__(self) -> str:
        """What changed?"""
        return f"{self.dimension} {self.value}"


class SignedChange(models.Model):
    """Which change of a use case did people approve in advance? Append-only."""

    id = models.BigAutoField(primary_key=True)
    use_case = models.ForeignKey(UseCase, on_delete=models.PROTECT, related_name="+")
    dimension = models.CharField(max_length=16)
    value = models.CharField(max_length=128)
    signed_by = models.CharField(max_length=200)
    ref = models.CharField(max_length=64, help_text="approval, apr_…")
    at = models.DateTimeField()
    until = models.DateTimeField(null=True, help_text="first sights from here on are unsigned")

    class Meta:
        """Table and index."""

        db_table = "policies_signed_change"
        indexes = [
            models.Index(fields=["use_case", "dimension", "value"], name="signed_change_of")
        ]

    def __str__(self) -> str:
        """What was signed?"""
        return f"{self.dimension} {self.value}"


class WatchCursor(models.Model):
    """Up to which ledger position has this watch read?"""

    name = models.CharField(primary_key=True, max_length=32)
    seq = models.BigIntegerField()
    at = models.DateTimeField()

    class Meta:
        """Table."""

        db_table = "policies_watch_cursor"

    def __str__(self) -> str:
        """Which watch, how far?"""
        return f"{self.name} {self.seq}"


class OverrunHour(models.Model):
    """How much was billed above what calls had reserved, by envelope and hour? A cache.

    Sums of `overrun` entries, kept by the watch that reads the ledger (`find_changes`), so that
    no rule scans entries. Units: nanos; `envelope_id` = the deepest one of the call's path.
    """

    id = models.BigAutoField(primary_key=True)
    envelope_id = models.IntegerField()
    hour = models.DateTimeField(help_text="UTC, of the authorize instant")
    overrun_nanos = models.BigIntegerField()

    class Meta:
        """Table and rule."""

        db_table = "policies_overrun_hour"
        constraints = [
            models.UniqueConstraint(fields=["hour", "envelope_id"], name="overrun_hour_once")
        ]

    def __str__(self) -> str:
        """Which hour?"""
        return f"{self.envelope_id} {self.hour:%Y-%m-%d %H}"
