"""Which entry was revalued, by how much, in which run? Rows that are added, never edited."""

from django.db import models
from django.db.models import F, Q


class Revaluation(models.Model):
    """By how much does a corrected past price change one booked amount?

    `delta_nanos` is what the `revaluation` entry `entry_uid` books; before and after are what
    the original stands at, deltas of earlier runs included. Units: nanos.
    """

    entry_uid = models.UUIDField(primary_key=True)
    original_uid = models.UUIDField()
    original_at = models.DateTimeField()
    run = models.TextField()
    price_version = models.IntegerField()
    before_nanos = models.BigIntegerField()
    after_nanos = models.BigIntegerField()
    delta_nanos = models.BigIntegerField()
    recorded_at = models.DateTimeField()

    class Meta:
        db_table = "ledger_revaluation"
        indexes = [
            models.Index(fields=["original_uid"], name="revaluation_by_original"),
            models.Index(fields=["original_at"], name="revaluation_by_instant"),
        ]
        constraints = [
            # One price book says one thing about one entry.
            models.UniqueConstraint(
                fields=["original_uid", "price_version"], name="revaluation_once_a_version"
            ),
            models.CheckConstraint(
                name="revaluation_adds_up",
                condition=Q(after_nanos=F("before_nanos") + F("delta_nanos")),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.original_uid} {self.delta_nanos}"
