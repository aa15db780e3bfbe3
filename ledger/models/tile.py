"""Where do the hashes of the tree stand?"""

from django.db import models


class Tile(models.Model):
    """Which 256 hashes stand in this full tile?"""

    pk = models.CompositePrimaryKey("ledger_id", "level", "idx")
    ledger_id = models.IntegerField()
    level = models.SmallIntegerField()
    idx = models.BigIntegerField()
    hashes = models.BinaryField()

    class Meta:
        managed = False
        db_table = "ledger_tile"

    def __str__(self) -> str:
        return f"tile {self.level}/{self.idx}"
