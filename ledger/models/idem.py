"""Which uids are taken, and which entries were reversed?"""

from django.db import models


class IdempotencyKey(models.Model):
    """Which request took this uid, and where is its entry?"""

    pk = models.CompositePrimaryKey("ledger_id", "uid")
    ledger_id = models.IntegerField()
    uid = models.UUIDField()
    request_hash = models.BinaryField()
    entry_id = models.BigIntegerField()

    class Meta:
        managed = False
        db_table = "ledger_idem"

    def __str__(self) -> str:
        return f"key {self.uid}"


class Reversed(models.Model):
    """Which entry was reversed, and by which?"""

    pk = models.CompositePrimaryKey("ledger_id", "uid")
    ledger_id = models.IntegerField()
    uid = models.UUIDField()
    by_uid = models.UUIDField()

    class Meta:
        managed = False
        db_table = "ledger_reversed"

    def __str__(self) -> str:
        return f"{self.uid} reversed by {self.by_uid}"
