"""Why: the full cost of a use case and of an outcome needs statements, rules and results.

Statements, rules, lines and results are append-only, by the same trigger as the plan; cells and
runs are caches that a counter fills.
"""

from django.db import migrations, models

APPEND_ONLY = (
    "reports_component_amount",
    "reports_allocation_rule",
    "reports_allocation_line",
    "reports_outcome",
    "reports_outcome_value",
    "reports_unit_month",
)
STAYS = "\n".join(
    f"""
CREATE TRIGGER {name}_rows_stay BEFORE UPDATE OR DELETE ON {name}
    FOR EACH ROW EXECUTE FUNCTION reports_refuse_change();
CREATE TRIGGER {name}_stays BEFORE TRUNCATE ON {name}
    FOR EACH STATEMENT EXECUTE FUNCTION reports_refuse_change();
"""
    for name in APPEND_ONLY
)
GOES = "\n".join(
    f"DROP TRIGGER {name}_stays ON {name}; DROP TRIGGER {name}_rows_stay ON {name};"
    for name in APPEND_ONLY
)


class Migration(migrations.Migration):
    """Expand only: nine new tables."""

    dependencies = [
        ("reports", "0001_plan"),
    ]

    operations = [
        migrations.CreateModel(
            name="CostCount",
            fields=[
                ("ledger_id", models.IntegerField(primary_key=True, serialize=False)),
                ("seq", models.BigIntegerField()),
            ],
            options={
                "db_table": "reports_cost_count",
            },
        ),
        migrations.CreateModel(
            name="AllocationLine",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("month", models.DateField()),
                ("component", models.CharField(max_length=32)),
                (
                    "use_case",
                    models.IntegerField(help_text="number entries carry; 0 = unallocated"),
                ),
                ("amount_nanos", models.BigIntegerField()),
                (
                    "rule_version",
                    models.IntegerField(help_text="0 = stated for the use case itself"),
                ),
                ("run", models.IntegerField(help_text="counter of the allocations of a month")),
                ("entry_uid", models.UUIDField(help_text="uid of its adjust entry", null=True)),
                ("booked_at", models.DateTimeField()),
            ],
            options={
                "db_table": "reports_allocation_line",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("month", "component", "use_case", "run"),
                        name="allocation_cell_once_a_run",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("amount_nanos", 0), ("entry_uid__isnull", False), _connector="OR"
                        ),
                        name="allocation_line_has_its_entry",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="AllocationRule",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("component", models.CharField(max_length=32)),
                ("version", models.IntegerField()),
                ("method", models.CharField(max_length=32)),
                ("weights", models.JSONField()),
                ("from_month", models.DateField()),
                ("reason", models.CharField(max_length=400)),
                ("entered_at", models.DateTimeField()),
                ("requested_by", models.CharField(max_length=64)),
                ("approved_by", models.CharField(max_length=64)),
                ("entry_uid", models.UUIDField(help_text="uid of its policy_change entry")),
            ],
            options={
                "db_table": "reports_allocation_rule",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("component", "version"), name="allocation_rule_once_a_version"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("from_month__day", 1)),
                        name="allocation_rule_month_is_a_first",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("requested_by", models.F("approved_by")), _negated=True
                        ),
                        name="allocation_rule_has_two_people",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="ComponentAmount",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("component", models.CharField(max_length=32)),
                ("month", models.DateField()),
                (
                    "use_case",
                    models.IntegerField(help_text="number entries carry; 0 = the company"),
                ),
                ("amount_nanos", models.BigIntegerField(null=True)),
                ("source", models.CharField(max_length=200)),
                ("basis", models.CharField(max_length=200)),
                ("grade", models.CharField(max_length=16)),
                ("coverage_ppm", models.IntegerField()),
                ("version", models.IntegerField()),
                ("entered_at", models.DateTimeField()),
                (
                    "entered_by",
                    models.CharField(help_text="public id of a person or key", max_length=64),
                ),
                (
                    "key",
                    models.CharField(
                        help_text="caller's key of the whole statement", max_length=128
                    ),
                ),
            ],
            options={
                "db_table": "reports_component_amount",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("component", "month", "use_case", "version"),
                        name="component_cell_once_a_version",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("month__day", 1)), name="component_month_is_a_first"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("coverage_ppm__gte", 0), ("coverage_ppm__lte", 1000000)
                        ),
                        name="component_coverage_is_a_share",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("grade__in", ("measured", "derived", "attested", "assumed"))
                        ),
                        name="component_grade_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("version__gte", 1)), name="component_version_ge_1"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="CostCell",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("day", models.DateField(help_text="day in the ledger's zone")),
                ("use_case", models.IntegerField()),
                ("component", models.CharField(max_length=32)),
                ("amount_nanos", models.BigIntegerField()),
                ("calls", models.BigIntegerField()),
                ("calls_estimated", models.BigIntegerField()),
                ("tokens", models.BigIntegerField()),
            ],
            options={
                "db_table": "reports_cost_cell",
                "indexes": [models.Index(fields=["day"], name="cost_cell_by_day")],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("use_case", "day", "component"), name="cost_cell_key"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Outcome",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("use_case", models.IntegerField()),
                ("kind", models.CharField(max_length=64)),
                ("name", models.CharField(max_length=128)),
                ("revision", models.IntegerField()),
                ("success", models.BooleanField()),
                ("at", models.DateTimeField(help_text="when it happened")),
                ("day", models.DateField(help_text="the same, day in the ledger's zone")),
                ("run", models.UUIDField()),
                ("customer", models.UUIDField()),
                ("join", models.CharField(max_length=16)),
                ("source", models.CharField(help_text="api, settle, usage", max_length=16)),
                ("entry_uid", models.UUIDField(unique=True)),
                ("recorded_at", models.DateTimeField()),
            ],
            options={
                "db_table": "reports_outcome",
                "indexes": [models.Index(fields=["use_case", "day"], name="outcome_by_day")],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("kind", "name", "revision"), name="outcome_once_a_revision"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("revision__gte", 1)), name="outcome_revision_ge_1"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("join__in", ("run", "customer", "use_case"))),
                        name="outcome_join_known",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="OutcomeValue",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("use_case", models.IntegerField()),
                ("kind", models.CharField(max_length=64)),
                ("version", models.IntegerField()),
                ("value_nanos", models.BigIntegerField()),
                ("hurdle_nanos", models.BigIntegerField()),
                ("window_days", models.IntegerField()),
                ("from_day", models.DateField()),
                ("reason", models.CharField(max_length=400)),
                ("entered_at", models.DateTimeField()),
                ("requested_by", models.CharField(max_length=64)),
                ("approved_by", models.CharField(max_length=64)),
                ("entry_uid", models.UUIDField(help_text="uid of its policy_change entry")),
            ],
            options={
                "db_table": "reports_outcome_value",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("use_case", "version"), name="outcome_value_once_a_version"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("hurdle_nanos__gte", 0), ("value_nanos__gte", 0)),
                        name="outcome_value_is_not_negative",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("window_days__gte", 0), ("window_days__lte", 90)),
                        name="outcome_window_is_0_to_90_days",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("requested_by", models.F("approved_by")), _negated=True
                        ),
                        name="outcome_value_has_two_people",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="RunCost",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("use_case", models.IntegerField()),
                ("run", models.UUIDField()),
                ("customer", models.UUIDField()),
                ("day", models.DateField()),
                ("amount_nanos", models.BigIntegerField()),
                ("calls", models.BigIntegerField()),
            ],
            options={
                "db_table": "reports_run_cost",
                "indexes": [
                    models.Index(fields=["use_case", "day"], name="run_cost_by_day"),
                    models.Index(
                        fields=["use_case", "customer", "day"], name="run_cost_by_customer"
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("use_case", "run", "day"), name="run_cost_key"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="UnitMonth",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("use_case", models.IntegerField()),
                ("month", models.DateField()),
                ("kind", models.CharField(max_length=64)),
                ("seq", models.BigIntegerField(help_text="ledger position it was computed at")),
                ("computed_at", models.DateTimeField()),
                ("spent_nanos", models.BigIntegerField()),
                ("direct_nanos", models.BigIntegerField()),
                ("successes", models.IntegerField()),
                ("failures", models.IntegerField()),
                ("joined_run", models.IntegerField()),
                ("joined_customer", models.IntegerField()),
                ("per_outcome_nanos", models.BigIntegerField(null=True)),
                ("low_nanos", models.BigIntegerField(null=True)),
                ("high_nanos", models.BigIntegerField(null=True)),
                ("failed_cost_nanos", models.BigIntegerField()),
                ("clusters", models.IntegerField(help_text="runs and days that were drawn")),
                ("value_version", models.IntegerField(help_text="0 = no approved value")),
                ("digest", models.BinaryField()),
            ],
            options={
                "db_table": "reports_unit_month",
                "indexes": [
                    models.Index(fields=["use_case", "month", "seq"], name="unit_month_newest")
                ],
            },
        ),
        migrations.RunSQL(STAYS, GOES),
    ]
