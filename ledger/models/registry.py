"""What do the small integers of entries mean?"""

from django.db import models


class RegistryRow(models.Model):
    """What does this number mean in this domain, since when?"""

    pk = models.CompositePrimaryKey("ledger_id", "domain", "body_hash")
    ledger_id = models.IntegerField()
    domain = models.TextField()
    number = models.IntegerField()
    body_hash = models.BinaryField()
    body = models.JSONField()
    created_at = models.DateTimeField()

    class Meta:
        managed = False
        db_table = "ledger_registry"

    def __str__(self) -> str:
        return f"{self.domain} {self.number}"
