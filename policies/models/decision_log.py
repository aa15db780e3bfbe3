"""What was asked, what was answered, and with which bytes? Append-only.

Answers are kept so that a repeated request gets the first answer, byte for byte, and so that a
person can ask later why.
"""

from django.db import models
from django.db.models import Q


class DecisionLog(models.Model):
    """Which decision was made on which request, by which policy and price?

    `reason` is the first reason code; `record` is the canonical decision record whose hash is
    bound into ledger entries; `answer` the bytes sent. `folded` true = a deny among more than
    ten a second, which stands in the ledger in one entry with its count.
    """

    id = models.UUIDField(primary_key=True, help_text="dec_…")
    caller = models.CharField(max_length=64)
    request_id = models.CharField(max_length=128, help_text="empty = not repeatable")
    request_hash = models.BinaryField(max_length=32)
    decided_at = models.DateTimeField()
    use_case = models.IntegerField(help_text="0 = unknown")
    use_case_slug = models.CharField(max_length=64)
    envelope = models.IntegerField(help_text="deepest envelope of the path, 0 = none")
    decision = models.CharField(max_length=16)
    would_decision = models.CharField(max_length=16)
    mode = models.CharField(max_length=8)
    reason = models.CharField(max_length=48)
    reason_code = models.SmallIntegerField()
    model = models.CharField(max_length=128)
    worst_nanos = models.BigIntegerField()
    reservation = models.UUIDField(null=True)
    entry_uid = models.UUIDField(null=True, help_text="null = folded, or nothing was moved")
    folded = models.BooleanField(default=False)
    policy_version = models.IntegerField()
    price_version = models.IntegerField()
    record = models.JSONField()
    answer = models.BinaryField()

    class Meta:
        """Table, rule and the indexes of its readers."""

        db_table = "policies_decision_log"
        constraints = [
            models.UniqueConstraint(
                fields=["caller", "request_id"],
                name="decision_request_once",
                condition=~Q(request_id=""),
            )
        ]
        indexes = [
            models.Index(fields=["-decided_at", "-id"], name="decision_newest"),
            models.Index(
                fields=["use_case", "-decided_at", "-id"], name="decision_use_case_newest"
            ),
            models.Index(
                fields=["caller", "use_case", "reason_code", "decided_at"],
                name="decision_denied",
                condition=Q(would_decision="deny"),
            ),
            models.Index(
                fields=["decided_at"], name="decision_folded", condition=Q(folded=True)
            ),
        ]

    def __str__(self) -> str:
        """What was decided?"""
        return f"{self.id} {self.decision} {self.reason}"


class AnswerLog(models.Model):
    """Which bytes answered a settle, release or extend? A repeat gets the same."""

    uid = models.UUIDField(primary_key=True, help_text="idempotency uid of the write")
    verb = models.CharField(max_length=8)
    reservation = models.UUIDField()
    answer = models.BinaryField()
    at = models.DateTimeField()

    class Meta:
        """Table and index."""

        db_table = "policies_answer_log"
        indexes = [models.Index(fields=["reservation"], name="answer_reservation")]

    def __str__(self) -> str:
        """Which answer?"""
        return f"{self.verb} {self.reservation}"


class DenialFold(models.Model):
    """Which denials of one second stand in the ledger in one entry?"""

    id = models.BigAutoField(primary_key=True)
    second = models.DateTimeField(help_text="start of the second")
    caller = models.CharField(max_length=64)
    use_case = models.IntegerField()
    reason_code = models.SmallIntegerField()
    n = models.IntegerField()
    entry_uid = models.UUIDField(unique=True)

    class Meta:
        """Table, rule and index."""

        db_table = "policies_denial_fold"
        constraints = [
            models.CheckConstraint(condition=Q(n__gt=0), name="denial_fold_counts_something")
        ]
        indexes = [
            models.Index(
                fields=["second", "caller", "use_case", "reason_code"],
                name="denial_fold_group",
            )
        ]

    def __str__(self) -> str:
        """How many, when?"""
        return f"{self.second:%H:%M:%S} {self.n}"
