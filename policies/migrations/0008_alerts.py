"""Why: what is found must be told once, to people who are not looking at a page.

Tables of rules, channels, alerts and their deliveries; and of changes first seen on a use case.
"""

import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    """Nine tables."""

    dependencies = [
        ("policies", "0007_open_leases"),
    ]

    operations = [
        migrations.CreateModel(
            name="WatchCursor",
            fields=[
                ("name", models.CharField(max_length=32, primary_key=True, serialize=False)),
                ("seq", models.BigIntegerField()),
                ("at", models.DateTimeField()),
            ],
            options={
                "db_table": "policies_watch_cursor",
            },
        ),
        migrations.CreateModel(
            name="Alert",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "public",
                    models.CharField(help_text="public id, alt_…", max_length=30, unique=True),
                ),
                ("kind", models.CharField(max_length=40)),
                (
                    "subject",
                    models.CharField(
                        help_text="what it is about: an id or a slug", max_length=160
                    ),
                ),
                (
                    "window",
                    models.CharField(help_text="in which it is raised once", max_length=64),
                ),
                ("severity", models.CharField(max_length=8)),
                ("title", models.CharField(max_length=200)),
                ("detail", models.TextField(blank=True)),
                ("evidence", models.JSONField(default=dict)),
                (
                    "url",
                    models.CharField(
                        blank=True, help_text="page of the subject", max_length=300
                    ),
                ),
                ("test", models.BooleanField(default=False)),
                ("state", models.CharField(default="open", max_length=12)),
                ("raised_at", models.DateTimeField()),
                ("state_at", models.DateTimeField()),
                (
                    "state_by",
                    models.CharField(blank=True, help_text="empty = the system", max_length=64),
                ),
                ("state_reason", models.CharField(blank=True, max_length=400)),
                (
                    "envelope",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="policies.envelope",
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
                "db_table": "policies_alert",
            },
        ),
        migrations.CreateModel(
            name="AlertChannel",
            fields=[
                ("id", models.AutoField(primary_key=True, serialize=False)),
                (
                    "public",
                    models.CharField(help_text="public id, chn_…", max_length=30, unique=True),
                ),
                ("name", models.CharField(max_length=120)),
                ("kind", models.CharField(max_length=8)),
                (
                    "target_wrapped",
                    models.BinaryField(help_text="address or URL under the secret key"),
                ),
                ("target_shown", models.CharField(max_length=160)),
                (
                    "secret_wrapped",
                    models.BinaryField(help_text="32 bytes under the secret key", null=True),
                ),
                ("previous_wrapped", models.BinaryField(null=True)),
                (
                    "previous_ends_at",
                    models.DateTimeField(help_text="both sign before this instant", null=True),
                ),
                ("least_severity", models.CharField(default="info", max_length=8)),
                ("state", models.CharField(default="active", max_length=8)),
                ("state_reason", models.CharField(blank=True, max_length=200)),
                ("version", models.IntegerField(default=1)),
                ("created_at", models.DateTimeField()),
                ("created_by", models.CharField(max_length=64)),
                ("updated_at", models.DateTimeField()),
            ],
            options={
                "db_table": "policies_alert_channel",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("kind__in", ("email", "slack", "teams", "webhook"))
                        ),
                        name="alert_channel_kind_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("state__in", ("active", "disabled", "retired"))),
                        name="alert_channel_state_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("least_severity__in", ("info", "warning", "critical"))
                        ),
                        name="alert_channel_severity_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("kind", "webhook"), ("secret_wrapped__isnull", False)),
                            models.Q(
                                models.Q(("kind", "webhook"), _negated=True),
                                ("secret_wrapped__isnull", True),
                            ),
                            _connector="OR",
                        ),
                        name="alert_channel_webhook_signs",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="AlertDelivery",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "public",
                    models.CharField(help_text="public id, msg_…", max_length=30, unique=True),
                ),
                ("event", models.CharField(help_text="raised, resolved, test", max_length=8)),
                (
                    "message",
                    models.CharField(
                        blank=True, help_text="webhook id; empty = not sent", max_length=30
                    ),
                ),
                ("state", models.CharField(default="waiting", max_length=8)),
                ("attempts", models.IntegerField(default=0)),
                ("due_at", models.DateTimeField()),
                ("claim", models.UUIDField(null=True)),
                ("claim_ends_at", models.DateTimeField(null=True)),
                ("created_at", models.DateTimeField()),
                ("first_attempt_at", models.DateTimeField(null=True)),
                ("ended_at", models.DateTimeField(null=True)),
                ("response_code", models.IntegerField(null=True)),
                ("outcome", models.CharField(blank=True, max_length=200)),
                (
                    "alert",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="policies.alert",
                    ),
                ),
                (
                    "channel",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="policies.alertchannel",
                    ),
                ),
            ],
            options={
                "db_table": "policies_alert_delivery",
            },
        ),
        migrations.CreateModel(
            name="AlertAttempt",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("message", models.CharField(max_length=30)),
                ("number", models.IntegerField()),
                ("at", models.DateTimeField()),
                ("took_ms", models.IntegerField()),
                ("code", models.IntegerField()),
                ("outcome", models.CharField(max_length=200)),
                (
                    "delivery",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="policies.alertdelivery",
                    ),
                ),
            ],
            options={
                "db_table": "policies_alert_attempt",
            },
        ),
        migrations.CreateModel(
            name="AlertRule",
            fields=[
                ("id", models.AutoField(primary_key=True, serialize=False)),
                (
                    "public",
                    models.CharField(help_text="public id, alr_…", max_length=30, unique=True),
                ),
                ("name", models.CharField(max_length=120)),
                ("kind", models.CharField(max_length=40)),
                (
                    "scope_kind",
                    models.CharField(
                        help_text="company, department, use_case, envelope", max_length=16
                    ),
                ),
                ("scope_slug", models.CharField(blank=True, max_length=128)),
                ("threshold", models.BigIntegerField(null=True)),
                (
                    "window",
                    models.CharField(
                        help_text="once per: period, hour, day, week, month", max_length=8
                    ),
                ),
                ("severity", models.CharField(max_length=8)),
                (
                    "channels",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.IntegerField(), default=list, size=None
                    ),
                ),
                ("state", models.CharField(default="active", max_length=8)),
                ("built_in", models.BooleanField(default=False)),
                ("version", models.IntegerField(default=1)),
                ("created_at", models.DateTimeField()),
                ("created_by", models.CharField(max_length=64)),
                ("updated_at", models.DateTimeField()),
                ("last_fired_at", models.DateTimeField(null=True)),
            ],
            options={
                "db_table": "policies_alert_rule",
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("built_in", True)),
                        fields=("kind",),
                        name="alert_rule_built_in_once",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("state__in", ("active", "paused", "retired"))),
                        name="alert_rule_state_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("severity__in", ("info", "warning", "critical"))),
                        name="alert_rule_severity_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("threshold__isnull", True), ("threshold__gte", 0), _connector="OR"
                        ),
                        name="alert_rule_threshold_ge_0",
                    ),
                ],
            },
        ),
        migrations.AddField(
            model_name="alert",
            name="rule",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="policies.alertrule",
            ),
        ),
        migrations.CreateModel(
            name="AlertSnooze",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("kind", models.CharField(max_length=40)),
                ("subject", models.CharField(blank=True, max_length=160)),
                ("until", models.DateTimeField()),
                ("reason", models.CharField(max_length=400)),
                ("at", models.DateTimeField()),
                ("by", models.CharField(max_length=64)),
                (
                    "ended_at",
                    models.DateTimeField(help_text="ended by hand before its time", null=True),
                ),
            ],
            options={
                "db_table": "policies_alert_snooze",
                "indexes": [
                    models.Index(fields=["kind", "until"], name="alert_snooze_running")
                ],
            },
        ),
        migrations.CreateModel(
            name="ChangeSighting",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("dimension", models.CharField(max_length=16)),
                ("value", models.CharField(max_length=128)),
                (
                    "before",
                    models.CharField(
                        blank=True, help_text="the newest value until then", max_length=128
                    ),
                ),
                ("baseline", models.BooleanField(default=False)),
                ("seq", models.BigIntegerField(help_text="ledger position of the first entry")),
                ("entry_uid", models.UUIDField()),
                ("seen_at", models.DateTimeField(help_text="when that entry was recorded")),
                ("found_at", models.DateTimeField()),
                ("signed_by", models.CharField(blank=True, max_length=200)),
                ("signed_ref", models.CharField(blank=True, max_length=64)),
                ("weighing", models.CharField(default="open", max_length=8)),
                ("looks", models.SmallIntegerField(default=0)),
                ("result", models.JSONField(null=True)),
                (
                    "alert",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="policies.alert",
                    ),
                ),
                (
                    "use_case",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="policies.usecase",
                    ),
                ),
            ],
            options={
                "db_table": "policies_change_sighting",
            },
        ),
        migrations.CreateModel(
            name="SignedChange",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("dimension", models.CharField(max_length=16)),
                ("value", models.CharField(max_length=128)),
                ("signed_by", models.CharField(max_length=200)),
                ("ref", models.CharField(help_text="approval, apr_…", max_length=64)),
                ("at", models.DateTimeField()),
                (
                    "until",
                    models.DateTimeField(
                        help_text="first sights from here on are unsigned", null=True
                    ),
                ),
                (
                    "use_case",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="policies.usecase",
                    ),
                ),
            ],
            options={
                "db_table": "policies_signed_change",
            },
        ),
        migrations.AddIndex(
            model_name="alertdelivery",
            index=models.Index(
                condition=models.Q(("state__in", ("waiting", "claimed"))),
                fields=["due_at"],
                name="alert_delivery_due",
            ),
        ),
        migrations.AddIndex(
            model_name="alertdelivery",
            index=models.Index(fields=["message"], name="alert_delivery_message"),
        ),
        migrations.AddConstraint(
            model_name="alertdelivery",
            constraint=models.UniqueConstraint(
                fields=("alert", "channel", "event"), name="alert_delivery_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="alertdelivery",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("state__in", ("waiting", "claimed", "sent", "given_up", "dropped"))
                ),
                name="alert_delivery_state_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="alertdelivery",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("claim__isnull", False),
                        ("claim_ends_at__isnull", False),
                        ("state", "claimed"),
                    ),
                    models.Q(
                        models.Q(("state", "claimed"), _negated=True), ("claim__isnull", True)
                    ),
                    _connector="OR",
                ),
                name="alert_delivery_claim_has_an_end",
            ),
        ),
        migrations.AddIndex(
            model_name="alertattempt",
            index=models.Index(fields=["delivery", "id"], name="alert_attempt_delivery"),
        ),
        migrations.AddIndex(
            model_name="alert",
            index=models.Index(fields=["-raised_at", "-id"], name="alert_newest"),
        ),
        migrations.AddIndex(
            model_name="alert",
            index=models.Index(
                condition=models.Q(("state", "resolved"), _negated=True),
                fields=["kind", "subject"],
                name="alert_unresolved",
            ),
        ),
        migrations.AddConstraint(
            model_name="alert",
            constraint=models.UniqueConstraint(
                fields=("kind", "subject", "window"), name="alert_once_per_window"
            ),
        ),
        migrations.AddConstraint(
            model_name="alert",
            constraint=models.CheckConstraint(
                condition=models.Q(("state__in", ("open", "acknowledged", "resolved"))),
                name="alert_state_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="alert",
            constraint=models.CheckConstraint(
                condition=models.Q(("severity__in", ("info", "warning", "critical"))),
                name="alert_severity_known",
            ),
        ),
        migrations.AddIndex(
            model_name="changesighting",
            index=models.Index(
                condition=models.Q(("weighing", "open")),
                fields=["use_case", "seen_at"],
                name="change_weighed",
            ),
        ),
        migrations.AddConstraint(
            model_name="changesighting",
            constraint=models.UniqueConstraint(
                fields=("use_case", "dimension", "value"), name="change_first_seen_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="changesighting",
            constraint=models.CheckConstraint(
                condition=models.Q(("weighing__in", ("open", "shifted", "steady", "none"))),
                name="change_weighing_known",
            ),
        ),
        migrations.AddIndex(
            model_name="signedchange",
            index=models.Index(
                fields=["use_case", "dimension", "value"], name="signed_change_of"
            ),
        ),
    ]
