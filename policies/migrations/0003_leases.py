"""Why: decision workers spend from leased slices, so each slice and its holder need a row.

`lease` and `lease_holder` are caches like the balances. A reservation inside a lease names it;
rows from before have none and stay what they are: holds with entries of their own.
Deploy order: migrate before the first decision worker starts; older code goes on unchanged.
"""

import django.contrib.postgres.fields
import django.db.models.expressions
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("policies", "0002_guards"),
    ]

    operations = [
        migrations.CreateModel(
            name="Lease",
            fields=[
                ("id", models.UUIDField(primary_key=True, serialize=False)),
                ("fence", models.BigIntegerField(help_text="holder")),
                ("use_case", models.IntegerField()),
                ("root", models.IntegerField(help_text="tree")),
                (
                    "path_ids",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.IntegerField(), size=None
                    ),
                ),
                (
                    "path_periods",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.DateTimeField(), size=None
                    ),
                ),
                ("granted_nanos", models.BigIntegerField()),
                ("returned_nanos", models.BigIntegerField(db_default=0)),
                ("settled_nanos", models.BigIntegerField(db_default=0)),
                ("expired_nanos", models.BigIntegerField(db_default=0)),
                ("late_nanos", models.BigIntegerField(db_default=0)),
                ("written_off_nanos", models.BigIntegerField(db_default=0)),
                ("open_nanos", models.BigIntegerField(db_default=0)),
                ("state", models.CharField(db_default="open", max_length=8)),
                ("policy_version", models.IntegerField()),
                (
                    "granted_at",
                    models.DateTimeField(help_text="decides the period of all its entries"),
                ),
                ("expires_at", models.DateTimeField()),
                ("ended_at", models.DateTimeField(null=True)),
            ],
            options={
                "db_table": "lease",
            },
        ),
        migrations.CreateModel(
            name="LeaseHolder",
            fields=[
                ("fence", models.BigAutoField(primary_key=True, serialize=False)),
                ("host", models.CharField(max_length=255)),
                ("pid", models.IntegerField()),
                ("born", models.BigIntegerField()),
                ("kind", models.CharField(max_length=8)),
                (
                    "caller",
                    models.CharField(blank=True, help_text="key_… of a router", max_length=64),
                ),
                (
                    "journal",
                    models.CharField(blank=True, help_text="file name", max_length=128),
                ),
                (
                    "booked_to",
                    models.BigIntegerField(db_default=0, help_text="bytes of the journal"),
                ),
                ("booked_at", models.DateTimeField(null=True)),
                ("started_at", models.DateTimeField()),
                ("seen_at", models.DateTimeField(help_text="when it last renewed")),
                ("ended_at", models.DateTimeField(null=True)),
            ],
            options={
                "db_table": "lease_holder",
            },
        ),
        migrations.AddField(
            model_name="reservation",
            name="alias_of",
            field=models.UUIDField(null=True),
        ),
        migrations.AddField(
            model_name="reservation",
            name="lease",
            field=models.UUIDField(null=True),
        ),
        migrations.AddField(
            model_name="reservation",
            name="sequence",
            field=models.BigIntegerField(db_default=0, help_text="0 = not from a journal"),
        ),
        migrations.AddIndex(
            model_name="reservation",
            index=models.Index(
                condition=models.Q(("lease__isnull", False), ("state", "open")),
                fields=["lease"],
                name="reservation_open_in_lease",
            ),
        ),
        migrations.AddConstraint(
            model_name="reservation",
            constraint=models.CheckConstraint(
                condition=models.Q(("lease__isnull", True), ("held", True), _connector="OR"),
                name="reservation_in_lease_is_held",
            ),
        ),
        migrations.AddIndex(
            model_name="lease",
            index=models.Index(
                condition=models.Q(("state__in", ("open", "draining"))),
                fields=["fence", "root"],
                name="lease_of_holder",
            ),
        ),
        migrations.AddIndex(
            model_name="lease",
            index=models.Index(
                condition=models.Q(("state__in", ("open", "draining"))),
                fields=["expires_at"],
                name="lease_due",
            ),
        ),
        migrations.AddIndex(
            model_name="lease",
            index=models.Index(
                condition=models.Q(("state", "expired")),
                fields=["expires_at"],
                name="lease_unsettled",
            ),
        ),
        migrations.AddConstraint(
            model_name="lease",
            constraint=models.CheckConstraint(
                condition=models.Q(("state__in", ("open", "draining", "closed", "expired"))),
                name="lease_state_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="lease",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("granted_nanos__gte", 0),
                    ("returned_nanos__gte", 0),
                    ("settled_nanos__gte", 0),
                    ("expired_nanos__gte", 0),
                    ("late_nanos__gte", 0),
                    ("written_off_nanos__gte", 0),
                    ("open_nanos__gte", 0),
                ),
                name="lease_amounts_ge_0",
            ),
        ),
        migrations.AddConstraint(
            model_name="lease",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "granted_nanos__gte",
                        django.db.models.expressions.CombinedExpression(
                            django.db.models.expressions.CombinedExpression(
                                models.F("returned_nanos"), "+", models.F("settled_nanos")
                            ),
                            "+",
                            models.F("expired_nanos"),
                        ),
                    )
                ),
                name="lease_gives_no_more_than_granted",
            ),
        ),
        migrations.AddConstraint(
            model_name="lease",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "expired_nanos__gte",
                        django.db.models.expressions.CombinedExpression(
                            models.F("late_nanos"), "+", models.F("written_off_nanos")
                        ),
                    )
                ),
                name="lease_resolves_no_more_than_expired",
            ),
        ),
        migrations.AddConstraint(
            model_name="lease",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("state", "closed"), _negated=True),
                    models.Q(
                        (
                            "granted_nanos",
                            django.db.models.expressions.CombinedExpression(
                                django.db.models.expressions.CombinedExpression(
                                    models.F("returned_nanos"), "+", models.F("settled_nanos")
                                ),
                                "+",
                                models.F("expired_nanos"),
                            ),
                        ),
                        (
                            "expired_nanos",
                            django.db.models.expressions.CombinedExpression(
                                models.F("late_nanos"), "+", models.F("written_off_nanos")
                            ),
                        ),
                    ),
                    _connector="OR",
                ),
                name="lease_closed_keeps_nothing",
            ),
        ),
        migrations.AddIndex(
            model_name="leaseholder",
            index=models.Index(
                condition=models.Q(("ended_at__isnull", True)),
                fields=["fence"],
                name="lease_holder_alive",
            ),
        ),
        migrations.AddConstraint(
            model_name="leaseholder",
            constraint=models.CheckConstraint(
                condition=models.Q(("kind__in", ("plane", "router"))),
                name="lease_holder_kind_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="leaseholder",
            constraint=models.CheckConstraint(
                condition=models.Q(("booked_to__gte", 0)), name="lease_holder_booked_ge_0"
            ),
        ),
    ]
