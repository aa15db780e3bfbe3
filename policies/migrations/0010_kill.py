"""Why: rules that stop what fails, what happened to each, and the money of throttled hours.

Versions and events are append-only: a trigger refuses UPDATE, DELETE and TRUNCATE on them.
"""

import django.db.models.deletion
from django.db import migrations, models

TABLES = ("policies_kill_event", "policies_kill_version")
TRIGGERS = "".join(
    f"""
CREATE TRIGGER {table}_rows_stay BEFORE UPDATE OR DELETE ON {table}
    FOR EACH ROW EXECUTE FUNCTION policies_refuse_change();
CREATE TRIGGER {table}_stays BEFORE TRUNCATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION policies_refuse_change();
"""
    for table in TABLES
)
DROP = "".join(
    f"DROP TRIGGER {table}_stays ON {table}; DROP TRIGGER {table}_rows_stay ON {table};"
    for table in TABLES
)


class Migration(migrations.Migration):
    dependencies = [
        ("policies", "0009_alert_guards"),
    ]

    operations = [
        migrations.CreateModel(
            name="ThrottleMinute",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "criterion",
                        "minute",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("criterion", models.CharField(max_length=30)),
                ("minute", models.DateTimeField()),
                ("nanos", models.BigIntegerField()),
            ],
            options={
                "db_table": "policies_throttle_minute",
            },
        ),
        migrations.CreateModel(
            name="KillCriterion",
            fields=[
                ("id", models.AutoField(primary_key=True, serialize=False)),
                (
                    "public",
                    models.CharField(help_text="public id, kil_…", max_length=30, unique=True),
                ),
                ("name", models.CharField(max_length=120)),
                ("scope_kind", models.CharField(max_length=12)),
                ("spec", models.JSONField()),
                ("version", models.IntegerField(default=1)),
                ("state", models.CharField(default="draft", max_length=12)),
                ("acts", models.BooleanField(default=False)),
                (
                    "over_since",
                    models.DateTimeField(
                        help_text="beyond the threshold without a break", null=True
                    ),
                ),
                (
                    "inside_since",
                    models.DateTimeField(
                        help_text="inside the restore threshold since", null=True
                    ),
                ),
                ("tripped_at", models.DateTimeField(null=True)),
                (
                    "restorable_at",
                    models.DateTimeField(help_text="waits for two people since", null=True),
                ),
                ("override_until", models.DateTimeField(null=True)),
                ("sunset_until", models.DateTimeField(null=True)),
                (
                    "sunset_from_nanos",
                    models.BigIntegerField(help_text="cap of the day it tripped", null=True),
                ),
                (
                    "proposed_at",
                    models.DateTimeField(
                        help_text="a trip that waits for a yes since", null=True
                    ),
                ),
                ("looked_at", models.DateTimeField(null=True)),
                ("last", models.JSONField(default=dict)),
                ("created_at", models.DateTimeField()),
                ("updated_at", models.DateTimeField()),
                ("created_by", models.CharField(max_length=64)),
                (
                    "department",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="policies.department",
                    ),
                ),
                (
                    "use_case",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="policies.usecase",
                    ),
                ),
            ],
            options={
                "db_table": "policies_kill_criterion",
            },
        ),
        migrations.CreateModel(
            name="KillEvent",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("at", models.DateTimeField()),
                ("kind", models.CharField(max_length=16)),
                ("before", models.CharField(max_length=12)),
                ("after", models.CharField(max_length=12)),
                ("version", models.IntegerField()),
                ("actor", models.CharField(max_length=64)),
                ("reason", models.CharField(blank=True, max_length=400)),
                ("inputs", models.JSONField(default=dict)),
                ("entry_uid", models.UUIDField(help_text="its ledger entry", null=True)),
                (
                    "criterion",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="policies.killcriterion",
                    ),
                ),
            ],
            options={
                "db_table": "policies_kill_event",
            },
        ),
        migrations.CreateModel(
            name="KillVersion",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("version", models.IntegerField()),
                ("spec", models.JSONField()),
                ("at", models.DateTimeField()),
                ("actor", models.CharField(max_length=64)),
                ("reason", models.CharField(max_length=400)),
                ("entry_uid", models.UUIDField(help_text="ledger entry of the change")),
                (
                    "criterion",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="policies.killcriterion",
                    ),
                ),
            ],
            options={
                "db_table": "policies_kill_version",
            },
        ),
        migrations.AddIndex(
            model_name="killcriterion",
            index=models.Index(
                condition=models.Q(("acts", True)),
                fields=["scope_kind"],
                name="kill_criterion_acts",
            ),
        ),
        migrations.AddConstraint(
            model_name="killcriterion",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "state__in",
                        ("draft", "armed", "tripped", "restoring", "overridden", "retired"),
                    )
                ),
                name="kill_criterion_state_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="killcriterion",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("acts", False), ("state__in", ("tripped", "restoring")), _connector="OR"
                ),
                name="kill_criterion_acts_while_tripped",
            ),
        ),
        migrations.AddConstraint(
            model_name="killcriterion",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("department", None), ("scope_kind", "company"), ("use_case", None)
                    ),
                    models.Q(
                        ("department__isnull", False),
                        ("scope_kind", "department"),
                        ("use_case", None),
                    ),
                    models.Q(
                        ("department", None),
                        ("scope_kind", "use_case"),
                        ("use_case__isnull", False),
                    ),
                    _connector="OR",
                ),
                name="kill_criterion_scope_whole",
            ),
        ),
        migrations.AddIndex(
            model_name="killevent",
            index=models.Index(fields=["criterion", "-at"], name="kill_event_newest"),
        ),
        migrations.AddConstraint(
            model_name="killversion",
            constraint=models.UniqueConstraint(
                fields=("criterion", "version"), name="kill_version_once"
            ),
        ),
        migrations.RunSQL(TRIGGERS, DROP),
    ]
