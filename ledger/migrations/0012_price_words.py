"""Who looked at a catalogue, who dismissed a doubted row, what did tokens beyond capacity cost?

Expand only: creates empty tables and adds columns that are 0 in the rows that exist. Who may
change the tables is 0013.
"""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    """Creates empty tables, adds two counters to the days of commitments."""

    dependencies = [("ledger", "0011_close_guards")]

    operations = [
        migrations.CreateModel(
            name="PriceConfirmation",
            fields=[
                ("id", models.AutoField(primary_key=True, serialize=False)),
                ("catalogue", models.TextField()),
                ("edition", models.TextField()),
                ("content_hash", models.TextField()),
                ("base_version", models.IntegerField()),
                ("unchanged", models.IntegerField()),
                ("apart", models.IntegerField()),
                ("absent", models.IntegerField()),
                ("day", models.DateField()),
                ("actor", models.TextField()),
                ("entry_uid", models.UUIDField(unique=True)),
                ("confirmed_at", models.DateTimeField()),
            ],
            options={
                "db_table": "ledger_price_confirmation",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("content_hash", "base_version", "day"),
                        name="price_confirmed_once",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("unchanged__gt", 0)),
                        name="price_confirmation_says_something",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="PriceDismissal",
            fields=[
                (
                    "quarantine",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="dismissal",
                        serialize=False,
                        to="ledger.pricequarantine",
                    ),
                ),
                ("reason", models.TextField()),
                ("actor", models.TextField()),
                ("entry_uid", models.UUIDField(unique=True)),
                ("dismissed_at", models.DateTimeField()),
            ],
            options={
                "db_table": "ledger_price_dismissal",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("reason", ""), _negated=True),
                        name="price_dismissal_has_reason",
                    )
                ],
            },
        ),
        migrations.AddField(
            model_name="commitmentday",
            name="beyond_nanos",
            field=models.BigIntegerField(default=0),
        ),
        migrations.AddField(
            model_name="commitmentday",
            name="beyond_unpriced",
            field=models.BigIntegerField(default=0),
        ),
        migrations.AddConstraint(
            model_name="commitmentday",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("beyond_nanos__gte", 0),
                    ("beyond_unpriced__gte", 0),
                    ("beyond_unpriced__lte", models.F("beyond_tokens")),
                ),
                name="commitment_day_beyond_costs",
            ),
        ),
    ]
