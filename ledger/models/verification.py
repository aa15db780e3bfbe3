"""What did the verifier find, each time it ran?"""

from django.db import models


class Verification(models.Model):
    """Which positions were recomputed, and what was the first difference?"""

    id = models.BigAutoField(primary_key=True)
    ledger_id = models.IntegerField()
    mode = models.TextField()
    from_seq = models.BigIntegerField()
    upto_seq = models.BigIntegerField()
    ok = models.BooleanField()
    finding = models.JSONField(default=dict)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField()

    class Meta:
        managed = False
        db_table = "ledger_verification"

    def __str__(self) -> str:
        return f"{self.mode} up to {self.upto_seq}: {'ok' if self.ok else 'broken'}"
