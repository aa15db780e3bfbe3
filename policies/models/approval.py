"""Which changes wait for a second person, who did what about them, and under which policy?

The request is bound to one exact change: neither it nor its needs can be edited, only its state
moves on, and every step stays. A trigger sees to both.
"""

from django.db import models
from django.db.models import F, Q


class ApprovalPolicyVersion(models.Model):
    """What did the company say about approvals from when on? Append-only."""

    version = models.IntegerField(primary_key=True)
    body = models.JSONField(help_text="policies.core.approvals.ApprovalPolicy, every field")
    at = models.DateTimeField()
    actor = models.CharField(max_length=64)
    approval = models.CharField(max_length=30, blank=True, help_text="apr_…; empty = set-up")
    entry_uid = models.UUIDField(null=True, help_text="ledger entry of the change")

    class Meta:
        """Table."""

        db_table = "policies_approval_policy"

    def __str__(self) -> str:
        """Which version?"""
        return f"v{self.version}"


class Approval(models.Model):
    """Which change was asked for, by whom, and what became of it?

    `change_hash` is the SHA-256 of kind, subject, change, base and end; `base` names what the
    change was made against. `needs` are the needs in order, each a list of alternatives.
    `text` is how the change was told when it was asked for: title, rows, effect, evidence.
    """

    STATES = ("open", "approved", "declined", "withdrawn", "expired", "void")

    id = models.BigAutoField(primary_key=True)
    public = models.CharField(max_length=30, unique=True, help_text="public id, apr_…")
    kind = models.CharField(max_length=40)
    subject = models.CharField(max_length=160, help_text="id or slug of what changes")
    change = models.JSONField()
    change_hash = models.CharField(max_length=64)
    base = models.CharField(max_length=128)
    text = models.JSONField()
    reason = models.CharField(max_length=400, blank=True)
    maker = models.CharField(max_length=64, help_text="the principal; `system` = a job")
    maker_actor = models.CharField(max_length=64, help_text="usr_…, key_… or the job")
    maker_role = models.CharField(max_length=12)
    needs = models.JSONField()
    money_nanos = models.BigIntegerField(null=True, help_text="effect a month, signed")
    policy_version = models.IntegerField()
    raised_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    until = models.DateTimeField(null=True, help_text="the change holds before this instant")
    state = models.CharField(max_length=10, default="open")
    version = models.IntegerField(default=1, help_text="rises with every step")
    decided_at = models.DateTimeField(null=True)
    result = models.JSONField(null=True, help_text="ids of what the change made")

    class Meta:
        """Table, rules and the indexes of the inbox."""

        db_table = "policies_approval"
        constraints = [
            models.CheckConstraint(
                condition=Q(
                    state__in=("open", "approved", "declined", "withdrawn", "expired", "void")
                ),
                name="approval_state_known",
            ),
            models.CheckConstraint(
                condition=Q(state="open", decided_at__isnull=True)
                | (~Q(state="open") & Q(decided_at__isnull=False)),
                name="approval_decided_has_an_instant",
            ),
            models.CheckConstraint(
                condition=Q(expires_at__gt=F("raised_at")), name="approval_has_time"
            ),
        ]
        indexes = [
            models.Index(
                fields=["expires_at"], condition=Q(state="open"), name="approval_open"
            ),
            models.Index(fields=["subject", "state"], name="approval_subject"),
            models.Index(fields=["maker", "id"], name="approval_maker"),
        ]

    def __str__(self) -> str:
        """Which request?"""
        return f"{self.public} {self.kind} {self.state}"


class ApprovalStep(models.Model):
    """Who did what about this request, when and why? Append-only; each is a ledger entry."""

    ACTS = (
        "raised",
        "approved",
        "declined",
        "asked",
        "answered",
        "delegated",
        "withdrawn",
        "expired",
        "voided",
    )

    id = models.BigAutoField(primary_key=True)
    approval = models.ForeignKey(Approval, on_delete=models.PROTECT, related_name="steps")
    number = models.IntegerField(help_text="1 = raised")
    act = models.CharField(max_length=10)
    actor = models.CharField(max_length=64)
    principal = models.CharField(max_length=64)
    role = models.CharField(max_length=12)
    names = models.JSONField(default=list, help_text="needs that this person can meet")
    for_whom = models.CharField(max_length=64, blank=True, help_text="whose vote it was")
    to_whom = models.CharField(max_length=64, blank=True, help_text="to whom it was handed")
    reason = models.CharField(max_length=400, blank=True)
    until = models.DateTimeField(null=True)
    at = models.DateTimeField()
    entry_uid = models.UUIDField(help_text="ledger entry of the step")

    class Meta:
        """Table and rules."""

        db_table = "policies_approval_step"
        constraints = [
            models.UniqueConstraint(
                fields=["approval", "number"], name="approval_step_number_once"
            ),
            models.UniqueConstraint(
                fields=["approval", "principal"],
                condition=Q(act="approved"),
                name="approval_counts_a_person_once",
            ),
        ]

    def __str__(self) -> str:
        """Which step of what?"""
        return f"{self.approval_id} {self.number} {self.act}"
