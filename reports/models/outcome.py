"""Which business results were told, what are they worth, and what did one of them cost?"""

from django.db import models
from django.db.models import Q


class Outcome(models.Model):
    """Which business result was told, and how does it find its calls?

    Append-only. One result has one `kind` (its type) and `name` (its id); a later `revision`
    replaces it until its window closes. `run` and `customer` are uids like those of `RunCost`,
    zero when it names none; `join` says which of them it brought. `count` above 1 is an
    aggregate of a day: it can be joined by use case alone.
    """

    id = models.BigAutoField(primary_key=True)
    use_case = models.IntegerField()
    kind = models.CharField(max_length=64)
    name = models.CharField(max_length=128)
    revision = models.IntegerField()
    success = models.BooleanField()
    count = models.IntegerField(default=1, help_text="results it stands for")
    at = models.DateTimeField(help_text="when it happened")
    day = models.DateField(help_text="the same, day in the ledger's zone")
    run = models.UUIDField()
    customer = models.UUIDField()
    join = models.CharField(max_length=16)
    source = models.CharField(max_length=16, help_text="api, settle, usage")
    entry_uid = models.UUIDField(unique=True)
    recorded_at = models.DateTimeField()

    class Meta:
        """Table, rules and indexes."""

        db_table = "reports_outcome"
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "name", "revision"], name="outcome_once_a_revision"
            ),
            models.CheckConstraint(condition=Q(revision__gte=1), name="outcome_revision_ge_1"),
            models.CheckConstraint(
                condition=Q(join__in=("run", "customer", "use_case")), name="outcome_join_known"
            ),
            models.CheckConstraint(
                condition=Q(count=1) | Q(count__gt=1, join="use_case"),
                name="outcome_aggregate_has_no_run",
            ),
        ]
        indexes = [models.Index(fields=["use_case", "day"], name="outcome_by_day")]

    def __str__(self) -> str:
        """Which result?"""
        return f"{self.kind} {self.name} r{self.revision}"


class OutcomeValue(models.Model):
    """What is one outcome of this type worth to a use case, from which day on?

    Append-only, by two people. Units: nanos; `window_days` how long after its calls an outcome
    still counts.
    """

    id = models.BigAutoField(primary_key=True)
    use_case = models.IntegerField()
    kind = models.CharField(max_length=64)
    version = models.IntegerField()
    value_nanos = models.BigIntegerField()
    hurdle_nanos = models.BigIntegerField()
    window_days = models.IntegerField()
    from_day = models.DateField()
    reason = models.CharField(max_length=400)
    entered_at = models.DateTimeField()
    requested_by = models.CharField(max_length=64)
    approved_by = models.CharField(max_length=64)
    entry_uid = models.UUIDField(help_text="uid of its policy_change entry")

    class Meta:
        """Table and rules."""

        db_table = "reports_outcome_value"
        constraints = [
            models.UniqueConstraint(
                fields=["use_case", "version"], name="outcome_value_once_a_version"
            ),
            models.CheckConstraint(
                condition=Q(value_nanos__gte=0, hurdle_nanos__gte=0),
                name="outcome_value_is_not_negative",
            ),
            models.CheckConstraint(
                condition=Q(window_days__gte=0, window_days__lte=90),
                name="outcome_window_is_0_to_90_days",
            ),
            models.CheckConstraint(
                condition=~Q(requested_by=models.F("approved_by")),
                name="outcome_value_has_two_people",
            ),
        ]

    def __str__(self) -> str:
        """Which value?"""
        return f"{self.kind} of use case {self.use_case} v{self.version}"


class UnitMonth(models.Model):
    """What did an outcome of this use case cost in this month, as known at a position?

    Append-only: a restatement is a later row. Units: nanos; `digest` of all that went in, so
    that nothing is stated twice.
    """

    id = models.BigAutoField(primary_key=True)
    use_case = models.IntegerField()
    month = models.DateField()
    kind = models.CharField(max_length=64)
    seq = models.BigIntegerField(help_text="ledger position it was computed at")
    computed_at = models.DateTimeField()
    spent_nanos = models.BigIntegerField()
    direct_nanos = models.BigIntegerField()
    successes = models.IntegerField()
    failures = models.IntegerField()
    joined_run = models.IntegerField()
    joined_customer = models.IntegerField()
    per_outcome_nanos = models.BigIntegerField(null=True)
    low_nanos = models.BigIntegerField(null=True)
    high_nanos = models.BigIntegerField(null=True)
    failed_cost_nanos = models.BigIntegerField()
    clusters = models.IntegerField(help_text="runs and days that were drawn")
    value_version = models.IntegerField(help_text="0 = no approved value")
    digest = models.BinaryField()

    class Meta:
        """Table and the index of the newest statement."""

        db_table = "reports_unit_month"
        indexes = [
            models.Index(fields=["use_case", "month", "seq"], name="unit_month_newest"),
        ]

    def __str__(self) -> str:
        """Which month, at which position?"""
        return f"{self.month:%Y-%m} use case {self.use_case} at {self.seq}"
