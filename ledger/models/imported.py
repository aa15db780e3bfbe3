"""Which files of usage and bills came in, how far is each, and which of their rows were not?

What was booked stands in entries; these rows say how a file got there. The file itself is kept
until it is booked and then forgotten: exports name people.
"""

from django.db import models
from django.db.models import F, Q


class Import(models.Model):
    """Which file is it, what did the dry run say, how far is it booked?

    Units: rows of the file; `amount_nanos` nano-units of `currency`: of a bill its lines, of
    usage what the provider says it cost. `first_entry` and `last_entry` bound the ids of the
    entries it made; `digest` is the SHA-256 over their leaves, in the order of their ids.
    """

    STATES = ("checked", "confirmed", "running", "done", "failed", "discarded")

    id = models.BigAutoField(primary_key=True)
    public = models.CharField(max_length=32, unique=True, help_text="imp_…")
    ledger_id = models.IntegerField()
    source = models.CharField(max_length=32)
    kind = models.CharField(max_length=8, help_text="usage or bill")
    state = models.CharField(max_length=12, default="checked")
    file_name = models.CharField(max_length=200)
    file_bytes = models.BigIntegerField()
    file_hash = models.BinaryField()
    use_case = models.CharField(max_length=128, blank=True, help_text="for rows without one")
    body = models.BinaryField(null=True, help_text="compressed; NULL once booked")
    rows_total = models.BigIntegerField(default=0)
    rows_new = models.BigIntegerField(default=0)
    rows_known = models.BigIntegerField(default=0)
    rows_rejected = models.BigIntegerField(default=0)
    rows_done = models.BigIntegerField(default=0)
    unpriced = models.BigIntegerField(default=0)
    currency = models.CharField(max_length=3, blank=True)
    amount_nanos = models.BigIntegerField(default=0)
    booked_nanos = models.BigIntegerField(default=0)
    first_entry = models.BigIntegerField(default=0)
    last_entry = models.BigIntegerField(default=0)
    digest = models.BinaryField(default=b"")
    actor = models.CharField(max_length=64)
    problem = models.CharField(max_length=200, blank=True)
    made_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    beat_at = models.DateTimeField(null=True, help_text="last sign of life of its worker")
    finished_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "ledger_import"
        constraints = [
            models.CheckConstraint(
                name="import_state_known",
                condition=Q(
                    state__in=(
                        "checked",
                        "confirmed",
                        "running",
                        "done",
                        "failed",
                        "discarded",
                    )
                ),
            ),
            models.CheckConstraint(
                name="import_kind_known", condition=Q(kind__in=("usage", "bill"))
            ),
            models.CheckConstraint(
                name="import_rows_add_up",
                condition=Q(rows_total=F("rows_new") + F("rows_known") + F("rows_rejected")),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.source} {self.file_name} {self.state}"


class ImportReject(models.Model):
    """Which row of a file was not taken, and why?"""

    id = models.BigAutoField(primary_key=True)
    imported = models.ForeignKey(Import, on_delete=models.CASCADE, related_name="+")
    row = models.BigIntegerField(help_text="as a person counts: the header is row 1")
    code = models.CharField(max_length=48)
    message = models.CharField(max_length=300)
    content = models.CharField(max_length=500, blank=True)

    class Meta:
        db_table = "ledger_import_reject"
        constraints = [
            models.UniqueConstraint(fields=["imported", "row"], name="import_reject_once")
        ]

    def __str__(self) -> str:
        return f"row {self.row}: {self.code}"
