"""Which position and chain hash has each entry, and how far is the sealer?"""

from django.db import models


class Seal(models.Model):
    """Which position has the entry, and which chain hash stands there?"""

    pk = models.CompositePrimaryKey("ledger_id", "seq")
    ledger_id = models.IntegerField()
    seq = models.BigIntegerField()
    entry_id = models.BigIntegerField()
    recorded_at = models.DateTimeField()
    chain = models.BinaryField()

    class Meta:
        managed = False
        db_table = "ledger_seal"

    def __str__(self) -> str:
        return f"position {self.seq}"


class SealState(models.Model):
    """How far is the sealer, and who may go on?"""

    ledger_id = models.IntegerField(primary_key=True)
    seq = models.BigIntegerField()
    last_id = models.BigIntegerField()
    chain = models.BinaryField()
    ranges = models.BinaryField()
    fence = models.BigIntegerField()
    system_id = models.BigIntegerField()
    updated_at = models.DateTimeField()

    class Meta:
        managed = False
        db_table = "ledger_seal_state"

    def __str__(self) -> str:
        return f"sealed up to {self.seq}"
