"""How much money may be spent where and in which period, and how did that change?

The row holds what is in force; every state it ever had is in `EnvelopeVersion`. Money that was
spent or is held stands in `policies.models.balance`, one row for each period.
"""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from policies.models.use_case import Department, UseCase


class Envelope(models.Model):
    """Which amount must a call fit into before it happens?

    Units: nanos of the ledger's currency; `soft_thresholds_ppm` in millionths of the cap.
    `amount_nanos` null = no cap of its own (only where an ancestor has one); 0 = hard stop.
    `epoch` rises with every change that must reach a decision at once; balance rows carry it.
    """

    SCOPES = ("company", "department", "use_case", "environment", "customer", "run")
    STATES = ("active", "frozen", "closed")

    id = models.AutoField(primary_key=True, help_text="number in ledger entries")
    public = models.CharField(max_length=30, unique=True, help_text="public id, env_…")
    root = models.IntegerField(help_text="envelope at the top of this tree; itself for a root")
    parent = models.ForeignKey(
        "self", null=True, on_delete=models.PROTECT, related_name="children"
    )
    depth = models.SmallIntegerField(help_text="0 = root")
    scope_kind = models.CharField(max_length=16)
    slug = models.CharField(max_length=128)
    name = models.CharField(max_length=160)
    department = models.ForeignKey(
        Department, null=True, on_delete=models.PROTECT, related_name="+"
    )
    use_case = models.ForeignKey(UseCase, null=True, on_delete=models.PROTECT, related_name="+")
    period_kind = models.CharField(max_length=8)
    time_zone = models.CharField(max_length=64)
    start_at = models.DateTimeField(null=True, help_text="no money before this instant")
    end_at = models.DateTimeField(null=True, help_text="no money from this instant on")
    week_start = models.SmallIntegerField(default=0, help_text="0 = Monday … 6 = Sunday")
    days = models.IntegerField(null=True, help_text="length of a rolling window")
    fiscal = models.JSONField(null=True, help_text="anchor, anchor_year, pattern, long_years")
    amount_nanos = models.BigIntegerField(null=True)
    hard = models.BooleanField(default=True)
    soft_thresholds_ppm = ArrayField(models.IntegerField(), default=list)
    per_call_nanos = models.BigIntegerField(null=True)
    per_run_nanos = models.BigIntegerField(null=True)
    allow_overallocation = models.BooleanField(default=False)
    state = models.CharField(max_length=8, default="active")
    version = models.IntegerField(default=1)
    epoch = models.IntegerField(default=1)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        """Table, rules and the indexes of the path look-up."""

        db_table = "policies_envelope"
        constraints = [
            models.CheckConstraint(
                condition=Q(amount_nanos__isnull=True) | Q(amount_nanos__gte=0),
                name="envelope_amount_ge_0",
            ),
            models.CheckConstraint(
                condition=Q(per_call_nanos__isnull=True) | Q(per_call_nanos__gte=0),
                name="envelope_per_call_ge_0",
            ),
            models.CheckConstraint(
                condition=Q(per_run_nanos__isnull=True) | Q(per_run_nanos__gte=0),
                name="envelope_per_run_ge_0",
            ),
            models.CheckConstraint(
                condition=Q(state__in=("active", "frozen", "closed")),
                name="envelope_state_known",
            ),
            models.CheckConstraint(
                condition=Q(depth__gte=0) & Q(depth__lte=5), name="envelope_depth_le_6_levels"
            ),
            models.CheckConstraint(
                condition=Q(parent__isnull=True, depth=0)
                | Q(parent__isnull=False, depth__gt=0),
                name="envelope_root_has_no_parent",
            ),
            models.CheckConstraint(
                condition=Q(end_at__isnull=True) | Q(end_at__gt=F("start_at")),
                name="envelope_end_after_start",
            ),
            models.CheckConstraint(
                condition=~Q(scope_kind="use_case") | Q(use_case__isnull=False),
                name="envelope_of_use_case_names_it",
            ),
            models.CheckConstraint(
                condition=~Q(scope_kind="department") | Q(department__isnull=False),
                name="envelope_of_department_names_it",
            ),
        ]
        indexes = [
            models.Index(fields=["root", "id"], name="envelope_tree_members"),
            models.Index(fields=["scope_kind", "slug"], name="envelope_scope"),
        ]

    def __str__(self) -> str:
        """The name on screen."""
        return self.name


class EnvelopeVersion(models.Model):
    """What held for this envelope from when on, and who decided it? Append-only."""

    id = models.BigAutoField(primary_key=True)
    envelope = models.ForeignKey(Envelope, on_delete=models.PROTECT, related_name="+")
    version = models.IntegerField()
    body = models.JSONField(help_text="every field of the envelope in this version")
    at = models.DateTimeField()
    actor = models.CharField(max_length=64)
    reason = models.CharField(max_length=400, blank=True)
    entry_uid = models.UUIDField(help_text="ledger entry of the change")

    class Meta:
        """Table and rule."""

        db_table = "policies_envelope_version"
        constraints = [
            models.UniqueConstraint(
                fields=["envelope", "version"], name="envelope_version_once"
            )
        ]

    def __str__(self) -> str:
        """Which version of what?"""
        return f"{self.envelope_id} v{self.version}"


class TemporaryRaise(models.Model):
    """Until when does a raised cap hold, and what does it fall back to?

    One can run for an envelope at a time; a later change of the amount takes its place.
    """

    id = models.BigAutoField(primary_key=True)
    envelope = models.ForeignKey(Envelope, on_delete=models.PROTECT, related_name="+")
    approval = models.CharField(max_length=30, help_text="apr_… that allowed it")
    back_to_nanos = models.BigIntegerField(help_text="cap from `until` on")
    until = models.DateTimeField()
    state = models.CharField(max_length=10, default="running")
    ended_at = models.DateTimeField(null=True)

    class Meta:
        """Table and rules."""

        db_table = "policies_temporary_raise"
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=("running", "ended", "replaced")),
                name="temporary_raise_state_known",
            ),
            models.UniqueConstraint(
                fields=["envelope"],
                condition=Q(state="running"),
                name="temporary_raise_one_runs",
            ),
        ]

    def __str__(self) -> str:
        """Until when?"""
        return f"{self.envelope_id} until {self.until:%Y-%m-%d %H:%M}"
