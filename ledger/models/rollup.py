"""Which sums does a page read instead of entries?"""

from typing import ClassVar

from django.db import models

_KEY = (
    "ledger_id",
    "bucket",
    "use_case_id",
    "envelope_id",
    "venue_id",
    "model_id",
    "dims_id",
    "kind_class",
)


class Rollup(models.Model):
    """Which sums belong to this cell, up to which position?"""

    ledger_id = models.IntegerField()
    use_case_id = models.IntegerField()
    envelope_id = models.IntegerField()
    venue_id = models.IntegerField()
    model_id = models.IntegerField()
    dims_id = models.IntegerField()
    kind_class = models.SmallIntegerField()
    amount_nanos = models.BigIntegerField()
    held_nanos = models.BigIntegerField()
    unsettled_nanos = models.BigIntegerField()
    reserved_nanos = models.BigIntegerField()
    counter_nanos = models.BigIntegerField()
    n = models.BigIntegerField()
    tok_in = models.BigIntegerField()
    tok_cache_read = models.BigIntegerField()
    tok_cache_write = models.BigIntegerField()
    tok_cache_write_1h = models.BigIntegerField()
    tok_out = models.BigIntegerField()
    tok_reasoning = models.BigIntegerField()
    upto_seq = models.BigIntegerField()

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"use case {self.use_case_id}, up to {self.upto_seq}"


class RollupHour(Rollup):
    """Which sums have the entries of this UTC hour?"""

    pk = models.CompositePrimaryKey(*_KEY)
    bucket = models.DateTimeField()

    class Meta:
        managed = False
        db_table = "rollup_hour"
        default_permissions: ClassVar = ("view",)


class RollupDay(Rollup):
    """Which sums have the entries of this day in the ledger's zone?"""

    pk = models.CompositePrimaryKey(*_KEY)
    bucket = models.DateField()

    class Meta:
        managed = False
        db_table = "rollup_day"
        default_permissions: ClassVar = ("view",)
