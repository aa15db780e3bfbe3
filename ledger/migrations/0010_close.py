"""Which files and bills came in, and what stood in each envelope when a month was closed?

Expand only: creates empty tables. Who may change them is 0011.
"""

import django.db.models.deletion
import django.db.models.expressions
from django.db import migrations, models


class Migration(migrations.Migration):
    """Creates empty tables."""

    dependencies = [
        ("ledger", "0009_price_governance_guards"),
    ]

    operations = [
        migrations.CreateModel(
            name="Accrual",
            fields=[
                ("uid", models.UUIDField(primary_key=True, serialize=False)),
                ("back_uid", models.UUIDField(unique=True)),
                ("ledger_id", models.IntegerField()),
                ("period", models.TextField()),
                ("venue", models.CharField(max_length=128)),
                ("amount_nanos", models.BigIntegerField()),
                ("reason", models.CharField(max_length=400)),
                ("requested_by", models.CharField(max_length=64)),
                ("approved_by", models.CharField(max_length=64)),
                ("booked_at", models.DateTimeField()),
            ],
            options={
                "db_table": "ledger_accrual",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("requested_by", models.F("approved_by")), _negated=True
                        ),
                        name="accrual_by_two",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Import",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("public", models.CharField(help_text="imp_…", max_length=32, unique=True)),
                ("ledger_id", models.IntegerField()),
                ("source", models.CharField(max_length=32)),
                ("kind", models.CharField(help_text="usage or bill", max_length=8)),
                ("state", models.CharField(default="checked", max_length=12)),
                ("file_name", models.CharField(max_length=200)),
                ("file_bytes", models.BigIntegerField()),
                ("file_hash", models.BinaryField()),
                (
                    "use_case",
                    models.CharField(
                        blank=True, help_text="for rows without one", max_length=128
                    ),
                ),
                (
                    "body",
                    models.BinaryField(help_text="compressed; NULL once booked", null=True),
                ),
                ("rows_total", models.BigIntegerField(default=0)),
                ("rows_new", models.BigIntegerField(default=0)),
                ("rows_known", models.BigIntegerField(default=0)),
                ("rows_rejected", models.BigIntegerField(default=0)),
                ("rows_done", models.BigIntegerField(default=0)),
                ("unpriced", models.BigIntegerField(default=0)),
                ("currency", models.CharField(blank=True, max_length=3)),
                ("amount_nanos", models.BigIntegerField(default=0)),
                ("booked_nanos", models.BigIntegerField(default=0)),
                ("first_entry", models.BigIntegerField(default=0)),
                ("last_entry", models.BigIntegerField(default=0)),
                ("digest", models.BinaryField(default=b"")),
                ("actor", models.CharField(max_length=64)),
                ("problem", models.CharField(blank=True, max_length=200)),
                ("made_at", models.DateTimeField()),
                ("started_at", models.DateTimeField(null=True)),
                (
                    "beat_at",
                    models.DateTimeField(
                        help_text="last sign of life of its worker", null=True
                    ),
                ),
                ("finished_at", models.DateTimeField(null=True)),
            ],
            options={
                "db_table": "ledger_import",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "state__in",
                                (
                                    "checked",
                                    "confirmed",
                                    "running",
                                    "done",
                                    "failed",
                                    "discarded",
                                ),
                            )
                        ),
                        name="import_state_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("kind__in", ("usage", "bill"))),
                        name="import_kind_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "rows_total",
                                django.db.models.expressions.CombinedExpression(
                                    django.db.models.expressions.CombinedExpression(
                                        models.F("rows_new"), "+", models.F("rows_known")
                                    ),
                                    "+",
                                    models.F("rows_rejected"),
                                ),
                            )
                        ),
                        name="import_rows_add_up",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Invoice",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("public", models.CharField(help_text="inv_…", max_length=32, unique=True)),
                ("ledger_id", models.IntegerField()),
                ("venue", models.CharField(max_length=128)),
                ("venue_id", models.IntegerField(help_text="number in entries")),
                ("account", models.CharField(blank=True, max_length=128)),
                (
                    "number",
                    models.CharField(blank=True, help_text="the provider's", max_length=128),
                ),
                ("period", models.CharField(help_text="2026-10", max_length=7)),
                ("starts_at", models.DateTimeField()),
                ("ends_at", models.DateTimeField(help_text="excluded")),
                ("currency", models.CharField(max_length=3)),
                ("source", models.CharField(max_length=32)),
                ("received_at", models.DateTimeField()),
            ],
            options={
                "db_table": "ledger_invoice",
                "constraints": [
                    models.UniqueConstraint(
                        fields=(
                            "ledger_id",
                            "venue",
                            "account",
                            "number",
                            "period",
                            "currency",
                        ),
                        name="invoice_once",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("starts_at__lt", models.F("ends_at"))),
                        name="invoice_is_half_open",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="PeriodBalance",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("ledger_id", models.IntegerField()),
                ("period", models.TextField()),
                ("place", models.IntegerField(help_text="position among the leaves, from 0")),
                ("envelope", models.TextField(help_text="env_…")),
                ("line", models.BinaryField()),
            ],
            options={
                "db_table": "ledger_period_balance",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("ledger_id", "period", "place"), name="period_balance_once"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="ImportReject",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "row",
                    models.BigIntegerField(help_text="as a person counts: the header is row 1"),
                ),
                ("code", models.CharField(max_length=48)),
                ("message", models.CharField(max_length=300)),
                ("content", models.CharField(blank=True, max_length=500)),
                (
                    "imported",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="ledger.import",
                    ),
                ),
            ],
            options={
                "db_table": "ledger_import_reject",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("imported", "row"), name="import_reject_once"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="BookedDifference",
            fields=[
                ("uid", models.UUIDField(primary_key=True, serialize=False)),
                ("day", models.DateField()),
                ("last_day", models.DateField()),
                ("model", models.CharField(blank=True, max_length=128)),
                ("tier", models.CharField(blank=True, max_length=16)),
                ("account", models.CharField(blank=True, max_length=128)),
                ("found", models.CharField(help_text="class of the match", max_length=24)),
                (
                    "amount_nanos",
                    models.BigIntegerField(help_text="what was added to the ledger"),
                ),
                ("cause", models.CharField(max_length=32)),
                ("reason", models.CharField(blank=True, max_length=400)),
                ("requested_by", models.CharField(max_length=64)),
                ("approved_by", models.CharField(max_length=64)),
                (
                    "is_late",
                    models.BooleanField(help_text="it was booked after its month was closed"),
                ),
                ("booked_at", models.DateTimeField()),
                (
                    "invoice",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="ledger.invoice",
                    ),
                ),
            ],
            options={
                "db_table": "ledger_booked_difference",
                "indexes": [
                    models.Index(fields=["invoice", "day"], name="booked_difference_by_day")
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("requested_by", models.F("approved_by")), _negated=True
                        ),
                        name="booked_difference_by_two",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="InvoiceLine",
            fields=[
                ("uid", models.UUIDField(primary_key=True, serialize=False)),
                ("imported", models.BigIntegerField(help_text="import it came with")),
                ("row", models.BigIntegerField()),
                ("day", models.DateField()),
                ("last_day", models.DateField()),
                ("model", models.CharField(blank=True, max_length=128)),
                ("tier", models.CharField(blank=True, max_length=16)),
                ("account", models.CharField(blank=True, max_length=128)),
                ("meter", models.CharField(blank=True, max_length=64)),
                ("quantity", models.BigIntegerField(null=True)),
                ("unit", models.CharField(blank=True, max_length=16)),
                ("amount_nanos", models.BigIntegerField()),
                (
                    "is_late",
                    models.BooleanField(help_text="it came after its month was closed"),
                ),
                ("received_at", models.DateTimeField()),
                (
                    "invoice",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="ledger.invoice",
                    ),
                ),
            ],
            options={
                "db_table": "ledger_invoice_line",
                "indexes": [
                    models.Index(fields=["invoice", "day"], name="invoice_line_by_day")
                ],
            },
        ),
    ]
