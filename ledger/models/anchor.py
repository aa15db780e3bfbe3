"""Which checkpoints were kept outside, and with which receipt?"""

from django.db import models


class Anchor(models.Model):
    """Where was the checkpoint of this size put, and what proves it?"""

    id = models.BigAutoField(primary_key=True)
    ledger_id = models.IntegerField()
    size = models.BigIntegerField()
    kind = models.TextField()
    evidence = models.BinaryField()
    at = models.DateTimeField()

    class Meta:
        managed = False
        db_table = "ledger_anchor"

    def __str__(self) -> str:
        return f"{self.kind} anchor at {self.size}"
