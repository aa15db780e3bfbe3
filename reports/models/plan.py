"""How much was planned to be spent, by month and use case, and who said so when?"""

from django.db import models
from django.db.models import Q


class PlanLine(models.Model):
    """Which amount was planned for this use case and month, in this version of the plan?

    Append-only: a change is a line of a later version, and the newest version of a cell holds.
    Units: `amount_nanos` nanos of the ledger's currency; null takes an earlier line back.
    `month` is the first day of a calendar month in the ledger's zone. `use_case` is the number
    entries carry; 0 = spend of no use case.
    """

    id = models.BigAutoField(primary_key=True)
    month = models.DateField()
    use_case = models.IntegerField()
    amount_nanos = models.BigIntegerField(null=True)
    version = models.IntegerField()
    entered_at = models.DateTimeField()
    entered_by = models.CharField(max_length=64, help_text="public id of a person or key")

    class Meta:
        """Table, rules and the index of the newest version."""

        db_table = "reports_plan_line"
        constraints = [
            models.UniqueConstraint(
                fields=["month", "use_case", "version"], name="plan_cell_once_a_version"
            ),
            models.CheckConstraint(
                condition=Q(amount_nanos__isnull=True) | Q(amount_nanos__gte=0),
                name="plan_amount_ge_0",
            ),
            models.CheckConstraint(condition=Q(version__gte=1), name="plan_version_ge_1"),
            models.CheckConstraint(condition=Q(month__day=1), name="plan_month_is_a_first_day"),
        ]

    def __str__(self) -> str:
        """Which cell, which version?"""
        return f"{self.month:%Y-%m} use case {self.use_case} v{self.version}"
