"""Which amounts did finance state beside inference, and by which rules are they shared out?

Everything here is append-only: a newer version of a cell holds, and the older one explains what
was booked with it.
"""

from django.db import models
from django.db.models import Q


class ComponentAmount(models.Model):
    """What did finance state for this component, month and use case, in this version?

    Units: `amount_nanos` nanos of the ledger's currency; 0 says there was nothing, null takes
    an earlier statement back. `month` the first day of a month in the ledger's zone. `use_case`
    0 = an amount of the company that a rule shares out. `coverage_ppm` how much is covered.
    `inputs` what the amount was computed from, empty when it was stated as it is.
    """

    id = models.BigAutoField(primary_key=True)
    component = models.CharField(max_length=32)
    month = models.DateField()
    use_case = models.IntegerField(help_text="number entries carry; 0 = the company")
    amount_nanos = models.BigIntegerField(null=True)
    source = models.CharField(max_length=200)
    basis = models.CharField(max_length=200)
    grade = models.CharField(max_length=16)
    coverage_ppm = models.IntegerField()
    inputs = models.JSONField(default=dict)
    version = models.IntegerField()
    entered_at = models.DateTimeField()
    entered_by = models.CharField(max_length=64, help_text="public id of a person or key")
    key = models.CharField(max_length=128, help_text="caller's key of the whole statement")

    class Meta:
        """Table and rules."""

        db_table = "reports_component_amount"
        constraints = [
            models.UniqueConstraint(
                fields=["component", "month", "use_case", "version"],
                name="component_cell_once_a_version",
            ),
            models.CheckConstraint(
                condition=Q(month__day=1), name="component_month_is_a_first"
            ),
            models.CheckConstraint(
                condition=Q(coverage_ppm__gte=0, coverage_ppm__lte=1_000_000),
                name="component_coverage_is_a_share",
            ),
            models.CheckConstraint(
                condition=Q(grade__in=("measured", "derived", "attested", "assumed")),
                name="component_grade_known",
            ),
            models.CheckConstraint(condition=Q(version__gte=1), name="component_version_ge_1"),
        ]

    def __str__(self) -> str:
        """Which cell, which version?"""
        return f"{self.component} {self.month:%Y-%m} use case {self.use_case} v{self.version}"


class AllocationRule(models.Model):
    """By what is a component shared out from this month on, and which two people said so?

    Shape: `weights` use case number (as text) to heads or parts per million; `driver` whose
    volumes weigh, empty = confirmed outcomes.
    """

    id = models.BigAutoField(primary_key=True)
    component = models.CharField(max_length=32)
    version = models.IntegerField()
    method = models.CharField(max_length=32)
    weights = models.JSONField()
    driver = models.CharField(max_length=64, default="")
    from_month = models.DateField()
    reason = models.CharField(max_length=400)
    entered_at = models.DateTimeField()
    requested_by = models.CharField(max_length=64)
    approved_by = models.CharField(max_length=64)
    entry_uid = models.UUIDField(help_text="uid of its policy_change entry")

    class Meta:
        """Table and rules."""

        db_table = "reports_allocation_rule"
        constraints = [
            models.UniqueConstraint(
                fields=["component", "version"], name="allocation_rule_once_a_version"
            ),
            models.CheckConstraint(
                condition=Q(from_month__day=1), name="allocation_rule_month_is_a_first"
            ),
            models.CheckConstraint(
                condition=~Q(requested_by=models.F("approved_by")),
                name="allocation_rule_has_two_people",
            ),
        ]

    def __str__(self) -> str:
        """Which rule?"""
        return f"{self.component} v{self.version} {self.method}"


class AllocationLine(models.Model):
    """What did an allocation book for this component, month and use case?

    The newest line of a cell holds; the one before was reversed in the same transaction. A line
    of 0 has no entry: nothing is shared to it any more.
    """

    id = models.BigAutoField(primary_key=True)
    month = models.DateField()
    component = models.CharField(max_length=32)
    use_case = models.IntegerField(help_text="number entries carry; 0 = unallocated")
    amount_nanos = models.BigIntegerField()
    rule_version = models.IntegerField(help_text="0 = stated for the use case itself")
    run = models.IntegerField(help_text="counter of the allocations of a month")
    entry_uid = models.UUIDField(null=True, help_text="uid of its adjust entry")
    booked_at = models.DateTimeField()

    class Meta:
        """Table, rules and the index of the newest run."""

        db_table = "reports_allocation_line"
        constraints = [
            models.UniqueConstraint(
                fields=["month", "component", "use_case", "run"],
                name="allocation_cell_once_a_run",
            ),
            models.CheckConstraint(
                condition=Q(amount_nanos=0) | Q(entry_uid__isnull=False),
                name="allocation_line_has_its_entry",
            ),
        ]

    def __str__(self) -> str:
        """Which cell of which run?"""
        return f"{self.month:%Y-%m} {self.component} use case {self.use_case} run {self.run}"


class CostCell(models.Model):
    """What do the entries of one day, use case and component add up to?

    A cache, counted on from `CostCount.seq` and rebuilt from entries at any time.
    """

    id = models.BigAutoField(primary_key=True)
    day = models.DateField(help_text="day in the ledger's zone")
    use_case = models.IntegerField()
    component = models.CharField(max_length=32)
    amount_nanos = models.BigIntegerField()
    calls = models.BigIntegerField()
    calls_estimated = models.BigIntegerField()
    tokens = models.BigIntegerField()

    class Meta:
        """Table and key."""

        db_table = "reports_cost_cell"
        constraints = [
            models.UniqueConstraint(
                fields=["use_case", "day", "component"], name="cost_cell_key"
            )
        ]
        indexes = [models.Index(fields=["day"], name="cost_cell_by_day")]

    def __str__(self) -> str:
        """Which cell?"""
        return f"{self.day} use case {self.use_case} {self.component}"


class RunCost(models.Model):
    """What did the calls of one run cost on one day? A cache like `CostCell`.

    `run` is the uid of the run, or of the customer and day for calls that name no run, or the
    reservation of a call that told its own outcome. `customer` is the uid of the customer's
    name, or the zero uuid.
    """

    id = models.BigAutoField(primary_key=True)
    use_case = models.IntegerField()
    run = models.UUIDField()
    customer = models.UUIDField()
    day = models.DateField()
    amount_nanos = models.BigIntegerField()
    calls = models.BigIntegerField()

    class Meta:
        """Table, key and the index by customer."""

        db_table = "reports_run_cost"
        constraints = [
            models.UniqueConstraint(fields=["use_case", "run", "day"], name="run_cost_key")
        ]
        indexes = [
            models.Index(fields=["use_case", "day"], name="run_cost_by_day"),
            models.Index(fields=["use_case", "customer", "day"], name="run_cost_by_customer"),
        ]

    def __str__(self) -> str:
        """Which run?"""
        return f"{self.run} {self.day}"


class CostCount(models.Model):
    """Up to which position of the ledger are costs counted?"""

    ledger_id = models.IntegerField(primary_key=True)
    seq = models.BigIntegerField()

    class Meta:
        """Table."""

        db_table = "reports_cost_count"

    def __str__(self) -> str:
        """How far?"""
        return f"up to {self.seq}"
