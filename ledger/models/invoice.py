"""Which bills did providers send, line by line, and which differences were booked?

All append-only: a bill is what was received, a booking what two people decided. Whether a bill
agrees with the ledger is computed, never stored.
"""

from django.db import models
from django.db.models import F, Q


class Invoice(models.Model):
    """Which bill is it: of whom, for which month, in which currency?

    One row for each venue, month and currency; files add lines to it. `number` is the first.
    """

    id = models.BigAutoField(primary_key=True)
    public = models.CharField(max_length=32, unique=True, help_text="inv_…")
    ledger_id = models.IntegerField()
    venue = models.CharField(max_length=128)
    venue_id = models.IntegerField(help_text="number in entries")
    account = models.CharField(max_length=128, blank=True)
    number = models.CharField(max_length=128, blank=True, help_text="the provider's")
    period = models.CharField(max_length=7, help_text="2026-10")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(help_text="excluded")
    currency = models.CharField(max_length=3)
    source = models.CharField(max_length=32)
    received_at = models.DateTimeField()

    class Meta:
        db_table = "ledger_invoice"
        constraints = [
            models.UniqueConstraint(
                fields=["ledger_id", "venue", "account", "number", "period", "currency"],
                name="invoice_once",
            ),
            models.CheckConstraint(
                name="invoice_is_half_open", condition=Q(starts_at__lt=F("ends_at"))
            ),
        ]

    def __str__(self) -> str:
        return f"{self.venue} {self.period}"


class InvoiceLine(models.Model):
    """What does one line of a bill say? `uid` names its `invoice_line` entry.

    Units: `amount_nanos` nano-units of the bill's currency; `quantity` of `unit` (tokens,
    requests, hours), NULL where the bill states none. `day` and `last_day` are provider days
    (UTC), both inside. Empty text = the bill does not say.
    """

    uid = models.UUIDField(primary_key=True)
    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="+")
    imported = models.BigIntegerField(help_text="import it came with")
    row = models.BigIntegerField()
    day = models.DateField()
    last_day = models.DateField()
    model = models.CharField(max_length=128, blank=True)
    tier = models.CharField(max_length=16, blank=True)
    account = models.CharField(max_length=128, blank=True)
    meter = models.CharField(max_length=64, blank=True)
    quantity = models.BigIntegerField(null=True)
    unit = models.CharField(max_length=16, blank=True)
    amount_nanos = models.BigIntegerField()
    is_late = models.BooleanField(help_text="it came after its month was closed")
    received_at = models.DateTimeField()

    class Meta:
        db_table = "ledger_invoice_line"
        indexes = [models.Index(fields=["invoice", "day"], name="invoice_line_by_day")]

    def __str__(self) -> str:
        return f"{self.day} {self.model} {self.amount_nanos}"


class BookedDifference(models.Model):
    """Which difference of a bill was booked, why, and by which two people?

    Units: nanos. `uid` names its first `reconcile` entry; the amount may be shared out over
    several. A key (day, model, tier, account) may be booked again when more lines come.
    """

    uid = models.UUIDField(primary_key=True)
    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="+")
    day = models.DateField()
    last_day = models.DateField()
    model = models.CharField(max_length=128, blank=True)
    tier = models.CharField(max_length=16, blank=True)
    account = models.CharField(max_length=128, blank=True)
    found = models.CharField(max_length=24, help_text="class of the match")
    amount_nanos = models.BigIntegerField(help_text="what was added to the ledger")
    cause = models.CharField(max_length=32)
    reason = models.CharField(max_length=400, blank=True)
    requested_by = models.CharField(max_length=64)
    approved_by = models.CharField(max_length=64)
    is_late = models.BooleanField(help_text="it was booked after its month was closed")
    booked_at = models.DateTimeField()

    class Meta:
        db_table = "ledger_booked_difference"
        indexes = [models.Index(fields=["invoice", "day"], name="booked_difference_by_day")]
        constraints = [
            models.CheckConstraint(
                name="booked_difference_by_two",
                condition=~Q(requested_by=F("approved_by")),
            )
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.model} {self.amount_nanos}"
