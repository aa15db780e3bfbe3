"""How much of what causes calls was there, as business systems told it?"""

from django.db import models
from django.db.models import F, Q


class DriverVolume(models.Model):
    """How many units of a driver had a use case on these days, in this revision?

    Append-only. A driver is the business volume that causes calls: tickets, seats, documents.
    `first` and `after` bound the days, half-open; they are a day or a whole month. The newest
    revision of one use case, driver and days holds.
    """

    id = models.BigAutoField(primary_key=True)
    use_case = models.IntegerField(help_text="number entries carry")
    driver = models.CharField(max_length=64)
    first = models.DateField()
    after = models.DateField()
    revision = models.IntegerField()
    volume = models.BigIntegerField()
    source = models.CharField(max_length=200)
    entry_uid = models.UUIDField(unique=True, help_text="uid of its driver entry")
    recorded_at = models.DateTimeField()
    recorded_by = models.CharField(max_length=64, help_text="public id of a person or key")

    class Meta:
        """Table, rules and the index of a month."""

        db_table = "reports_driver_volume"
        constraints = [
            models.UniqueConstraint(
                fields=["use_case", "driver", "first", "after", "revision"],
                name="driver_volume_once_a_revision",
            ),
            models.CheckConstraint(
                condition=Q(after__gt=F("first")), name="driver_volume_has_days"
            ),
            models.CheckConstraint(
                condition=Q(volume__gte=0), name="driver_volume_is_not_negative"
            ),
            models.CheckConstraint(
                condition=Q(revision__gte=1), name="driver_volume_revision_ge_1"
            ),
        ]
        indexes = [models.Index(fields=["first"], name="driver_volume_by_day")]

    def __str__(self) -> str:
        """Which volume?"""
        return f"{self.driver} of use case {self.use_case} from {self.first} r{self.revision}"
