"""What is another currency worth, since which date, says who? Rows are added, never edited."""

from django.db import models
from django.db.models import Q

from ledger.models.price import PriceVersion


class FxRateRow(models.Model):
    """How much of the ledger's currency is one unit worth from a date on?

    `rate` is a decimal text, so that nothing rounds it. A later row for the same date takes the
    place of the earlier one from its price version on.
    """

    id = models.AutoField(primary_key=True)
    currency = models.TextField()
    rate = models.TextField()
    rate_date = models.DateField()
    source = models.TextField()
    evidence = models.TextField(default="")
    actor = models.TextField()
    since = models.ForeignKey(PriceVersion, on_delete=models.PROTECT, related_name="+")
    recorded_at = models.DateTimeField()

    class Meta:
        db_table = "ledger_fx_rate"
        constraints = [
            models.UniqueConstraint(
                fields=["currency", "rate_date", "since"], name="fx_rate_once_a_version"
            ),
            models.CheckConstraint(
                name="fx_rate_is_a_decimal",
                condition=Q(rate__regex=r"^[0-9]{1,9}(\.[0-9]{1,15})?$"),
            ),
            models.CheckConstraint(
                name="fx_rate_currency_by_code", condition=Q(currency__regex=r"^[A-Z]{3}$")
            ),
            models.CheckConstraint(name="fx_rate_has_source", condition=~Q(source="")),
        ]

    def __str__(self) -> str:
        return f"{self.currency} {self.rate_date} {self.rate}"
