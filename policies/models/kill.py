"""Which rules stop what fails, in which state is each, and what did it ever do?"""

from django.db import models
from django.db.models import Q


class KillCriterion(models.Model):
    """Which metric, beyond which threshold, pulls which lever, and where does it stand now?

    `spec` is what two people agreed on (policies.core.kill_spec.Spec); every version of it
    stands in `KillVersion`. The state beside it is a cache of the events and of the last look.
    `acts` = its lever holds for calls now. `last` is the last measurement, as shown.
    """

    STATES = ("draft", "armed", "tripped", "restoring", "overridden", "retired")

    id = models.AutoField(primary_key=True)
    public = models.CharField(max_length=30, unique=True, help_text="public id, kil_…")
    name = models.CharField(max_length=120)
    scope_kind = models.CharField(max_length=12)
    use_case = models.ForeignKey(
        "policies.UseCase", on_delete=models.PROTECT, related_name="+", null=True
    )
    department = models.ForeignKey(
        "policies.Department", on_delete=models.PROTECT, related_name="+", null=True
    )
    spec = models.JSONField()
    version = models.IntegerField(default=1)
    state = models.CharField(max_length=12, default="draft")
    acts = models.BooleanField(default=False)
    over_since = models.DateTimeField(
        null=True, help_text="beyond the threshold without a break"
    )
    inside_since = models.DateTimeField(
        null=True, help_text="inside the restore threshold since"
    )
    tripped_at = models.DateTimeField(null=True)
    restorable_at = models.DateTimeField(null=True, help_text="waits for two people since")
    override_until = models.DateTimeField(null=True)
    sunset_until = models.DateTimeField(null=True)
    sunset_from_nanos = models.BigIntegerField(null=True, help_text="cap of the day it tripped")
    proposed_at = models.DateTimeField(null=True, help_text="a trip that waits for a yes since")
    looked_at = models.DateTimeField(null=True)
    last = models.JSONField(default=dict)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    created_by = models.CharField(max_length=64)

    class Meta:
        """Table, rules and indexes."""

        db_table = "policies_kill_criterion"
        constraints = [
            models.CheckConstraint(
                condition=Q(
                    state__in=(
                        "draft",
                        "armed",
                        "tripped",
                        "restoring",
                        "overridden",
                        "retired",
                    )
                ),
                name="kill_criterion_state_known",
            ),
            models.CheckConstraint(
                condition=Q(acts=False) | Q(state__in=("tripped", "restoring")),
                name="kill_criterion_acts_while_tripped",
            ),
            models.CheckConstraint(
                condition=(
                    Q(scope_kind="company", use_case=None, department=None)
                    | Q(scope_kind="department", use_case=None, department__isnull=False)
                    | Q(scope_kind="use_case", use_case__isnull=False, department=None)
                ),
                name="kill_criterion_scope_whole",
            ),
        ]
        indexes = [
            models.Index(
                fields=["scope_kind"], name="kill_criterion_acts", condition=Q(acts=True)
            )
        ]

    def __str__(self) -> str:
        """Which criterion, in which state?"""
        return f"{self.name} ({self.state})"


class KillVersion(models.Model):
    """How did the criterion read in this version, and who made it so? Append-only."""

    criterion = models.ForeignKey(KillCriterion, on_delete=models.PROTECT, related_name="+")
    version = models.IntegerField()
    spec = models.JSONField()
    at = models.DateTimeField()
    actor = models.CharField(max_length=64)
    reason = models.CharField(max_length=400)
    entry_uid = models.UUIDField(help_text="ledger entry of the change")

    class Meta:
        """Table and rule."""

        db_table = "policies_kill_version"
        constraints = [
            models.UniqueConstraint(fields=["criterion", "version"], name="kill_version_once")
        ]

    def __str__(self) -> str:
        """Which version?"""
        return f"v{self.version}"


class KillEvent(models.Model):
    """What happened to the criterion when: armed, tripped, restored, overridden? Append-only.

    `inputs` are all numbers the verdict rests on; deciding again by them gives the same.
    """

    criterion = models.ForeignKey(KillCriterion, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField()
    kind = models.CharField(max_length=16)
    before = models.CharField(max_length=12)
    after = models.CharField(max_length=12)
    version = models.IntegerField()
    actor = models.CharField(max_length=64)
    reason = models.CharField(max_length=400, blank=True)
    inputs = models.JSONField(default=dict)
    entry_uid = models.UUIDField(null=True, help_text="its ledger entry")

    class Meta:
        """Table and index."""

        db_table = "policies_kill_event"
        indexes = [models.Index(fields=["criterion", "-at"], name="kill_event_newest")]

    def __str__(self) -> str:
        """What, when?"""
        return f"{self.kind} {self.at:%Y-%m-%d %H:%M}"


class KillReview(models.Model):
    """What has the board to decide after a trip, who brings it, by when, under which cap?

    Made with the trip; one at a time for each criterion. `cap_nanos` an hour holds until it is
    decided, also once the lever is lifted; null = no interim cap.
    """

    criterion = models.ForeignKey(KillCriterion, on_delete=models.PROTECT, related_name="+")
    opened_at = models.DateTimeField()
    due = models.DateField()
    owner = models.CharField(max_length=64)
    cap_nanos = models.BigIntegerField(null=True, help_text="nanos an hour")
    trip_uid = models.UUIDField(help_text="ledger entry of the trip")
    decided_at = models.DateTimeField(null=True)
    decided_by = models.CharField(max_length=64, blank=True)
    decision = models.CharField(max_length=400, blank=True)

    class Meta:
        """Table and rule."""

        db_table = "policies_kill_review"
        constraints = [
            models.UniqueConstraint(
                fields=["criterion"],
                condition=Q(decided_at=None),
                name="kill_review_one_open",
            ),
            models.CheckConstraint(
                condition=Q(decided_at=None, decided_by="")
                | (Q(decided_at__isnull=False) & ~Q(decided_by="") & ~Q(decision="")),
                name="kill_review_decided_by_somebody",
            ),
        ]

    def __str__(self) -> str:
        """By when?"""
        return f"due {self.due:%Y-%m-%d}"


class ThrottleMinute(models.Model):
    """How much money did the calls of a throttle take in this minute? Nanos; an hour counts."""

    pk = models.CompositePrimaryKey("criterion", "minute")
    criterion = models.CharField(max_length=30)
    minute = models.DateTimeField()
    nanos = models.BigIntegerField()

    class Meta:
        """Table."""

        db_table = "policies_throttle_minute"

    def __str__(self) -> str:
        """How much, when?"""
        return f"{self.minute:%H:%M} {self.nanos}"
