"""Which tree heads were signed?"""

from django.db import models


class Checkpoint(models.Model):
    """Which root and chain hash were signed at this size?"""

    pk = models.CompositePrimaryKey("ledger_id", "size")
    ledger_id = models.IntegerField()
    size = models.BigIntegerField()
    root = models.BinaryField()
    chain = models.BinaryField()
    note = models.TextField()
    key_id = models.BinaryField()
    signed_at = models.DateTimeField()

    class Meta:
        managed = False
        db_table = "ledger_checkpoint"

    def __str__(self) -> str:
        return f"checkpoint at {self.size}"
