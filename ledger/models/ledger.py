"""Whose ledger is it: legal entity, currency, origin?"""

from django.db import models


class Ledger(models.Model):
    """Which origin, currency and zone do the entries of this ledger have?"""

    id = models.IntegerField(primary_key=True)
    origin = models.TextField(unique=True)
    currency = models.TextField()
    time_zone = models.TextField()
    rollup_minutes = models.SmallIntegerField(default=60)
    created_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)

    class Meta:
        managed = False
        db_table = "ledger_ledger"

    def __str__(self) -> str:
        return self.origin
