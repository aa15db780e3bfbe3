"""Which periods are open, closing, closed?"""

from django.db import models


class LedgerPeriod(models.Model):
    """Which positions and roots has the period, once closed?"""

    pk = models.CompositePrimaryKey("ledger_id", "period")
    ledger_id = models.IntegerField()
    period = models.TextField()
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    status = models.TextField(default="open")
    first_seq = models.BigIntegerField(default=0)
    last_seq = models.BigIntegerField(default=0)
    root = models.BinaryField(default=b"")
    balances_root = models.BinaryField(default=b"")
    closed_at = models.DateTimeField(null=True)

    class Meta:
        managed = False
        db_table = "ledger_period"

    def __str__(self) -> str:
        return f"{self.period} {self.status}"
