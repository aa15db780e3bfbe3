"""Where does an entry stand in the database?

Read-only for Django: rows are written by `ledger.operations.append` alone. The key is
(recorded_at, id) in the database; Django is told `id`, which is unique too, since its admin
takes one column.
"""

from typing import ClassVar

from django.db import models


class Entry(models.Model):
    """Which final fact about inference money is this? Fields: ledger.core.entry.COLUMNS_V1."""

    id = models.BigIntegerField(primary_key=True)
    ver = models.SmallIntegerField()
    ledger_id = models.IntegerField()
    kind = models.SmallIntegerField()
    uid = models.UUIDField()
    effective_at = models.DateTimeField()
    recorded_at = models.DateTimeField()
    envelope_id = models.IntegerField()
    use_case_id = models.IntegerField()
    dims_id = models.IntegerField()
    offer_id = models.IntegerField()
    venue_id = models.IntegerField()
    model_id = models.IntegerField()
    actor_id = models.IntegerField()
    amount_nanos = models.BigIntegerField()
    held_nanos = models.BigIntegerField()
    unsettled_nanos = models.BigIntegerField()
    reserved_nanos = models.BigIntegerField()
    counter_nanos = models.BigIntegerField()
    n = models.IntegerField()
    tok_in = models.BigIntegerField()
    tok_cache_read = models.BigIntegerField()
    tok_cache_write = models.BigIntegerField()
    tok_cache_write_1h = models.BigIntegerField()
    tok_out = models.BigIntegerField()
    tok_reasoning = models.BigIntegerField()
    latency_ms = models.IntegerField()
    price_version = models.IntegerField()
    policy_version = models.IntegerField()
    decision = models.UUIDField()
    reservation = models.UUIDField()
    lease = models.UUIDField()
    parent = models.UUIDField()
    attempt = models.SmallIntegerField()
    flags = models.IntegerField()
    env_version = models.BigIntegerField()
    reverses = models.UUIDField()
    doc = models.BinaryField()
    ref = models.TextField()
    leaf = models.BinaryField()

    class Meta:
        managed = False
        db_table = "ledger_entry"
        verbose_name_plural = "entries"
        default_permissions: ClassVar = ("view",)

    def __str__(self) -> str:
        return f"entry {self.uid}"
