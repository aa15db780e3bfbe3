"""What governs prices? Proposals, releases, dated FX rates, commitments and revaluations.

Expand only: creates empty tables and widens the list of kinds of price versions. That their
rows stay as written is 0009.
"""

import django.db.models.deletion
import django.db.models.expressions
from django.db import migrations, models


class Migration(migrations.Migration):
    """Creates empty tables; one check constraint accepts two more kinds."""

    dependencies = [
        ("ledger", "0007_prices_immutability"),
    ]

    operations = [
        migrations.CreateModel(
            name="CommitmentDay",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("public", models.TextField()),
                ("day", models.DateField()),
                ("revision", models.IntegerField()),
                ("terms_version", models.IntegerField()),
                ("hours", models.IntegerField()),
                ("capacity_tokens", models.BigIntegerField()),
                ("used_tokens", models.BigIntegerField()),
                ("beyond_tokens", models.BigIntegerField()),
                ("charge_nanos", models.BigIntegerField()),
                ("used_nanos", models.BigIntegerField()),
                ("waste_nanos", models.BigIntegerField()),
                ("used_by", models.JSONField()),
                ("fx_rate", models.TextField(default="")),
                ("fx_date", models.DateField(null=True)),
                ("entry_uid", models.UUIDField(unique=True)),
                ("recorded_at", models.DateTimeField()),
            ],
            options={
                "db_table": "ledger_commitment_day",
            },
        ),
        migrations.CreateModel(
            name="CommitmentRow",
            fields=[
                ("id", models.AutoField(primary_key=True, serialize=False)),
                ("public", models.TextField()),
                ("version", models.IntegerField()),
                ("name", models.TextField()),
                ("venue", models.TextField()),
                ("model", models.TextField()),
                ("region", models.TextField()),
                ("units", models.IntegerField()),
                ("hourly_rate_nanos", models.BigIntegerField()),
                ("currency", models.TextField()),
                ("unit_tokens", models.BigIntegerField()),
                ("term", models.TextField()),
                ("start_at", models.DateTimeField()),
                ("end_at", models.DateTimeField()),
                ("notice_date", models.DateField()),
                ("owner_kind", models.TextField()),
                ("owner_slug", models.TextField()),
                ("beyond", models.TextField()),
                ("evidence", models.TextField()),
                ("requested_by", models.TextField()),
                ("approved_by", models.TextField()),
                ("recorded_at", models.DateTimeField()),
            ],
            options={
                "db_table": "ledger_commitment",
            },
        ),
        migrations.CreateModel(
            name="FxRateRow",
            fields=[
                ("id", models.AutoField(primary_key=True, serialize=False)),
                ("currency", models.TextField()),
                ("rate", models.TextField()),
                ("rate_date", models.DateField()),
                ("source", models.TextField()),
                ("evidence", models.TextField(default="")),
                ("actor", models.TextField()),
                ("recorded_at", models.DateTimeField()),
            ],
            options={
                "db_table": "ledger_fx_rate",
            },
        ),
        migrations.CreateModel(
            name="PriceProposal",
            fields=[
                ("id", models.TextField(primary_key=True, serialize=False)),
                ("catalogue", models.TextField()),
                ("edition", models.TextField()),
                ("content_hash", models.TextField()),
                ("base_version", models.IntegerField()),
                ("base_digest", models.BinaryField()),
                ("body", models.JSONField()),
                ("body_hash", models.BinaryField()),
                ("actor", models.TextField()),
                ("made_at", models.DateTimeField()),
            ],
            options={
                "db_table": "ledger_price_proposal",
            },
        ),
        migrations.CreateModel(
            name="PriceRelease",
            fields=[
                (
                    "quarantine",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="release",
                        serialize=False,
                        to="ledger.pricequarantine",
                    ),
                ),
                ("reason", models.TextField()),
                ("requested_by", models.TextField()),
                ("approved_by", models.TextField()),
                ("released_at", models.DateTimeField()),
            ],
            options={
                "db_table": "ledger_price_release",
            },
        ),
        migrations.CreateModel(
            name="Revaluation",
            fields=[
                ("entry_uid", models.UUIDField(primary_key=True, serialize=False)),
                ("original_uid", models.UUIDField()),
                ("original_at", models.DateTimeField()),
                ("run", models.TextField()),
                ("price_version", models.IntegerField()),
                ("before_nanos", models.BigIntegerField()),
                ("after_nanos", models.BigIntegerField()),
                ("delta_nanos", models.BigIntegerField()),
                ("recorded_at", models.DateTimeField()),
            ],
            options={
                "db_table": "ledger_revaluation",
            },
        ),
        migrations.RemoveConstraint(
            model_name="priceversion",
            name="price_version_change_known",
        ),
        migrations.AddConstraint(
            model_name="priceversion",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "change__in",
                        ["catalogue", "override", "contract", "withdrawal", "release", "fx"],
                    )
                ),
                name="price_version_change_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="commitmentday",
            constraint=models.UniqueConstraint(
                fields=("public", "day", "revision"), name="commitment_day_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="commitmentday",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "charge_nanos",
                        django.db.models.expressions.CombinedExpression(
                            models.F("used_nanos"), "+", models.F("waste_nanos")
                        ),
                    )
                ),
                name="commitment_day_adds_up",
            ),
        ),
        migrations.AddConstraint(
            model_name="commitmentrow",
            constraint=models.UniqueConstraint(
                fields=("public", "version"), name="commitment_version_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="commitmentrow",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("hourly_rate_nanos__gte", 0), ("unit_tokens__gt", 0), ("units__gt", 0)
                ),
                name="commitment_counts_positive",
            ),
        ),
        migrations.AddConstraint(
            model_name="commitmentrow",
            constraint=models.CheckConstraint(
                condition=models.Q(("end_at__gt", models.F("start_at"))),
                name="commitment_ends_after_start",
            ),
        ),
        migrations.AddConstraint(
            model_name="commitmentrow",
            constraint=models.CheckConstraint(
                condition=models.Q(("owner_kind__in", ["use_case", "department", "company"])),
                name="commitment_owner_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="commitmentrow",
            constraint=models.CheckConstraint(
                condition=models.Q(("beyond__in", ["on_demand", "refused"])),
                name="commitment_beyond_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="commitmentrow",
            constraint=models.CheckConstraint(
                condition=models.Q(("evidence", ""), _negated=True),
                name="commitment_has_evidence",
            ),
        ),
        migrations.AddField(
            model_name="fxraterow",
            name="since",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="ledger.priceversion",
            ),
        ),
        migrations.CreateModel(
            name="PriceProposalEnd",
            fields=[
                (
                    "proposal",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="end",
                        serialize=False,
                        to="ledger.priceproposal",
                    ),
                ),
                ("outcome", models.TextField()),
                ("actor", models.TextField()),
                ("ended_at", models.DateTimeField()),
            ],
            options={
                "db_table": "ledger_price_proposal_end",
            },
        ),
        migrations.AddConstraint(
            model_name="priceproposal",
            constraint=models.UniqueConstraint(
                fields=("content_hash", "base_version"), name="price_proposal_once"
            ),
        ),
        migrations.AddField(
            model_name="pricerelease",
            name="version",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="ledger.priceversion",
            ),
        ),
        migrations.AddIndex(
            model_name="revaluation",
            index=models.Index(fields=["original_uid"], name="revaluation_by_original"),
        ),
        migrations.AddIndex(
            model_name="revaluation",
            index=models.Index(fields=["original_at"], name="revaluation_by_instant"),
        ),
        migrations.AddConstraint(
            model_name="revaluation",
            constraint=models.UniqueConstraint(
                fields=("original_uid", "price_version"), name="revaluation_once_a_version"
            ),
        ),
        migrations.AddConstraint(
            model_name="revaluation",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "after_nanos",
                        django.db.models.expressions.CombinedExpression(
                            models.F("before_nanos"), "+", models.F("delta_nanos")
                        ),
                    )
                ),
                name="revaluation_adds_up",
            ),
        ),
        migrations.AddConstraint(
            model_name="fxraterow",
            constraint=models.UniqueConstraint(
                fields=("currency", "rate_date", "since"), name="fx_rate_once_a_version"
            ),
        ),
        migrations.AddConstraint(
            model_name="fxraterow",
            constraint=models.CheckConstraint(
                condition=models.Q(("rate__regex", "^[0-9]{1,9}(\\.[0-9]{1,15})?$")),
                name="fx_rate_is_a_decimal",
            ),
        ),
        migrations.AddConstraint(
            model_name="fxraterow",
            constraint=models.CheckConstraint(
                condition=models.Q(("currency__regex", "^[A-Z]{3}$")),
                name="fx_rate_currency_by_code",
            ),
        ),
        migrations.AddConstraint(
            model_name="fxraterow",
            constraint=models.CheckConstraint(
                condition=models.Q(("source", ""), _negated=True), name="fx_rate_has_source"
            ),
        ),
        migrations.AddField(
            model_name="priceproposalend",
            name="version",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="ledger.priceversion",
            ),
        ),
        migrations.AddConstraint(
            model_name="pricerelease",
            constraint=models.CheckConstraint(
                condition=models.Q(("reason", ""), _negated=True),
                name="price_release_has_reason",
            ),
        ),
        migrations.AddConstraint(
            model_name="priceproposalend",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("outcome", "applied"), ("version__isnull", False)),
                    models.Q(
                        ("outcome__in", ["superseded", "declined"]), ("version__isnull", True)
                    ),
                    _connector="OR",
                ),
                name="price_proposal_end_known",
            ),
        ),
    ]
