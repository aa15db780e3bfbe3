"""What does an entry say beyond its fields?"""

from django.db import models


class Document(models.Model):
    """Which canonical JSON has this hash?"""

    hash = models.BinaryField(primary_key=True)
    body = models.BinaryField()
    media = models.TextField(default="application/json")
    created_at = models.DateTimeField()

    class Meta:
        managed = False
        db_table = "ledger_document"

    def __str__(self) -> str:
        return f"document {bytes(self.hash).hex()}"
