"""Which periods are open, closing, closed, and what stood in each envelope at the close?"""

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


class PeriodBalance(models.Model):
    """What stood in one envelope when its period was closed? A leaf of `balances_root`.

    `line` is the canonical JSON that was hashed: cap, envelope, period, settled.
    """

    id = models.BigAutoField(primary_key=True)
    ledger_id = models.IntegerField()
    period = models.TextField()
    place = models.IntegerField(help_text="position among the leaves, from 0")
    envelope = models.TextField(help_text="env_…")
    line = models.BinaryField()

    class Meta:
        db_table = "ledger_period_balance"
        constraints = [
            models.UniqueConstraint(
                fields=["ledger_id", "period", "place"], name="period_balance_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.period} {self.envelope}"


class Accrual(models.Model):
    """Which cost of a month was expected but neither metered nor billed when it ended?

    `uid` is the entry that adds it to the month, `back_uid` the one that takes it out of the
    next. Units: nanos of the ledger's currency.
    """

    uid = models.UUIDField(primary_key=True)
    back_uid = models.UUIDField(unique=True)
    ledger_id = models.IntegerField()
    period = models.TextField()
    venue = models.CharField(max_length=128)
    amount_nanos = models.BigIntegerField()
    reason = models.CharField(max_length=400)
    requested_by = models.CharField(max_length=64)
    approved_by = models.CharField(max_length=64)
    booked_at = models.DateTimeField()

    class Meta:
        db_table = "ledger_accrual"
        constraints = [
            models.CheckConstraint(
                name="accrual_by_two",
                condition=~models.Q(requested_by=models.F("approved_by")),
            )
        ]

    def __str__(self) -> str:
        return f"{self.period} {self.venue}"
