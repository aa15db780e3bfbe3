"""What does a token cost? Tables of the price book: versions, offers, dated rules, rates.

Expand only: creates empty tables. That their rows stay as written is 0007.
"""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    """Creates empty tables."""

    dependencies = [
        ("ledger", "0005_declare_models"),
    ]

    operations = [
        migrations.CreateModel(
            name="PriceOffer",
            fields=[
                ("id", models.AutoField(primary_key=True, serialize=False)),
                ("venue", models.TextField()),
                ("model", models.TextField()),
                ("region", models.TextField(default="global")),
                ("tier", models.TextField(default="standard")),
                ("slug", models.TextField(unique=True)),
                ("context_window", models.IntegerField(null=True)),
            ],
            options={
                "db_table": "ledger_price_offer",
            },
        ),
        migrations.CreateModel(
            name="PriceQuarantine",
            fields=[
                ("id", models.AutoField(primary_key=True, serialize=False)),
                ("catalogue", models.TextField()),
                ("edition", models.TextField()),
                ("name", models.TextField()),
                ("slug", models.TextField()),
                ("doubts", models.JSONField()),
                ("cards", models.JSONField()),
                ("remark", models.TextField(default="")),
                ("content_hash", models.BinaryField(unique=True)),
                ("seen_at", models.DateTimeField()),
            ],
            options={
                "db_table": "ledger_price_quarantine",
            },
        ),
        migrations.CreateModel(
            name="PriceVersion",
            fields=[
                ("version", models.IntegerField(primary_key=True, serialize=False)),
                ("change", models.TextField()),
                ("catalogue", models.TextField(default="")),
                ("edition", models.TextField(default="")),
                ("content_hash", models.TextField(default="")),
                ("evidence", models.TextField(default="")),
                ("actor", models.TextField()),
                ("digest", models.BinaryField()),
                ("recorded_at", models.DateTimeField()),
            ],
            options={
                "db_table": "ledger_price_version",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("version__gt", 0)), name="price_version_positive"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("change__in", ["catalogue", "override", "contract", "withdrawal"])
                        ),
                        name="price_version_change_known",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="PriceRule",
            fields=[
                ("id", models.AutoField(primary_key=True, serialize=False)),
                ("source", models.TextField()),
                ("source_name", models.TextField()),
                ("evidence", models.TextField(default="")),
                ("approved_by", models.TextField(default="")),
                ("currency", models.TextField()),
                ("valid_from", models.DateTimeField()),
                ("valid_to", models.DateTimeField(null=True)),
                ("day_from", models.TimeField(null=True)),
                ("day_to", models.TimeField(null=True)),
                ("threshold", models.TextField(default="whole_call")),
                ("reasoning", models.TextField(default="inside")),
                (
                    "offer",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="rules",
                        to="ledger.priceoffer",
                    ),
                ),
                (
                    "version",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="rules",
                        to="ledger.priceversion",
                    ),
                ),
            ],
            options={
                "db_table": "ledger_price_rule",
            },
        ),
        migrations.AddField(
            model_name="priceoffer",
            name="since",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="offers",
                to="ledger.priceversion",
            ),
        ),
        migrations.CreateModel(
            name="PriceAlias",
            fields=[
                ("id", models.AutoField(primary_key=True, serialize=False)),
                ("venue", models.TextField()),
                ("alias", models.TextField()),
                ("model", models.TextField()),
                (
                    "since",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="ledger.priceversion",
                    ),
                ),
            ],
            options={
                "db_table": "ledger_price_alias",
            },
        ),
        migrations.CreateModel(
            name="PriceWithdrawal",
            fields=[
                (
                    "rule",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="withdrawal",
                        serialize=False,
                        to="ledger.pricerule",
                    ),
                ),
                ("ended_at", models.DateTimeField()),
                ("reason", models.TextField()),
                (
                    "version",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="ledger.priceversion",
                    ),
                ),
            ],
            options={
                "db_table": "ledger_price_withdrawal",
            },
        ),
        migrations.CreateModel(
            name="PriceRate",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("meter", models.TextField()),
                ("above_tokens", models.BigIntegerField(default=0)),
                ("nanos_per_million", models.BigIntegerField()),
                ("is_free_by_policy", models.BooleanField(default=False)),
                (
                    "rule",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="rates",
                        to="ledger.pricerule",
                    ),
                ),
            ],
            options={
                "db_table": "ledger_price_rate",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("rule", "meter", "above_tokens"),
                        name="price_rate_once_per_bracket",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("nanos_per_million__gt", 0),
                            models.Q(("is_free_by_policy", True), ("nanos_per_million", 0)),
                            _connector="OR",
                        ),
                        name="price_rate_zero_only_by_policy",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("above_tokens__gte", 0)),
                        name="price_rate_bracket_not_negative",
                    ),
                ],
            },
        ),
        migrations.AddConstraint(
            model_name="pricerule",
            constraint=models.CheckConstraint(
                condition=models.Q(("source__in", ["override", "contract", "list"])),
                name="price_rule_source_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="pricerule",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("valid_to__isnull", True),
                    ("valid_to__gt", models.F("valid_from")),
                    _connector="OR",
                ),
                name="price_rule_ends_after_start",
            ),
        ),
        migrations.AddConstraint(
            model_name="pricerule",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("day_from__isnull", True), ("day_to__isnull", True)),
                    models.Q(("day_from__isnull", False), ("day_to__isnull", False)),
                    _connector="OR",
                ),
                name="price_rule_day_window_whole",
            ),
        ),
        migrations.AddConstraint(
            model_name="pricerule",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("source", "list"),
                    models.Q(("evidence", ""), _negated=True),
                    _connector="OR",
                ),
                name="price_rule_own_price_has_evidence",
            ),
        ),
        migrations.AddConstraint(
            model_name="pricerule",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("threshold__in", ["whole_call", "marginal"]),
                    ("reasoning__in", ["inside", "outside"]),
                ),
                name="price_rule_terms_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="priceoffer",
            constraint=models.UniqueConstraint(
                fields=("venue", "region", "model", "tier"), name="price_offer_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="priceoffer",
            constraint=models.CheckConstraint(
                condition=models.Q(("tier__in", ["standard", "batch", "flex", "priority"])),
                name="price_offer_tier_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="pricealias",
            constraint=models.UniqueConstraint(
                fields=("venue", "alias"), name="price_alias_means_one"
            ),
        ),
    ]
